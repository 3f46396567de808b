//! Plugins.

use windlass_core::id::Digest;
use windlass_core::plugin::{ActionManifest, AskedDirectory, Plugin, PluginState};
use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::grants::access_to_wire;
use super::time::timestamp;
use super::{checked, etag, known};
use crate::engine::EngineError;
use crate::registry::UploadPhase;

pub fn to_wire(plugin: &Plugin) -> v1::Plugin {
    let manifest = &plugin.manifest;
    v1::Plugin {
        digest: plugin.digest.to_string(),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        description: manifest.description.clone(),
        owner: plugin.owner.clone(),
        state: state_to_wire(plugin.state).into(),
        size_bytes: plugin.size_bytes,
        actions: manifest.actions.iter().map(action_to_wire).collect(),
        asked_directories: manifest.grants.directories.iter().map(directory_to_wire).collect(),
        create_time: Some(timestamp(plugin.created)),
        generation: plugin.generation,
        etag: etag(plugin.generation),
    }
}

fn state_to_wire(state: PluginState) -> v1::PluginState {
    match state {
        PluginState::Active => v1::PluginState::Active,
        PluginState::Retired => v1::PluginState::Retired,
    }
}

fn action_to_wire(action: &ActionManifest) -> v1::PluginAction {
    v1::PluginAction {
        name: action.name.clone(),
        description: action.description.clone(),
        input_schema_json: action.input.to_string(),
        output_schema_json: action.output.to_string(),
        reversible: action.reversible,
        observed: action.observed,
    }
}

fn directory_to_wire(asked: &AskedDirectory) -> v1::AskedDirectory {
    v1::AskedDirectory {
        guest_path: asked.guest_path.clone(),
        access: access_to_wire(asked.access).into(),
        description: asked.description.clone(),
    }
}

/// What is going to be sent: its digest, and its size in bytes, at most `bytes_max`.
pub fn start(start: &v1::UploadStart, bytes_max: usize) -> Result<(Digest, usize), EngineError> {
    let mut problems = Problems::default();
    let digest = start.digest.parse().map_err(|error: windlass_core::id::DigestError| {
        problems.add("start.digest", error.to_string());
    });
    let size = usize::try_from(start.size_bytes).unwrap_or(usize::MAX);
    if size == 0 {
        problems.add("start.size_bytes", format!("is 0: give 1 to {bytes_max} bytes"));
    }
    checked(problems, (digest.unwrap_or(Digest([0; 32])), size))
}

pub fn phase_to_wire(phase: UploadPhase) -> v1::UploadPhase {
    match phase {
        UploadPhase::Checking => v1::UploadPhase::Checking,
        UploadPhase::Compiling => v1::UploadPhase::Compiling,
    }
}

/// Which plugins a list shows.
pub struct Filter {
    name: String,
    states: Vec<v1::PluginState>,
}

pub fn filter(request: &v1::ListPluginsRequest) -> Result<Filter, EngineError> {
    let mut problems = Problems::default();
    let states = request.states.iter().enumerate();
    let states = states.filter_map(|(index, wire)| known(&mut problems, &format!("states[{index}]"), *wire));
    let filter = Filter { name: request.name.clone(), states: states.collect() };
    checked(problems, filter)
}

impl Filter {
    pub fn matches(&self, plugin: &Plugin) -> bool {
        (self.name.is_empty() || plugin.manifest.name == self.name)
            && (self.states.is_empty() || self.states.contains(&state_to_wire(plugin.state)))
    }
}
