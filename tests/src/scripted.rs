//! Executors without WebAssembly: every call is answered by a script, at once or when the test lets it.
//!
//! A plugin is its manifest as JSON. What was called, and what came of it, is kept: the ledger of these suites.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::watch;
use windlass_core::call::{Call, End, Function, Observation, Outcome, Prior};
use windlass_core::fault::Fault;
use windlass_core::id::Digest;
use windlass_core::payload::Payload;
use windlass_core::plugin::{Manifest, Plugin, PluginState};
use windlass_host::engine::{Engine, EngineError};
use windlass_host::executors::{Admission, AdmitError, Executors, Journal, PrepareError};

/// The name of the scripted plugin, which has one action, [`ACTION`], which may be accepted.
pub const PLUGIN: &str = "scripted";
pub const ACTION: &str = "act";

/// How a script answers a call.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Undo records to write ahead, in order.
    pub undo: Vec<Payload>,
    pub outcome: Outcome,
    /// Not before the test releases it.
    pub is_held: bool,
}

impl Answer {
    pub fn now(outcome: Outcome) -> Self {
        Self { undo: Vec::new(), outcome, is_held: false }
    }

    pub fn held(outcome: Outcome) -> Self {
        Self { is_held: true, ..Self::now(outcome) }
    }

    /// What a call of this function gives where nothing goes wrong.
    pub fn good(function: Function) -> Outcome {
        match function {
            Function::Apply => Outcome::Applied { output: Payload::json(&json!(null)), undo: None },
            Function::Observe => {
                Outcome::Observed(Observation::Present { output: Payload::json(&json!(null)) })
            }
            Function::Revert => Outcome::Reverted { output: None },
        }
    }

    /// It goes on elsewhere, under this handle, and may be looked at now.
    pub fn accepted(handle: &serde_json::Value) -> Outcome {
        Outcome::Accepted { handle: Payload::json(handle), undo: None, observe_after_ms: Some(0) }
    }

    /// A permanent failure with effects.
    pub fn broken() -> Outcome {
        Outcome::Broken { fault: Fault::new("script.broken", "the script says so") }
    }
}

/// One call that was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub job: String,
    pub task: String,
    pub iteration: Vec<u32>,
    pub function: Function,
    pub key: String,
    pub attempt: u32,
    pub scope_attempt: u32,
    pub prior: Prior,
    pub fence: u64,
    /// Undo records that a revert or an observation was shown.
    pub undo_seen: usize,
    /// How the apply ended, as a revert or an observation was told.
    pub end_seen: Option<End>,
    /// Absent while it runs, and for ever where it was cut short.
    pub outcome: Option<Outcome>,
    /// Waits for the test.
    pub is_held: bool,
}

type Script = dyn Fn(&Call) -> Answer + Send + Sync;

/// See the module.
pub struct Scripted {
    script: Box<Script>,
    made: Mutex<Vec<Made>>,
    /// Rises with every change of a call.
    changes: watch::Sender<u64>,
}

impl Scripted {
    pub fn new(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), made: Mutex::default(), changes: watch::Sender::new(0) })
    }

    /// Every call, in the order in which they began.
    pub fn made(&self) -> Vec<Made> {
        self.lock().clone()
    }

    /// Such as `apply a` or `observe a`, in the order in which they began.
    pub fn calls(&self) -> Vec<String> {
        self.lock().iter().map(|made| format!("{} {}", word(made.function), made.task)).collect()
    }

    /// The places, in [`Scripted::made`], of the calls that wait for the test.
    pub fn held(&self) -> Vec<usize> {
        self.lock().iter().enumerate().filter(|(_, made)| made.is_held).map(|(place, _)| place).collect()
    }

    /// Lets a call that is held end.
    pub fn release(&self, place: usize) {
        self.change(|made| made[place].is_held = false);
    }

    /// Returns when the calls are as asked.
    pub async fn wait_for(&self, mut is_so: impl FnMut(&[Made]) -> bool) {
        let mut changes = self.changes.subscribe();
        changes.wait_for(|_| is_so(&self.lock())).await.expect("the sender lives as long as this");
    }

    /// Told of every change of a call.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn begin(&self, call: &Call) -> usize {
        self.change(|made| {
            made.push(Made {
                job: call.job.clone(),
                task: call.task.clone(),
                iteration: call.iteration.clone(),
                function: call.function,
                key: call.idempotency_key.clone(),
                attempt: call.attempt,
                scope_attempt: call.scope_attempt,
                prior: call.prior,
                fence: call.fence,
                undo_seen: call.evidence.as_ref().map_or(0, |evidence| evidence.undo.len()),
                end_seen: call.evidence.as_ref().map(|evidence| evidence.end.clone()),
                outcome: None,
                is_held: false,
            });
            made.len() - 1
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Made>) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().expect("nothing panics while it holds the calls")
    }
}

/// As the ledger calls it.
pub fn word(function: Function) -> &'static str {
    match function {
        Function::Apply => "apply",
        Function::Observe => "observe",
        Function::Revert => "revert",
    }
}

/// A call that is cut short does not wait for the test any more.
struct Running<'a> {
    scripted: &'a Scripted,
    place: usize,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.scripted.change(|made| made[self.place].is_held = false);
    }
}

#[async_trait]
impl Executors for Scripted {
    async fn admit(&self, upload: Vec<u8>) -> Result<Admission, AdmitError> {
        let manifest =
            serde_json::from_slice(&upload).map_err(|error| AdmitError::Manifest(error.to_string()))?;
        Ok(Admission { manifest, component: upload })
    }

    async fn prepare(
        &self,
        _: Digest,
        _: Vec<u8>,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<(), PrepareError> {
        progress(1.0);
        Ok(())
    }

    fn is_prepared(&self, _: Digest) -> bool {
        true
    }

    fn discard(&self, _: Digest) {}

    async fn call(&self, call: Call, journal: Arc<dyn Journal>) -> Outcome {
        let answer = (self.script)(&call);
        let place = self.begin(&call);
        let running = Running { scripted: self, place };
        for undo in answer.undo {
            if let Err(stop) = journal.undo_ahead(undo).await {
                let fault = Fault::new("script.stopped", format!("{stop:?}"));
                let outcome = Outcome::Retry { fault, after_ms: Some(0) };
                self.change(|made| made[place].outcome = Some(outcome.clone()));
                return outcome;
            }
        }
        if answer.is_held {
            self.change(|made| made[place].is_held = true);
            self.wait_for(|made| !made[place].is_held).await;
        }
        self.change(|made| made[place].outcome = Some(answer.outcome.clone()));
        drop(running);
        answer.outcome
    }
}

/// The scripted plugin, as bytes to upload.
pub fn component() -> Vec<u8> {
    let manifest = json!({
        "manifest": 1,
        "name": PLUGIN,
        "version": "1.0.0",
        "actions": [{ "name": ACTION, "input": true, "output": true, "observed": true }],
    });
    manifest.to_string().into_bytes()
}

/// Registers the scripted plugin, as an upload would.
pub async fn register(engine: &Engine) -> Result<Arc<Plugin>, EngineError> {
    let component = component();
    let manifest: Manifest = serde_json::from_slice(&component).expect("the manifest is one");
    let digest = Digest::of(&component);
    let size_bytes = component.len() as u64;
    engine.keep_component(digest, component).await?;
    let plugin = Plugin {
        digest,
        size_bytes,
        manifest,
        state: PluginState::Active,
        owner: "local".to_owned(),
        created: engine.now(),
        generation: 1,
    };
    engine.register_plugin(plugin).await
}
