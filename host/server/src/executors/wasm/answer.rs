//! Answers: what a guest returned, as an outcome, bounded.
//!
//! An answer that cannot be kept whole is `broken` with the class `host.output`: effects exist, and revert must run.

use windlass_core::call::{Observation, Outcome};
use windlass_core::fault::{Fault, HOST_OUTPUT, HOST_UNAVAILABLE};

use super::bindings::observer;
use super::bindings::types::{Accepted, Done, Failure, Fault as GuestFault, Payload};
use super::convert::{self, TooLarge};
use super::imports::OBSERVER;

/// What came of an apply that returned.
pub(super) fn applied(answer: Result<Done, Failure>, has_observer: bool, bytes_max: usize) -> Outcome {
    let done = match answer {
        Ok(Done::Applied(done)) => done,
        Ok(Done::Accepted(done)) if has_observer => return accepted(done, bytes_max),
        Ok(Done::Accepted(_)) => {
            return broken(format!(
                "the plugin answered `accepted`, which needs an observer, and it exports no {OBSERVER}; \
                 export it, or return `applied` when the work is done"
            ));
        }
        Err(failure) => return failed(failure, bytes_max),
    };
    let output = convert::payload(done.output, bytes_max);
    let undo = done.undo.map(|undo| convert::payload(undo, bytes_max)).transpose();
    match (output, undo) {
        (Ok(output), Ok(undo)) => Outcome::Applied { output, undo },
        (Err(refused), _) => too_large("output", refused),
        (_, Err(refused)) => too_large("undo record", refused),
    }
}

fn accepted(done: Accepted, bytes_max: usize) -> Outcome {
    let handle = convert::payload(done.handle, bytes_max);
    let undo = done.undo.map(|undo| convert::payload(undo, bytes_max)).transpose();
    match (handle, undo) {
        (Ok(handle), Ok(undo)) => Outcome::Accepted { handle, undo, observe_after_ms: done.observe_after_ms },
        (Err(refused), _) => too_large("handle", refused),
        (_, Err(refused)) => too_large("undo record", refused),
    }
}

/// What came of an observation that returned.
pub(super) fn observed(answer: Result<observer::Observation, GuestFault>, bytes_max: usize) -> Outcome {
    let said = match answer {
        Ok(said) => said,
        // It says nothing of the task, whatever is said of it here.
        Err(fault) => return failed(Failure::Broken(fault), bytes_max),
    };
    let fault = |fault: Option<GuestFault>| fault.map(|fault| convert::fault(fault, bytes_max)).transpose();
    let (part, observation) = match said {
        observer::Observation::Present(output) => {
            ("output", convert::payload(output, bytes_max).map(|output| Observation::Present { output }))
        }
        observer::Observation::Absent(why) => {
            ("fault", fault(why).map(|fault| Observation::Absent { fault }))
        }
        observer::Observation::Failed(why) => {
            ("fault", convert::fault(why, bytes_max).map(|fault| Observation::Failed { fault }))
        }
        observer::Observation::Drifted(why) => {
            ("fault", fault(why).map(|fault| Observation::Drifted { fault }))
        }
        observer::Observation::Unknown(after_ms) => ("pause", Ok(Observation::Unknown { after_ms })),
    };
    observation.map_or_else(|refused| too_large(part, refused), Outcome::Observed)
}

/// The outcome of an observation that no plugin can be asked for.
pub(super) fn not_observable() -> Outcome {
    let message = format!("the plugin exports no {OBSERVER}: it cannot be asked what became of the task");
    Outcome::Reject { fault: Fault::new(HOST_UNAVAILABLE, message) }
}

/// What came of a revert that returned.
pub(super) fn reverted(answer: Result<Option<Payload>, Failure>, bytes_max: usize) -> Outcome {
    match answer {
        Ok(output) => match output.map(|output| convert::payload(output, bytes_max)).transpose() {
            Ok(output) => Outcome::Reverted { output },
            Err(refused) => too_large("output", refused),
        },
        Err(failure) => failed(failure, bytes_max),
    }
}

fn failed(failure: Failure, bytes_max: usize) -> Outcome {
    let outcome = match failure {
        Failure::Retry(later) => convert::fault(later.fault, bytes_max)
            .map(|fault| Outcome::Retry { fault, after_ms: later.after_ms }),
        Failure::Reject(fault) => convert::fault(fault, bytes_max).map(|fault| Outcome::Reject { fault }),
        Failure::Broken(fault) => convert::fault(fault, bytes_max).map(|fault| Outcome::Broken { fault }),
    };
    outcome.unwrap_or_else(|refused| too_large("fault", refused))
}

fn too_large(part: &str, refused: TooLarge) -> Outcome {
    broken(format!(
        "the {part} that the plugin returned is too large: {refused}; put large data into a granted directory"
    ))
}

