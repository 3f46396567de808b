//! Dispatch: from a call with JSON to the typed action, and back.
//!
//! Invariant: nothing that a host sends makes it panic; what does not decode is a failure with a class.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::action::{Action, Applied, End, Evidence};
use crate::context::{Context, Prior};
use crate::failure::Failure;
use crate::host::Host;

/// The media type of every payload that the SDK reads and writes.
pub const JSON: &str = "application/json";

/// One attempt, as the host describes it. Read through [`Context`].
#[derive(Debug, Clone)]
pub struct Call {
    pub job: String,
    pub task: String,
    pub iteration: Vec<u32>,
    pub action: String,
    pub attempt: u32,
    pub scope_attempt: u32,
    pub prior: Prior,
    pub idempotency_key: String,
    pub fence: u64,
    pub fired_for_ms: u64,
    pub deadline_ms: u64,
    pub attributes: Vec<(String, String)>,
}

/// Data from the host, before it is decoded.
#[derive(Debug, Clone)]
pub struct Raw {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// What revert is told, before it is decoded.
#[derive(Debug, Clone)]
pub struct RawEvidence {
    pub end: End<Raw>,
    pub undo: Vec<Raw>,
}

/// A successful apply, encoded.
#[derive(Debug, Clone)]
pub struct RawApplied {
    pub output: Vec<u8>,
    pub undo: Option<Vec<u8>>,
}

type ApplyFunction = fn(&dyn Host, &Call, Raw) -> Result<RawApplied, Failure>;
type RevertFunction = fn(&dyn Host, &Call, Raw, RawEvidence) -> Result<Option<Vec<u8>>, Failure>;

/// An action by its name, without its types.
pub struct Entry {
    name: &'static str,
    apply: ApplyFunction,
    revert: RevertFunction,
}

impl Entry {
    pub const fn of<A: Action>() -> Self {
        Entry { name: A::NAME, apply: apply_action::<A>, revert: revert_action::<A> }
    }
}

/// Calls apply of the action that the call names.
pub fn apply(entries: &[Entry], host: &dyn Host, call: &Call, input: Raw) -> Result<RawApplied, Failure> {
    (find(entries, &call.action)?.apply)(host, call, input)
}

/// Calls revert of the action that the call names.
pub fn revert(
    entries: &[Entry],
    host: &dyn Host,
    call: &Call,
    input: Raw,
    evidence: RawEvidence,
) -> Result<Option<Vec<u8>>, Failure> {
    (find(entries, &call.action)?.revert)(host, call, input, evidence)
}

fn find<'a>(entries: &'a [Entry], action: &str) -> Result<&'a Entry, Failure> {
    entries.iter().find(|entry| entry.name == action).ok_or_else(|| {
        let known: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        let message = format!("there is no action {action:?} in this plugin, only {}", known.join(", "));
        Failure::reject("action.unknown", message)
    })
}

pub(crate) fn apply_action<A: Action>(
    host: &dyn Host,
    call: &Call,
    input: Raw,
) -> Result<RawApplied, Failure> {
    let input = decode_input::<A>(&input)?;
    let Applied { output, undo } = A::apply(&Context::new(call, host), input)?;
    let undo = undo.map(|undo| encode(&undo, "the undo record")).transpose()?;
    Ok(RawApplied { output: encode(&output, "the output")?, undo })
}

pub(crate) fn revert_action<A: Action>(
    host: &dyn Host,
    call: &Call,
    input: Raw,
    evidence: RawEvidence,
) -> Result<Option<Vec<u8>>, Failure> {
    let input = decode_input::<A>(&input)?;
    let evidence = decode_evidence::<A>(evidence)?;
    let said = A::revert(&Context::new(call, host), input, evidence)?;
    said.map(|said| encode(&said, "the revert's value")).transpose()
}

fn decode_input<A: Action>(input: &Raw) -> Result<A::Input, Failure> {
    decode(input).map_err(|error| {
        Failure::reject("input.invalid", format!("the input of {} does not decode: {error}", A::NAME))
    })
}

/// Undoing with half of the evidence would leave the other half behind: all of it must decode.
fn decode_evidence<A: Action>(evidence: RawEvidence) -> Result<Evidence<A::Output, A::Undo>, Failure> {
    let invalid = |what: &str, error: DecodeError| {
        Failure::broken("evidence.invalid", format!("{what} of {} does not decode: {error}", A::NAME))
    };
    let end = match evidence.end {
        End::Applied(output) => End::Applied(decode(&output).map_err(|error| invalid("the output", error))?),
        End::Failed(fault) => End::Failed(fault),
        End::Interrupted => End::Interrupted,
    };
    let undo = evidence.undo.iter().map(decode).collect::<Result<_, _>>();
    Ok(Evidence { end, undo: undo.map_err(|error| invalid("an undo record", error))? })
}

