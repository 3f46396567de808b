//! The plugin as a component: between the WIT package's types and the SDK's own.
//!
//! Invariant: only a component has imports. Natively this compiles and is never called: tests use a trial's host.

#![expect(clippy::result_large_err, reason = "the WIT package says what a failure is, and a call has one")]

use std::time::Duration;

use crate::action::End;
use crate::bindings::exports::windlass::plugin::executor as wit;
use crate::bindings::windlass::plugin::types::{
    Applied, End as WitEnd, Fault as WitFault, Later, Prior as WitPrior,
};
use crate::bindings::windlass::plugin::{job, journal};
use crate::context::Prior;
use crate::dispatch::{self, Call, Entry, JSON, Raw, RawEvidence};
use crate::failure::{Failure, Fault};
use crate::host::Host;
use crate::journal::Stop;

/// The exported apply.
pub fn apply(entries: &[Entry], call: wit::Call, input: wit::Payload) -> Result<wit::Done, wit::Failure> {
    let applied = dispatch::apply(entries, &Imports, &call.into(), input.into())?;
    let undo = applied.undo.map(json);
    Ok(wit::Done::Applied(Applied { output: json(applied.output), undo }))
}

/// The exported revert.
pub fn revert(
    entries: &[Entry],
    call: wit::Call,
    input: wit::Payload,
    evidence: wit::Evidence,
) -> Result<Option<wit::Payload>, wit::Failure> {
    let evidence = decode_evidence(evidence)?;
    let said = dispatch::revert(entries, &Imports, &call.into(), input.into(), evidence)?;
    Ok(said.map(json))
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

    fn failures(&self) -> Vec<(String, Fault)> {
        job::failures().into_iter().map(|(task, fault)| (task, fault.into())).collect()
    }
}

fn json(bytes: Vec<u8>) -> wit::Payload {
    wit::Payload { media_type: JSON.into(), bytes }
}

/// The SDK never ends an apply with `accepted`, so that such evidence belongs to another plugin.
fn decode_evidence(evidence: wit::Evidence) -> Result<RawEvidence, Failure> {
    let end = match evidence.end {
        WitEnd::Applied(output) => End::Applied(output.into()),
        WitEnd::Accepted(_) => {
            let message = "the evidence says that the apply was accepted, which this plugin never answers";
            return Err(Failure::broken("evidence.invalid", message));
        }
        WitEnd::Failed((fault, _)) => End::Failed(fault.into()),
        WitEnd::Interrupted => End::Interrupted,
    };
    Ok(RawEvidence { end, undo: evidence.undo.into_iter().map(Raw::from).collect() })
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
                WitPrior::None => Prior::None,
                WitPrior::Failed => Prior::Failed,
                WitPrior::Interrupted => Prior::Interrupted,
            },
            idempotency_key: call.idempotency_key,
            fence: call.fence,
            fired_for_ms: call.fired_for_ms,
            deadline_ms: call.deadline_ms,
            attributes: call.attributes,
        }
    }
}

impl From<WitFault> for Fault {
    fn from(fault: WitFault) -> Self {
        let detail = fault.detail.map(|detail| dispatch::fault_detail(&detail.media_type, &detail.bytes));
        Fault { class: fault.class, message: fault.message, causes: fault.causes, detail }
    }
}

impl From<Fault> for WitFault {
    fn from(fault: Fault) -> Self {
        let detail = fault.detail.map(|detail| json(detail.to_string().into_bytes()));
        WitFault { class: fault.class, message: fault.message, causes: fault.causes, detail }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { fault, after } => {
                wit::Failure::Retry(Later { fault: fault.into(), after_ms: after.map(milliseconds) })
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
