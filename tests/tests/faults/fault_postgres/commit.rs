//! Fault 19 on the wire: at every commit of a job's life the connection breaks, before the server hears of the commit,
//! when it has made it and nobody is told, or before it hears of it and of the answer to "did you make it?" too.

use std::sync::Arc;

use serde_json::json;
use windlass_core::call::Function;
use windlass_core::job::JobState;
use windlass_core::payload::Payload;
use windlass_tests::bench::Bench;

use windlass_tests::home::Home;
use windlass_tests::postgres::proxy::{Moment, Proxy};
use windlass_tests::postgres::{Schema, shared};
use windlass_tests::scripted::{Answer, Scripted};

const CALLS: [&str; 6] = ["apply a", "apply b", "apply c", "revert c", "revert b", "revert a"];
/// Commits of such a job's life at least.
const COMMITS_MIN: u64 = 8;

/// A job whose last task fails, with an undo record that is written ahead.
fn failing_c() -> Arc<Scripted> {
    Scripted::new(|call| {
        let mut answer = match (call.task.as_str(), call.function) {
            ("c", Function::Apply) => Answer::now(Answer::broken()),
            _ => Answer::now(Answer::good(call.function)),
        };
        if call.task == "b" && call.function == Function::Apply {
            answer.undo = vec![Payload::json(&json!({ "b": 1 }))];
        }
        answer
    })
}

async fn breaks_at_every_commit(moment: Moment) {
    for number in 1.. {
        let proxy = Proxy::to(&shared());
        let home = Home::Postgres(Schema::by(&proxy.url()).await);
        let folder = tempfile::tempdir().expect("a folder");
        let bench = Bench::at(home, folder, failing_c()).await;
        proxy.cut(number, moment);
        let job = bench.submit(&["a", "b", "c"]).await;
        let ended = bench.wait(job).await;
        assert_eq!(ended.status.state, JobState::Reverted, "commit {number}: {:#?}", ended.status);
        assert_eq!(bench.scripted.calls(), CALLS, "commit {number}: no call is made twice");
        assert_eq!(ended.status.epoch, 1, "commit {number}: no claim is lost");
        let has_cut = proxy.has_cut();
        bench.finish().await;
        if !has_cut {
            assert!(number > COMMITS_MIN, "only {number} commits were made");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_a_commit_that_the_server_never_heard_of_is_made_again_and_no_call_is() {
    breaks_at_every_commit(Moment::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_a_commit_that_the_server_made_and_nobody_was_told_of_is_found_and_no_call_is_made_twice() {
    breaks_at_every_commit(Moment::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_a_commit_that_was_not_made_is_not_taken_for_made_when_the_claim_of_its_id_is_not_answered()
{
    breaks_at_every_commit(Moment::BeforeAndUntold).await;
}
