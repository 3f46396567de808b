//! S14, fault 19: a PostgreSQL that dies, is silent, or loses its sessions under a host that runs jobs, and one that
//! cannot be used.
//!
//! Each server is of its test alone, or its connections lead through a proxy. What was acknowledged is there, once; no
//! call is made twice; and the host neither spins nor needs a restart.

mod commit;
mod load;
mod opening;

use std::sync::Arc;

use windlass_tests::bench::Bench;
use windlass_tests::home::Home;
use windlass_tests::postgres::Schema;
use windlass_tests::postgres::server::Server;
use windlass_tests::scripted::Scripted;

use crate::outage::holding_b;

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
}

/// `b` ends while the server is away.
async fn outlives(outage: Outage) {
    let server = Server::start().await;
    let bench = bench_on(&server, holding_b()).await;
    let (begin, end) =
        (async |_: &Bench| outage.begin(&server).await, async |_: &Bench| outage.end(&server).await);
    crate::outage::outlives(bench, &format!("{outage:?}"), begin, end).await;
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
    let server = Server::start().await;
    let bench = bench_on(&server, holding_b()).await;
    let (begin, end) =
        (async |_: &Bench| outage.begin(&server).await, async |_: &Bench| outage.end(&server).await);
    crate::outage::waits_on_the_board(bench, &format!("{outage:?}"), begin, end).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_board_that_cannot_be_worked_off_waits_while_the_server_is_away() {
    waits_on_the_board(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_board_that_cannot_be_worked_off_waits_while_the_server_is_silent() {
    waits_on_the_board(Outage::Silent).await;
}
