//! How the tasks and scopes of a job are shown.

use prost_types::Timestamp;
use serde::Serialize;
use windlass_proto::v1;

use crate::job::view::between;
use crate::text::{self, FaultView, PayloadView};
use crate::time;

#[derive(Serialize)]
pub struct TaskView {
    pub name: String,
    plugin_digest: String,
    action: String,
    state: String,
    apply_attempt: u32,
    revert_attempt: u32,
    scope_attempt: u32,
    idempotency_key: String,
    revert_idempotency_key: String,
    output: Option<PayloadView>,
    revert_output: Option<PayloadView>,
    apply_fault: Option<FaultView>,
    revert_fault: Option<FaultView>,
    #[serde(skip)]
    fault_lines: String,
    apply_start_time: Option<String>,
    apply_end_time: Option<String>,
    apply_duration: Option<String>,
    revert_start_time: Option<String>,
    revert_end_time: Option<String>,
    revert_duration: Option<String>,
    next_try_time: Option<String>,
    undo_record_count: u32,
    progress: Option<ProgressView>,
    #[serde(skip_serializing_if = "String::is_empty")]
    skipped_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<PayloadView>,
    #[serde(skip_serializing_if = "is_zero")]
    observation_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    observe_deadline: Option<String>,
    /// Of a wait: what it waits for.
    #[serde(skip_serializing_if = "String::is_empty")]
    wait: String,
    /// The job that it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    child_job: String,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[derive(Serialize)]
pub struct ProgressView {
    fraction: f32,
    message: String,
}

impl From<&v1::Progress> for ProgressView {
    fn from(progress: &v1::Progress) -> Self {
        Self { fraction: progress.fraction, message: progress.message.clone() }
    }
}

impl From<&v1::TaskInstance> for TaskView {
    fn from(task: &v1::TaskInstance) -> Self {
        let at = |time: &Option<Timestamp>| time.as_ref().map(time::rfc3339);
        let name = task.name.clone().unwrap_or_default();
        let faults = [&task.apply_fault, &task.revert_fault];
        let faults: Vec<String> = faults.into_iter().flatten().map(text::fault).collect();
        Self {
            name: text::instance(&name.task, &name.iteration),
            plugin_digest: task.plugin_digest.clone(),
            action: task.action.clone(),
            state: text::word(task.state().as_str_name(), "TASK_STATE_"),
            apply_attempt: task.apply_attempt,
            revert_attempt: task.revert_attempt,
            scope_attempt: task.scope_attempt,
            idempotency_key: task.idempotency_key.clone(),
            revert_idempotency_key: task.revert_idempotency_key.clone(),
            output: task.output.as_ref().map(PayloadView::from),
            revert_output: task.revert_output.as_ref().map(PayloadView::from),
            apply_fault: task.apply_fault.as_ref().map(FaultView::from),
            revert_fault: task.revert_fault.as_ref().map(FaultView::from),
            fault_lines: faults.join("\n"),
            apply_start_time: at(&task.apply_start_time),
            apply_end_time: at(&task.apply_end_time),
            apply_duration: between(&task.apply_start_time, &task.apply_end_time),
            revert_start_time: at(&task.revert_start_time),
            revert_end_time: at(&task.revert_end_time),
            revert_duration: between(&task.revert_start_time, &task.revert_end_time),
            next_try_time: at(&task.next_try_time),
            undo_record_count: task.undo_record_count,
            progress: task.progress.as_ref().map(ProgressView::from),
            skipped_by: task.skipped_by.clone(),
            handle: task.handle.as_ref().map(PayloadView::from),
            observation_count: task.observation_count,
            observe_deadline: at(&task.observe_deadline),
            wait: task.wait.clone(),
            child_job: task.child_job.clone(),
        }
    }
}

impl TaskView {
    pub fn lines(&self, width: usize) -> String {
        let mut line = format!("{:width$}  {}", self.name, self.state);
        if !self.skipped_by.is_empty() {
            line.push_str(&format!(", for the condition of {} does not hold", self.skipped_by));
        }
        match (self.wait.as_str(), self.child_job.as_str()) {
            ("", _) => {}
            (wait, "") => line.push_str(&format!(" ({wait})")),
            (wait, child) => line.push_str(&format!(" ({wait} {child})")),
        }
        match self.observation_count {
            0 => {}
            1 => line.push_str(", looked at once"),
            count => line.push_str(&format!(", looked at {count} times")),
        }
        if self.apply_attempt > 1 {
            line.push_str(&format!(", {} attempts", self.apply_attempt));
        }
        if let Some(duration) = &self.apply_duration {
            line.push_str(&format!(", applied in {duration}"));
        }
        if let Some(duration) = &self.revert_duration {
            line.push_str(&format!(", reverted in {duration}"));
        }
        if let Some(time) = &self.next_try_time {
            let what = match (self.state.as_str(), self.wait.as_str()) {
                ("waiting", "sleep") => "until",
                ("waiting", _) | ("reverting", "job") => "at most until",
                ("observing", _) => "next look",
                _ => "next try",
            };
            line.push_str(&format!(", {what} {time}"));
        }
        if !self.fault_lines.is_empty() {
            let indent = format!("\n{:width$}  ", "");
            line.push_str(&format!("{indent}{}", self.fault_lines.replace('\n', &indent)));
        }
        line
    }
}

/// A flow that runs again, or under a condition.
#[derive(Serialize)]
pub struct ScopeView {
    pub name: String,
    state: String,
    iteration: u32,
    attempt: u32,
    attempts_max: u32,
    value: Option<PayloadView>,
    fault: Option<FaultView>,
    #[serde(skip)]
    fault_line: String,
    start_time: Option<String>,
    end_time: Option<String>,
    next_try_time: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    skipped_by: String,
}

impl From<&v1::ScopeInstance> for ScopeView {
    fn from(scope: &v1::ScopeInstance) -> Self {
        let at = |time: &Option<Timestamp>| time.as_ref().map(time::rfc3339);
        let name = scope.name.clone().unwrap_or_default();
        Self {
            name: text::instance(&name.task, &name.iteration),
            state: text::word(scope.state().as_str_name(), "TASK_STATE_"),
            iteration: scope.iteration,
            attempt: scope.attempt,
            attempts_max: scope.attempts_max,
            value: scope.value.as_ref().map(PayloadView::from),
            fault: scope.fault.as_ref().map(FaultView::from),
            fault_line: scope.fault.as_ref().map(text::fault).unwrap_or_default(),
            start_time: at(&scope.start_time),
            end_time: at(&scope.end_time),
            next_try_time: at(&scope.next_try_time),
            skipped_by: scope.skipped_by.clone(),
        }
    }
}

impl ScopeView {
    pub fn line(&self, width: usize) -> String {
        let mut line = format!("{:width$}  {}", self.name, self.state);
        if !self.skipped_by.is_empty() {
            line.push_str(&format!(", for the condition of {} does not hold", self.skipped_by));
        }
        if self.attempts_max > 1 {
            line.push_str(&format!(", {} of {}", self.attempt, self.attempts_max));
        }
        if let Some(time) = &self.next_try_time {
            line.push_str(&format!(", next try {time}"));
        }
        if !self.fault_line.is_empty() {
            let indent = format!("\n{:width$}  ", "");
            line.push_str(&format!("{indent}{}", self.fault_line.replace('\n', &indent)));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_job_says_which_job_it_is_and_until_when_it_may_take() {
        let mut task = v1::TaskInstance {
            name: Some(v1::TaskInstanceName { task: "image".to_owned(), iteration: vec![2] }),
            state: v1::TaskState::Waiting.into(),
            wait: "job".to_owned(),
            child_job: "c".to_owned(),
            next_try_time: Some(Timestamp { seconds: 100, nanos: 0 }),
            ..v1::TaskInstance::default()
        };
        let line = |task: &v1::TaskInstance| TaskView::from(task).lines(8);
        assert_eq!(line(&task), "image[2]  waiting (job c), at most until 1970-01-01T00:01:40.000Z");
        task.state = v1::TaskState::Reverting.into();
        assert_eq!(line(&task), "image[2]  reverting (job c), at most until 1970-01-01T00:01:40.000Z");
        let mut asked = task.clone();
        (asked.wait, asked.child_job) = ("approval".to_owned(), String::new());
        asked.state = v1::TaskState::Applied.into();
        asked.next_try_time = None;
        assert_eq!(line(&asked), "image[2]  applied (approval)");
    }
}
