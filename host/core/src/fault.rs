//! Faults: failures as data, kept as they were given.

use serde::{Deserialize, Serialize};

use crate::payload::Payload;

/// What went wrong. `class` is a stable dotted name that programs may match; those that start with
/// `host.` are the host's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub class: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Payload>,
}

impl Fault {
    pub fn new(class: &str, message: impl Into<String>) -> Self {
        Self { class: class.to_owned(), message: message.into(), causes: Vec::new(), detail: None }
    }
}

/// The guest trapped.
pub const HOST_TRAP: &str = "host.trap";
/// The call outlived its deadline.
pub const HOST_TIMEOUT: &str = "host.timeout";
/// The guest asked for more memory than it was granted.
pub const HOST_MEMORY: &str = "host.memory";
/// The guest returned more than may be kept, or something that is not what it declares.
pub const HOST_OUTPUT: &str = "host.output";
/// The plugin could not be called at all: its compiled form is missing, a grant cannot be honoured.
pub const HOST_UNAVAILABLE: &str = "host.unavailable";
/// The host was lost while it was applied, and the task asks to be undone then.
pub const HOST_IN_DOUBT: &str = "host.in_doubt";
/// A condition, or what makes a scope run again, could not be evaluated.
pub const HOST_EXPRESSION: &str = "host.expression";
/// A scope that is tried for each value of a list has nothing to try.
pub const HOST_NOTHING_TO_TRY: &str = "host.nothing_to_try";
/// What a scope runs for is no list, or too long a one.
pub const HOST_LIST: &str = "host.list";
/// The condition of a repeated scope did not hold after its last round.
pub const HOST_ROUNDS: &str = "host.rounds";
/// What the revert of a flow would be told is more than a call is told.
pub const HOST_EVIDENCE: &str = "host.evidence";
/// The job has more task instances than one job may have.
pub const HOST_INSTANCES: &str = "host.instances";
/// What was accepted is not there, and the plugin did not say more.
pub const HOST_ABSENT: &str = "host.absent";
/// What was accepted was not ready in time.
pub const HOST_LATE: &str = "host.late";
/// Whoever was asked said no.
pub const HOST_REFUSED: &str = "host.refused";
/// Nobody answered, or no event came, in time.
pub const HOST_NO_ANSWER: &str = "host.no_answer";
/// A child job did not succeed, and no task of it is to blame.
pub const HOST_CHILD: &str = "host.child";
/// What a sleep lasts until is no time, or too far away.
pub const HOST_TIME: &str = "host.time";
