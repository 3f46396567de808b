//! The registry: from uploaded bytes to a plugin that can be called.
//!
//! Nothing is registered before it is checked, compiled and stored; what a host finds registered it can
//! therefore always make callable again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::watch;
use windlass_core::arguments::Schemas;
use windlass_core::call::{Call, Outcome};
use windlass_core::fault::{Fault, HOST_OUTPUT, HOST_UNAVAILABLE};
use windlass_core::id::Digest;
use windlass_core::permit::{Kind, Verb};
use windlass_core::plugin::{Plugin, PluginState};

use crate::engine::{Engine, EngineError};
pub use crate::executors::{AdmitError, PrepareError};
use crate::executors::{Executors, Journal};

/// What an upload is at, and how much of that is done, 0 to 1.
pub type Progress = (UploadPhase, f32);

/// The parts of an upload that take time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadPhase {
    Checking,
    Compiling,
}

/// Why an upload is refused. Nothing of it is registered.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the bytes have the digest {found}, not {declared}: send them again")]
    Digest { declared: Digest, found: Digest },
    #[error(transparent)]
    Admit(#[from] AdmitError),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// See the module.
pub struct Registry {
    engine: Arc<Engine>,
    executors: Arc<dyn Executors>,
    /// One plugin is made callable once at a time.
    preparing: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Registry {
    pub fn new(engine: Arc<Engine>, executors: Arc<dyn Executors>) -> Self {
        Self { engine, executors, preparing: Mutex::default() }
    }

    /// The plugin, where its bytes are known already; nothing needs to be sent then.
    pub async fn upload_begin(
        &self,
        digest: Digest,
        principal: &str,
    ) -> Result<Option<Arc<Plugin>>, EngineError> {
        self.engine.permits(principal, Verb::Create, Kind::Plugin, principal)?;
        self.engine.plugin(digest).await
    }

    /// Checks, compiles, stores and registers.
    pub async fn upload(
        &self,
        bytes: Vec<u8>,
        declared: Digest,
        principal: &str,
        progress: watch::Sender<Progress>,
    ) -> Result<Arc<Plugin>, UploadError> {
        self.engine.permits(principal, Verb::Create, Kind::Plugin, principal)?;
        // Hashing megabytes takes long enough to hold up the calls of others.
        let hashed = tokio::task::spawn_blocking(move || (Digest::of(&bytes), bytes)).await;
        let (found, bytes) = hashed.map_err(|error| AdmitError::NotAComponent(error.to_string()))?;
        if found != declared {
            return Err(UploadError::Digest { declared, found });
        }
        progress.send_replace((UploadPhase::Checking, 0.0));
        let admission = self.executors.admit(bytes).await?;
        let component = admission.component;
        let hashed = tokio::task::spawn_blocking(move || (Digest::of(&component), component)).await;
        let (digest, component) = hashed.map_err(|error| AdmitError::NotAComponent(error.to_string()))?;
        let plugin = Plugin {
            digest,
            size_bytes: component.len() as u64,
            manifest: admission.manifest,
            state: PluginState::Active,
            owner: principal.to_owned(),
            created: self.engine.now(),
            generation: 1,
        };
        // Only checked: they are kept for plugins that are registered.
        Schemas::compile(&plugin.manifest).map_err(EngineError::from)?;
        self.engine.check_free(&plugin).await?;
        progress.send_replace((UploadPhase::Compiling, 0.0));
        let tell = |fraction: f32| {
            progress.send_replace((UploadPhase::Compiling, fraction));
        };
        {
            let turn = self.turn(plugin.digest);
            let _turn = turn.lock().await;
            self.executors.prepare(plugin.digest, component.clone(), &tell).await?;
        }
        self.engine.keep_component(plugin.digest, component).await?;
        Ok(self.engine.register_plugin(plugin).await?)
    }

    pub async fn download(&self, reference: &str) -> Result<(Arc<Plugin>, Vec<u8>), EngineError> {
        let plugin = self.engine.find_plugin(reference).await?;
        let bytes = self.engine.component(plugin.digest).await?;
        Ok((plugin, bytes))
    }

    /// Deletes a plugin that nothing needs, with its bytes and its compiled form.
    pub async fn delete(
        &self,
        reference: &str,
        generation: Option<u64>,
        principal: &str,
    ) -> Result<(), EngineError> {
        let plugin = self.engine.find_plugin(reference).await?;
        self.engine.permits(principal, Verb::Delete, Kind::Plugin, &plugin.owner)?;
        // By digest: another plugin may get the name meanwhile.
        let exact = plugin.digest.to_string();
        let digest = self.engine.delete_plugin(&exact, generation).await?;
        self.executors.discard(digest);
        Ok(())
    }

    /// Makes one call. A plugin whose compiled form is gone is compiled again first.
    pub async fn call(&self, call: Call, journal: Arc<dyn Journal>) -> Outcome {
        if let Err(error) = self.ensure_prepared(call.plugin).await {
            let message = format!("plugin {} cannot be called now: {error}", call.plugin);
            // Nothing ran, and the next attempt may find it better.
            return Outcome::Retry { fault: Fault::new(HOST_UNAVAILABLE, message), after_ms: None };
        }
        let (digest, action) = (call.plugin, call.action.clone());
        match self.executors.call(call, journal).await {
            accepted @ Outcome::Accepted { .. } => self.check_accepted(digest, &action, accepted).await,
            outcome => outcome,
        }
    }

    /// Only an action that its manifest says is observed may be accepted: flows were checked by that.
    async fn check_accepted(&self, digest: Digest, action: &str, accepted: Outcome) -> Outcome {
        match self.engine.plugin(digest).await {
            Ok(Some(plugin)) if !plugin.manifest.action(action).is_some_and(|action| action.observed) => {
                let name = &plugin.manifest.name;
                let message = format!(
                    "{action} of {name} answered `accepted`, and the manifest does not say that it is observed: \
                     say `observed: true`, or return `applied` when the work is done"
                );
                Outcome::Broken { fault: Fault::new(HOST_OUTPUT, message) }
            }
            // Where its manifest cannot be read now, the answer still says what was begun.
            Ok(_) | Err(_) => accepted,
        }
    }

    /// Whether the input is what the action's schema wants. The outcome of an attempt that was never made.
    pub async fn check_input(&self, digest: Digest, action: &str, input: &Value) -> Result<(), Outcome> {
        let unavailable =
            |message: String| Outcome::Retry { fault: Fault::new(HOST_UNAVAILABLE, message), after_ms: None };
        let found = self.engine.plugin(digest).await.map_err(|error| unavailable(error.to_string()))?;
        let Some(plugin) = found else {
            return Err(unavailable(format!("plugin {digest} is not registered here")));
        };
        let schemas = self.engine.schemas(&plugin).map_err(|error| unavailable(error.to_string()))?;
        let Some(schemas) = schemas.action(action) else {
            let message = format!("plugin {} has no action {action}", plugin.manifest.name);
            return Err(Outcome::Reject { fault: Fault::new("action.unknown", message) });
        };
        let problems = schemas.input.check(input, "input");
        problems
            .or(())
            .map_err(|problems| Outcome::Reject { fault: Fault::new("input.invalid", problems.to_string()) })
    }

    async fn ensure_prepared(&self, digest: Digest) -> Result<(), UploadError> {
        if self.executors.is_prepared(digest) {
            return Ok(());
        }
        let turn = self.turn(digest);
        let _turn = turn.lock().await;
        if self.executors.is_prepared(digest) {
            return Ok(());
        }
        let component = self.engine.component(digest).await?;
        tracing::info!(plugin = %digest, "the compiled form is gone, the plugin is compiled again");
        Ok(self.executors.prepare(digest, component, &|_| {}).await?)
    }

    fn turn(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut preparing = self.preparing.lock().expect("nothing panics while it holds the turns");
        preparing.entry(digest).or_default().clone()
    }
}
