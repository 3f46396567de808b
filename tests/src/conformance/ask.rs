//! What is asked of a job: all that operators, hosts and clocks can want of it, as data.

use chrono::TimeDelta;
use windlass_core::call::{Function, Observation, Outcome};
use windlass_core::child::{ChildEnd, Link, Order};
use windlass_core::decide::Decision;
use windlass_core::decide::control::Resolution;
use windlass_core::decide::outcome::CallName;
use windlass_core::entry::Line;
use windlass_core::fault::Fault;
use windlass_core::id::HostId;
use windlass_core::job::{CancelMode, JobState};
use windlass_core::payload::Payload;

use super::fixture::{EVENT_TYPES, at, call, event};

/// One thing that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Wake,
    Claim,
    /// The call under way ends, in one of eight ways.
    Finish(u8),
    Undo,
    Noise,
    LoseClaim,
    GiveUp,
    Suspend,
    Resume,
    /// True: effects are left as they are.
    Cancel(bool),
    Quarantine,
    Release,
    Retry,
    Revert,
    /// Of the first task: called again, accepted, or skipped.
    Resolve(u8),
    Reschedule,
    Prioritise(i32),
    /// An event of the n-th type.
    Deliver(u8),
    /// The first of its child jobs knows of its order.
    ChildTold,
    /// The first of its child jobs ends, in one of four ways.
    HearEnd(u8),
    /// Its parent gives it one of four orders.
    Obey(u8),
    ParentTold,
}

/// Asks it, as `host` where it is a host that asks. What is not possible where the job stands records nothing.
pub fn ask_of(decision: &mut Decision<'_>, ask: &Ask, host: HostId) {
    let under_way = call(decision.job);
    let payload = Payload::json(&serde_json::json!({"n": 1}));
    let _ = match (ask, under_way) {
        (Ask::Wake, _) => {
            decision.wake();
            true
        }
        (Ask::Claim, _) => decision.claim(host).is_ok(),
        (Ask::Finish(which), Some(call)) => decision.finish(&call, outcome(*which, &call)).is_ok(),
        (Ask::Undo, Some(call)) => decision.record_undo(&call, payload).is_ok(),
        (Ask::Noise, Some(call)) => {
            let line = Line { at: at(1), source: "stdout".to_owned(), text: "é\n".to_owned() };
            decision.record_noise(&call, vec![line], Some((0.3, "on".to_owned()))).is_ok()
        }
        (Ask::Finish(_) | Ask::Undo | Ask::Noise, None) => false,
        (Ask::LoseClaim, _) => decision.lose_claim(host).is_ok(),
        (Ask::GiveUp, _) => decision.give_up(host).is_ok(),
        (Ask::Suspend, _) => decision.suspend().is_ok(),
        (Ask::Resume, _) => decision.resume().is_ok(),
        (Ask::Cancel(leave), _) => {
            let mode = if *leave { CancelMode::Leave } else { CancelMode::Revert };
            decision.cancel(mode, "asked".to_owned()).is_ok()
        }
        (Ask::Quarantine, _) => decision.quarantine("looked at".to_owned()).is_ok(),
        (Ask::Release, _) => decision.release().is_ok(),
        (Ask::Retry, _) => decision.retry("asked".to_owned()).is_ok(),
        (Ask::Revert, _) => decision.revert("asked".to_owned()).is_ok(),
        (Ask::Resolve(which), _) => {
            let resolution = [Resolution::Retry, Resolution::Accept, Resolution::Skip][usize::from(*which)];
            let task = decision.job.plan.name(0).to_owned();
            decision.resolve(&task, &[], resolution, "decided".to_owned()).is_ok()
        }
        (Ask::Reschedule, _) => {
            let execute_at = decision.now() + TimeDelta::milliseconds(500);
            decision.reschedule(execute_at).is_ok()
        }
        (Ask::Prioritise(priority), _) => decision.prioritise(*priority).is_ok(),
        (Ask::Deliver(which), _) => {
            let event_type = EVENT_TYPES[usize::from(*which) % EVENT_TYPES.len()];
            decision.deliver(&event(event_type, &decision.job.status.sequence.to_string()))
        }
        (Ask::ChildTold | Ask::HearEnd(_) | Ask::Obey(_) | Ask::ParentTold, _) => {
            ask_of_family(decision, ask)
        }
    };
}

/// What the parent and the child jobs of a job can want of it.
fn ask_of_family(decision: &mut Decision<'_>, ask: &Ask) -> bool {
    let number = decision.job.status.order_number;
    match ask {
        Ask::ChildTold => {
            let orders = decision.job.open_orders();
            orders.first().is_some_and(|order| {
                decision.child_told(order);
                true
            })
        }
        Ask::HearEnd(which) => {
            let open = decision.job.instances.values().find(|i| i.child.is_some() && i.is_open_for_answer());
            let open = open.and_then(|instance| Some((instance.name.clone(), instance.child.clone()?)));
            open.is_some_and(|(task, link)| {
                decision.hear_end(&task, end_of(*which, &link));
                true
            })
        }
        Ask::Obey(which) if decision.job.parent().is_some() => {
            let orders = [Order::Start, Order::Retry, Order::Undo, Order::Leave];
            decision.obey_parent(orders[usize::from(*which) % orders.len()], number + 1);
            true
        }
        Ask::ParentTold => {
            decision.parent_told(number);
            true
        }
        _ => false,
    }
}

fn end_of(which: u8, link: &Link) -> ChildEnd {
    let state = if which < 2 { JobState::Succeeded } else { JobState::Failed };
    ChildEnd {
        job: link.job,
        number: link.number,
        state,
        has_effects: which.is_multiple_of(2),
        fault: (which >= 2).then(|| Fault::new("test.failed", "it did not work")),
        output: (which < 2).then(|| Payload::json(&serde_json::json!({"made": [1.5, null]}))),
    }
}

fn outcome(which: u8, call: &CallName) -> Outcome {
    let fault = || Fault::new("test.failed", "it did not work");
    let payload = || Payload::json(&serde_json::json!([1.5, null]));
    match (which, call.function) {
        (0, Function::Apply) => {
            Outcome::Accepted { handle: payload(), undo: Some(payload()), observe_after_ms: Some(300) }
        }
        (1..4, Function::Apply) => Outcome::Applied { output: payload(), undo: (which == 1).then(payload) },
        (0, Function::Observe) => Outcome::Observed(Observation::Unknown { after_ms: None }),
        (1, Function::Observe) => Outcome::Observed(Observation::Absent { fault: None }),
        (2..4, Function::Observe) => Outcome::Observed(Observation::Present { output: payload() }),
        (0..4, Function::Revert) => Outcome::Reverted { output: (which == 0).then(payload) },
        (4, _) => Outcome::Reject { fault: fault() },
        (5, _) => Outcome::Broken { fault: fault() },
        _ => Outcome::Retry { fault: fault(), after_ms: (which == 6).then_some(300) },
    }
}
