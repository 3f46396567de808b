//! LogbookService.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use windlass_core::id::JobId;
use windlass_core::permit::{Kind, Verb};
use windlass_proto::v1;
use windlass_proto::v1::logbook_service_server::LogbookService;

use crate::engine::{Cursor, Engine, EngineError, StoreFailure};
use crate::grpc::Services;
use crate::grpc::convert::{entry, id};
use crate::grpc::page::{Page, fitting, opaque, transparent};
use crate::grpc::principal::asked;
use crate::grpc::status::draining;

/// Reads of the store for one page: where no entry is of the kinds that were asked for, the page is short.
const READS_MAX: usize = 20;
/// Entries of one message of a tail.
const TAIL_ENTRIES_MAX: usize = 100;
/// Messages that wait for a slow client.
const MESSAGES_MAX: usize = 2;
/// A bell may be missed: the store is looked at at least this often.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// How soon it is looked at again where it did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A message is sent at least this often, so that both sides know that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// See the module.
pub(super) struct LogbookPlane {
    engine: Arc<Engine>,
    draining: CancellationToken,
}

impl LogbookPlane {
    pub fn new(services: &Services) -> Self {
        Self { engine: services.engine.clone(), draining: services.draining.clone() }
    }

    async fn of_job(
        &self,
        principal: &str,
        request: &v1::ListEntriesRequest,
        page: &Page,
    ) -> Result<v1::ListEntriesResponse, EngineError> {
        let job: JobId = id("job", &request.job)?;
        self.engine.job(job, principal).await?;
        let mut after = page.after(number)?.unwrap_or(request.after_sequence);
        let mut answer = v1::ListEntriesResponse::default();
        for _ in 0..READS_MAX {
            let read = self.engine.entries(job, after, page.size).await?;
            let is_last = read.len() < page.size;
            let shown = read.iter().filter(|read| entry::is_of_kind(&request.kinds, &read.fact));
            let mut shown: Vec<_> = shown.map(|read| entry::to_wire(job, read)).collect();
            let fits = fitting(&shown);
            let is_cut = fits < shown.len();
            shown.truncate(fits);
            after = match (is_cut, shown.last(), read.last()) {
                (true, Some(last), _) => last.sequence,
                (_, _, Some(last)) => last.sequence,
                (_, _, None) => after,
            };
            let is_end = is_last && !is_cut;
            if is_end || !shown.is_empty() {
                answer.entries = shown;
                answer.next_page_token =
                    if is_end { String::new() } else { page.token(&after.to_be_bytes()) };
                return Ok(answer);
            }
        }
        answer.next_page_token = page.token(&after.to_be_bytes());
        Ok(answer)
    }

    async fn across_jobs(
        &self,
        request: &v1::ListEntriesRequest,
        page: &Page,
    ) -> Result<v1::ListEntriesResponse, EngineError> {
        if request.after_sequence > 0 {
            return Err(EngineError::invalid(
                "after_sequence",
                "counts the entries of one job: give the job too",
            ));
        }
        let mut cursor = page.after(cursor_at)?;
        let mut is_end = false;
        let mut entries = Vec::new();
        for _ in 0..READS_MAX {
            let read = read_tail(&self.engine, cursor, page.size, &request.kinds).await?;
            cursor = Some(read.cursor);
            is_end = read.is_end;
            entries = read.entries;
            if is_end || !entries.is_empty() {
                break;
            }
        }
        let place = cursor.map(place_of).unwrap_or_default();
        Ok(v1::ListEntriesResponse {
            entries,
            next_page_token: if is_end { String::new() } else { page.token(&place) },
            cursor: opaque(&place),
        })
    }
}

#[tonic::async_trait]
impl LogbookService for LogbookPlane {
    type TailStream = ReceiverStream<Result<v1::TailEntriesResponse, Status>>;

    async fn list(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        let (principal, mut request) = asked(request)?;
        let (size, token) = (std::mem::take(&mut request.page_size), std::mem::take(&mut request.page_token));
        let page = Page::asked(&request, &principal, size, &token)?;
        if !request.job.is_empty() {
            return Ok(Response::new(self.of_job(&principal, &request, &page).await?));
        }
        self.engine.permits(&principal, Verb::AllOwners, Kind::Logbook, "")?;
        Ok(Response::new(self.across_jobs(&request, &page).await?))
    }

