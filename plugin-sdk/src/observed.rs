//! Observed actions: what they begin may finish elsewhere, and is looked at until it is there.
//!
//! Invariant: an observation changes nothing. It may be made at any time, any number of times, and by two hosts at once.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::action::{Applied, Evidence};
use crate::context::Context;
use crate::failure::{Failure, Fault};

/// An [`Action`](crate::Action) whose apply may answer that it has begun, and whose `observe` tells what became of it.
///
/// ```
/// use std::time::Duration;
/// use windlass_plugin::{Accepted, Context, Done, Evidence, Failure, Fault, Observation, ObservedAction};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # #[serde(crate = "serde")]
/// # pub struct Ticket { number: u64 }
/// # mod printer {
/// #     pub fn order(_: &str, _: &str) -> std::io::Result<u64> { Ok(7) }
/// #     pub fn find(_: &str) -> std::io::Result<Option<u64>> { Ok(Some(7)) }
/// #     pub enum State { Waits, Printed, Jammed }
/// #     pub fn state(_: u64) -> std::io::Result<State> { Ok(State::Printed) }
/// #     pub fn withdraw(_: &str) -> std::io::Result<()> { Ok(()) }
/// # }
///
/// /// Has a page printed.
/// pub struct Print;
///
/// impl ObservedAction for Print {
///     const NAME: &'static str = "print";
///     const DESCRIPTION: &'static str = "Has a page printed";
///     type Input = String;
///     type Output = ();
///     type Undo = ();
///     type Handle = Ticket;
///
///     fn apply(context: &Context<'_, ()>, page: String) -> Result<Done<(), (), Ticket>, Failure> {
///         // The printer knows orders by our key: a second attempt gets the ticket of the first.
///         let number = printer::order(context.idempotency_key(), &page)?;
///         Ok(Accepted::new(Ticket { number }).observe_after(Duration::from_secs(10)).into())
///     }
///
///     fn observe(
///         context: &Context<'_, ()>,
///         _: String,
///         evidence: Evidence<(), (), Ticket>,
///     ) -> Result<Observation<()>, Fault> {
///         let number = match evidence.handle() {
///             Some(ticket) => ticket.number,
///             // The host was lost while it ordered: did the order arrive?
///             None => match printer::find(context.idempotency_key())? {
///                 Some(number) => number,
///                 None => return Ok(Observation::absent()),
///             },
///         };
///         Ok(match printer::state(number)? {
///             printer::State::Waits => Observation::unknown(),
///             printer::State::Printed => Observation::Present(()),
///             // Half of a page may have come out: it is not begun anew, and revert is called.
///             printer::State::Jammed => Observation::failed("printer.jammed", "paper is stuck in it"),
///         })
///     }
///
///     fn revert(
///         context: &Context<'_, ()>,
///         _: String,
///         _: Evidence<(), (), Ticket>,
///     ) -> Result<Option<serde_json::Value>, Failure> {
///         printer::withdraw(context.idempotency_key())?;
///         Ok(None)
///     }
/// }
/// ```
pub trait ObservedAction {
    /// See [`Action::NAME`](crate::Action::NAME).
    const NAME: &'static str;
    /// See [`Action::DESCRIPTION`](crate::Action::DESCRIPTION).
    const DESCRIPTION: &'static str;
    /// See [`Action::REVERSIBLE`](crate::Action::REVERSIBLE).
    const REVERSIBLE: bool = true;

    /// See [`Action::Input`](crate::Action::Input).
    type Input: DeserializeOwned + JsonSchema;
    /// What it gives when it is there, at once or later.
    type Output: Serialize + DeserializeOwned + JsonSchema;
    /// See [`Action::Undo`](crate::Action::Undo).
    type Undo: Serialize + DeserializeOwned;
    /// What observation and revert need to find it again, such as the id that a service gave it. It is forgotten when the
    /// task is applied again, after which there is only that of the latest apply, if any: what must be undone belongs in
    /// undo records, which are kept of every attempt.
    type Handle: Serialize + DeserializeOwned;

    /// Does it, or begins it: [`Done::Applied`] where it is there already, [`Done::Accepted`] where it goes on
    /// elsewhere. Must be idempotent, as that of an [`Action`](crate::Action): a second attempt finds what the first
    /// one began.
    #[expect(clippy::type_complexity, reason = "an alias would hide the types that an action has")]
    fn apply(
        context: &Context<'_, Self::Undo>,
        input: Self::Input,
    ) -> Result<Done<Self::Output, Self::Undo, Self::Handle>, Failure>;

