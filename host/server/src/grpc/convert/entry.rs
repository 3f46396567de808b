//! Entries of the logbook.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use windlass_core::entry::{Actor, Entry, Fact};
use windlass_core::fault::Fault;
use windlass_core::id::JobId;
use windlass_core::instance::TaskState;
use windlass_core::job::{Cause, JobState};
use windlass_core::payload::Payload;
use windlass_core::wait::Answer;
use windlass_proto::v1;

use super::time::timestamp;

pub fn to_wire(job: JobId, entry: &Entry) -> v1::Entry {
    let task = entry.fact.task();
    v1::Entry {
        sequence: entry.sequence,
        time: Some(timestamp(entry.at)),
        job: job.to_string(),
        task: task.map(|name| name.task.clone()).unwrap_or_default(),
        iteration: task.map(|name| name.iteration.clone()).unwrap_or_default(),
        attempt: entry.fact.attempt(),
        epoch: entry.epoch,
        actor: match &entry.actor {
            Actor::Principal(name) => format!("principal:{name}"),
            Actor::Host(host) => format!("host:{host}"),
        },
        kind: entry.fact.kind().to_owned(),
        reason: reason(&entry.fact),
        state_after: state_after(&entry.fact).unwrap_or_default().to_owned(),
        data_json: data_json(&entry.fact),
    }
}

/// Whether a list of kinds names this one. One that ends in `.` stands for all that begin so; none for all.
pub fn is_of_kind(kinds: &[String], fact: &Fact) -> bool {
    let kind = fact.kind();
    kinds.is_empty()
        || kinds.iter().any(|asked| asked == kind || (asked.ends_with('.') && kind.starts_with(asked)))
}

fn reason(fact: &Fact) -> String {
    match fact {
        Fact::CancelRequested { reason, .. }
        | Fact::Quarantined { reason }
        | Fact::Reopened { reason, .. }
        | Fact::TaskRevertAccepted { reason, .. }
        | Fact::TaskRevertSkipped { reason, .. } => reason.clone(),
        Fact::Unwinding { cause } | Fact::Ended { cause: Some(cause), .. } => reason_of(cause),
        Fact::TaskBackoff { fault, .. }
        | Fact::TaskApplyFailed { fault, .. }
        | Fact::TaskRevertBackoff { fault, .. }
        | Fact::TaskRevertFailed { fault, .. }
        | Fact::ScopeReverting { fault, .. }
        | Fact::ScopeApplyFailed { fault, .. } => words(fault),
        Fact::TaskHeld { .. } => {
            "nobody knows what its apply did: look, then resume to apply it again, or cancel".to_owned()
        }
        Fact::TaskNotReady { fault: Some(fault), .. } => words(fault),
        Fact::TaskAnswered { answer: Answer::Decided { comment, .. }, .. } => comment.clone(),
        Fact::TaskSkipped { by, .. } | Fact::ScopeSkipped { by, .. } => {
            format!("the condition of {by} does not hold")
        }
        _ => String::new(),
    }
}

fn reason_of(cause: &Cause) -> String {
    match cause {
        Cause::Cancelled { reason } | Cause::Requested { reason } => reason.clone(),
        Cause::Permission { message } | Cause::NoMatch { message } | Cause::Invalid { message } => {
            message.clone()
        }
        Cause::Timeout => "the job's timeout was over".to_owned(),
        Cause::Superseded => "a newer job took its place".to_owned(),
        Cause::Window => "its window was over".to_owned(),
        Cause::Overlap => "another job of the operation was in the way".to_owned(),
        Cause::Task { task, fault } => format!("task {task} failed: {}", words(fault)),
    }
}

fn words(fault: &Fault) -> String {
    format!("{}: {}", fault.class, fault.message)
}

