//! Plugins: what an uploaded component says it is, and where it is in its life.
//!
//! Invariant: name and version stand for one digest, for ever.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// The name of the custom section that carries the manifest, at any depth of the component.
pub const MANIFEST_SECTION: &str = "windlass:manifest";

/// What a plugin says of itself. JSON, inside the component, so that an upload never runs a guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the manifest: 1.
    pub manifest: u32,
    pub name: String,
    /// Semantic version.
    pub version: String,
    #[serde(default)]
    pub description: String,
    pub actions: Vec<ActionManifest>,
    #[serde(default)]
    pub grants: AskedGrants,
}

/// One thing that a plugin can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionManifest {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the arguments.
    pub input: serde_json::Value,
    /// JSON Schema of the output.
    pub output: serde_json::Value,
    /// Whether revert undoes the effect. Default: yes.
    #[serde(default = "yes")]
    pub reversible: bool,
    /// Whether its apply may be accepted, and is then observed. Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
}

fn yes() -> bool {
    true
}

/// What a plugin asks to be granted. Told to people; grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedGrants {
    #[serde(default)]
    pub directories: Vec<AskedDirectory>,
}

/// A directory that a plugin expects to find.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedDirectory {
    pub guest_path: String,
    pub access: crate::call::Access,
    #[serde(default)]
    pub description: String,
}

impl Manifest {
    pub fn action(&self, name: &str) -> Option<&ActionManifest> {
        self.actions.iter().find(|action| action.name == name)
    }
}

/// A plugin as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    pub digest: Digest,
    pub size_bytes: u64,
    pub manifest: Manifest,
    pub state: PluginState,
    pub owner: String,
    pub created: DateTime<Utc>,
    /// Rises with every change.
    pub generation: u64,
}

/// Where a plugin is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// May be used by new jobs and operations.
    Active,
    /// Only what refers to its digest already may use it.
    Retired,
}
