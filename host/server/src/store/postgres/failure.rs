//! What PostgreSQL answers, by what the store does about it.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::StoreFailure;

/// What to do about an error of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The transaction was rolled back because of another one: the same again may pass.
    Again,
    /// The connection is gone, and what was asked last may have been done.
    Reconnect,
    /// Asking again gives the same answer.
    Refuse,
}

pub(super) fn remedy(error: &Error) -> Remedy {
    let Some(code) = error.code() else { return Remedy::Reconnect };
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        | SqlState::UNIQUE_VIOLATION
        | SqlState::FOREIGN_KEY_VIOLATION
        | SqlState::LOCK_NOT_AVAILABLE => Remedy::Again,
        // The server sends these with its farewell.
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        | SqlState::READ_ONLY_SQL_TRANSACTION => Remedy::Reconnect,
        _ if code.code().starts_with("08") => Remedy::Reconnect,
        _ => Remedy::Refuse,
    }
}

pub(super) fn failure(error: &Error) -> StoreFailure {
    match error.code() {
        Some(&SqlState::DISK_FULL) => StoreFailure::Full,
        Some(code) if code.code().starts_with("XX") => StoreFailure::Corrupt(text(error)),
        _ => StoreFailure::Down(text(error)),
    }
}

/// The error with what led to it, on one line. PostgreSQL's errors hold no password.
pub(super) fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
