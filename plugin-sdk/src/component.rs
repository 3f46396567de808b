//! The plugin as a component: between the WIT package's types and the SDK's own.
//!
//! Invariant: only a component has imports. Natively this compiles and is never called: tests use a trial's host.

#![expect(clippy::result_large_err, reason = "the WIT package says what a failure is, and a call has one")]

use std::time::Duration;

use crate::action::{End, Partial, UndoRecord};
use crate::bindings::windlass::plugin::{job, journal, types as wit};
use crate::context::{Prior, TaskFault};
use crate::dispatch::{self, Call, Entry, JSON, Raw, RawDone, RawEvidence, RawObservation};
use crate::failure::{Failure, Fault};
use crate::host::Host;
use crate::journal::Stop;
use crate::observed::{Done, Observation};
use crate::observing::exports::windlass::plugin::observer;

/// The exported apply.
pub fn apply(entries: &[Entry], call: wit::Call, input: wit::Payload) -> Result<wit::Done, wit::Failure> {
    Ok(Entry::apply(entries, &Imports, &call.into(), input.into())?.into())
}

/// The exported revert.
pub fn revert(
    entries: &[Entry],
    call: wit::Call,
    input: wit::Payload,
    evidence: wit::Evidence,
) -> Result<Option<wit::Payload>, wit::Failure> {
    let said = Entry::revert(entries, &Imports, &call.into(), input.into(), evidence.into())?;
    Ok(said.map(json))
}

/// The exported observe.
pub fn observe(
    entries: &[Entry],
    call: wit::Call,
    input: wit::Payload,
    evidence: wit::Evidence,
) -> Result<observer::Observation, wit::Fault> {
    Ok(Entry::observe(entries, &Imports, &call.into(), input.into(), evidence.into())?.into())
}

/// The host, through the component's imports.
struct Imports;

impl Host for Imports {
    fn undo_ahead(&self, undo: Vec<u8>) -> Result<(), Stop> {
        Ok(journal::undo_ahead(&json(undo))?)
    }

    fn note(&self, name: &str, value: &[u8]) -> Result<(), Stop> {
        Ok(journal::note(name, value)?)
    }

    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, Stop> {
        Ok(journal::recall(name)?)
    }

    fn progress(&self, fraction: f32, message: &str) -> Result<(), Stop> {
        Ok(journal::progress(fraction, message)?)
    }

    fn alive(&self) -> Result<u64, Stop> {
        Ok(journal::alive()?)
    }

    fn failures(&self) -> Vec<TaskFault> {
        let failures = job::failures().into_iter();
        let failures = failures.map(|wit::TaskFault { task, iteration, fault }| TaskFault {
            task,
            iteration,
            fault: told(fault),
        });
        failures.collect()
    }
}

fn json(bytes: Vec<u8>) -> wit::Payload {
    wit::Payload { media_type: JSON.into(), bytes }
}

impl From<RawDone> for wit::Done {
    fn from(done: RawDone) -> Self {
        match done {
            Done::Applied(applied) => wit::Done::Applied(wit::Applied {
                output: json(applied.output),
                undo: applied.undo.map(json),
            }),
            Done::Accepted(accepted) => wit::Done::Accepted(wit::Accepted {
                handle: json(accepted.handle),
                undo: accepted.undo.map(json),
                observe_after_ms: accepted.observe_after.map(milliseconds),
            }),
        }
    }
}

impl From<RawObservation> for observer::Observation {
    fn from(observation: RawObservation) -> Self {
        match observation {
            Observation::Present(output) => Self::Present(json(output)),
            Observation::Absent(fault) => Self::Absent(fault.map(Into::into)),
            Observation::Failed(fault) => Self::Failed(fault.into()),
            Observation::Drifted(fault) => Self::Drifted(fault.map(Into::into)),
            Observation::Unknown { after } => Self::Unknown(after.map(milliseconds)),
        }
    }
}

impl From<wit::Evidence> for RawEvidence {
    fn from(evidence: wit::Evidence) -> Self {
        let end = match evidence.end {
            wit::End::Applied(output) => End::Applied(output.into()),
            wit::End::Accepted(handle) => End::Accepted(handle.into()),
            wit::End::Failed(wit::Failed { fault, handle }) => {
                End::Failed { fault: told(fault), handle: handle.map(Raw::from) }
            }
            wit::End::Interrupted => End::Interrupted,
            wit::End::Partial(wit::Partial { outputs, failure, is_interrupted }) => {
                let (outputs, failure) = (outputs.into(), failure.map(told));
                End::Partial(Partial { outputs, failure, is_interrupted })
            }
        };
        let undo = evidence.undo.into_iter().map(|record| UndoRecord {
            task: record.task,
            iteration: record.iteration,
            attempt: record.attempt,
            undo: record.undo.into(),
        });
        RawEvidence { end, undo: undo.collect() }
    }
}

impl From<wit::Payload> for Raw {
    fn from(payload: wit::Payload) -> Self {
        Raw { media_type: payload.media_type, bytes: payload.bytes }
    }
}

impl From<wit::Call> for Call {
    fn from(call: wit::Call) -> Self {
        Call {
            job: call.job,
            task: call.task,
            iteration: call.iteration,
            action: call.action,
            attempt: call.attempt,
            scope_attempt: call.scope_attempt,
            prior: match call.prior {
                wit::Prior::None => Prior::None,
                wit::Prior::Failed => Prior::Failed,
                wit::Prior::Interrupted => Prior::Interrupted,
            },
            idempotency_key: call.idempotency_key,
            fence: call.fence,
            fired_for_ms: call.fired_for_ms,
            deadline_ms: call.deadline_ms,
            attributes: call.attributes,
        }
    }
}

/// Not `From`, which makes a fault of any error, as which the bindings show that of the package.
fn told(fault: wit::Fault) -> Fault {
    let detail = fault.detail.map(|detail| dispatch::fault_detail(&detail.media_type, &detail.bytes));
    Fault { class: fault.class, message: fault.message, causes: fault.causes, detail }
}

impl From<Fault> for wit::Fault {
    fn from(fault: Fault) -> Self {
        let detail = fault.detail.map(|detail| json(detail.to_string().into_bytes()));
        wit::Fault { class: fault.class, message: fault.message, causes: fault.causes, detail }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { fault, after } => {
                wit::Failure::Retry(wit::Later { fault: fault.into(), after_ms: after.map(milliseconds) })
            }
            Failure::Reject(fault) => wit::Failure::Reject(fault.into()),
            Failure::Broken(fault) => wit::Failure::Broken(fault.into()),
        }
    }
}

/// A pause beyond what the wire can say is as good as its greatest value: the host bounds it anyway.
fn milliseconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

impl From<journal::Stop> for Stop {
    fn from(stop: journal::Stop) -> Self {
        match stop {
            journal::Stop::ClaimLost => Stop::ClaimLost,
            journal::Stop::Cancelled => Stop::Cancelled,
            journal::Stop::Denied => Stop::Denied,
            journal::Stop::TooLarge => Stop::TooLarge,
            journal::Stop::StoreDown => Stop::StoreDown,
        }
    }
}
