//! How a plugin is shown.

use serde::Serialize;
use serde_json::value::RawValue;
use windlass_proto::v1;

use crate::output::Show;
use crate::{text, time};

#[derive(Serialize)]
pub struct PluginView {
    digest: String,
    name: String,
    version: String,
    description: String,
    owner: String,
    state: String,
    size_bytes: u64,
    actions: Vec<ActionView>,
    asked_directories: Vec<DirectoryView>,
    create_time: Option<String>,
    generation: u64,
    etag: String,
}

#[derive(Serialize)]
struct ActionView {
    name: String,
    description: String,
    input_schema: Option<Box<RawValue>>,
    output_schema: Option<Box<RawValue>>,
    reversible: bool,
    observed: bool,
}

#[derive(Serialize)]
struct DirectoryView {
    guest_path: String,
    access: &'static str,
    description: String,
}

impl From<&v1::Plugin> for PluginView {
    fn from(plugin: &v1::Plugin) -> Self {
        Self {
            digest: plugin.digest.clone(),
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            description: plugin.description.clone(),
            owner: plugin.owner.clone(),
            state: text::word(plugin.state().as_str_name(), "PLUGIN_STATE_"),
            size_bytes: plugin.size_bytes,
            actions: plugin.actions.iter().map(ActionView::from).collect(),
            asked_directories: plugin
                .asked_directories
                .iter()
                .map(|asked| DirectoryView {
                    guest_path: asked.guest_path.clone(),
                    access: text::access(asked.access()),
                    description: asked.description.clone(),
                })
                .collect(),
            create_time: plugin.create_time.as_ref().map(time::rfc3339),
            generation: plugin.generation,
            etag: plugin.etag.clone(),
        }
    }
}

impl From<&v1::PluginAction> for ActionView {
    fn from(action: &v1::PluginAction) -> Self {
        Self {
            name: action.name.clone(),
            description: action.description.clone(),
            input_schema: text::raw(&action.input_schema_json),
            output_schema: text::raw(&action.output_schema_json),
            reversible: action.reversible,
            observed: action.observed,
        }
    }
}

impl PluginView {
    fn action_lines(&self) -> String {
        let lines: Vec<String> = self
            .actions
            .iter()
            .map(|action| {
                let observed = if action.observed { " (observed)" } else { "" };
                let mark = if action.reversible { "" } else { " (cannot be undone)" };
                format!("{}{observed}{mark}  {}", action.name, text::one_line(&action.description))
            })
            .collect();
        lines.join("\n")
    }

    fn directory_lines(&self) -> String {
        let lines: Vec<String> = self
            .asked_directories
            .iter()
            .map(|asked| {
                format!("{} {}  {}", asked.guest_path, asked.access, text::one_line(&asked.description))
            })
            .collect();
        lines.join("\n")
    }
}

impl Show for PluginView {
    const COLUMNS: &'static [&'static str] = &["NAME", "VERSION", "STATE", "ACTIONS", "SIZE", "DIGEST"];

    fn id(&self) -> String {
        self.digest.clone()
    }

    fn row(&self) -> Vec<String> {
        let actions: Vec<&str> = self.actions.iter().map(|a| a.name.as_str()).collect();
        vec![
            self.name.clone(),
            self.version.clone(),
            self.state.clone(),
            actions.join(", "),
            text::bytes(self.size_bytes),
            self.digest.clone(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("plugin", format!("{}@{}", self.name, self.version)),
            ("digest", self.digest.clone()),
            ("state", self.state.clone()),
            ("description", self.description.clone()),
            ("size", text::bytes(self.size_bytes)),
            ("owner", self.owner.clone()),
            ("created", self.create_time.clone().unwrap_or_default()),
            ("actions", self.action_lines()),
            ("asks for", self.directory_lines()),
            ("etag", self.etag.clone()),
        ]
    }
}
