//! What happens to a random job: calls end, time passes, its host dies, and people ask for things.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use crate::call::{Function, Observation, Outcome};
use crate::decide::control::Resolution;
use crate::decide::tests::bench::{broken, reject};
use crate::event::CloudEvent;
use crate::event::tests::event;
use crate::fault::Fault;
use crate::job::CancelMode;
use crate::payload::Payload;

/// Draws of an outcome that is good.
pub const GOOD: (u8, u8) = (23, 7);

#[derive(Debug, Clone)]
pub enum Happening {
    /// One of the calls that are under way ends.
    Finish(Index, u8, u8),
    /// One of them makes an undo record durable.
    Undo(Index, u8),
    /// So many milliseconds.
    Pass(u64),
    Crash,
    Suspend,
    Cancel(CancelMode),
    /// Somebody who is asked, or is not, answers an approval.
    Answer(Index, bool, bool),
    /// An event of one of two types, with a number.
    Publish(u8, u8),
    /// Of a job that has ended.
    Retry,
    Revert,
    Resolve(Index, Resolution),
}

impl Happening {
    /// It is for a job that has ended.
    pub fn is_of_ended(&self) -> bool {
        matches!(self, Self::Retry | Self::Revert | Self::Resolve(..))
    }
}

pub fn happening() -> impl Strategy<Value = Happening> {
    let mode = prop_oneof![Just(CancelMode::Revert), Just(CancelMode::Leave)];
    let resolution = prop_oneof![Just(Resolution::Retry), Just(Resolution::Accept), Just(Resolution::Skip)];
    prop_oneof![
        60 => (any::<Index>(), any::<u8>(), any::<u8>()).prop_map(|(which, how, n)| Happening::Finish(which, how, n)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(which, n)| Happening::Undo(which, n)),
        8 => (0_u64..8).prop_map(Happening::Pass),
        4 => Just(Happening::Crash),
        2 => Just(Happening::Suspend),
        1 => mode.prop_map(Happening::Cancel),
        3 => (any::<Index>(), any::<bool>(), any::<bool>()).prop_map(|(which, asked, yes)| Happening::Answer(which, asked, yes)),
        5 => (0_u8..2, 0_u8..4).prop_map(|(type_, n)| Happening::Publish(type_, n)),
        2 => Just(Happening::Retry),
        1 => Just(Happening::Revert),
        2 => (any::<Index>(), resolution).prop_map(|(which, how)| Happening::Resolve(which, how)),
    ]
}

/// An event that is published: its number makes it the same one again.
pub fn published(type_: u8, number: u8) -> CloudEvent {
    let data = Some(json!({ "n": number, "l": [number] }));
    CloudEvent { data, ..event(&format!("e{type_}"), "/model", &number.to_string()) }
}

fn again(number: u8) -> Outcome {
    let after_ms = number.is_multiple_of(3).then_some(u64::from(number % 7));
    Outcome::Retry { fault: Fault::new("fixture.retry", "not now"), after_ms }
}

/// What comes of a call, by two draws.
pub fn outcome((how, number): (u8, u8), function: Function) -> Outcome {
    let text = |text: String| Payload::json(&json!(text));
    let undo = number.is_multiple_of(5).then(|| text(format!("undo {number}")));
    let list: Vec<_> = (0..number / 4 % 4).collect();
    let output = Payload::json(&json!({"n": number % 4, "l": list}));
    match (how % 24, function) {
        (0..=2, Function::Apply) => broken(),
        (3, Function::Apply) => reject(),
        (4..=5, Function::Apply) | (1, Function::Revert) | (5, Function::Observe) => again(number),
        (6..=8, Function::Apply) => {
            let handle = text(format!("handle {number}"));
            Outcome::Accepted { handle, undo, observe_after_ms: Some(u64::from(number % 16)) }
        }
        (_, Function::Apply) => Outcome::Applied { output, undo },
        (0 | 2, Function::Revert) => broken(),
        (_, Function::Revert) => Outcome::Reverted { output: None },
        (0, Function::Observe) => broken(),
        (1, Function::Observe) => Outcome::Observed(Observation::Absent { fault: None }),
        (2, Function::Observe) => {
            let fault = Some(Fault::new("fixture.gone", "it was there"));
            Outcome::Observed(if number.is_multiple_of(2) {
                Observation::Absent { fault }
            } else {
                Observation::Drifted { fault }
            })
        }
        (3 | 4 | 6..=10, Function::Observe) => {
            let after_ms = number.is_multiple_of(2).then_some(u64::from(number % 9));
            Outcome::Observed(Observation::Unknown { after_ms })
        }
        (_, Function::Observe) => Outcome::Observed(Observation::Present { output }),
    }
}
