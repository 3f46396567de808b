//! Dispatch: from a call with JSON to the typed action, and back.
//!
//! Invariant: nothing that a host sends makes it panic; what does not decode is a failure with a class.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::action::{Action, Applied, End, Evidence, Partial, UndoRecord};
use crate::context::{Context, Prior};
use crate::failure::{Failure, Fault};
use crate::host::Host;
use crate::observed::{Accepted, Done, Observation, ObservedAction};

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

/// What revert and observe are told, before it is decoded.
#[derive(Debug, Clone)]
pub struct RawEvidence {
    pub end: End<Raw, Raw>,
    pub undo: Vec<UndoRecord<Raw>>,
}

/// An apply that did not fail, encoded.
pub type RawDone = Done<Vec<u8>, Vec<u8>, Vec<u8>>;

/// An observation, encoded.
pub type RawObservation = Observation<Vec<u8>>;

type ApplyFunction = fn(&dyn Host, &Call, Raw) -> Result<RawDone, Failure>;
type RevertFunction = fn(&dyn Host, &Call, Raw, RawEvidence) -> Result<Option<Vec<u8>>, Failure>;
type ObserveFunction = fn(&dyn Host, &Call, Raw, RawEvidence) -> Result<RawObservation, Fault>;

/// An action by its name, without its types.
pub struct Entry {
    name: &'static str,
    apply: ApplyFunction,
    revert: RevertFunction,
    observe: Option<ObserveFunction>,
}

impl Entry {
    pub const fn of<A: Action>() -> Self {
        Entry {
            name: A::NAME,
            apply: apply_action::<A>,
            revert: |host, call, input, evidence| revert(A::NAME, A::revert, host, call, input, evidence),
            observe: None,
        }
    }

    pub const fn observed<A: ObservedAction>() -> Self {
        Entry {
            name: A::NAME,
            apply: apply_observed::<A>,
            revert: |host, call, input, evidence| revert(A::NAME, A::revert, host, call, input, evidence),
            observe: Some(observe::<A>),
        }
    }

    /// Calls apply of the action that the call names.
    pub fn apply(entries: &[Entry], host: &dyn Host, call: &Call, input: Raw) -> Result<RawDone, Failure> {
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

    /// Calls observe of the action that the call names.
    pub fn observe(
        entries: &[Entry],
        host: &dyn Host,
        call: &Call,
        input: Raw,
        evidence: RawEvidence,
    ) -> Result<RawObservation, Fault> {
        let entry = find(entries, &call.action)?;
        let Some(observe) = entry.observe else {
            let message = format!("{} is no observed action: there is nothing to observe", entry.name);
            return Err(Fault::new("action.not_observed", message));
        };
        observe(host, call, input, evidence)
    }
}

fn find<'a>(entries: &'a [Entry], action: &str) -> Result<&'a Entry, Failure> {
    entries.iter().find(|entry| entry.name == action).ok_or_else(|| {
        let known: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        let message = format!("there is no action {action:?} in this plugin, only {}", known.join(", "));
        Failure::reject("action.unknown", message)
    })
}

pub(crate) fn apply_action<A: Action>(host: &dyn Host, call: &Call, input: Raw) -> Result<RawDone, Failure> {
    let input = decode_input(A::NAME, &input)?;
    encode_applied(&A::apply(&Context::new(call, host), input)?)
}

