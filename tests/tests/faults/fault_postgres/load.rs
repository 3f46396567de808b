//! Trouble again and again under clients that submit without a pause: whatever a client was told is true.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Code;
use windlass_core::call::Function;
use windlass_core::job::JobState;
use windlass_proto::v1;
use windlass_tests::bench::{Bench, work};
use windlass_tests::crash::client::Client;
use windlass_tests::crash::witness;
use windlass_tests::postgres::connect;
use windlass_tests::postgres::server::Server;
use windlass_tests::scripted::{Answer, Scripted};

use super::bench_on;

/// Enough that every commit has company.
const CLIENTS: usize = 6;
const TASKS: [&str; 2] = ["a", "b"];
/// A client that is refused does not hammer.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);
/// Between two terminations: a handful of commits.
const TERMINATE_EVERY: Duration = Duration::from_millis(20);
const TERMINATIONS: usize = 80;
/// Between two crashes of a server, which has recovered and taken some hundred commits by then.
const CRASH_EVERY: Duration = Duration::from_millis(300);
const CRASHES: usize = 5;
const PAUSES: usize = 10;

/// The jobs that were acknowledged, by request id.
type Acknowledged = BTreeMap<String, String>;

/// Submits job after job until it is told to stop. Each request is made until it is taken.
async fn submit_until(stop: Arc<AtomicBool>, mut client: Client, number: usize) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for count in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let request = format!("client-{number}-{count}");
        let id = submit(&mut client, &request).await.id;
        acknowledged.insert(request, id);
    }
    acknowledged
}

async fn submit(client: &mut Client, request: &str) -> v1::Job {
    loop {
        let spec = v1::JobSpec { work: Some(work(&TASKS)), ..v1::JobSpec::default() };
        match client.submit(spec, request).await {
            Ok(answer) => return *answer.job.expect("a job"),
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
        tokio::time::sleep(REFUSED_PAUSE).await;
    }
}

/// Clients submit while `trouble` is made. Then everything that was acknowledged is there once, and ends well, with
/// each of its calls made once.
async fn submits_during(bench: Bench, trouble: impl Future<Output = ()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(submit_until(stop.clone(), bench.client.clone(), number));
    }
    trouble.await;
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = Acknowledged::new();
    while let Some(done) = clients.join_next().await {
        acknowledged.extend(done.expect("a client ends"));
    }
    let ids: HashSet<_> = acknowledged.values().cloned().collect();
    assert_eq!(ids.len(), acknowledged.len(), "every request has a job of its own");
    for (request, id) in &acknowledged {
        let again = submit(&mut bench.client.clone(), request).await;
        assert_eq!(&again.id, id, "the same request, the same job");
        let ended = bench.wait(id.parse().expect("a job has an id")).await;
        assert_eq!(ended.status.state, JobState::Succeeded);
    }
    let stored = witness::jobs(&*bench.store).await;
    assert_eq!(stored.len(), acknowledged.len(), "no job but those that were acknowledged");
    let made = bench.scripted.made();
    let keys: HashSet<_> = made.iter().map(|made| &made.key).collect();
    assert_eq!(keys.len(), acknowledged.len() * TASKS.len(), "every call of every job");
    let repeated: Vec<_> = made.iter().filter(|made| made.attempt > 1).collect();
    assert!(repeated.is_empty() && made.len() == keys.len(), "no call is repeated: {repeated:#?}");
    bench.finish().await;
}

fn answering() -> Arc<Scripted> {
    Scripted::new(|call| {
        assert_eq!(call.function, Function::Apply, "nothing fails");
        Answer::now(Answer::good(call.function))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_a_submit_is_answered_truly_though_an_administrator_ends_every_session_again_and_again() {
    let server = Server::start().await;
    let bench = bench_on(&server, answering()).await;
    submits_during(bench, async {
        let administrator = connect(server.url()).await;
        let mut ended = 0;
        for _ in 0..TERMINATIONS {
            tokio::time::sleep(TERMINATE_EVERY).await;
            let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
            let row = administrator.query_one(all, &[]).await.expect("an administrator may do so");
            ended += row.get::<_, i64>(0);
        }
        // Often a session is not back yet when the next one comes.
        assert!(ended >= TERMINATIONS as i64 / 8, "only {ended} sessions were there to be ended");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_a_submit_is_answered_truly_though_the_server_crashes_again_and_again() {
    let server = Server::start().await;
    let bench = bench_on(&server, answering()).await;
    submits_during(bench, async {
        for _ in 0..CRASHES {
            tokio::time::sleep(CRASH_EVERY).await;
            server.kill().await;
            server.restart().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_again_and_again_loses_and_doubles_nothing() {
    let server = Server::start().await;
    let bench = bench_on(&server, answering()).await;
    submits_during(bench, async {
        for _ in 0..PAUSES {
            tokio::time::sleep(CRASH_EVERY).await;
            server.pause().await;
            tokio::time::sleep(CRASH_EVERY).await;
            server.resume().await;
        }
    })
    .await;
}
