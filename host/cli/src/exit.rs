//! Exit codes: what a script may conclude from the end of `windlass`.
//!
//! Invariant: a code never changes its meaning.

use std::process::ExitCode;

use tonic::Code;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// A job that was waited for did not end as asked.
    JobEndedOtherwise = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Unavailable = 5,
    TimedOut = 6,
    Broken = 7,
    /// What is kept is damaged.
    Damaged = 8,
}

/// The table in `windlass --help`.
pub const TABLE: &str = "\
Exit codes:
  0  done; with --wait, and for `job wait` and `job watch`: the job ended as asked
  1  the job that was waited for ended otherwise (failed, reverted, dropped, ...)
  2  the command line, or a file that it names, is wrong
  3  what was named does not exist
  4  refused: invalid, not in this state, exists already, changed meanwhile,
     not permitted, or beyond a limit
  5  the host cannot be reached, or is not ready
  6  the time that was given is up
  7  something broke: in the host, or in this program
  8  what is kept is damaged: `store check` found something wrong, or the
     store cannot be written down whole

Times are RFC 3339 (2026-11-21T08:00:00Z) or from now (+90s, +1h30m).
Durations are like 500ms, 90s, 5m, 1h30m, 7d.";

impl Exit {
    /// What a status of the host means to a script.
    pub fn of(code: Code) -> Self {
        match code {
            Code::Ok => Self::Done,
            Code::NotFound => Self::NotFound,
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::Aborted
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::ResourceExhausted
            | Code::OutOfRange => Self::Refused,
            Code::Unavailable => Self::Unavailable,
            Code::DeadlineExceeded => Self::TimedOut,
            Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal => Self::Broken,
            Code::DataLoss => Self::Damaged,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_code() {
        for exit in [
            Exit::Done,
            Exit::JobEndedOtherwise,
            Exit::Usage,
            Exit::NotFound,
            Exit::Refused,
            Exit::Unavailable,
            Exit::TimedOut,
            Exit::Broken,
            Exit::Damaged,
        ] {
            assert!(TABLE.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
