//! Phases: parts of a flow that are applied one after the other.

use serde::{Deserialize, Serialize};

/// Among the members of one flow, all of an earlier phase are applied before any of a later one begins, and they are
/// undone the other way round. Members without a phase are not ordered by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Reserve,
    Configure,
    Acquire,
}

impl Phase {
    pub fn word(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Configure => "configure",
            Self::Acquire => "acquire",
        }
    }
}
