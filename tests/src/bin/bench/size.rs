//! How much is done of everything: the full sizes are those of the targets, the quick ones show that it works.

use std::time::Duration;

use crate::arguments::Arguments;

/// Rounds of what takes seconds, and of what takes half a minute.
const ROUNDS: usize = 5;
const ROUNDS_OF_LONG: usize = 3;

/// See the module.
#[derive(Debug, Clone)]
pub struct Size {
    pub rounds: usize,
    pub rounds_of_long: usize,
    /// How long a rate is measured.
    pub span: Duration,
    /// Jobs that are scheduled for later.
    pub scheduled: usize,
    /// Jobs that are due at one instant.
    pub due: usize,
    /// Finished jobs in the large store.
    pub finished: usize,
    /// Jobs that are acknowledged when the host is killed.
    pub killed: usize,
}

impl Size {
    pub fn of(arguments: &Arguments) -> Self {
        let size = if arguments.is_quick { Self::quick() } else { Self::full() };
        let rounds = arguments.rounds;
        Self {
            rounds: rounds.unwrap_or(size.rounds),
            rounds_of_long: rounds.unwrap_or(size.rounds_of_long),
            span: arguments.span.unwrap_or(size.span),
            ..size
        }
    }

    fn full() -> Self {
        Self {
            rounds: ROUNDS,
            rounds_of_long: ROUNDS_OF_LONG,
            span: Duration::from_secs(2),
            scheduled: 100_000,
            due: 10_000,
            finished: 1_000_000,
            killed: 4_000,
        }
    }

    fn quick() -> Self {
        Self {
            rounds: 1,
            rounds_of_long: 1,
            span: Duration::from_secs(1),
            scheduled: 5_000,
            due: 1_000,
            finished: 20_000,
            killed: 1_000,
        }
    }
}
