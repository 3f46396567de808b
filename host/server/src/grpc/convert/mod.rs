//! Conversion between the wire and the core, a file per noun.
//!
//! From the wire, conversion is validation: a function takes the list of problems and the path of its field, adds
//! everything that is wrong, and goes on with something harmless in its place. [`checked`] ends it: nothing converted
//! leaves while there is a problem. To the wire, nothing can go wrong.

use std::str::FromStr;

use windlass_core::problem::Problems;

use crate::engine::EngineError;

pub mod child;
pub mod demand;
pub mod entry;
pub mod event;
pub mod field;
pub mod grants;
pub mod host;
pub mod input;
pub mod instance;
pub mod job;
pub mod json;
pub mod mask;
pub mod operation;
pub mod plugin;
pub mod retry;
pub mod schedule;
pub mod scope;
pub mod stored_flow;
pub mod submission;
pub mod time;
pub mod trigger;
pub mod wait;
pub mod work;

#[cfg(test)]
mod tests;

/// What was converted, where nothing was wrong with it.
pub fn checked<T>(problems: Problems, value: T) -> Result<T, EngineError> {
    Ok(problems.or(value)?)
}

/// An id in its text form.
pub fn id<T: FromStr>(path: &str, text: &str) -> Result<T, EngineError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| EngineError::invalid(path, error.to_string()))
}

/// The etag of a revision; see [`revision`].
pub fn etag(revision: u64) -> String {
    revision.to_string()
}

/// The revision that a client has seen; `None` where it asks for no check.
pub fn revision(path: &str, etag: &str) -> Result<Option<u64>, EngineError> {
    match etag {
        "" => Ok(None),
        etag => etag.parse().map(Some).map_err(|_| {
            EngineError::invalid(
                path,
                format!("{etag:?} is not an etag of this host: give one as it was answered"),
            )
        }),
    }
}

/// A text that may be left out.
pub fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A known value of an enumeration.
pub fn known<E: TryFrom<i32>>(problems: &mut Problems, path: &str, value: i32) -> Option<E> {
    let known = E::try_from(value).ok();
    if known.is_none() {
        problems
            .add(path, format!("{value} is not known to this host: give one of the values of windlass.v1"));
    }
    known
}
