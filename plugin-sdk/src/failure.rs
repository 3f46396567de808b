//! Failures: why a call did not do what it should, as data, and what the host shall make of it.
//!
//! Invariant: an error that nobody classified is `broken`, for it may have left effects behind.

use std::any::Any;
use std::error::Error;
use std::io;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::journal::{JournalError, Stop};

/// Causes kept of one error. Chains are short; a source that leads back to itself must not hang the plugin.
const CAUSES_MAX: usize = 16;

/// A failure as data. It travels through the logbook to people and to reverts.
///
/// `?` makes one of any [`std::error::Error`] and of a [`Failure`], where only a fault is wanted, as of an observation.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// A stable, dotted name that programs may match. Those that start with `host.` are the host's own.
    pub class: String,
    pub message: String,
    /// What led to it, the nearest first.
    pub causes: Vec<String>,
    /// Anything more, as JSON.
    pub detail: Option<Value>,
}

/// How a call failed, and what follows from it.
///
/// `?` on any [`std::error::Error`] makes a [`Failure::Broken`]: its message becomes the message, its sources the
/// causes, and the class is `plugin.io` for [`io::Error`] and `plugin.error` for the rest. Name a class of your own
/// where somebody may want to tell the failure from others:
///
/// ```
/// # use windlass_plugin::Failure;
/// fn read(path: &str) -> Result<Vec<u8>, Failure> {
///     std::fs::read(path).map_err(|error| {
///         Failure::reject("archive.missing", format!("{path}: cannot be read")).because(&error)
///     })
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// Try again, not before `after` where that is said; otherwise the host backs off. Effects may exist.
    Retry { fault: Fault, after: Option<Duration> },
    /// Permanent, and *this call* did nothing: alone, it needs no revert.
    Reject(Fault),
    /// Permanent, and effects may exist: revert me.
    Broken(Fault),
}

impl Fault {
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Fault { class: class.into(), message: message.into(), causes: Vec::new(), detail: None }
    }

    /// Adds an error and its sources to the causes.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        self.causes.push(error.to_string());
        self.causes.extend(sources(error));
        self
    }

    /// Adds data, as JSON. Data that has no JSON form is told as a cause instead.
    #[must_use]
    pub fn detail(mut self, detail: &impl Serialize) -> Self {
        match serde_json::to_value(detail) {
            Ok(value) => self.detail = Some(value),
            Err(error) => self.causes.push(format!("the detail has no JSON form: {error}")),
        }
        self
    }
}

impl Failure {
    /// Try again: the cause is passing, such as a service that does not answer.
    pub fn retry(class: impl Into<String>, message: impl Into<String>) -> Self {
        Failure::Retry { fault: Fault::new(class, message), after: None }
    }

    /// Permanent, and this call had no effect whatever.
    pub fn reject(class: impl Into<String>, message: impl Into<String>) -> Self {
        Failure::Reject(Fault::new(class, message))
    }

    /// Permanent, and there may be something to undo.
    pub fn broken(class: impl Into<String>, message: impl Into<String>) -> Self {
        Failure::Broken(Fault::new(class, message))
    }

    /// Not before this time has passed. Means something for [`Failure::Retry`] only.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        if let Failure::Retry { after, .. } = &mut self {
            *after = Some(pause);
        }
        self
    }

    /// As [`Fault::because`].
    #[must_use]
    pub fn because(self, error: &(dyn Error + 'static)) -> Self {
        self.map(|fault| fault.because(error))
    }

    /// As [`Fault::detail`].
    #[must_use]
    pub fn detail(self, detail: &impl Serialize) -> Self {
        self.map(|fault| fault.detail(detail))
    }

    /// The failure itself, whatever follows from it.
    pub fn fault(&self) -> &Fault {
        match self {
            Failure::Retry { fault, .. } | Failure::Reject(fault) | Failure::Broken(fault) => fault,
        }
    }

    fn map(self, change: impl FnOnce(Fault) -> Fault) -> Self {
        match self {
            Failure::Retry { fault, after } => Failure::Retry { fault: change(fault), after },
            Failure::Reject(fault) => Failure::Reject(change(fault)),
            Failure::Broken(fault) => Failure::Broken(change(fault)),
        }
    }
}

/// An error that nobody classified may have left effects: broken. Refusals of the journal are told apart, see
/// [`JournalError`].
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        let failure = match any.downcast_ref::<JournalError>() {
            Some(JournalError::Stopped(Stop::TooLarge | Stop::Denied)) => {
                Failure::broken("plugin.journal", error.to_string())
            }
            // Whether the job goes on, elsewhere or at all, is the host's to decide.
            Some(JournalError::Stopped(Stop::ClaimLost | Stop::Cancelled | Stop::StoreDown)) => {
                Failure::retry("plugin.stopped", error.to_string())
            }
            Some(JournalError::Encoding { .. } | JournalError::Decoding { .. }) => {
                Failure::broken("plugin.journal", error.to_string())
            }
            None if any.is::<io::Error>() => Failure::broken("plugin.io", error.to_string()),
            None => Failure::broken("plugin.error", error.to_string()),
        };
        failure.map(|fault| Fault { causes: sources(&error), ..fault })
    }
}

/// A fault that nobody classified may have left effects: broken.
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Broken(fault)
    }
}

/// What should follow from the failure is left out.
impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { fault, .. } | Failure::Reject(fault) | Failure::Broken(fault) => fault,
        }
    }
}

impl<E: Error + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        Failure::from(error).into()
    }
}

fn sources(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next.filter(|_| causes.len() < CAUSES_MAX) {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the index cannot be read")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_unclassified_error_is_broken_with_its_causes() {
        let given = || -> Result<(), Failure> { Err(Outer(io::Error::other("the disk is on fire")))? };
        let Err(Failure::Broken(fault)) = given() else { panic!("must be broken") };
        assert_eq!(fault.class, "plugin.error");
        assert_eq!(fault.message, "the index cannot be read");
        assert_eq!(fault.causes, ["the disk is on fire"]);
    }

    #[test]
    fn an_io_error_has_a_class_of_its_own() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(failure.fault().class, "plugin.io");
    }

    #[test]
    fn a_lost_claim_is_tried_again_and_a_denied_write_is_broken() {
        let lost = Failure::from(JournalError::Stopped(Stop::ClaimLost));
        assert!(matches!(lost, Failure::Retry { .. }), "{lost:?}");
        let denied = Failure::from(JournalError::Stopped(Stop::Denied));
        assert!(matches!(denied, Failure::Broken(_)), "{denied:?}");
    }

    #[test]
    fn where_only_a_fault_is_wanted_errors_and_failures_make_one_and_it_makes_a_broken_one() {
        let of_error = || -> Result<(), Fault> { Err(Outer(io::Error::other("the disk is on fire")))? };
        let fault = of_error().unwrap_err();
        assert_eq!((fault.class.as_str(), fault.causes.len()), ("plugin.error", 1));
        let of_failure = || -> Result<(), Fault> { Err(Failure::retry("busy", "not now").detail(&7))? };
        let fault = of_failure().unwrap_err();
        assert_eq!(fault, Fault::new("busy", "not now").detail(&7));
        assert_eq!(Failure::from(fault.clone()), Failure::Broken(fault));
    }

    #[test]
    fn only_retry_has_a_pause() {
        let pause = Duration::from_millis(20);
        assert!(matches!(Failure::retry("a", "b").after(pause), Failure::Retry { after: Some(_), .. }));
        assert_eq!(Failure::reject("a", "b").after(pause), Failure::reject("a", "b"));
    }
}