/// The state that a fact leads to, where the fact alone tells.
fn state_after(fact: &Fact) -> Option<&'static str> {
    let job = |state: JobState| Some(state.word());
    let task = |state: TaskState| Some(state.word());
    match fact {
        Fact::Created { .. } | Fact::Rescheduled { .. } => job(JobState::Scheduled),
        Fact::Triggered
        | Fact::ClaimLost { .. }
        | Fact::GivenUp { .. }
        | Fact::Woken
        | Fact::Resumed
        | Fact::Released
        | Fact::Reopened { .. } => job(JobState::Ready),
        Fact::Waiting { .. } => job(JobState::Waiting),
        Fact::Suspended => job(JobState::Suspended),
        Fact::Quarantined { .. } => job(JobState::Quarantined),
        Fact::Ended { state, .. } => job(*state),
        // What these lead to depends on the direction, and on whether a host has the job.
        Fact::Claimed { .. }
        | Fact::Unwinding { .. }
        | Fact::CancelRequested { .. }
        | Fact::SuspendRequested => None,
        Fact::Prioritised { .. } => None,
        Fact::TaskApplying { .. } => task(TaskState::Applying),
        Fact::TaskApplied { .. } => task(TaskState::Applied),
        Fact::TaskAccepted { .. } | Fact::TaskObserving { .. } | Fact::TaskNotReady { .. } => {
            task(TaskState::Observing)
        }
        Fact::TaskWaiting { .. } | Fact::TaskAnswered { .. } => task(TaskState::Waiting),
        Fact::TaskBackoff { .. } => task(TaskState::Backoff),
        Fact::TaskApplyFailed { .. } => task(TaskState::ApplyFailed),
        Fact::TaskInDoubt { .. } | Fact::TaskHeld { .. } => task(TaskState::InDoubt),
        Fact::TaskReverting { .. } | Fact::TaskRevertInterrupted { .. } | Fact::TaskRevertBackoff { .. } => {
            task(TaskState::Reverting)
        }
        Fact::TaskReverted { .. } => task(TaskState::Reverted),
        Fact::TaskRevertFailed { .. } => task(TaskState::RevertFailed),
        Fact::TaskRevertAccepted { .. } => task(TaskState::Accepted),
        Fact::TaskRevertSkipped { .. } => task(TaskState::SkippedRevert),
        Fact::TaskSkipped { .. } | Fact::ScopeSkipped { .. } => task(TaskState::Skipped),
        Fact::ScopeApplying { .. } => task(TaskState::Applying),
        Fact::ScopeReverting { .. } => task(TaskState::Reverting),
        Fact::ScopeBackoff { .. } => task(TaskState::Backoff),
        Fact::ScopeApplied { .. } => task(TaskState::Applied),
        Fact::ScopeApplyFailed { .. } => task(TaskState::ApplyFailed),
        Fact::ScopeReverted { .. } => task(TaskState::Reverted),
        Fact::UndoRecorded { .. } | Fact::Progressed { .. } | Fact::Printed { .. } => None,
    }
}

/// All that the kind has to say.
fn data_json(fact: &Fact) -> String {
    let mut fact = fact.clone();
    let payloads = take_payloads(&mut fact);
    // A fact is written as {"task_applied": {...}}, or as its name where it has nothing more to say.
    let mut content = match serde_json::to_value(&fact) {
        Ok(Value::Object(variant)) => variant.into_iter().next().map_or(Value::Null, |(_, content)| content),
        Ok(_) => Value::Null,
        Err(error) => json!({ "error": format!("the entry cannot be shown: {error}") }),
    };
    if let Fact::Progressed { fraction, .. } = &fact {
        content["fraction"] = shortest(*fraction);
    }
    for (place, payload) in payloads {
        if let Some(slot) = content.pointer_mut(place) {
            *slot = payload_json(&payload);
        }
    }
    if content.is_null() { String::new() } else { content.to_string() }
}

