//! How an operation is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use windlass_proto::v1;

use crate::flow::reference;
use crate::grant::GrantsView;
use crate::output::Show;
use crate::work::{self, WorkView};
use crate::{text, time};

#[derive(Serialize)]
pub struct OperationView {
    id: String,
    name: String,
    description: String,
    owner: String,
    principal: String,
    labels: BTreeMap<String, String>,
    trigger: String,
    work: Option<WorkView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_revision: Option<String>,
    #[serde(skip)]
    work_line: String,
    arguments: Option<Box<RawValue>>,
    grants: GrantsView,
    job_type: String,
    job_priority: i32,
    job_timeout: Option<String>,
    never_revert: bool,
    event_argument: String,
    enabled: bool,
    state: String,
    create_time: Option<String>,
    update_time: Option<String>,
    delete_time: Option<String>,
    generation: u64,
    etag: String,
}

impl From<&v1::Operation> for OperationView {
    fn from(operation: &v1::Operation) -> Self {
        Self {
            id: operation.id.clone(),
            name: operation.name.clone(),
            description: operation.description.clone(),
            owner: operation.owner.clone(),
            principal: operation.principal.clone(),
            labels: operation.labels.clone(),
            trigger: operation.trigger.clone(),
            work: operation.work.as_ref().and_then(WorkView::of),
            flow_revision: operation.flow_revision.as_ref().map(reference::written),
            work_line: work::line(operation.work.as_ref()),
            arguments: text::raw(&operation.arguments_json),
            grants: GrantsView::of(operation.grants.as_ref()),
            job_type: operation.job_type.clone(),
            job_priority: operation.job_priority,
            job_timeout: operation.job_timeout.as_ref().map(|timeout| time::written(time::of_wire(timeout))),
            never_revert: operation.never_revert,
            event_argument: operation.event_argument.clone(),
            enabled: operation.enabled,
            state: text::word(operation.state().as_str_name(), "OPERATION_STATE_"),
            create_time: operation.create_time.as_ref().map(time::rfc3339),
            update_time: operation.update_time.as_ref().map(time::rfc3339),
            delete_time: operation.delete_time.as_ref().map(time::rfc3339),
            generation: operation.generation,
            etag: operation.etag.clone(),
        }
    }
}

impl Show for OperationView {
    const COLUMNS: &'static [&'static str] = &["NAME", "STATE", "ENABLED", "TRIGGER", "WORK", "ID"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.state.clone(),
            if self.enabled { "yes" } else { "no" }.to_owned(),
            self.trigger.clone(),
            self.work_line.clone(),
            self.id.clone(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let arguments = self.arguments.as_ref().map(|json| json.get().to_owned());
        vec![
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("description", self.description.clone()),
            ("state", self.state.clone()),
            ("enabled", if self.enabled { "yes" } else { "no" }.to_owned()),
            ("trigger", self.trigger.clone()),
            ("work", self.work_line.clone()),
            ("from", self.flow_revision.clone().map(|name| format!("flow {name}")).unwrap_or_default()),
            ("arguments", arguments.unwrap_or_default()),
            ("grants", self.grants.lines()),
            ("job type", self.job_type.clone()),
            ("priority", self.job_priority.to_string()),
            ("timeout", self.job_timeout.clone().unwrap_or_default()),
            ("never revert", if self.never_revert { "yes" } else { "" }.to_owned()),
            ("event argument", self.event_argument.clone()),
            ("labels", text::labels(&self.labels)),
            ("owner", self.owner.clone()),
            ("principal", self.principal.clone()),
            ("created", self.create_time.clone().unwrap_or_default()),
            ("deleted", self.delete_time.clone().unwrap_or_default()),
            ("etag", self.etag.clone()),
        ]
    }
}
