//! Entries of the logbook.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use windlass_core::child::{ChildEnd, Order};
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
        Fact::TaskAnswered { answer: Answer::Child(end), .. } => ended(end),
        Fact::ChildOrdered { child, order, .. } => ordered(*child, *order),
        Fact::ChildTold { .. } => "the child job has recorded the order".to_owned(),
        Fact::ParentOrdered { order, .. } => wanted(*order).to_owned(),
        Fact::ParentTold { .. } => "the job that it is a child of has recorded how it ended".to_owned(),
        Fact::TaskSkipped { by, .. } | Fact::ScopeSkipped { by, .. } => {
            format!("the condition of {by} does not hold")
        }
        _ => String::new(),
    }
}

/// A fault with its class, for whoever reads only the logbook.
fn reason_of(cause: &Cause) -> String {
    match cause {
        Cause::Task { task, fault } => format!("task {task} failed: {}", words(fault)),
        cause => cause.text(),
    }
}

/// What a child was told, as its parent's logbook says it.
fn ordered(child: JobId, order: Order) -> String {
    match order {
        Order::Start => format!("job {child} is to begin"),
        Order::Retry => format!("job {child} is to go on from its failure"),
        Order::Undo => format!("job {child} is to be undone"),
        Order::Leave => format!("job {child} is to begin nothing more, and to leave what there is"),
    }
}

/// What a job was told by its parent, as its own logbook says it.
fn wanted(order: Order) -> &'static str {
    match order {
        Order::Start => "the job that it is a child of waits for it",
        Order::Retry => "the job that it is a child of is tried again",
        Order::Undo => "the job that it is a child of undoes it",
        Order::Leave => "the job that it is a child of has ended, and leaves what there is",
    }
}

/// How a child ended, as its parent's logbook says it.
fn ended(end: &ChildEnd) -> String {
    let remains = if end.has_effects && end.state != JobState::Succeeded { ", effects remain" } else { "" };
    let why = end.fault.as_ref().map(|fault| format!(": {}", words(fault))).unwrap_or_default();
    format!("job {} ended {}{remains}{why}", end.job, end.state.word())
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
        Fact::Prioritised { .. } | Fact::ParentOrdered { .. } | Fact::ParentTold { .. } => None,
        Fact::ChildOrdered { order: Order::Leave, .. } | Fact::ChildTold { .. } => None,
        Fact::TaskApplying { .. } => task(TaskState::Applying),
        Fact::TaskApplied { .. } => task(TaskState::Applied),
        Fact::TaskAccepted { .. } | Fact::TaskObserving { .. } | Fact::TaskNotReady { .. } => {
            task(TaskState::Observing)
        }
        // A child may tell of its end while it is waited for, or while it is undone.
        Fact::TaskAnswered { answer: Answer::Child(_), .. } => None,
        Fact::ChildOrdered { order: Order::Start | Order::Retry, .. }
        | Fact::TaskWaiting { .. }
        | Fact::TaskAnswered { .. } => task(TaskState::Waiting),
        Fact::ChildOrdered { order: Order::Undo, .. } => task(TaskState::Reverting),
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
        Fact::TaskAnswered { answer: Answer::Child(end), .. } => {
            take("/answer/child/output", end.output.as_mut());
            take("/answer/child/fault/detail", end.fault.as_mut().and_then(|fault| fault.detail.as_mut()));
        }
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
    fn what_parents_and_children_tell_each_other_is_said_in_words() {
        let child = JobId(uuid::Uuid::from_u128(7));
        let until = chrono::DateTime::UNIX_EPOCH;
        let order = |order| Fact::ChildOrdered { task: task(), attempt: 1, child, order, number: 2, until };
        assert_eq!(reason(&order(Order::Undo)), format!("job {child} is to be undone"));
        assert_eq!(state_after(&order(Order::Undo)), Some("reverting"));
        assert_eq!(state_after(&order(Order::Start)), Some("waiting"));
        assert_eq!(data(&order(Order::Retry))["child"], child.to_string());
        assert_eq!(reason(&order(Order::Retry)), format!("job {child} is to go on from its failure"));
        let wanted = Fact::ParentOrdered { order: Order::Leave, number: 3 };
        assert_eq!(reason(&wanted), "the job that it is a child of has ended, and leaves what there is");
        assert_eq!(state_after(&wanted), None);

        let mut fault = Fault::new("disk.full", "no room");
        fault.detail = Some(Payload::json(&json!([1])));
        let end = ChildEnd {
            job: child,
            number: 2,
            state: JobState::Failed,
            has_effects: true,
            fault: Some(fault),
            output: Some(Payload::json(&json!({"image": 7}))),
        };
        let told = Fact::TaskAnswered { task: task(), attempt: 1, answer: Answer::Child(end) };
        assert_eq!(reason(&told), format!("job {child} ended failed, effects remain: disk.full: no room"));
        assert_eq!(data(&told)["answer"]["child"]["output"]["value"], json!({"image": 7}));
        assert_eq!(data(&told)["answer"]["child"]["fault"]["detail"]["value"], json!([1]));
        assert_eq!(state_after(&told), None);
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
