//! S14, fault 19: a PostgreSQL that dies, is silent, or loses its sessions under a host that runs jobs, and one that
//! cannot be used.
//!
//! Each server is of its test alone, or its connections lead through a proxy. What was acknowledged is there, once; no
//! call is made twice; and the host neither spins nor needs a restart.

mod commit;
mod load;
mod opening;

use std::sync::Arc;
use std::time::Duration;

use windlass_core::call::Function;
use windlass_core::job::JobState;
use windlass_tests::bench::{Bench, SLOTS, Watched};
use windlass_tests::home::Home;
use windlass_tests::postgres::Schema;
use windlass_tests::postgres::server::Server;
use windlass_tests::scripted::{Answer, Scripted};

/// Long enough for a loop without a pause to ask many thousand times.
const OUTAGE: Duration = Duration::from_millis(1_500);
/// Every loop of the host together, as in `fault_store`.
const ASKED_MAX: u64 = 150;

/// Holds the apply of `b`; all else is answered at once.
fn holding_b() -> Arc<Scripted> {
    Scripted::new(|call| match call.task.as_str() {
        "b" if call.function == Function::Apply => Answer::held(Answer::good(call.function)),
        _ => Answer::now(Answer::good(call.function)),
    })
}

/// A host on a server of its own.
async fn bench_on(server: &Server, scripted: Arc<Scripted>) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    Bench::at(Home::Postgres(Schema::on(server.url()).await), folder, scripted).await
}

/// How a server goes away, and comes back.
#[derive(Debug, Clone, Copy)]
enum Outage {
    /// It crashes, and recovers.
    Killed,
    /// An administrator stops and starts it.
    Restarted,
    /// It is there, and says nothing.
    Silent,
}

impl Outage {
    async fn begin(self, server: &Server) {
        match self {
            Self::Killed => server.kill().await,
            Self::Restarted => server.stop().await,
            Self::Silent => server.pause().await,
        }
    }

    async fn end(self, server: &Server) {
        match self {
            Self::Killed | Self::Restarted => server.restart().await,
            Self::Silent => server.resume().await,
        }
    }

    /// Time itself is what is tested: the store must not be asked all the time.
    async fn last(self, bench: &Bench) {
        let before = bench.faults.asked();
        tokio::time::sleep(OUTAGE).await;
        let asked = bench.faults.asked() - before;
        assert!(asked < ASKED_MAX, "{self:?}: the store was asked {asked} times in {OUTAGE:?}");
    }
}

/// `b` ends while the server is away.
async fn outlives(outage: Outage) {
    let server = Server::start().await;
    let bench = bench_on(&server, holding_b()).await;
    let job = bench.submit(&["a", "b", "c"]).await;
    let watched = bench.watch(job).await;
    bench.scripted.wait_for(|made| made.iter().any(|made| made.is_held)).await;
    outage.begin(&server).await;
    bench.scripted.release(1);
    outage.last(&bench).await;
    assert_eq!(bench.scripted.calls(), ["apply a", "apply b"], "nothing is begun without an intent");
    outage.end(&server).await;
    let ended = bench.wait(job).await;
    assert_eq!((ended.status.state, ended.status.epoch), (JobState::Succeeded, 1));
    assert_eq!(bench.scripted.calls(), ["apply a", "apply b", "apply c"], "no call is repeated");
    let Watched { sequences, last } = watched.await.expect("the watch ends with the job");
    assert_eq!(sequences, (1..=ended.status.sequence).collect::<Vec<_>>(), "no gap, no duplicate");
    assert_eq!(last.as_deref(), Some("succeeded"));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_an_outcome_outlives_a_server_that_crashes_and_a_watch_goes_on() {
    outlives(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_an_outcome_outlives_a_server_that_is_restarted_and_a_watch_goes_on() {
    outlives(Outage::Restarted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_an_outcome_outlives_a_server_that_is_silent_and_a_watch_goes_on() {
    outlives(Outage::Silent).await;
}

/// All slots have outcomes that cannot be recorded, and what is on the board cannot be claimed.
async fn waits_on_the_board(outage: Outage) {
    const JOBS: usize = 6;
    let server = Server::start().await;
    let bench = bench_on(&server, holding_b()).await;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(bench.submit(&["b"]).await);
    }
    bench.scripted.wait_for(|made| made.iter().filter(|made| made.is_held).count() == SLOTS).await;
    outage.begin(&server).await;
    for place in bench.scripted.held() {
        bench.scripted.release(place);
    }
    outage.last(&bench).await;
    outage.end(&server).await;
    bench.release_all_until_ended(&jobs).await;
    assert_eq!(bench.scripted.calls().len(), JOBS, "no call is repeated");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_board_that_cannot_be_worked_off_waits_while_the_server_is_away() {
    waits_on_the_board(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_board_that_cannot_be_worked_off_waits_while_the_server_is_silent() {
    waits_on_the_board(Outage::Silent).await;
}
