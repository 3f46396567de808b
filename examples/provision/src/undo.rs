//! Undo records: of one type for all actions, so that one revert can undo what all of them did.
//!
//! Invariant: undoing twice is undoing once, and undoing what was never done is nothing.

use serde::{Deserialize, Serialize};
use windlass_plugin::Failure;

use crate::place::Place;
use crate::{acquire, configure, reserve};

/// What one effect needs to be undone, written ahead of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    Address(reserve::Taken),
    Configuration(configure::Written),
    Machine(acquire::Asked),
}

/// Undoes all of it, the newest first: the machine goes before the address that it uses is given to somebody else. Ends
/// at the first that cannot be undone, with what comes after it left as it is. What was done, for people.
pub fn undo_all<P: Place>(records: &[Undo]) -> Result<Vec<String>, Failure> {
    let mut said = Vec::new();
    for record in records.iter().rev() {
        said.extend(match record {
            Undo::Address(taken) => reserve::give_back::<P>(taken)?,
            Undo::Configuration(written) => configure::restore::<P>(written)?,
            Undo::Machine(asked) => acquire::withdraw::<P>(asked)?,
        });
    }
    Ok(said)
}