fn broken(message: String) -> Outcome {
    Outcome::Broken { fault: Fault::new(HOST_OUTPUT, message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executors::wasm::bindings::types::{Applied, Later};

    fn payload(bytes: usize) -> Payload {
        Payload { media_type: "application/json".to_owned(), bytes: vec![b'1'; bytes] }
    }

    fn class(outcome: &Outcome) -> &str {
        match outcome {
            Outcome::Broken { fault } => &fault.class,
            other => panic!("not broken: {other:?}"),
        }
    }

    #[test]
    fn output_and_undo_are_kept_whole_up_to_the_bound() {
        let outcome =
            applied(Ok(Done::Applied(Applied { output: payload(8), undo: Some(payload(8)) })), false, 8);
        assert!(matches!(outcome, Outcome::Applied { undo: Some(_), .. }));
        let outcome = applied(Ok(Done::Applied(Applied { output: payload(9), undo: None })), false, 8);
        assert_eq!(class(&outcome), HOST_OUTPUT);
        let outcome =
            applied(Ok(Done::Applied(Applied { output: payload(8), undo: Some(payload(9)) })), false, 8);
        assert_eq!(class(&outcome), HOST_OUTPUT);
        assert_eq!(class(&reverted(Ok(Some(payload(9))), 8)), HOST_OUTPUT);
    }

    #[test]
    fn accepted_needs_an_observer() {
        let accepted = |handle| {
            Done::Accepted(Accepted { handle: payload(handle), undo: None, observe_after_ms: Some(5) })
        };
        assert_eq!(class(&applied(Ok(accepted(1)), false, 8)), HOST_OUTPUT);
        let outcome = applied(Ok(accepted(8)), true, 8);
        assert!(matches!(outcome, Outcome::Accepted { observe_after_ms: Some(5), .. }), "{outcome:?}");
        assert_eq!(class(&applied(Ok(accepted(9)), true, 8)), HOST_OUTPUT);
    }

    #[test]
    fn observations_keep_their_meaning_and_their_bounds() {
        let fault = |class: &str| GuestFault {
            class: class.to_owned(),
            message: "m".to_owned(),
            causes: vec![],
            detail: None,
        };
        let seen = |observation| observed(Ok(observation), 8);
        let expected = Observation::Present { output: convert::payload(payload(8), 8).unwrap() };
        assert_eq!(seen(observer::Observation::Present(payload(8))), Outcome::Observed(expected));
        assert_eq!(class(&seen(observer::Observation::Present(payload(9)))), HOST_OUTPUT);
        let unknown = Outcome::Observed(Observation::Unknown { after_ms: Some(3) });
        assert_eq!(seen(observer::Observation::Unknown(Some(3))), unknown);
        let absent = Outcome::Observed(Observation::Absent { fault: None });
        assert_eq!(seen(observer::Observation::Absent(None)), absent);
        // A guest cannot speak for the host here either.
        let drifted = seen(observer::Observation::Drifted(Some(fault("host.late"))));
        let Outcome::Observed(Observation::Drifted { fault: Some(kept) }) = drifted else {
            panic!("not drifted: {drifted:?}")
        };
        assert_eq!(kept.class, "plugin.host.late");
        let huge = GuestFault { detail: Some(payload(9)), ..fault("x") };
        assert_eq!(class(&seen(observer::Observation::Absent(Some(huge)))), HOST_OUTPUT);
        assert_eq!(class(&observed(Err(fault("busy")), 8)), "busy");
        let gone = seen(observer::Observation::Failed(fault("host.late")));
        let Outcome::Observed(Observation::Failed { fault: kept }) = gone else {
            panic!("not failed: {gone:?}")
        };
        assert_eq!(kept.class, "plugin.host.late");
        let huge = GuestFault { detail: Some(payload(9)), ..fault("x") };
        assert_eq!(class(&seen(observer::Observation::Failed(huge))), HOST_OUTPUT);
    }

    #[test]
    fn failures_keep_their_meaning() {
        let fault = || GuestFault {
            class: "disk.full".to_owned(),
            message: "é".to_owned(),
            causes: vec![],
            detail: None,
        };
        let retry = Failure::Retry(Later { fault: fault(), after_ms: Some(5) });
        assert!(matches!(applied(Err(retry), false, 8), Outcome::Retry { after_ms: Some(5), .. }));
        assert!(matches!(reverted(Err(Failure::Reject(fault())), 8), Outcome::Reject { .. }));
        assert_eq!(class(&applied(Err(Failure::Broken(fault())), false, 8)), "disk.full");
        let huge = GuestFault { detail: Some(payload(9)), ..fault() };
        assert_eq!(class(&applied(Err(Failure::Reject(huge)), false, 8)), HOST_OUTPUT);
    }
}
