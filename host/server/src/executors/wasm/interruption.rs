//! Interruptions: how a call ends when the guest does not return.

use std::time::Duration;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use windlass_core::call::Outcome;
use windlass_core::fault::{Fault, HOST_MEMORY, HOST_OUTPUT, HOST_TIMEOUT, HOST_TRAP, HOST_UNAVAILABLE};

/// One line of a backtrace; mangled names can be boundless.
const FRAME_BYTES_MAX: usize = 512;

/// Lines of a backtrace that a fault keeps.
const FRAMES_MAX: usize = 24;

/// What the engine says of an error; components can choose parts of it.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// How wasmtime says that a guest handed over more at once than the store allows. Its type is private.
const HANDED_OVER_TOO_MUCH: &str = "fuel allocated for hostcalls has been exhausted";

/// Ends a guest that computes past its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the deadline has passed")]
pub(super) struct DeadlinePassed;

/// The outcome of a call that was cut at its deadline.
pub(super) fn timed_out(timeout: Duration) -> Outcome {
    broken(HOST_TIMEOUT, format!("the call was still running at its deadline, {timeout:?} after it began"))
}

/// The outcome of a call that ended in an error of the engine.
pub(super) fn outcome(error: &wasmtime::Error, timeout: Duration, memory_bytes_max: Option<u64>) -> Outcome {
    if error.is::<DeadlinePassed>() || matches!(error.downcast_ref(), Some(Trap::Interrupt)) {
        return timed_out(timeout);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        let fault =
            Fault::new(HOST_UNAVAILABLE, "the host has no room for one more instance; it will try again");
        return Outcome::Retry { fault, after_ms: None };
    }
    // A guest that is refused memory seldom says so: it aborts.
    if let Some(bytes_max) = memory_bytes_max {
        let message =
            format!("the plugin asked for more memory than it is granted, {bytes_max} bytes, and ended");
        return with_backtrace(HOST_MEMORY, message, error);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return broken(HOST_TRAP, format!("the plugin exited with status {} instead of returning", exit.0));
    }
    let text = error.root_cause().to_string();
    if text.contains(HANDED_OVER_TOO_MUCH) {
        return broken(
            HOST_OUTPUT,
            "the plugin handed over more data at once than the host takes".to_owned(),
        );
    }
    with_backtrace(HOST_TRAP, cut(text, MESSAGE_BYTES_MAX), error)
}

fn with_backtrace(class: &str, message: String, error: &wasmtime::Error) -> Outcome {
    let mut fault = Fault::new(class, message);
    if class != HOST_TRAP {
        fault.causes.push(cut(error.root_cause().to_string(), MESSAGE_BYTES_MAX));
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let lines = backtrace.to_string();
        fault.causes.extend(
            // The first line is a heading.
            lines.lines().skip(1).take(FRAMES_MAX).map(|line| cut(line.trim().to_owned(), FRAME_BYTES_MAX)),
        );
    }
    Outcome::Broken { fault }
}

fn broken(class: &str, message: String) -> Outcome {
    Outcome::Broken { fault: Fault::new(class, message) }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(error: impl Into<wasmtime::Error>, memory_bytes_max: Option<u64>) -> Fault {
        match outcome(&error.into(), Duration::from_millis(200), memory_bytes_max) {
            Outcome::Broken { fault } => fault,
            other => panic!("not broken: {other:?}"),
        }
    }

    #[test]
    fn each_end_has_its_class() {
        assert_eq!(fault(DeadlinePassed, None).class, HOST_TIMEOUT);
        // A deadline that passed while the guest was short of memory is still a deadline.
        assert_eq!(fault(DeadlinePassed, Some(1)).class, HOST_TIMEOUT);
        assert_eq!(fault(Trap::UnreachableCodeReached, None).class, HOST_TRAP);
        assert_eq!(fault(Trap::UnreachableCodeReached, Some(1)).class, HOST_MEMORY);
        assert_eq!(fault(I32Exit(1), Some(1)).class, HOST_MEMORY);
        let exit = fault(I32Exit(3), None);
        assert_eq!(exit.class, HOST_TRAP);
        assert!(exit.message.contains("status 3"), "{}", exit.message);
    }

    #[test]
    fn what_the_engine_says_is_bounded() {
        let fault = fault(wasmtime::Error::msg("é".repeat(MESSAGE_BYTES_MAX)), None);
        assert!(fault.message.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
    }
}
