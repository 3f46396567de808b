//! Rules between the fields of a task: an action, a flow, a wait or a job, and what each of them may have besides.

use super::{InDoubtDocument, TaskDocument};
use crate::flow::checked::Rules;

/// What makes a task a child job.
const JOB: &str = "job";

impl Rules for TaskDocument {
    fn broken(&self) -> Option<String> {
        let waits = self.waits();
        match (&self.flow, waits.as_slice()) {
            (None, []) => self.missing(),
            (Some(_), []) => self.broken_flow(),
            (None, [wait]) => self.broken_wait(wait),
            (_, [wait, ..]) => Some(format!(
                "the task {:?} is a `{wait}` and something else as well: put the other into a task of its own",
                self.name
            )),
        }
    }
}

impl TaskDocument {
    /// The waits that it is, a child job among them.
    fn waits(&self) -> Vec<&'static str> {
        let waits = [
            ("sleep", self.sleep.is_some()),
            ("wait_event", self.wait_event.is_some()),
            ("approval", self.approval.is_some()),
            (JOB, self.job.is_some()),
        ];
        waits.into_iter().filter(|(_, is_given)| *is_given).map(|(wait, _)| wait).collect()
    }

    fn missing(&self) -> Option<String> {
        let missing = match (self.plugin.is_empty(), self.action.is_empty()) {
            (true, _) => "plugin",
            (false, true) => "action",
            (false, false) => return None,
        };
        Some(format!(
            "the task {:?} has no `{missing}`: give a plugin and an action, or a flow, a wait or a job in their place",
            self.name
        ))
    }

    /// What only a task with an action has.
    fn of_tasks(&self) -> Option<&'static str> {
        let of_tasks = [
            ("plugin", !self.plugin.is_empty()),
            ("action", !self.action.is_empty()),
            ("inputs", !self.inputs.is_empty()),
            ("revert_inputs", !self.revert_inputs.is_empty()),
            ("timeout", self.timeout.is_some()),
            ("retry", self.retry.is_some()),
            ("priority", self.priority != 0),
            ("memory_bytes_max", self.memory_bytes_max.is_some()),
            ("in_doubt", self.in_doubt != InDoubtDocument::Reapply),
            ("observe", self.observe.is_some()),
        ];
        of_tasks.into_iter().find(|(_, is_given)| *is_given).map(|(field, _)| field)
    }

    fn broken_wait(&self, wait: &str) -> Option<String> {
        let (name, field) = (&self.name, self.of_tasks()?);
        if wait == JOB {
            let advice = "give it to `job`, or to the tasks of its flow";
            return Some(format!("{name:?} is a `{wait}`, which has no `{field}` beside it: {advice}"));
        }
        Some(format!("{name:?} is a `{wait}`, which makes no call and has no `{field}`: leave it out"))
    }

    fn broken_flow(&self) -> Option<String> {
        let name = &self.name;
        let provides = (!self.provides.is_empty()).then_some("provides");
        if let Some(field) = self.of_tasks().or(provides) {
            let advice =
                if field == "retry" { "put it into its `flow`" } else { "give it to the tasks in it" };
            return Some(format!("{name:?} is a flow, which has no `{field}`: {advice}"));
        }
        let flow = &self.flow.as_ref()?.0;
        let of_outermost =
            [("defaults", !flow.defaults.is_empty()), ("parallel_max", flow.parallel_max != 0)];
        let (field, _) = of_outermost.into_iter().find(|(_, is_given)| *is_given)?;
        Some(format!("{name:?} is a nested flow, which has no `{field}`: give it to the outermost flow"))
    }
}
