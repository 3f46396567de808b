//! What a guest prints: standard output, standard error and its log, as bounded lines for the journal.
//!
//! Invariant: one call hands over at most [`CALL_BYTES_MAX`] bytes, in lines of at most [`LINE_BYTES_MAX`], and one
//! more line that says so when there was more.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::executors::{Journal, Print};

/// Longer lines are handed over in pieces: a terminal shows no more, and memory for them is bounded.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// What one call may print. A guest that prints for ever must not fill the logbook.
const CALL_BYTES_MAX: usize = 256 * 1024;

/// What a guest may write at once, as WASI hosts commonly allow.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Stands where the rest of the output would be.
const TRUNCATED: &str = "output truncated: a call may print 256 KiB";

/// Ends a log line that was cut.
const CUT: &str = " [cut]";

/// Everything one call prints. Clones share the bounds.
#[derive(Clone)]
pub(super) struct Printer {
    journal: Arc<dyn Journal>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    printed_bytes: usize,
    was_truncated: bool,
}

impl Printer {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, state: Arc::default() }
    }

    /// The guest's end of standard output or standard error.
    pub(super) fn stream(&self, source: Print) -> Stream {
        Stream { printer: self.clone(), source }
    }

    /// A line of the guest's log. Cut, with a mark, where it is longer than a line may be.
    pub(super) fn log(&self, level: tracing::Level, mut message: String) {
        if message.len() > LINE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(LINE_BYTES_MAX - CUT.len()));
            message.push_str(CUT);
        }
        self.hand_over(&mut self.lock(), Print::Log(level), message);
    }

    /// Hands over what did not end in a line feed: the call is over, nothing follows.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        let (stdout, stderr) = (std::mem::take(&mut state.stdout), std::mem::take(&mut state.stderr));
        for (source, rest) in [(Print::Stdout, stdout), (Print::Stderr, stderr)] {
            if !rest.is_empty() {
                self.hand_over(&mut state, source, line(&rest));
            }
        }
    }

    fn write(&self, source: Print, bytes: &[u8]) {
        let mut state = self.lock();
        let mut pending = std::mem::take(state.pending(source));
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            // Nothing more is shown: do not hold on to it either.
            if state.was_truncated {
                pending.clear();
                break;
            }
            pending.extend_from_slice(part);
            while pending.len() > LINE_BYTES_MAX {
                let rest = pending.split_off(boundary(&pending));
                self.hand_over(&mut state, source, line(&pending));
                pending = rest;
            }
            if pending.last() == Some(&b'\n') {
                self.hand_over(&mut state, source, line(&pending));
                pending.clear();
            }
        }
        *state.pending(source) = pending;
    }

    fn hand_over(&self, state: &mut State, source: Print, text: String) {
        if state.was_truncated {
            return;
        }
        // An empty line costs something too.
        state.printed_bytes += text.len() + 1;
        if state.printed_bytes > CALL_BYTES_MAX {
            state.was_truncated = true;
            self.journal.print(source, TRUNCATED.to_owned());
        } else {
            self.journal.print(source, text);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pending(&mut self, source: Print) -> &mut Vec<u8> {
        match source {
            Print::Stdout => &mut self.stdout,
            Print::Stderr | Print::Log(_) => &mut self.stderr,
        }
    }
}

/// Where to cut an overlong line: not within a character.
fn boundary(bytes: &[u8]) -> usize {
    (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX)
        .rev()
        .find(|at| bytes.get(*at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000))
        .unwrap_or(LINE_BYTES_MAX)
}

fn line(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into_owned()
}

/// The guest's end of one standard stream. Never blocks, never fails.
pub(super) struct Stream {
    printer: Printer,
    source: Print,
}

impl Stream {
    fn again(&self) -> Self {
        self.printer.stream(self.source)
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.again())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.again())
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.printer.write(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.printer.write(self.source, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executors::Stop;
    use windlass_core::payload::Payload;

    #[derive(Default)]
    struct Lines(Mutex<Vec<(Print, String)>>);

    #[async_trait]
    impl Journal for Lines {
        async fn undo_ahead(&self, _: Payload) -> Result<(), Stop> {
            Err(Stop::Denied)
        }
        async fn note(&self, _: String, _: Vec<u8>) -> Result<(), Stop> {
            Err(Stop::Denied)
        }
        async fn recall(&self, _: String) -> Result<Option<Vec<u8>>, Stop> {
            Err(Stop::Denied)
        }
        async fn progress(&self, _: f32, _: String) -> Result<(), Stop> {
            Err(Stop::Denied)
        }
        fn stop(&self) -> Option<Stop> {
            None
        }
        fn print(&self, source: Print, text: String) {
            self.0.lock().unwrap().push((source, text));
        }
    }

    fn printed(act: impl FnOnce(&Printer)) -> Vec<(Print, String)> {
        let lines = Arc::new(Lines::default());
        let printer = Printer::new(lines.clone());
        act(&printer);
        printer.finish();
        let lines = lines.0.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn pieces_become_lines_and_streams_stay_apart() {
        let lines = printed(|printer| {
            printer.write(Print::Stdout, b"one\ntw");
            printer.write(Print::Stderr, b"oh no");
            printer.write(Print::Stdout, b"o\r\n\n");
        });
        let expected =
            [(Print::Stdout, "one"), (Print::Stdout, "two"), (Print::Stdout, ""), (Print::Stderr, "oh no")];
        assert_eq!(lines, expected.map(|(source, text)| (source, text.to_owned())));
    }

    #[test]
    fn overlong_lines_come_in_pieces_that_keep_characters_whole() {
        let text = "é".repeat(LINE_BYTES_MAX);
        let lines = printed(|printer| printer.write(Print::Stdout, format!("x{text}").as_bytes()));
        assert!(lines.iter().all(|(_, line)| line.len() <= LINE_BYTES_MAX));
        assert_eq!(lines.iter().map(|(_, line)| line.as_str()).collect::<String>(), format!("x{text}"));
    }

    #[test]
    fn a_call_that_prints_for_ever_is_cut_once() {
        let lines = printed(|printer| {
            for _ in 0..100_000 {
                printer.write(Print::Stdout, b"again\n");
                printer.log(tracing::Level::INFO, "again".to_owned());
            }
        });
        let bytes: usize = lines.iter().map(|(_, line)| line.len()).sum();
        assert!(bytes <= CALL_BYTES_MAX + TRUNCATED.len());
        assert_eq!(lines.iter().filter(|(_, line)| line == TRUNCATED).count(), 1);
        assert_eq!(lines.last().unwrap().1, TRUNCATED);
    }

    #[test]
    fn a_long_log_line_is_cut_with_a_mark() {
        let lines = printed(|printer| printer.log(tracing::Level::WARN, "é".repeat(LINE_BYTES_MAX)));
        assert!(lines[0].1.ends_with(CUT) && lines[0].1.len() <= LINE_BYTES_MAX);
    }
}
