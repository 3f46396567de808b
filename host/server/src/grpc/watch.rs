//! Watches: a job as it goes on.
//!
//! Entries are read from the store, in order; bulletins only say that there are some. Progress is passed on as it is
//! made, between the entries that begin and end its call.
//!
//! Invariants:
//! - Entries are sent without gap or duplicate, whatever bulletins are lost.
//! - A slow client makes its watch wait: nothing piles up but a bounded number of messages and bulletins.
//! - Why a watch ended is told also to a client that has not read all before it: there is a place kept for that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use windlass_core::entry::{Entry, Fact};
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::Job;
use windlass_proto::v1;
use windlass_proto::v1::watch_job_response::Event;

use crate::engine::news::Bulletin;
use crate::engine::{Engine, EngineError, StoreFailure};
use crate::grpc::convert::time::timestamp;
use crate::grpc::convert::{entry, instance, job};
use crate::grpc::status::draining;

/// Messages that wait for a slow client; each may carry a whole output.
const MESSAGES_MAX: usize = 4;
/// Entries that are read at once; each may carry a whole output.
const ENTRIES_MAX: usize = 32;
/// A message is sent at least this often, so that both sides know that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Bulletins may be lost: the store is looked at at least this often.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// How soon it is looked at again where it did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

type Message = Result<v1::WatchJobResponse, Status>;

/// See the module.
pub(super) struct Watch {
    engine: Arc<Engine>,
    job: JobId,
    principal: String,
    /// The last entry that was sent, or that the client has seen before.
    seen: u64,
    /// Calls that have begun and not ended as of that entry, with the last progress that was told.
    calls: BTreeMap<InstanceName, f32>,
    client: Client,
    /// The place of the last message.
    farewell: OwnedPermit<Message>,
}

/// Why a watch ends.
enum Stop {
    /// The client hung up.
    Left,
    /// The host stops.
    Draining,
    Refused(EngineError),
}

impl Stop {
    /// The store did not answer, and will again.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Refused(EngineError::Storage(StoreFailure::Down(_) | StoreFailure::Full)))
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Refused(error)
    }
}

impl Watch {
    /// Begins to watch; what there is to see comes through the channel.
    pub async fn begin(
        engine: &Arc<Engine>,
        stopping: &CancellationToken,
        id: JobId,
        principal: &str,
        from_sequence: u64,
    ) -> Result<mpsc::Receiver<Message>, Status> {
        // Subscribed before the job is read: nothing happens in between unnoticed.
        let news = engine.news.subscribe(id);
        let job = engine.job(id, principal).await?;
        let seen = from_sequence.saturating_sub(1);
        if seen > job.status.sequence {
            let message = format!(
                "job {id} has {} entries: watch from {} at most",
                job.status.sequence,
                job.status.sequence + 1
            );
            return Err(Status::out_of_range(message));
        }
        let (tell, told) = mpsc::channel(MESSAGES_MAX + 1);
        let farewell = tell.clone().try_reserve_owned().expect("there is room before the first message");
        let client = Client { tell, stopping: stopping.clone(), last: Instant::now() };
        let (engine, principal) = (engine.clone(), principal.to_owned());
        let watch = Self { engine, job: id, principal, seen, calls: BTreeMap::new(), client, farewell };
        tokio::spawn(watch.run(job, news));
        Ok(told)
    }

    async fn run(mut self, job: Job, news: Receiver<Bulletin>) {
        let stop = match self.follow(job, news).await {
            Ok(()) | Err(Stop::Left) => return,
            Err(Stop::Draining) => draining(&format!("watch on from {}", self.seen + 1)),
            Err(Stop::Refused(error)) => error.into(),
        };
        self.farewell.send(Err(stop));
    }