    /// Looks whether it is there, and changes nothing.
    ///
    /// Called after an accepted apply, with [`End::Accepted`](crate::End::Accepted) as evidence, until it is present, absent
    /// or failed, or the task's deadline for it has passed; and for a task in doubt whose policy is to look first, with
    /// [`End::Interrupted`](crate::End::Interrupted): then there is no handle, and it is looked for by the idempotency
    /// key, which is that of the apply. [`Context::attempt`] counts the observations. The journal takes no undo records
    /// and no notes from it.
    ///
    /// A fault is that of the observation, which could not be made, and says nothing about the task: it is asked again. `?`
    /// makes one of any error, as it makes a [`Failure`]. What is [`Observation::Unknown`] or [`Observation::Drifted`] is
    /// asked again likewise, until the deadline; for a task in doubt, a person has to look then.
    fn observe(
        context: &Context<'_, Self::Undo>,
        input: Self::Input,
        evidence: Evidence<Self::Output, Self::Undo, Self::Handle>,
    ) -> Result<Observation<Self::Output>, Fault>;

    /// Undoes it, however far it came: [`Evidence::handle`] where it was accepted and is not known to be there. What is
    /// still under way elsewhere must be called off, and must not appear afterwards.
    fn revert(
        context: &Context<'_, Self::Undo>,
        input: Self::Input,
        evidence: Evidence<Self::Output, Self::Undo, Self::Handle>,
    ) -> Result<Option<serde_json::Value>, Failure>;
}

/// An apply that did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Done<Output, Undo, Handle> {
    /// It is there.
    Applied(Applied<Output, Undo>),
    /// It is under way elsewhere.
    Accepted(Accepted<Handle, Undo>),
}

/// An apply that has begun what goes on elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted<Handle, Undo> {
    pub handle: Handle,
    /// A last undo record, see [`Applied::undo`].
    pub undo: Option<Undo>,
    /// When it makes sense to look for the first time, a day at most; after the first of the task's own pauses where that
    /// is not said.
    pub observe_after: Option<Duration>,
}

impl<Handle, Undo> Accepted<Handle, Undo> {
    pub fn new(handle: Handle) -> Self {
        Accepted { handle, undo: None, observe_after: None }
    }

    /// Not to be looked at before this time has passed.
    #[must_use]
    pub fn observe_after(mut self, pause: Duration) -> Self {
        self.observe_after = Some(pause);
        self
    }

    #[must_use]
    pub fn with_undo(mut self, undo: Undo) -> Self {
        self.undo = Some(undo);
        self
    }
}

impl<Output, Undo, Handle> From<Applied<Output, Undo>> for Done<Output, Undo, Handle> {
    fn from(applied: Applied<Output, Undo>) -> Self {
        Done::Applied(applied)
    }
}

impl<Output, Undo, Handle> From<Accepted<Handle, Undo>> for Done<Output, Undo, Handle> {
    fn from(accepted: Accepted<Handle, Undo>) -> Self {
        Done::Accepted(accepted)
    }
}

/// What an observation has found.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation<Output> {
    /// It is there, as it was asked for: the task is applied, with this output.
    Present(Output),
    /// It is not there and never will be by itself: it was refused, is gone, or was never begun. An accepted task has failed,
    /// with this fault; one in doubt is applied anew.
    Absent(Option<Fault>),
    /// It was begun, and has failed for good; effects may exist. The task has failed with this fault, be it accepted or in
    /// doubt: it is not applied anew, and its revert is called.
    Failed(Fault),
    /// It is there, but not as it was asked for. Asked again until the deadline, with the fault in the logbook.
    Drifted(Option<Fault>),
    /// Not to be told yet: ask again, after this time where one is said, otherwise after the task's own pause.
    Unknown { after: Option<Duration> },
}

impl<Output> Observation<Output> {
    /// It is not there and never will be by itself, for no reason that is known.
    pub fn absent() -> Self {
        Observation::Absent(None)
    }

    /// It is not there and never will be by itself: it was refused, or is gone.
    pub fn absent_because(class: impl Into<String>, message: impl Into<String>) -> Self {
        Observation::Absent(Some(Fault::new(class, message)))
    }

    /// It was begun, and has failed for good: undo what there is of it.
    pub fn failed(class: impl Into<String>, message: impl Into<String>) -> Self {
        Observation::Failed(Fault::new(class, message))
    }

    /// It is there, but not as it was asked for.
    pub fn drifted(class: impl Into<String>, message: impl Into<String>) -> Self {
        Observation::Drifted(Some(Fault::new(class, message)))
    }

    /// Ask again, after the task's own pause.
    pub fn unknown() -> Self {
        Observation::Unknown { after: None }
    }

    /// Ask again, not before this time has passed.
    pub fn unknown_for(pause: Duration) -> Self {
        Observation::Unknown { after: Some(pause) }
    }
}
