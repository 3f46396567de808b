//! Answers: what a guest returned, as an outcome, bounded.
//!
//! An answer that cannot be kept whole is `broken` with the class `host.output`: effects exist, and revert must run.

use windlass_core::call::Outcome;
use windlass_core::fault::{Fault, HOST_OUTPUT};

use super::bindings::types::{Done, Failure, Payload};
use super::convert::{self, TooLarge};

/// What came of an apply that returned.
pub(super) fn applied(answer: Result<Done, Failure>, bytes_max: usize) -> Outcome {
    let done = match answer {
        Ok(Done::Applied(done)) => done,
        Ok(Done::Accepted(_)) => {
            return broken(
                "the plugin answered `accepted`, which needs an observer, and it has none; \
                 return `applied` when the work is done"
                    .to_owned(),
            );
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
    use crate::executors::wasm::bindings::types::{Accepted, Applied, Fault as GuestFault, Later};

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
        let outcome = applied(Ok(Done::Applied(Applied { output: payload(8), undo: Some(payload(8)) })), 8);
        assert!(matches!(outcome, Outcome::Applied { undo: Some(_), .. }));
        let outcome = applied(Ok(Done::Applied(Applied { output: payload(9), undo: None })), 8);
        assert_eq!(class(&outcome), HOST_OUTPUT);
        let outcome = applied(Ok(Done::Applied(Applied { output: payload(8), undo: Some(payload(9)) })), 8);
        assert_eq!(class(&outcome), HOST_OUTPUT);
        assert_eq!(class(&reverted(Ok(Some(payload(9))), 8)), HOST_OUTPUT);
    }

    #[test]
    fn accepted_needs_an_observer() {
        let accepted = Accepted { handle: payload(1), undo: None, observe_after_ms: 0 };
        assert_eq!(class(&applied(Ok(Done::Accepted(accepted)), 8)), HOST_OUTPUT);
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
        assert!(matches!(applied(Err(retry), 8), Outcome::Retry { after_ms: Some(5), .. }));
        assert!(matches!(reverted(Err(Failure::Reject(fault())), 8), Outcome::Reject { .. }));
        assert_eq!(class(&applied(Err(Failure::Broken(fault())), 8)), "disk.full");
        let huge = GuestFault { detail: Some(payload(9)), ..fault() };
        assert_eq!(class(&applied(Err(Failure::Reject(huge)), 8)), HOST_OUTPUT);
    }
}
