//! Trials: calling an action in a native test, with a journal in memory instead of a host.
//!
//! A trial is one task instance. It keeps what a host keeps between the calls: undo records, notes, the number of
//! the attempt and how the last one ended.
//!
//! ```
//! # use windlass_plugin::{Action, Applied, Context, Evidence, Failure};
//! # struct Greet;
//! # impl Action for Greet {
//! #     const NAME: &'static str = "greet";
//! #     const DESCRIPTION: &'static str = "Greets";
//! #     type Input = String;
//! #     type Output = String;
//! #     type Undo = ();
//! #     fn apply(_: &Context<'_, ()>, name: String) -> Result<Applied<String, ()>, Failure> {
//! #         Ok(Applied::new(format!("hello {name}")))
//! #     }
//! #     fn revert(
//! #         _: &Context<'_, ()>, _: String, _: Evidence<String, ()>,
//! #     ) -> Result<Option<serde_json::Value>, Failure> {
//! #         Ok(None)
//! #     }
//! # }
//! let mut trial = windlass_plugin::trial::Trial::<Greet>::new();
//! let input = serde_json::json!("Ada");
//! assert_eq!(trial.apply(&input).unwrap(), "hello Ada");
//! trial.lose_outcome(); // the host died before it could write down that the apply had succeeded
//! assert_eq!(trial.apply(&input).unwrap(), "hello Ada");
//! trial.revert(&input).unwrap();
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::action::{Action, End, Evidence, Partial, UndoRecord};
use crate::context::{Prior, TaskFault};
use crate::dispatch::{self, Call, Raw, RawDone, RawEvidence};
use crate::failure::Failure;
use crate::host::Host;
use crate::journal::Stop;
use crate::observed::Done;

mod observed;

pub use observed::ObservedTrial;

/// What a trial's calls are told of the time that is left.
const ALIVE_MS: u64 = 60_000;

/// One task instance of an [`Action`], called in a test.
pub struct Trial<A> {
    instance: Instance,
    action: PhantomData<fn(A)>,
}

/// One task instance, without the types of its action.
struct Instance {
    host: MemoryHost,
    apply: Call,
    revert: Call,
    observe: Call,
    end: End<Raw, Raw>,
}

/// The journal of a trial.
#[derive(Debug, Default)]
pub struct MemoryHost {
    /// Each with the attempt that wrote it.
    undo: RefCell<Vec<(u32, Vec<u8>)>>,
    /// The attempt of apply that is under way, or will be next.
    attempt: Cell<u32>,
    notes: RefCell<BTreeMap<String, Vec<u8>>>,
    progress: RefCell<Vec<(f32, String)>>,
    failures: Vec<TaskFault>,
    writes_left: Cell<Option<u32>>,
    /// Every write is denied, as in an observation.
    only_reads: Cell<bool>,
}

/// What both kinds of trial can do.
macro_rules! shared_methods {
    () => {
        /// Another task instance: its key, and its revert's.
        #[must_use]
        pub fn with_key(mut self, key: &str) -> Self {
            self.instance.apply.idempotency_key = key.into();
            self.instance.observe.idempotency_key = key.into();
            self.instance.revert.idempotency_key = format!("{key}-revert");
            self
        }

        /// The nominal time of the job. Times before 1970 count as 1970.
        #[must_use]
        pub fn fired_for(mut self, time: SystemTime) -> Self {
            let since = time.duration_since(UNIX_EPOCH).map(|since| since.as_millis());
            let milliseconds = since.ok().and_then(|since| u64::try_from(since).ok()).unwrap_or(0);
            self.instance.apply.fired_for_ms = milliseconds;
            self.instance.observe.fired_for_ms = milliseconds;
            self.instance.revert.fired_for_ms = milliseconds;
            self
        }

        /// The failures that a revert may ask for.
        #[must_use]
        pub fn with_failures(mut self, failures: Vec<TaskFault>) -> Self {
            self.instance.host.failures = failures;
            self
        }

        /// The host stops accepting durable writes after this many: the way to end an action in its middle. Until
        /// `accept_writes`.
        pub fn refuse_writes_after(&mut self, writes: u32) {
            self.instance.host.writes_left.set(Some(writes));
        }

        pub fn accept_writes(&mut self) {
            self.instance.host.writes_left.set(None);
        }

        /// The host died before it could write down how the last attempt ended. What was accepted is forgotten with it.
        pub fn lose_outcome(&mut self) {
            self.instance.end = End::Interrupted;
            self.instance.apply.prior = Prior::Interrupted;
        }

        /// Every progress so far, oldest first.
        pub fn progress(&self) -> Vec<(f32, String)> {
            self.instance.host.progress.borrow().clone()
        }
    };
}
use shared_methods;