    async fn follow(&mut self, job: Job, mut news: Receiver<Bulletin>) -> Result<(), Stop> {
        self.client.send(Event::Job(job::to_wire(&job))).await?;
        match self.catch_up(&job).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(stop) if stop.is_passing() => {}
            Err(stop) => return Err(stop),
        }
        self.calls = job.in_flight().map(|instance| (instance.name.clone(), 0.0)).collect();
        let mut look_at = Instant::now() + LOOK_PERIOD;
        loop {
            let (tell, stopping) = (self.client.tell.clone(), self.client.stopping.clone());
            let looked = tokio::select! {
                () = tell.closed() => return Err(Stop::Left),
                () = stopping.cancelled() => return Err(Stop::Draining),
                bulletin = news.recv() => match bulletin {
                    Ok(Bulletin::Recorded { recorded, .. }) => {
                        self.read_to(recorded.sequence, recorded.is_ended).await
                    }
                    Ok(Bulletin::Progress { task, fraction, message }) => {
                        self.progress(&task, fraction, message).await?;
                        continue;
                    }
                    Err(RecvError::Lagged(_)) => self.look().await,
                    Err(RecvError::Closed) => {
                        news = self.engine.news.subscribe(self.job);
                        self.look().await
                    }
                },
                () = sleep_until(look_at) => self.look().await,
                () = sleep_until(self.client.last + HEARTBEAT) => {
                    let time = Some(timestamp(self.engine.now()));
                    self.client.send(Event::Heartbeat(v1::Heartbeat { time })).await?;
                    continue;
                }
            };
            let pause = match looked {
                Ok(true) => return Ok(()),
                Ok(false) => LOOK_PERIOD,
                // The store heals: the watch outlives it.
                Err(stop) if stop.is_passing() => LOOK_AGAIN,
                Err(stop) => return Err(stop),
            };
            look_at = Instant::now() + pause;
        }
    }

    /// Looks at the job without having been told of anything. True where there is nothing more to see.
    async fn look(&mut self) -> Result<bool, Stop> {
        let job = self.engine.job(self.job, &self.principal).await?;
        self.catch_up(&job).await
    }

    /// Sends what leads to the job as it was just read. True where it has ended.
    async fn catch_up(&mut self, job: &Job) -> Result<bool, Stop> {
        self.send_to(job.status.sequence).await?;
        // Behind it: what it was told of since it was read comes first.
        let is_over = job.status.state.is_ended() && self.seen == job.status.sequence;
        if is_over {
            self.client.send(Event::Job(job::to_wire(job))).await?;
        }
        Ok(is_over)
    }

    /// Sends the entries up to one that was told of, and no more: progress that was told before the later ones comes
    /// before them.
    async fn read_to(&mut self, sequence: u64, is_ended: bool) -> Result<bool, Stop> {
        self.send_to(sequence).await?;
        if is_ended { self.look().await } else { Ok(false) }
    }

    async fn send_to(&mut self, sequence: u64) -> Result<(), Stop> {
        while self.seen < sequence {
            let left = usize::try_from(sequence - self.seen).unwrap_or(ENTRIES_MAX);
            let entries = self.engine.entries(self.job, self.seen, left.min(ENTRIES_MAX)).await?;
            if entries.is_empty() {
                return Err(EngineError::not_found("job", self.job).into());
            }
            for entry in entries {
                self.seen = entry.sequence;
                self.show(&entry).await?;
            }
        }
        Ok(())
    }

    /// An entry, with the progress that it implies: 0 when a call begins, 1 when it succeeded.
    async fn show(&mut self, entry: &Entry) -> Result<(), Stop> {
        self.client.send(Event::Entry(entry::to_wire(self.job, entry))).await?;
        match &entry.fact {
            Fact::TaskApplying { task, .. }
            | Fact::TaskObserving { task, .. }
            | Fact::TaskReverting { task, .. } => {
                self.calls.insert(task.clone(), -1.0);
                self.progress(task, 0.0, String::new()).await
            }
            Fact::TaskApplied { task, .. } | Fact::TaskReverted { task, .. } => {
                self.progress(task, 1.0, String::new()).await?;
                self.calls.remove(task);
                Ok(())
            }
            Fact::TaskBackoff { task, .. }
            | Fact::TaskAccepted { task, .. }
            | Fact::TaskNotReady { task, .. }
            | Fact::TaskApplyFailed { task, .. }
            | Fact::TaskInDoubt { task, .. }
            | Fact::TaskRevertInterrupted { task, .. }
            | Fact::TaskRevertBackoff { task, .. }
            | Fact::TaskRevertFailed { task, .. } => {
                self.calls.remove(task);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Progress of a call that is under way. What arrives for another is late, and left out.
    async fn progress(&mut self, task: &InstanceName, fraction: f32, message: String) -> Result<(), Stop> {
        let Some(last) = self.calls.get_mut(task) else { return Ok(()) };
        if *last == fraction && message.is_empty() {
            return Ok(());
        }
        *last = fraction;
        let progress = v1::Progress { fraction, message };
        let update =
            v1::ProgressUpdate { task: Some(instance::name_to_wire(task)), progress: Some(progress) };
        self.client.send(Event::Progress(update)).await
    }
}

/// Who watches.
struct Client {
    tell: mpsc::Sender<Message>,
    stopping: CancellationToken,
    /// When the last message was sent.
    last: Instant,
}

impl Client {
    async fn send(&mut self, event: Event) -> Result<(), Stop> {
        let sent = tokio::select! {
            sent = self.tell.send(Ok(v1::WatchJobResponse { event: Some(event) })) => sent,
            () = self.stopping.cancelled() => return Err(Stop::Draining),
        };
        self.last = Instant::now();
        sent.map_err(|_| Stop::Left)
    }
}