/// A fraction as its plugin wrote it: 0.8, and not what a double makes of that.
fn shortest(fraction: f32) -> Value {
    fraction.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Takes every payload out of a fact, with its place in what is written of it: bytes as JSON would be a list of
/// numbers.
fn take_payloads(fact: &mut Fact) -> Vec<(&'static str, Payload)> {
    let mut taken = Vec::new();
    let mut take = |place: &'static str, payload: Option<&mut Payload>| {
        let empty = Payload { media_type: String::new(), bytes: Vec::new() };
        taken.extend(payload.map(|payload| (place, std::mem::replace(payload, empty))));
    };
    match fact {
        Fact::TaskApplied { output, undo, .. } => {
            take("/output", Some(output));
            take("/undo", undo.as_mut());
        }
        Fact::TaskAccepted { handle, undo, .. } => {
            take("/handle", Some(handle));
            take("/undo", undo.as_mut());
        }
        Fact::TaskNotReady { fault: Some(fault), .. } => take("/fault/detail", fault.detail.as_mut()),
        Fact::TaskReverted { output, .. } => take("/output", output.as_mut()),
        Fact::UndoRecorded { undo, .. } => take("/undo", Some(undo)),
        Fact::TaskBackoff { fault, .. }
        | Fact::TaskApplyFailed { fault, .. }
        | Fact::TaskRevertBackoff { fault, .. }
        | Fact::TaskRevertFailed { fault, .. }
        | Fact::ScopeReverting { fault, .. }
        | Fact::ScopeApplyFailed { fault, .. } => take("/fault/detail", fault.detail.as_mut()),
        Fact::ScopeApplying { progress, .. } => take("/progress/value", progress.value.as_mut()),
        Fact::Unwinding { cause: Cause::Task { fault, .. } }
        | Fact::Ended { cause: Some(Cause::Task { fault, .. }), .. } => {
            take("/cause/task/fault/detail", fault.detail.as_mut());
        }
        _ => {}
    }
    taken
}

fn payload_json(payload: &Payload) -> Value {
    match payload.value() {
        Some(value) => json!({ "media_type": payload.media_type, "value": value }),
        None => json!({ "media_type": payload.media_type, "bytes_base64": BASE64.encode(&payload.bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::instance::{Failed, InstanceName};

    fn task() -> InstanceName {
        InstanceName { task: "pack".to_owned(), iteration: Vec::new() }
    }

    fn data(fact: &Fact) -> Value {
        serde_json::from_str(&data_json(fact)).unwrap()
    }

    #[test]
    fn payloads_are_shown_as_json_or_base64_and_never_as_numbers() {
        let output = Payload::json(&json!({"size": 7}));
        let undo = Some(Payload { media_type: "x/y".to_owned(), bytes: vec![1, 2, 255] });
        let shown = data(&Fact::TaskApplied { task: task(), attempt: 2, output, undo });
        assert_eq!(shown["output"], json!({"media_type": "application/json", "value": {"size": 7}}));
        assert_eq!(shown["undo"], json!({"media_type": "x/y", "bytes_base64": "AQL/"}));
        assert_eq!(shown["attempt"], 2);
    }

    #[test]
    fn a_fault_is_the_reason_and_keeps_its_detail() {
        let mut fault = Fault::new("disk.full", "no room");
        fault.detail = Some(Payload::json(&json!([1])));
        let failed =
            Fact::TaskApplyFailed { task: task(), attempt: 1, fault: fault.clone(), how: Failed::Broken };
        assert_eq!(reason(&failed), "disk.full: no room");
        assert_eq!(data(&failed)["fault"]["detail"]["value"], json!([1]));
        let cause = Cause::Task { task: task(), fault };
        let unwinding = Fact::Unwinding { cause };
        assert_eq!(data(&unwinding)["cause"]["task"]["fault"]["detail"]["value"], json!([1]));
        assert_eq!(reason(&unwinding), "task pack failed: disk.full: no room");
    }

    #[test]
    fn progress_is_what_its_plugin_said() {
        let message = "packing".to_owned();
        let shown = data(&Fact::Progressed { task: task(), attempt: 1, fraction: 0.8, message });
        assert_eq!(shown["fraction"], json!(0.8));
    }

    #[test]
    fn what_has_nothing_to_say_says_nothing() {
        assert_eq!(data_json(&Fact::Triggered), "");
        assert_eq!(state_after(&Fact::Triggered), Some("ready"));
        assert!(is_of_kind(&["job.".to_owned()], &Fact::Triggered));
        assert!(!is_of_kind(&["task.".to_owned(), "job".to_owned()], &Fact::Triggered));
    }
}