impl<A: Action> Default for Trial<A> {
    fn default() -> Self {
        Trial::new()
    }
}

impl<A: Action> Trial<A> {
    /// Nothing has been called yet. The key is `trial`, the job fired for the Unix epoch.
    pub fn new() -> Self {
        Trial { instance: Instance::of(A::NAME), action: PhantomData }
    }

    shared_methods!();

    /// One attempt of apply.
    pub fn apply(&mut self, input: &Value) -> Result<A::Output, Failure> {
        let Instance { host, apply, .. } = &self.instance;
        let done = dispatch::apply_action::<A>(host, apply, raw(input));
        match self.instance.applied(done)? {
            Done::Applied(applied) => Ok(serde_json::from_slice(&applied.output)?),
            Done::Accepted(_) => unreachable!("an action that is not observed has no way to say `accepted`"),
        }
    }

    /// One attempt of revert, with all that the attempts of apply have left as evidence.
    pub fn revert(&mut self, input: &Value) -> Result<Option<Value>, Failure> {
        let Instance { host, revert, .. } = &self.instance;
        let said = dispatch::revert(A::NAME, A::revert, host, revert, raw(input), self.instance.evidence());
        self.instance.reverted(said)
    }

    /// One attempt of revert with other evidence than that of this trial: for an action that is the revert of a whole
    /// flow, and gets what all its tasks have left.
    pub fn revert_with(
        &mut self,
        input: &Value,
        evidence: &Evidence<A::Output, A::Undo>,
    ) -> Result<Option<Value>, Failure> {
        let end = match &evidence.end {
            End::Applied(output) => End::Applied(encoded(output)?),
            End::Accepted(handle) => match *handle {},
            End::Failed { fault, .. } => End::Failed { fault: fault.clone(), handle: None },
            End::Interrupted => End::Interrupted,
            End::Partial(Partial { outputs, failure, is_interrupted }) => {
                let (failure, is_interrupted) = (failure.clone(), *is_interrupted);
                End::Partial(Partial { outputs: encoded(outputs)?, failure, is_interrupted })
            }
        };
        let undo = evidence.undo.iter().map(|UndoRecord { task, iteration, attempt, undo }| {
            let (task, iteration, attempt) = (task.clone(), iteration.clone(), *attempt);
            Ok(UndoRecord { task, iteration, attempt, undo: encoded(undo)? })
        });
        let evidence = RawEvidence { end, undo: undo.collect::<Result<_, Failure>>()? };
        let Instance { host, revert, .. } = &self.instance;
        let said = dispatch::revert(A::NAME, A::revert, host, revert, raw(input), evidence);
        self.instance.reverted(said)
    }

    /// Every undo record so far, oldest first: what a revert is told.
    pub fn undo(&self) -> Result<Vec<UndoRecord<A::Undo>>, Failure> {
        self.instance.undo()
    }
}

impl Instance {
    fn of(action: &str) -> Self {
        let apply = first_call(action);
        let revert = Call { idempotency_key: "trial-revert".into(), ..apply.clone() };
        let observe = apply.clone();
        let host = MemoryHost { attempt: Cell::new(apply.attempt), ..MemoryHost::default() };
        Instance { host, apply, revert, observe, end: End::Interrupted }
    }