/// Why a payload does not decode.
#[derive(Debug, thiserror::Error)]
enum DecodeError {
    #[error("it is {0:?}, not {JSON}")]
    MediaType(String),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

fn decode<T: DeserializeOwned>(raw: &Raw) -> Result<T, DecodeError> {
    if raw.media_type != JSON {
        return Err(DecodeError::MediaType(raw.media_type.clone()));
    }
    Ok(serde_json::from_slice(&raw.bytes)?)
}

/// The effect is made by now, so that data without a JSON form is broken, not rejected.
fn encode(value: &impl Serialize, what: &str) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value)
        .map_err(|error| Failure::broken("output.invalid", format!("{what} has no JSON form: {error}")))
}

impl Raw {
    pub fn json(bytes: Vec<u8>) -> Self {
        Raw { media_type: JSON.into(), bytes }
    }
}

/// A fault's detail, which other languages may have written in other forms than JSON: those are told by their size.
pub fn fault_detail(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| serde_json::json!({ "media_type": media_type, "bytes": bytes.len() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::MemoryHost;

    struct Double;

    impl Action for Double {
        const NAME: &'static str = "double";
        const DESCRIPTION: &'static str = "Doubles a number";
        type Input = u32;
        type Output = u32;
        type Undo = String;

        fn apply(_: &Context<'_, String>, input: u32) -> Result<Applied<u32, String>, Failure> {
            Ok(Applied::new(input * 2).with_undo("halve".into()))
        }

        fn revert(
            _: &Context<'_, String>,
            _: u32,
            evidence: Evidence<u32, String>,
        ) -> Result<Option<serde_json::Value>, Failure> {
            Ok(Some(serde_json::json!({ "output": evidence.output(), "undo": evidence.undo })))
        }
    }

    const ACTIONS: &[Entry] = &[Entry::of::<Double>()];

    fn call(action: &str) -> Call {
        Call { action: action.into(), ..crate::trial::first_call("double") }
    }

    fn json(text: &str) -> Raw {
        Raw::json(text.as_bytes().to_vec())
    }

    #[test]
    fn a_call_reaches_its_action_as_types() {
        let applied = apply(ACTIONS, &MemoryHost::default(), &call("double"), json("21")).unwrap();
        assert_eq!(
            (applied.output.as_slice(), applied.undo.as_deref()),
            (&b"42"[..], Some(&b"\"halve\""[..]))
        );

        let evidence = RawEvidence { end: End::Applied(json("42")), undo: vec![json("\"halve\"")] };
        let said = revert(ACTIONS, &MemoryHost::default(), &call("double"), json("21"), evidence).unwrap();
        assert_eq!(said.unwrap(), br#"{"output":42,"undo":["halve"]}"#);
    }

    #[test]
    fn an_unknown_action_is_rejected_by_name() {
        let failure = apply(ACTIONS, &MemoryHost::default(), &call("triple"), json("1")).unwrap_err();
        let Failure::Reject(fault) = failure else { panic!("must be rejected: {failure:?}") };
        assert_eq!(fault.class, "action.unknown");
        assert!(fault.message.contains("triple") && fault.message.contains("double"), "{}", fault.message);
    }

    #[test]
    fn input_that_does_not_decode_is_rejected() {
        let text = Raw { media_type: "text/plain".into(), bytes: b"21".to_vec() };
        for input in [json("\"many\""), json(""), text] {
            let failure = apply(ACTIONS, &MemoryHost::default(), &call("double"), input).unwrap_err();
            let Failure::Reject(fault) = failure else { panic!("must be rejected: {failure:?}") };
            assert_eq!(fault.class, "input.invalid");
        }
    }

    #[test]
    fn evidence_that_does_not_decode_undoes_nothing() {
        let evidence = RawEvidence { end: End::Interrupted, undo: vec![json("\"halve\""), json("7")] };
        let failure =
            revert(ACTIONS, &MemoryHost::default(), &call("double"), json("21"), evidence).unwrap_err();
        let Failure::Broken(fault) = failure else { panic!("must be broken: {failure:?}") };
        assert_eq!(fault.class, "evidence.invalid");
    }
}
