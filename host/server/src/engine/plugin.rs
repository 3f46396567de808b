//! Plugins as the engine sees them: records by digest, and which one a name means.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use semver::Version;
use windlass_core::arguments::Schemas;
use windlass_core::flow::{Flow, PluginPin};
use windlass_core::id::Digest;
use windlass_core::permit::{Kind, Verb};
use windlass_core::plugin::{Plugin, PluginState};

use crate::engine::{Engine, EngineError};
use crate::store::{Change, Expected, Record, RecordKey, RecordKind, Reference, Unit};

/// Plugins that are shown as examples of what refers to one.
const REFERENCES_SHOWN: usize = 10;
/// Records read from the store at once.
const PAGE: usize = 500;

/// Every plugin that this host has read. Immutable but for the state, so that a stale one costs one more read.
#[derive(Default)]
pub struct Plugins {
    by_digest: RwLock<HashMap<Digest, Arc<Plugin>>>,
    /// All of them, by name, the highest version first, as long as nothing changed since they were read. One host has the
    /// store: what changes plugins changes them here.
    listed: RwLock<Listed>,
    schemas: RwLock<HashMap<Digest, Arc<Schemas>>>,
}

#[derive(Default)]
struct Listed {
    changes: u64,
    plugins: Option<Arc<Vec<Arc<Plugin>>>>,
}

impl Plugins {
    fn get(&self, digest: Digest) -> Option<Arc<Plugin>> {
        self.by_digest.read().expect("nothing panics while it reads").get(&digest).cloned()
    }

    /// Rises whenever a plugin may have changed.
    pub(super) fn changes(&self) -> u64 {
        self.listed().0
    }

    fn listed(&self) -> (u64, Option<Arc<Vec<Arc<Plugin>>>>) {
        let listed = self.listed.read().expect("nothing panics while it reads");
        (listed.changes, listed.plugins.clone())
    }

    /// What was read is kept, unless something changed while it was.
    fn list(&self, changes: u64, plugins: &Arc<Vec<Arc<Plugin>>>) {
        let mut listed = self.listed.write().expect("nothing panics while it writes");
        if listed.changes == changes {
            listed.plugins = Some(plugins.clone());
        }
    }

    /// Something changes, or has changed, in the store.
    fn unlist(&self) {
        let mut listed = self.listed.write().expect("nothing panics while it writes");
        listed.changes += 1;
        listed.plugins = None;
    }

    fn put(&self, plugin: Plugin) -> Arc<Plugin> {
        let plugin = Arc::new(plugin);
        let mut map = self.by_digest.write().expect("nothing panics while it writes");
        map.insert(plugin.digest, plugin.clone());
        plugin
    }

    fn forget(&self, digest: Digest) {
        self.by_digest.write().expect("nothing panics while it writes").remove(&digest);
        self.unlist();
    }
}

impl Engine {
    /// The compiled schemas of a plugin.
    pub fn schemas(&self, plugin: &Plugin) -> Result<Arc<Schemas>, EngineError> {
        let known =
            self.plugins.schemas.read().expect("nothing panics while it reads").get(&plugin.digest).cloned();
        if let Some(schemas) = known {
            return Ok(schemas);
        }
        let schemas = Arc::new(Schemas::compile(&plugin.manifest)?);
        let mut map = self.plugins.schemas.write().expect("nothing panics while it writes");
        map.insert(plugin.digest, schemas.clone());
        Ok(schemas)
    }

    /// The record has changed in the store.
    pub(super) fn forget_plugin(&self, digest: Digest) {
        self.plugins.forget(digest);
    }

    /// A plugin by its digest, in whatever state.
    pub async fn plugin(&self, digest: Digest) -> Result<Option<Arc<Plugin>>, EngineError> {
        if let Some(plugin) = self.plugins.get(digest) {
            return Ok(Some(plugin));
        }
        match self.store.record(RecordKey::Plugin(digest)).await? {
            Some(Record::Plugin(plugin)) => Ok(Some(self.plugins.put(plugin))),
            _ => Ok(None),
        }
    }