/// The revert of an action, whichever kind it is.
type Revert<Input, Output, Undo, Handle> =
    fn(&Context<'_, Undo>, Input, Evidence<Output, Undo, Handle>) -> Result<Option<Value>, Failure>;

pub(crate) fn revert<Input, Output, Undo, Handle>(
    action: &str,
    revert: Revert<Input, Output, Undo, Handle>,
    host: &dyn Host,
    call: &Call,
    input: Raw,
    evidence: RawEvidence,
) -> Result<Option<Vec<u8>>, Failure>
where
    Input: DeserializeOwned,
    Output: DeserializeOwned,
    Undo: DeserializeOwned,
    Handle: DeserializeOwned,
{
    let input = decode_input(action, &input)?;
    let evidence = decode_evidence(action, evidence)?;
    let said = revert(&Context::new(call, host), input, evidence)?;
    said.map(|said| encode(&said, "the revert's value")).transpose()
}

pub(crate) fn apply_observed<A: ObservedAction>(
    host: &dyn Host,
    call: &Call,
    input: Raw,
) -> Result<RawDone, Failure> {
    let input = decode_input(A::NAME, &input)?;
    let Accepted { handle, undo, observe_after } = match A::apply(&Context::new(call, host), input)? {
        Done::Applied(applied) => return encode_applied(&applied),
        Done::Accepted(accepted) => accepted,
    };
    let (handle, undo) = (encode(&handle, "the handle")?, encode_undo(undo.as_ref())?);
    Ok(Done::Accepted(Accepted { handle, undo, observe_after }))
}

pub(crate) fn observe<A: ObservedAction>(
    host: &dyn Host,
    call: &Call,
    input: Raw,
    evidence: RawEvidence,
) -> Result<RawObservation, Fault> {
    let input = decode_input(A::NAME, &input)?;
    let evidence = decode_evidence(A::NAME, evidence)?;
    Ok(match A::observe(&Context::new(call, host), input, evidence)? {
        Observation::Present(output) => Observation::Present(encode(&output, "the output")?),
        Observation::Absent(fault) => Observation::Absent(fault),
        Observation::Failed(fault) => Observation::Failed(fault),
        Observation::Drifted(fault) => Observation::Drifted(fault),
        Observation::Unknown { after } => Observation::Unknown { after },
    })
}

fn decode_input<Input: DeserializeOwned>(action: &str, input: &Raw) -> Result<Input, Failure> {
    decode(input).map_err(|error| {
        Failure::reject("input.invalid", format!("the input of {action} does not decode: {error}"))
    })
}

/// Undoing with half of the evidence would leave the other half behind: all of it must decode.
fn decode_evidence<Output, Undo, Handle>(
    action: &str,
    evidence: RawEvidence,
) -> Result<Evidence<Output, Undo, Handle>, Failure>
where
    Output: DeserializeOwned,
    Undo: DeserializeOwned,
    Handle: DeserializeOwned,
{
    let invalid = |what: &str, error: DecodeError| {
        Failure::broken("evidence.invalid", format!("{what} of {action} does not decode: {error}"))
    };
    let handle = |handle: &Raw| decode(handle).map_err(|error| invalid("the handle", error));
    let output = |output: &Raw| decode(output).map_err(|error| invalid("the output", error));
    let end = match evidence.end {
        End::Applied(given) => End::Applied(output(&given)?),
        End::Accepted(accepted) => End::Accepted(handle(&accepted)?),
        End::Failed { fault, handle: accepted } => {
            End::Failed { fault, handle: accepted.as_ref().map(handle).transpose()? }
        }
        End::Interrupted => End::Interrupted,
        End::Partial(Partial { outputs, failure, is_interrupted }) => {
            End::Partial(Partial { outputs: output(&outputs)?, failure, is_interrupted })
        }
    };
    let undo = evidence.undo.into_iter().map(|UndoRecord { task, iteration, attempt, undo }| {
        let undo = decode(&undo).map_err(|error| invalid("an undo record", error))?;
        Ok(UndoRecord { task, iteration, attempt, undo })
    });
    Ok(Evidence { end, undo: undo.collect::<Result<_, Failure>>()? })
}

fn encode_applied<Output: Serialize, Undo: Serialize>(
    applied: &Applied<Output, Undo>,
) -> Result<RawDone, Failure> {
    let undo = encode_undo(applied.undo.as_ref())?;
    Ok(Done::Applied(Applied { output: encode(&applied.output, "the output")?, undo }))
}

fn encode_undo(undo: Option<&impl Serialize>) -> Result<Option<Vec<u8>>, Failure> {
    undo.map(|undo| encode(undo, "the undo record")).transpose()
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
    use std::time::Duration;

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
            let output = evidence.output().copied();
            Ok(Some(serde_json::json!({ "output": output, "undo": evidence.into_records() })))
        }
    }

    /// Accepts, and is present as soon as it is asked for by its handle.
    struct Later;

    impl ObservedAction for Later {
        const NAME: &'static str = "later";
        const DESCRIPTION: &'static str = "Doubles a number, later";
        type Input = u32;
        type Output = u32;
        type Undo = String;
        type Handle = u64;

        fn apply(_: &Context<'_, String>, input: u32) -> Result<Done<u32, String, u64>, Failure> {
            let accepted = Accepted::new(u64::from(input)).observe_after(Duration::from_secs(5));
            Ok(accepted.with_undo("forget".into()).into())
        }

        fn observe(
            _: &Context<'_, String>,
            input: u32,
            evidence: Evidence<u32, String, u64>,
        ) -> Result<Observation<u32>, Fault> {
            Ok(match evidence.handle() {
                Some(handle) if *handle == u64::from(input) => Observation::Present(input * 2),
                Some(_) => Observation::drifted("later.other", "it is that of another number"),
                None => Observation::unknown(),
            })
        }

        fn revert(
            _: &Context<'_, String>,
            _: u32,
            evidence: Evidence<u32, String, u64>,
        ) -> Result<Option<serde_json::Value>, Failure> {
            let handle = evidence.handle().copied();
            Ok(Some(serde_json::json!({ "handle": handle, "undo": evidence.into_records() })))
        }
    }

    const ACTIONS: &[Entry] = &[Entry::of::<Double>(), Entry::observed::<Later>()];

    fn call(action: &str) -> Call {
        Call { action: action.into(), ..crate::trial::first_call("double") }
    }

    fn json(text: &str) -> Raw {
        Raw::json(text.as_bytes().to_vec())
    }

    fn apply(action: &str, input: Raw) -> Result<RawDone, Failure> {
        Entry::apply(ACTIONS, &MemoryHost::default(), &call(action), input)
    }

    fn revert(action: &str, evidence: RawEvidence) -> Result<Option<Vec<u8>>, Failure> {
        Entry::revert(ACTIONS, &MemoryHost::default(), &call(action), json("21"), evidence)
    }

    fn observe(action: &str, evidence: RawEvidence) -> Result<RawObservation, Fault> {
        Entry::observe(ACTIONS, &MemoryHost::default(), &call(action), json("21"), evidence)
    }

    fn fault(class: &str) -> Fault {
        Fault::new(class, "for a test")
    }

    fn undo_record(text: &str) -> UndoRecord<Raw> {
        UndoRecord { task: "t".into(), iteration: vec![2], attempt: 1, undo: json(text) }
    }

    #[test]
    fn a_call_reaches_its_action_as_types() {
        let applied = apply("double", json("21")).unwrap();
        let undo = Some(b"\"halve\"".to_vec());
        assert_eq!(applied, Done::Applied(Applied { output: b"42".to_vec(), undo }));

        let evidence = RawEvidence { end: End::Applied(json("42")), undo: vec![undo_record("\"halve\"")] };
        assert_eq!(revert("double", evidence).unwrap().unwrap(), br#"{"output":42,"undo":["halve"]}"#);
    }

    #[test]
    fn what_was_accepted_is_observed_and_undone_by_its_handle() {
        let accepted = apply("later", json("21")).unwrap();
        let undo = Some(b"\"forget\"".to_vec());
        let observe_after = Some(Duration::from_secs(5));
        assert_eq!(accepted, Done::Accepted(Accepted { handle: b"21".to_vec(), undo, observe_after }));

        let of = |end| RawEvidence { end, undo: vec![] };
        assert_eq!(observe("later", of(End::Accepted(json("21")))), Ok(Observation::Present(b"42".to_vec())));
        assert!(matches!(observe("later", of(End::Accepted(json("3")))), Ok(Observation::Drifted(Some(_)))));
        assert_eq!(observe("later", of(End::Interrupted)), Ok(Observation::unknown()));

        for end in
            [End::Accepted(json("21")), End::Failed { fault: fault("later.gone"), handle: Some(json("21")) }]
        {
            assert_eq!(revert("later", of(end)).unwrap().unwrap(), br#"{"handle":21,"undo":[]}"#);
        }
    }

    #[test]
    fn an_action_that_is_not_observed_has_nothing_to_observe_and_takes_no_handle() {
        let accepted = || RawEvidence { end: End::Accepted(json("21")), undo: vec![] };
        assert_eq!(observe("double", accepted()).unwrap_err().class, "action.not_observed");
        let Err(Failure::Broken(refused)) = revert("double", accepted()) else { panic!("must be broken") };
        assert_eq!(refused.class, "evidence.invalid");
        assert!(refused.message.contains("never answers `accepted`"), "{}", refused.message);
    }

    #[test]
    fn an_unknown_action_is_rejected_by_name() {
        let failure = apply("triple", json("1")).unwrap_err();
        let Failure::Reject(fault) = failure else { panic!("must be rejected: {failure:?}") };
        assert_eq!(fault.class, "action.unknown");
        assert!(fault.message.contains("triple") && fault.message.contains("double"), "{}", fault.message);
    }

    #[test]
    fn input_that_does_not_decode_is_rejected() {
        let text = Raw { media_type: "text/plain".into(), bytes: b"21".to_vec() };
        for input in [json("\"many\""), json(""), text] {
            let failure = apply("double", input).unwrap_err();
            let Failure::Reject(fault) = failure else { panic!("must be rejected: {failure:?}") };
            assert_eq!(fault.class, "input.invalid");
        }
    }

    #[test]
    fn a_flow_that_is_partial_is_told_with_what_its_tasks_gave() {
        struct Release;

        impl Action for Release {
            const NAME: &'static str = "release";
            const DESCRIPTION: &'static str = "Undoes a flow";
            type Input = u32;
            type Output = std::collections::BTreeMap<String, u32>;
            type Undo = String;

            fn apply(_: &Context<'_, String>, _: u32) -> Result<Applied<Self::Output, String>, Failure> {
                Err(Failure::reject("release.no_task", "it undoes"))
            }

            fn revert(
                _: &Context<'_, String>,
                _: u32,
                evidence: Evidence<Self::Output, String>,
            ) -> Result<Option<Value>, Failure> {
                assert_eq!((evidence.output(), evidence.handle()), (None, None));
                let UndoRecord { task, iteration, attempt, undo } = evidence.undo[0].clone();
                assert_eq!((task.as_str(), iteration, attempt, undo.as_str()), ("t", vec![2], 1, "halve"));
                let End::Partial(partial) = evidence.end else { panic!("it is partial") };
                let class = partial.failure.map(|fault| fault.class);
                Ok(Some(serde_json::json!([partial.outputs, class, partial.is_interrupted])))
            }
        }

        let told = |outputs: &str| RawEvidence {
            end: End::Partial(Partial {
                outputs: json(outputs),
                failure: Some(fault("disk.full")),
                is_interrupted: true,
            }),
            undo: vec![undo_record("\"halve\"")],
        };
        let revert = |evidence| {
            let entries = [Entry::of::<Release>()];
            Entry::revert(&entries, &MemoryHost::default(), &call("release"), json("21"), evidence)
        };
        assert_eq!(revert(told("{\"a\":1}")).unwrap().unwrap(), br#"[{"a":1},"disk.full",true]"#);
        assert_eq!(revert(told("[]")).unwrap_err().fault().class, "evidence.invalid");
    }

    #[test]
    fn evidence_that_does_not_decode_undoes_nothing() {
        let evidence =
            RawEvidence { end: End::Interrupted, undo: vec![undo_record("\"halve\""), undo_record("7")] };
        let failure = revert("double", evidence).unwrap_err();
        let Failure::Broken(fault) = failure else { panic!("must be broken: {failure:?}") };
        assert_eq!(fault.class, "evidence.invalid");
    }
}
