//! Between the core's types and the contract's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use windlass_core::call::{Call, End, Evidence, Prior, UndoRecord};
use windlass_core::fault::Fault;
use windlass_core::instance::InstanceName;
use windlass_core::payload::Payload;

use super::bindings::types;

/// RFC 6838 allows 127 characters for each half of a media type.
const MEDIA_TYPE_BYTES_MAX: usize = 256;

/// Class, message and causes of a fault together. A fault is for people and for matching, not for data.
const FAULT_TEXT_BYTES_MAX: usize = 64 * 1024;

/// Classes with this prefix are the host's own: a guest cannot speak for the host.
const HOST_CLASSES: &str = "host.";

/// Goes before a class that a guest took from the host.
const GUEST_CLASSES: &str = "plugin.";

/// A guest gave more than may be kept: what, how much, and the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {bytes} bytes; at most {bytes_max} are kept")]
pub(super) struct TooLarge {
    pub what: &'static str,
    pub bytes: usize,
    pub bytes_max: usize,
}

/// A payload of the guest, whole or refused.
pub(super) fn payload(payload: types::Payload, bytes_max: usize) -> Result<Payload, TooLarge> {
    let types::Payload { media_type, bytes } = payload;
    bound("a payload", bytes.len(), bytes_max)?;
    bound("the media type of a payload", media_type.len(), MEDIA_TYPE_BYTES_MAX)?;
    Ok(Payload { media_type, bytes })
}

/// A fault of the guest, whole or refused.
pub(super) fn fault(fault: types::Fault, bytes_max: usize) -> Result<Fault, TooLarge> {
    let types::Fault { mut class, message, causes, detail } = fault;
    // A cause costs something even where it is empty.
    let text = class.len() + message.len() + causes.iter().map(|cause| cause.len() + 1).sum::<usize>();
    bound("a fault", text, FAULT_TEXT_BYTES_MAX)?;
    if class.starts_with(HOST_CLASSES) {
        class.insert_str(0, GUEST_CLASSES);
    }
    let detail = detail.map(|detail| payload(detail, bytes_max)).transpose()?;
    Ok(Fault { class, message, causes, detail })
}

fn bound(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), TooLarge> {
    if bytes > bytes_max { Err(TooLarge { what, bytes, bytes_max }) } else { Ok(()) }
}

pub(super) fn to_guest_payload(payload: Payload) -> types::Payload {
    types::Payload { media_type: payload.media_type, bytes: payload.bytes }
}

pub(super) fn to_guest_fault(fault: Fault) -> types::Fault {
    types::Fault {
        class: fault.class,
        message: fault.message,
        causes: fault.causes,
        detail: fault.detail.map(to_guest_payload),
    }
}

pub(super) fn to_guest_evidence(evidence: Evidence) -> types::Evidence {
    let end = match evidence.end {
        End::Applied(output) => types::End::Applied(to_guest_payload(output)),
        End::Accepted(handle) => types::End::Accepted(to_guest_payload(handle)),
        End::Failed { fault, handle } => {
            let (fault, handle) = (to_guest_fault(fault), handle.map(to_guest_payload));
            types::End::Failed(types::Failed { fault, handle })
        }
        End::Interrupted => types::End::Interrupted,
        End::Partial { outputs, failure, is_interrupted } => types::End::Partial(types::Partial {
            outputs: to_guest_payload(outputs),
            failure: failure.map(to_guest_fault),
            is_interrupted,
        }),
    };
    types::Evidence { end, undo: evidence.undo.into_iter().map(to_guest_undo_record).collect() }
}

fn to_guest_undo_record(record: UndoRecord) -> types::UndoRecord {
    let InstanceName { task, iteration } = record.task;
    types::UndoRecord { task, iteration, attempt: record.attempt, undo: to_guest_payload(record.undo) }
}

pub(super) fn to_guest_failure(name: &InstanceName, fault: &Fault) -> types::TaskFault {
    types::TaskFault {
        task: name.task.clone(),
        iteration: name.iteration.clone(),
        fault: to_guest_fault(fault.clone()),
    }
}

/// The call as the guest is told of it. `left` is the time until its deadline, told by the wall clock, for that is
/// the clock that guests read through WASI.
#[allow(clippy::disallowed_methods)]
pub(super) fn to_guest_call(call: &Call, left: Duration) -> types::Call {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    types::Call {
        job: call.job.clone(),
        task: call.task.clone(),
        iteration: call.iteration.clone(),
        action: call.action.clone(),
        attempt: call.attempt,
        scope_attempt: call.scope_attempt,
        prior: match call.prior {
            Prior::None => types::Prior::None,
            Prior::Failed => types::Prior::Failed,
            Prior::Interrupted => types::Prior::Interrupted,
        },
        idempotency_key: call.idempotency_key.clone(),
        fence: call.fence,
        // Nothing is due before 1970.
        fired_for_ms: u64::try_from(call.fired_for.timestamp_millis()).unwrap_or(0),
        deadline_ms: u64::try_from(now.saturating_add(left).as_millis()).unwrap_or(u64::MAX),
        attributes: call.attributes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest_fault(class: &str, message: String) -> types::Fault {
        types::Fault { class: class.to_owned(), message, causes: vec!["because".to_owned()], detail: None }
    }

    #[test]
    fn payloads_are_whole_or_refused() {
        let guest = |bytes| types::Payload { media_type: "application/json".to_owned(), bytes };
        assert_eq!(payload(guest(vec![1; 10]), 10).unwrap().bytes.len(), 10);
        let refused = payload(guest(vec![1; 11]), 10).unwrap_err();
        assert_eq!(refused.to_string(), "a payload has 11 bytes; at most 10 are kept");
    }

    #[test]
    fn a_guest_cannot_speak_for_the_host() {
        let kept = fault(guest_fault("host.timeout", "I say so".to_owned()), 10).unwrap();
        assert_eq!(kept.class, "plugin.host.timeout");
        assert_eq!(fault(guest_fault("disk.full", "é".to_owned()), 10).unwrap().class, "disk.full");
    }

    #[test]
    fn a_boundless_fault_is_refused() {
        assert!(fault(guest_fault("x", "m".repeat(FAULT_TEXT_BYTES_MAX)), 10).is_err());
    }
}