    /// Keeps how an attempt of apply ended.
    fn applied(&mut self, done: Result<RawDone, Failure>) -> Result<RawDone, Failure> {
        let attempt = self.apply.attempt;
        let written = |undo: &Option<Vec<u8>>| undo.clone().map(|undo| (attempt, undo));
        match &done {
            Ok(Done::Applied(applied)) => {
                self.host.undo.borrow_mut().extend(written(&applied.undo));
                self.end = End::Applied(Raw::json(applied.output.clone()));
            }
            Ok(Done::Accepted(accepted)) => {
                self.host.undo.borrow_mut().extend(written(&accepted.undo));
                self.end = End::Accepted(Raw::json(accepted.handle.clone()));
            }
            Err(failure) => {
                self.end = End::Failed { fault: failure.fault().clone(), handle: None };
                // Once interrupted, always interrupted: the next one cannot know more.
                if self.apply.prior != Prior::Interrupted {
                    self.apply.prior = Prior::Failed;
                }
            }
        }
        self.apply.attempt += 1;
        self.host.attempt.set(self.apply.attempt);
        done
    }

    fn evidence(&self) -> RawEvidence {
        let undo = self.host.undo.borrow();
        let undo = undo.iter().map(|(attempt, undo)| UndoRecord {
            task: self.apply.task.clone(),
            iteration: self.apply.iteration.clone(),
            attempt: *attempt,
            undo: Raw::json(undo.clone()),
        });
        RawEvidence { end: self.end.clone(), undo: undo.collect() }
    }

    /// Keeps that an attempt of revert was made.
    fn reverted(&mut self, said: Result<Option<Vec<u8>>, Failure>) -> Result<Option<Value>, Failure> {
        self.revert.attempt += 1;
        self.revert.prior = Prior::Interrupted;
        Ok(said?.map(|said| serde_json::from_slice(&said)).transpose()?)
    }

    fn undo<Undo: DeserializeOwned>(&self) -> Result<Vec<UndoRecord<Undo>>, Failure> {
        let records =
            self.evidence().undo.into_iter().map(|UndoRecord { task, iteration, attempt, undo }| {
                Ok(UndoRecord { task, iteration, attempt, undo: serde_json::from_slice(&undo.bytes)? })
            });
        records.collect()
    }
}

fn encoded(value: &impl Serialize) -> Result<Raw, Failure> {
    Ok(Raw::json(serde_json::to_vec(value)?))
}

fn raw(input: &Value) -> Raw {
    Raw::json(input.to_string().into_bytes())
}

pub(crate) fn first_call(action: &str) -> Call {
    Call {
        job: "trial".into(),
        task: action.into(),
        iteration: Vec::new(),
        action: action.into(),
        attempt: 1,
        scope_attempt: 1,
        prior: Prior::None,
        idempotency_key: "trial".into(),
        fence: 1,
        fired_for_ms: 0,
        deadline_ms: u64::MAX / 2,
        attributes: Vec::new(),
    }
}

impl MemoryHost {
    fn accept_write(&self) -> Result<(), Stop> {
        if self.only_reads.get() {
            return Err(Stop::Denied);
        }
        match self.writes_left.get() {
            Some(0) => Err(Stop::StoreDown),
            Some(left) => {
                self.writes_left.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Host for MemoryHost {
    fn undo_ahead(&self, undo: Vec<u8>) -> Result<(), Stop> {
        self.accept_write()?;
        self.undo.borrow_mut().push((self.attempt.get(), undo));
        Ok(())
    }

    fn note(&self, name: &str, value: &[u8]) -> Result<(), Stop> {
        self.accept_write()?;
        self.notes.borrow_mut().insert(name.into(), value.into());
        Ok(())
    }

    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, Stop> {
        Ok(self.notes.borrow().get(name).cloned())
    }

    fn progress(&self, fraction: f32, message: &str) -> Result<(), Stop> {
        self.progress.borrow_mut().push((fraction.clamp(0.0, 1.0), message.into()));
        Ok(())
    }

    fn alive(&self) -> Result<u64, Stop> {
        Ok(ALIVE_MS)
    }

    fn failures(&self) -> Vec<TaskFault> {
        self.failures.clone()
    }
}
