//! What a guest may ask of its host: the journal, the job's failures, the log.
//!
//! The journal decides what is durable and who still holds the claim; here are only the bounds, and
//! which function may write what.

use std::time::Instant;

use windlass_core::call::Function;

use super::bindings::{job, journal, log, types};
use super::convert;
use super::store_data::CallState;
use crate::executors::Stop;

/// The name of a note is a key.
const NOTE_NAME_BYTES_MAX: usize = 256;

/// A note is a checkpoint, not a store: larger data belongs into a granted directory.
const NOTE_VALUE_BYTES_MAX: usize = 64 * 1024;

/// A progress message is one line on a screen.
const PROGRESS_MESSAGE_BYTES_MAX: usize = 4 * 1024;

impl types::Host for CallState {}

impl journal::Host for CallState {
    async fn undo_ahead(&mut self, undo: types::Payload) -> Result<(), journal::Stop> {
        if self.function != Function::Apply {
            return Err(journal::Stop::Denied);
        }
        let undo = convert::payload(undo, self.output_bytes_max).map_err(|_| journal::Stop::TooLarge)?;
        self.journal.undo_ahead(undo).await.map_err(stop)
    }

    async fn note(&mut self, name: String, value: Vec<u8>) -> Result<(), journal::Stop> {
        // An observation changes nothing: it may be made twice, or by two hosts at once.
        if self.function == Function::Observe {
            return Err(journal::Stop::Denied);
        }
        if name.len() > NOTE_NAME_BYTES_MAX || value.len() > NOTE_VALUE_BYTES_MAX {
            return Err(journal::Stop::TooLarge);
        }
        self.journal.note(name, value).await.map_err(stop)
    }

    async fn recall(&mut self, name: String) -> Result<Option<Vec<u8>>, journal::Stop> {
        if name.len() > NOTE_NAME_BYTES_MAX {
            return Err(journal::Stop::TooLarge);
        }
        self.journal.recall(name).await.map_err(stop)
    }

    async fn progress(&mut self, fraction: f32, message: String) -> Result<(), journal::Stop> {
        if message.len() > PROGRESS_MESSAGE_BYTES_MAX {
            return Err(journal::Stop::TooLarge);
        }
        self.journal.progress(clamp(fraction), message).await.map_err(stop)
    }

    async fn alive(&mut self) -> Result<u64, journal::Stop> {
        match self.journal.stop() {
            Some(reason) => Err(stop(reason)),
            None => {
                let left = self.deadline.saturating_duration_since(Instant::now());
                Ok(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
            }
        }
    }
}

impl job::Host for CallState {
    fn failures(&mut self) -> Vec<types::TaskFault> {
        self.failures.iter().map(|(name, fault)| convert::to_guest_failure(name, fault)).collect()
    }
}

impl log::Host for CallState {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Trace => tracing::Level::TRACE,
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        self.printer.log(level, message);
    }
}

/// What is no number is no progress.
fn clamp(fraction: f32) -> f32 {
    if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) }
}

fn stop(reason: Stop) -> journal::Stop {
    match reason {
        Stop::ClaimLost => journal::Stop::ClaimLost,
        Stop::Cancelled => journal::Stop::Cancelled,
        Stop::Denied => journal::Stop::Denied,
        Stop::TooLarge => journal::Stop::TooLarge,
        Stop::StoreDown => journal::Stop::StoreDown,
    }
}

#[cfg(test)]
mod tests {
    use super::clamp;

    #[test]
    fn progress_is_always_within_zero_and_one() {
        let cases = [
            (0.5, 0.5),
            (-1.0, 0.0),
            (7.0, 1.0),
            (f32::NAN, 0.0),
            (f32::INFINITY, 1.0),
            (f32::NEG_INFINITY, 0.0),
        ];
        for (told, kept) in cases {
            assert_eq!(clamp(told), kept, "{told}");
        }
    }
}