    async fn tail(
        &self,
        request: Request<v1::TailEntriesRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let (principal, request) = asked(request)?;
        self.engine.permits(&principal, Verb::AllOwners, Kind::Logbook, "")?;
        let cursor = match request.cursor.as_str() {
            "" => self.engine.tail_end().await?,
            text => transparent(text).and_then(|place| cursor_at(&place)).ok_or_else(|| {
                EngineError::invalid("cursor", "is none of this host: give one as it was answered")
            })?,
        };
        let (tell, told) = mpsc::channel(MESSAGES_MAX + 1);
        let farewell = tell.clone().try_reserve_owned().expect("there is room before the first message");
        let tail = Tail { engine: self.engine.clone(), kinds: request.kinds, cursor, tell, farewell };
        tokio::spawn(tail.run(self.draining.clone()));
        Ok(Response::new(ReceiverStream::new(told)))
    }
}

/// A tail that somebody follows.
struct Tail {
    engine: Arc<Engine>,
    kinds: Vec<String>,
    cursor: Cursor,
    tell: mpsc::Sender<Result<v1::TailEntriesResponse, Status>>,
    /// The place of the last message: why it ended is told also to a client that has not read all before it.
    farewell: mpsc::OwnedPermit<Result<v1::TailEntriesResponse, Status>>,
}

impl Tail {
    async fn run(mut self, stopping: CancellationToken) {
        let tell = self.tell.clone();
        let end = tokio::select! {
            () = tell.closed() => return,
            () = stopping.cancelled() => draining("go on from the last cursor"),
            error = self.follow() => match error {
                Some(error) => error.into(),
                None => return,
            },
        };
        self.farewell.send(Err(end));
    }

    /// Returns where the tail cannot go on; without an error where the client hung up.
    async fn follow(&mut self) -> Option<EngineError> {
        let mut told_at = tokio::time::Instant::now();
        let engine = self.engine.clone();
        // The first message says where the tail begins.
        let mut is_quiet_too_long = true;
        loop {
            // Armed before the store is read: what is written meanwhile rings.
            let rung = engine.news.any.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let pause = match read_tail(&engine, Some(self.cursor), TAIL_ENTRIES_MAX, &self.kinds).await {
                Ok(read) => {
                    self.cursor = read.cursor;
                    if !read.entries.is_empty() || is_quiet_too_long {
                        let cursor = opaque(&place_of(self.cursor));
                        let message = v1::TailEntriesResponse { entries: read.entries, cursor };
                        self.tell.send(Ok(message)).await.ok()?;
                        told_at = tokio::time::Instant::now();
                    }
                    if !read.is_end {
                        is_quiet_too_long = false;
                        continue;
                    }
                    LOOK_PERIOD
                }
                // The store heals: the tail outlives it.
                Err(EngineError::Storage(StoreFailure::Down(_) | StoreFailure::Full)) => LOOK_AGAIN,
                Err(error) => return Some(error),
            };
            let _ = tokio::time::timeout(pause, rung).await;
            is_quiet_too_long = told_at.elapsed() >= HEARTBEAT;
        }
    }
}

/// Some entries behind a cursor.
struct Read {
    entries: Vec<v1::Entry>,
    /// Behind all of them.
    cursor: Cursor,
    /// There is nothing more for now.
    is_end: bool,
}

/// Reads at most `limit` entries, shows those of these kinds, and stops where they are too many bytes.
async fn read_tail(
    engine: &Engine,
    cursor: Option<Cursor>,
    limit: usize,
    kinds: &[String],
) -> Result<Read, EngineError> {
    let (read, next) = engine.tail(cursor, limit).await?;
    let shown = read.iter().enumerate().filter(|(_, (_, found))| entry::is_of_kind(kinds, &found.fact));
    let (places, mut entries): (Vec<_>, Vec<_>) =
        shown.map(|(place, (job, found))| (place, entry::to_wire(*job, found))).unzip();
    let fits = fitting(&entries);
    if fits == entries.len() {
        return Ok(Read { entries, cursor: next, is_end: read.len() < limit });
    }
    entries.truncate(fits);
    // Only the store can say where a cursor stands: it is asked for just as many once more.
    let (_, cursor) = engine.tail(cursor, places[fits - 1] + 1).await?;
    Ok(Read { entries, cursor, is_end: false })
}

fn place_of(cursor: Cursor) -> Vec<u8> {
    [cursor.batch.to_be_bytes().as_slice(), &cursor.seen.to_be_bytes()].concat()
}

fn cursor_at(place: &[u8]) -> Option<Cursor> {
    let (batch, seen) = place.split_first_chunk()?;
    Some(Cursor { batch: u64::from_be_bytes(*batch), seen: u32::from_be_bytes(seen.try_into().ok()?) })
}

fn number(place: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(place.try_into().ok()?))
}
