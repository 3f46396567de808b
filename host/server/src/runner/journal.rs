//! The journal of a running call: what the guest makes durable, prints and reports.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex as SyncMutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use windlass_core::call::Function;
use windlass_core::decide::Decision;
use windlass_core::decide::outcome::CallName;
use windlass_core::entry::Line;
use windlass_core::payload::Payload;

use super::desk::Desk;
use crate::engine::Engine;
use crate::executors::{Journal, Print, Stop};
use crate::store::{Change, CommitError, Unit};

/// What guests print is written at most this often: it is not worth a commit of its own.
pub const FLUSH_PERIOD: Duration = Duration::from_secs(1);
/// Printed lines that wait to be written; beyond it the oldest are dropped with a mark.
const LINES_WAITING_MAX: usize = 4_096;
/// Undo records of one instance: a plugin that needs more writes a list into one of them.
const UNDO_RECORDS_MAX: usize = 1_000;
/// Bytes of all undo records of one instance: they travel with every commit of the instance.
const UNDO_BYTES_MAX: usize = 1 << 20;
/// Notes that one call may write: a checkpoint for every part of a large work, not a database.
const NOTES_MAX: usize = 1_000;
/// Bytes of the notes of one call: attempts are bounded, so this bounds what a plugin can put into the store.
const NOTES_BYTES_MAX: usize = 16 << 20;
const NONE: u8 = 0;
const CANCELLED: u8 = 1;
const LOST: u8 = 2;

/// See the module.
pub struct RunningJournal {
    engine: Arc<Engine>,
    desk: Arc<Desk>,
    call: CallName,
    stop: AtomicU8,
    noise: SyncMutex<Noise>,
    /// Bytes of the notes written by this call, by name.
    noted: SyncMutex<HashMap<String, usize>>,
}

#[derive(Default)]
struct Noise {
    lines: Vec<Line>,
    dropped: usize,
    progress: Option<(f32, String)>,
}

impl RunningJournal {
    pub fn new(engine: Arc<Engine>, desk: Arc<Desk>, call: CallName) -> Self {
        let (stop, noise, noted) = (AtomicU8::new(NONE), SyncMutex::default(), SyncMutex::default());
        Self { engine, desk, call, stop, noise, noted }
    }

    /// The job is being cancelled: the guest is told at its next call of the journal.
    pub fn cancel(&self) {
        // A lost claim outranks it.
        let _ = self.stop.compare_exchange(NONE, CANCELLED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Writes what was printed and reported since the last time. What cannot be written is kept for later.
    pub async fn flush(&self) {
        let noise = std::mem::take(&mut *self.noise());
        if noise.lines.is_empty() && noise.progress.is_none() {
            return;
        }
        let mut lines = noise.lines.clone();
        if noise.dropped > 0 {
            let text = format!("{} lines before this one were dropped: too many at once", noise.dropped);
            lines.insert(0, Line { at: self.engine.now(), source: "host".to_owned(), text });
        }
        let progress = noise.progress.clone();
        let written = self
            .record(|decision| decision.record_noise(&self.call, lines.clone(), progress.clone()).is_ok())
            .await;
        if written == Err(Stop::StoreDown) {
            let mut waiting = self.noise();
            let newer = std::mem::replace(&mut *waiting, noise);
            waiting.lines.extend(newer.lines);
            waiting.progress = newer.progress.or(waiting.progress.take());
        }
    }

    async fn record(&self, decide: impl Fn(&mut Decision<'_>) -> bool) -> Result<(), Stop> {
        let recorded = self.desk.try_record(decide).await;
        recorded.inspect_err(|stop| {
            if *stop == Stop::ClaimLost {
                self.lost();
            }
        })
    }

    /// Whether one more note keeps the call within its bounds.
    fn may_note(&self, name: &str, bytes: usize) -> bool {
        let mut noted = self.noted.lock().expect("nothing panics while it holds the notes");
        let others: usize = noted.iter().filter(|(other, _)| *other != name).map(|(_, bytes)| bytes).sum();
        let is_new = !noted.contains_key(name);
        if (is_new && noted.len() >= NOTES_MAX) || others + bytes > NOTES_BYTES_MAX {
            return false;
        }
        noted.insert(name.to_owned(), bytes);
        true
    }

    fn lost(&self) -> Stop {
        self.stop.store(LOST, Ordering::Relaxed);
        Stop::ClaimLost
    }

    fn noise(&self) -> std::sync::MutexGuard<'_, Noise> {
        self.noise.lock().expect("nothing panics while it holds the lines")
    }
}

#[async_trait]
impl Journal for RunningJournal {
    async fn undo_ahead(&self, undo: Payload) -> Result<(), Stop> {
        if self.call.function != Function::Apply {
            return Err(Stop::Denied);
        }
        if let Some(Stop::ClaimLost) = self.stop() {
            return Err(Stop::ClaimLost);
        }
        let kept = self.desk.read(|job| {
            let instance = job.instances.get(&self.call.task)?;
            Some((instance.undo.len(), instance.undo.iter().map(|undo| undo.bytes.len()).sum::<usize>()))
        });
        let Some((count, bytes)) = kept.await else { return Err(self.lost()) };
        if count >= UNDO_RECORDS_MAX || bytes + undo.bytes.len() > UNDO_BYTES_MAX {
            return Err(Stop::TooLarge);
        }
        self.record(|decision| decision.record_undo(&self.call, undo.clone()).is_ok()).await
    }

    async fn note(&self, name: String, value: Vec<u8>) -> Result<(), Stop> {
        // It has no effect, and so nothing to remember for a later attempt.
        if self.call.function == Function::Observe {
            return Err(Stop::Denied);
        }
        if !self.may_note(&name, value.len()) {
            return Err(Stop::TooLarge);
        }
        let (job, epoch) = (self.desk.id(), Some(self.desk.epoch));
        let task = self.call.task.clone();
        let note = Change::Note { job, epoch, task, name, value };
        match self.engine.commit(Unit::of(vec![note])).await {
            Ok(()) => Ok(()),
            Err(CommitError::Storage(_)) => Err(Stop::StoreDown),
            Err(_) => Err(self.lost()),
        }
    }

    async fn recall(&self, name: String) -> Result<Option<Vec<u8>>, Stop> {
        self.engine.store.note(self.desk.id(), &self.call.task, &name).await.map_err(|_| Stop::StoreDown)
    }

    async fn progress(&self, fraction: f32, message: String) -> Result<(), Stop> {
        self.engine.news.progress(self.desk.id(), &self.call.task, fraction, &message);
        self.noise().progress = Some((fraction, message));
        self.stop().map_or(Ok(()), Err)
    }

    fn stop(&self) -> Option<Stop> {
        match self.stop.load(Ordering::Relaxed) {
            CANCELLED => Some(Stop::Cancelled),
            LOST => Some(Stop::ClaimLost),
            _ => None,
        }
    }

    fn print(&self, source: Print, text: String) {
        let source = match source {
            Print::Stdout => "stdout".to_owned(),
            Print::Stderr => "stderr".to_owned(),
            Print::Log(level) => level.as_str().to_lowercase(),
        };
        let at = self.engine.now();
        let mut noise = self.noise();
        if noise.lines.len() >= LINES_WAITING_MAX {
            noise.lines.remove(0);
            noise.dropped += 1;
        }
        noise.lines.push(Line { at, source, text });
    }
}
