//! Trials of observed actions: apply, observe, revert, with a test in the place of what goes on elsewhere.
//!
//! Invariant: an observation of a trial may write no more to the journal than one of a host.

use std::marker::PhantomData;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{Instance, raw, shared_methods};
use crate::action::{Applied, End, UndoRecord};
use crate::context::{Prior, TaskFault};
use crate::dispatch::{self, Raw};
use crate::failure::{Failure, Fault};
use crate::observed::{Accepted, Done, Observation, ObservedAction};

/// The class of the fault of what was found absent without one.
const ABSENT: &str = "trial.absent";

/// A trial of an [`ObservedAction`].
///
/// ```
/// # use std::time::Duration;
/// # use windlass_plugin::{Accepted, Context, Done, Evidence, Failure, Fault, Observation, ObservedAction};
/// # struct Order;
/// # impl ObservedAction for Order {
/// #     const NAME: &'static str = "order";
/// #     const DESCRIPTION: &'static str = "Orders a tea";
/// #     type Input = String;
/// #     type Output = String;
/// #     type Undo = ();
/// #     type Handle = u32;
/// #     fn apply(_: &Context<'_, ()>, _: String) -> Result<Done<String, (), u32>, Failure> {
/// #         Ok(Accepted::new(12).observe_after(Duration::from_secs(60)).into())
/// #     }
/// #     fn observe(
/// #         context: &Context<'_, ()>, tea: String, _: Evidence<String, (), u32>,
/// #     ) -> Result<Observation<String>, Fault> {
/// #         Ok(if context.attempt() < 2 { Observation::unknown() } else { Observation::Present(tea) })
/// #     }
/// #     fn revert(
/// #         _: &Context<'_, ()>, _: String, evidence: Evidence<String, (), u32>,
/// #     ) -> Result<Option<serde_json::Value>, Failure> {
/// #         Ok(Some(serde_json::json!({ "sent_back": evidence.output(), "withdrawn": evidence.handle() })))
/// #     }
/// # }
/// use windlass_plugin::trial::ObservedTrial;
///
/// let mut trial = ObservedTrial::<Order>::new();
/// let input = serde_json::json!("oolong");
/// let Done::Accepted(accepted) = trial.apply(&input)? else { panic!("tea takes its time") };
/// assert_eq!(accepted.handle, 12);
/// assert_eq!(trial.observe(&input)?, Observation::unknown());
/// assert_eq!(trial.observe(&input)?, Observation::Present("oolong".into()));
/// let said = trial.revert(&input)?;
/// assert_eq!(said, Some(serde_json::json!({ "sent_back": "oolong", "withdrawn": null })));
/// # Ok::<(), Failure>(())
/// ```
pub struct ObservedTrial<A> {
    instance: Instance,
    action: PhantomData<fn(A)>,
}

impl<A: ObservedAction> Default for ObservedTrial<A> {
    fn default() -> Self {
        ObservedTrial::new()
    }
}

impl<A: ObservedAction> ObservedTrial<A> {
    /// Nothing has been called yet. The key is `trial`, the job fired for the Unix epoch.
    pub fn new() -> Self {
        ObservedTrial { instance: Instance::of(A::NAME), action: PhantomData }
    }

    shared_methods!();

    /// One attempt of apply.
    #[expect(clippy::type_complexity, reason = "an alias would hide the types that an action has")]
    pub fn apply(&mut self, input: &Value) -> Result<Done<A::Output, A::Undo, A::Handle>, Failure> {
        let Instance { host, apply, .. } = &self.instance;
        let done = dispatch::apply_observed::<A>(host, apply, raw(input));
        Ok(match self.instance.applied(done)? {
            Done::Applied(applied) => {
                let output = serde_json::from_slice(&applied.output)?;
                Done::Applied(Applied { output, undo: decode(applied.undo)? })
            }
            Done::Accepted(Accepted { handle, undo, observe_after }) => {
                let handle = serde_json::from_slice(&handle)?;
                Done::Accepted(Accepted { handle, undo: decode(undo)?, observe_after })
            }
        })
    }

    /// One observation: of what was accepted, or, after [`ObservedTrial::lose_outcome`], of what is in doubt. What it finds
    /// is evidence for a revert.
    pub fn observe(&mut self, input: &Value) -> Result<Observation<A::Output>, Fault> {
        let Instance { host, observe, .. } = &self.instance;
        host.only_reads.set(true);
        let found = dispatch::observe::<A>(host, observe, raw(input), self.instance.evidence());
        host.only_reads.set(false);
        self.instance.observe.attempt += 1;
        Ok(match found? {
            Observation::Present(output) => {
                let present = serde_json::from_slice(&output)?;
                self.instance.end = End::Applied(Raw::json(output));
                Observation::Present(present)
            }
            Observation::Absent(fault) => {
                self.found_absent(fault.clone());
                Observation::Absent(fault)
            }
            Observation::Failed(fault) => {
                self.has_failed(fault.clone());
                Observation::Failed(fault)
            }
            Observation::Drifted(fault) => Observation::Drifted(fault),
            Observation::Unknown { after } => Observation::Unknown { after },
        })
    }

    /// One attempt of revert, with all that apply and observation have left as evidence.
    pub fn revert(&mut self, input: &Value) -> Result<Option<Value>, Failure> {
        let Instance { host, revert, .. } = &self.instance;
        let said = dispatch::revert(A::NAME, A::revert, host, revert, raw(input), self.instance.evidence());
        self.instance.reverted(said)
    }

    /// Every undo record so far, oldest first: what a revert is told.
    pub fn undo(&self) -> Result<Vec<UndoRecord<A::Undo>>, Failure> {
        self.instance.undo()
    }