    /// Every plugin, by name, the highest version first.
    pub async fn plugins(&self) -> Result<Arc<Vec<Arc<Plugin>>>, EngineError> {
        let (changes, known) = self.plugins.listed();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut plugins = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.records(RecordKind::Plugin, after, PAGE).await?;
            after = page.last().map(Record::key);
            let is_last = page.len() < PAGE;
            for record in page {
                if let Record::Plugin(plugin) = record {
                    plugins.push(self.plugins.put(plugin));
                }
            }
            if is_last {
                break;
            }
        }
        plugins
            .sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name).then_with(|| version(b).cmp(&version(a))));
        let plugins = Arc::new(plugins);
        self.plugins.list(changes, &plugins);
        Ok(plugins)
    }

    /// The plugin that a person means: by digest, `name@version`, or name for its highest active version.
    pub async fn find_plugin(&self, reference: &str) -> Result<Arc<Plugin>, EngineError> {
        if let Ok(digest) = reference.parse::<Digest>() {
            return self.plugin(digest).await?.ok_or_else(|| EngineError::not_found("plugin", reference));
        }
        let (name, wanted) = match reference.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (reference, None),
        };
        let plugins = self.plugins().await?;
        let mut named = plugins.iter().filter(|plugin| plugin.manifest.name == name);
        let found = match wanted {
            Some(version) => named.find(|plugin| plugin.manifest.version == version),
            None => named.find(|plugin| plugin.state == PluginState::Active),
        };
        found.cloned().ok_or_else(|| EngineError::not_found("plugin", reference))
    }

    /// The exact bytes that a job or operation of this principal will use. What `kept` uses already may be retired.
    pub(super) async fn pin(
        &self,
        reference: &str,
        principal: &str,
        kept: Option<&Flow>,
    ) -> Result<PluginPin, EngineError> {
        let plugin = self.find_plugin(reference).await?;
        self.permits(principal, Verb::Read, Kind::Plugin, &plugin.owner)?;
        let is_kept = kept.is_some_and(|flow| flow.plugins().any(|pin| pin.digest == plugin.digest));
        if plugin.state != PluginState::Active && !is_kept {
            let message = format!("plugin {reference} is retired: use another version");
            return Err(EngineError::precondition(format!("plugin {reference}"), message));
        }
        Ok(PluginPin {
            digest: plugin.digest,
            name: plugin.manifest.name.clone(),
            version: plugin.manifest.version.clone(),
        })
    }

    /// Registers a plugin whose bytes are stored and compiled. Name and version stand for one digest for ever.
    pub async fn register_plugin(&self, plugin: Plugin) -> Result<Arc<Plugin>, EngineError> {
        // Uploads at the same time: of the same bytes the first is registered, of others under its name none.
        let _names = self.names.lock().await;
        if let Some(known) = self.plugin(plugin.digest).await? {
            // Where its commit was made and its answer lost, it may not be listed yet.
            self.plugins.unlist();
            return Ok(known);
        }
        self.check_free(&plugin).await?;
        let record = Record::Plugin(plugin.clone());
        let put = self.commit(Unit::of(vec![Change::Put { record, expected: Expected::Absent }])).await;
        // Also where nobody knows whether it was made.
        self.plugins.unlist();
        put?;
        Ok(self.plugins.put(plugin))
    }

    /// Other bytes under the same name and version are refused.
    pub async fn check_free(&self, plugin: &Plugin) -> Result<(), EngineError> {
        let same_name = |other: &Arc<Plugin>| {
            other.manifest.name == plugin.manifest.name
                && other.manifest.version == plugin.manifest.version
                && other.digest != plugin.digest
        };
        match self.plugins().await?.iter().find(|other| same_name(other)) {
            None => Ok(()),
            Some(other) => Err(EngineError::Exists {
                kind: "plugin",
                id: format!("{}@{}", plugin.manifest.name, plugin.manifest.version),
                message: format!("it has the digest {}; give the new bytes another version", other.digest),
            }),
        }
    }

    /// No new job or operation may use it.
    pub async fn retire_plugin(
        &self,
        reference: &str,
        generation: Option<u64>,
    ) -> Result<Arc<Plugin>, EngineError> {
        let plugin = self.find_plugin(reference).await?;
        check_generation(&format!("plugin {reference}"), plugin.generation, generation)?;
        if plugin.state == PluginState::Retired {
            return Ok(plugin);
        }
        let mut retired = (*plugin).clone();
        retired.state = PluginState::Retired;
        retired.generation += 1;
        let expected = Expected::Generation(plugin.generation);
        let record = Record::Plugin(retired.clone());
        let put = self.commit(Unit::of(vec![Change::Put { record, expected }])).await;
        self.plugins.unlist();
        put?;
        Ok(self.plugins.put(retired))
    }

    /// Removes a plugin that nothing needs any more. It is retired first, so that nothing new can refer to it
    /// while its references are looked for. Its bytes are the caller's to discard.
    pub async fn delete_plugin(
        &self,
        reference: &str,
        generation: Option<u64>,
    ) -> Result<Digest, EngineError> {
        let found = self.find_plugin(reference).await?;
        check_generation(&format!("plugin {reference}"), found.generation, generation)?;
        let references = self.store.references(found.digest, REFERENCES_SHOWN).await?;
        self.check_unreferenced(reference, &references)?;
        let retired = self.retire_plugin(&found.digest.to_string(), None).await?;
        let references = self.store.references(found.digest, REFERENCES_SHOWN).await?;
        self.check_unreferenced(reference, &references)?;
        let key = RecordKey::Plugin(retired.digest);
        let removed =
            self.commit(Unit::of(vec![Change::Remove { key, generation: retired.generation }])).await;
        self.plugins.forget(retired.digest);
        removed?;
        self.store.remove_blob(retired.digest).await?;
        Ok(retired.digest)
    }

    /// Stores a component's bytes. Durable when it returns.
    pub async fn keep_component(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), EngineError> {
        Ok(self.store.put_blob(digest, bytes).await?)
    }

    /// A component's bytes.
    pub async fn component(&self, digest: Digest) -> Result<Vec<u8>, EngineError> {
        let bytes = self.store.blob(digest).await?;
        bytes.ok_or_else(|| EngineError::not_found("component", digest))
    }

    fn check_unreferenced(&self, reference: &str, references: &[Reference]) -> Result<(), EngineError> {
        if references.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = references
            .iter()
            .map(|reference| match reference {
                Reference::Job(job) => format!("job {job}"),
                Reference::Operation(operation) => format!("operation {operation}"),
                Reference::FlowRevision(revision) => format!("flow {revision}"),
            })
            .collect();
        let more = if references.len() == REFERENCES_SHOWN { " and maybe more" } else { "" };
        Err(EngineError::precondition(
            format!("plugin {reference}"),
            format!(
                "plugin {reference} is needed by {}{more}: delete or purge these first, or retire the plugin",
                shown.join(", ")
            ),
        ))
    }
}

/// Refuses a change that was decided on an older state. `None` asks for no check.
pub(super) fn check_generation(subject: &str, found: u64, expected: Option<u64>) -> Result<(), EngineError> {
    match expected {
        Some(expected) if expected != found => Err(EngineError::Stale { subject: subject.to_owned() }),
        _ => Ok(()),
    }
}

fn version(plugin: &Plugin) -> Option<Version> {
    Version::parse(&plugin.manifest.version).ok()
}