    /// What was accepted has failed, and keeps its handle. What was in doubt was never there.
    fn found_absent(&mut self, fault: Option<Fault>) {
        if let End::Accepted(_) = &self.instance.end {
            self.has_failed(fault.unwrap_or_else(|| Fault::new(ABSENT, "it is not there, and will not be")));
        }
    }

    fn has_failed(&mut self, fault: Fault) {
        let handle = match &self.instance.end {
            End::Accepted(handle) => Some(handle.clone()),
            End::Failed { handle, .. } => handle.clone(),
            End::Applied(_) | End::Interrupted | End::Partial(_) => None,
        };
        self.instance.end = End::Failed { fault, handle };
    }
}

fn decode<Undo: serde::de::DeserializeOwned>(undo: Option<Vec<u8>>) -> Result<Option<Undo>, Failure> {
    Ok(undo.map(|undo| serde_json::from_slice(&undo)).transpose()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{Context, Evidence, JournalError, Stop};

    /// Accepts under its number, with a note; an observation tries to write, and finds what the input says.
    struct Post;

    impl ObservedAction for Post {
        const NAME: &'static str = "post";
        const DESCRIPTION: &'static str = "Posts a letter";
        type Input = String;
        type Output = String;
        type Undo = String;
        type Handle = u32;

        fn apply(context: &Context<'_, String>, _: String) -> Result<Done<String, String, u32>, Failure> {
            context.note("weight", &20)?;
            let accepted = Accepted::new(context.attempt());
            Ok(accepted.with_undo(format!("letter {}", context.attempt())).into())
        }

        fn observe(
            context: &Context<'_, String>,
            input: String,
            _: Evidence<String, String, u32>,
        ) -> Result<Observation<String>, Fault> {
            let is_denied = |tried| matches!(tried, Err(JournalError::Stopped(Stop::Denied)));
            assert!(is_denied(context.undo_ahead(&"a stamp".to_owned())));
            assert!(is_denied(context.note("weight", &30)));
            assert_eq!(context.recall::<u32>("weight")?, Some(20));
            Ok(match input.as_str() {
                "lost" => Observation::absent_because("post.lost", "it is nowhere"),
                "gone" => Observation::absent(),
                "burned" => Observation::failed("post.burned", "its van is on fire"),
                _ => Observation::unknown_for(Duration::from_secs(60)),
            })
        }

        fn revert(
            _: &Context<'_, String>,
            _: String,
            evidence: Evidence<String, String, u32>,
        ) -> Result<Option<Value>, Failure> {
            let class = match &evidence.end {
                End::Failed { fault, .. } => Some(fault.class.clone()),
                _ => None,
            };
            let undo: Vec<_> = evidence.undo.iter().map(|record| (record.attempt, &record.undo)).collect();
            Ok(Some(json!({ "handle": evidence.handle(), "class": class, "undo": undo })))
        }
    }

    #[test]
    fn an_observation_reads_the_journal_and_writes_nothing_to_it() {
        let mut trial = ObservedTrial::<Post>::new();
        let input = json!("on its way");
        trial.apply(&input).unwrap();
        for _ in 0..2 {
            let later = Observation::unknown_for(Duration::from_secs(60));
            assert_eq!(trial.observe(&input).unwrap(), later);
        }
        let written = |trial: &ObservedTrial<Post>| -> Vec<_> {
            trial.undo().unwrap().into_iter().map(|record| (record.attempt, record.undo)).collect()
        };
        assert_eq!(written(&trial), [(1, "letter 1".to_owned())]);
        // What comes after an observation may write again.
        trial.apply(&input).unwrap();
        assert_eq!(written(&trial), [(1, "letter 1".to_owned()), (2, "letter 2".to_owned())]);
    }

    #[test]
    fn what_has_failed_elsewhere_has_failed_also_where_it_was_in_doubt() {
        for (is_lost, handle) in [(false, json!(1)), (true, json!(null))] {
            let mut trial = ObservedTrial::<Post>::new();
            trial.apply(&json!("burned")).unwrap();
            if is_lost {
                trial.lose_outcome();
            }
            assert!(matches!(trial.observe(&json!("burned")), Ok(Observation::Failed(_))));
            let said = trial.revert(&json!("burned")).unwrap();
            let told = json!({ "handle": handle, "class": "post.burned", "undo": [[1, "letter 1"]] });
            assert_eq!(said, Some(told));
        }
    }

    #[test]
    fn what_is_absent_has_failed_with_its_handle_and_what_is_in_doubt_has_none() {
        let mut trial = ObservedTrial::<Post>::new();
        trial.apply(&json!("lost")).unwrap();
        trial.observe(&json!("lost")).unwrap();
        let said = trial.revert(&json!("lost")).unwrap();
        assert_eq!(said, Some(json!({ "handle": 1, "class": "post.lost", "undo": [[1, "letter 1"]] })));

        let mut trial = ObservedTrial::<Post>::new();
        trial.apply(&json!("gone")).unwrap();
        trial.observe(&json!("gone")).unwrap();
        let said = trial.revert(&json!("gone")).unwrap();
        assert_eq!(said, Some(json!({ "handle": 1, "class": ABSENT, "undo": [[1, "letter 1"]] })));

        let mut trial = ObservedTrial::<Post>::new();
        trial.apply(&json!("gone")).unwrap();
        trial.lose_outcome();
        assert_eq!(trial.observe(&json!("gone")).unwrap(), Observation::absent());
        let said = trial.revert(&json!("gone")).unwrap();
        assert_eq!(said, Some(json!({ "handle": null, "class": null, "undo": [[1, "letter 1"]] })));
    }
}
