//! S14, faults 8, 9 and 19: a store that fails under a host that runs jobs.
//!
//! The engine neither spins nor makes anything up: the outcome of a call that ended is kept, and recorded when the
//! store is back, without a restart and without a second call.

mod filling;

use std::sync::Arc;

use filling::{fill, open};
use windlass_core::call::Function;
use windlass_core::fault::Fault as CallFault;
use windlass_core::instance::TaskState;
use windlass_core::job::JobState;
use windlass_host::store::JobFilter;
use windlass_tests::bench::Bench;
use windlass_tests::crash::witness;
use windlass_tests::disk::{Disk, Fault};
use windlass_tests::faulty::{Slip, Trouble};
use windlass_tests::scripted::{Answer, Scripted};

use crate::outage::{self, holding_b};

/// `b` ends while the store is in trouble, which is over after a while.
async fn outlives(trouble: Trouble) {
    let bench = Bench::start(holding_b()).await;
    let begin = async |bench: &Bench| bench.faults.set(Some(trouble));
    let end = async |bench: &Bench| {
        let stored = bench.store.jobs(&JobFilter::default(), None, 1).await.expect("readable").jobs;
        assert_eq!(stored[0].1.state, JobState::Running, "nothing is known of an end");
        let stored = bench.store.job(stored[0].0.id).await.expect("readable").expect("it is there");
        assert_eq!(stored.current("b").map(|b| b.state), Some(TaskState::Applying));
        bench.faults.set(None);
    };
    outage::outlives(bench, &format!("{trouble:?}"), begin, end).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_an_outcome_outlives_a_store_that_is_down_and_a_watch_goes_on() {
    outlives(Trouble::Down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_an_outcome_outlives_a_store_that_refuses_writes_and_a_watch_goes_on() {
    outlives(Trouble::WritesDown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_an_outcome_outlives_a_full_disk_and_a_watch_goes_on() {
    outlives(Trouble::Full).await;
}

/// Jobs that are on the board and cannot be claimed do not make the host spin.
async fn waits_on_the_board(trouble: Trouble) {
    let bench = Bench::start(holding_b()).await;
    let begin = async |bench: &Bench| bench.faults.set(Some(trouble));
    let end = async |bench: &Bench| bench.faults.set(None);
    outage::waits_on_the_board(bench, &format!("{trouble:?}"), begin, end).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_board_that_cannot_be_worked_off_waits_while_the_store_is_down() {
    waits_on_the_board(Trouble::Down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_board_that_cannot_be_worked_off_waits_while_the_disk_is_full() {
    waits_on_the_board(Trouble::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_ready_job_that_cannot_be_claimed_is_not_tried_all_the_time() {
    let bench = Bench::start(holding_b()).await;
    let job = bench.submit_later(&["a"]).await;
    bench.faults.set(Some(Trouble::WritesDown));
    bench.put_on_board(job).await;
    outage::lasts(&bench, "a ready job").await;
    assert!(bench.scripted.made().is_empty());
    bench.faults.set(None);
    assert_eq!(bench.wait(job).await.status.state, JobState::Succeeded);
    bench.finish().await;
}

/// A job whose last task fails, with undo records written ahead. A call that was told to stop is made again.
fn failing_c() -> Arc<Scripted> {
    Scripted::new(|call| {
        let mut answer = match (call.task.as_str(), call.function) {
            ("c", Function::Apply) => Answer::now(Answer::broken()),
            _ => Answer::now(Answer::good(call.function)),
        };
        if call.task == "b" && call.function == Function::Apply {
            answer.undo = vec![windlass_core::payload::Payload::json(&serde_json::json!({ "b": 1 }))];
        }
        answer
    })
}

/// Every commit of a job goes wrong once, in this way.
async fn slips_at_every_commit(slip: Slip) {
    const CALLS: [&str; 6] = ["apply a", "apply b", "apply c", "revert c", "revert b", "revert a"];
    for number in 1.. {
        let bench = Bench::start(failing_c()).await;
        bench.faults.slip(number, slip);
        let job = bench.submit(&["a", "b", "c"]).await;
        let ended = bench.wait(job).await;
        assert_eq!(ended.status.state, JobState::Reverted, "commit {number}: {:#?}", ended.status);
        let mut calls = bench.scripted.calls();
        // An undo record that could not be written, as far as the call knew, made the call ask for another attempt.
        calls.dedup();
        assert_eq!(calls, CALLS, "commit {number}");
        let repeated: Vec<_> = bench.scripted.made().into_iter().filter(|made| made.attempt > 1).collect();
        assert!(repeated.iter().all(|made| made.task == "b"), "commit {number}: {repeated:#?}");
        assert_eq!(ended.status.epoch, 1, "commit {number}: no claim is lost");
        let has_slipped = bench.faults.has_slipped();
        bench.finish().await;
        if !has_slipped {
            assert!(number > 7, "only {number} commits were made");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_a_commit_that_failed_is_made_again_and_no_call_is() {
    slips_at_every_commit(Slip::Lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_a_commit_whose_answer_was_lost_is_found_and_nothing_is_done_twice() {
    slips_at_every_commit(Slip::Unknown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_9_a_failing_disk_costs_a_running_job_nothing() {
    // Past the longest commit: the disk fails at every operation of some commit, syncs among them.
    for number in 0..24 {
        let disk = Disk::default();
        let bench = Bench::on(Arc::new(open(&disk)), holding_b()).await;
        let job = bench.submit(&["a", "b", "c"]).await;
        let watched = bench.watch(job).await;
        bench.scripted.wait_for(|made| made.iter().any(|made| made.is_held)).await;
        disk.fail(number, Fault::Once);
        bench.scripted.release(1);
        let ended = bench.wait(job).await;
        assert_eq!(ended.status.state, JobState::Succeeded, "operation {number}");
        assert_eq!(bench.scripted.calls(), ["apply a", "apply b", "apply c"], "operation {number}");
        let watched = watched.await.expect("the watch ends with the job");
        assert_eq!(watched.sequences, (1..=ended.status.sequence).collect::<Vec<_>>(), "operation {number}");
        bench.finish().await;
        disk.fail(0, Fault::PowerCut);
        disk.restart(number);
        let store = open(&disk);
        let found = witness::jobs(&store).await;
        assert_eq!(found[0].job, ended, "operation {number}: what was told is durable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_8_a_full_disk_heals_without_a_restart_while_a_watch_is_open() {
    let disk = Disk::default();
    let bench = Bench::on(Arc::new(open(&disk)), holding_b()).await;
    let job = bench.submit(&["a", "b", "c"]).await;
    let waiting = bench.submit_later(&["a"]).await;
    let watched = bench.watch(job).await;
    bench.scripted.wait_for(|made| made.iter().any(|made| made.is_held)).await;
    disk.set_full(true);
    let refused = fill(&bench).await;
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused:?}");
    bench.scripted.release(1);
    // Reads work, and what ends a job.
    assert_eq!(bench.get(job).await.status.state, JobState::Running);
    bench.cancel(waiting).await;
    assert_eq!(bench.get(waiting).await.status.state, JobState::Cancelled);
    disk.set_full(false);
    let ended = bench.wait(job).await;
    assert_eq!(ended.status.state, JobState::Succeeded);
    assert_eq!(bench.scripted.calls().iter().filter(|call| *call == "apply b").count(), 1);
    let watched = watched.await.expect("the watch ends with the job");
    assert_eq!(watched.sequences, (1..=ended.status.sequence).collect::<Vec<_>>());
    let again = bench.submit(&["a"]).await;
    assert_eq!(bench.wait(again).await.status.state, JobState::Succeeded);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_was_due_while_the_store_was_down_is_made_when_it_is_back() {
    let scripted = Scripted::new(|call| match (call.function, call.attempt) {
        (Function::Apply, 1) => {
            let fault = CallFault::new("script.later", "not yet");
            Answer::now(windlass_core::call::Outcome::Retry { fault, after_ms: Some(200) })
        }
        _ => Answer::now(Answer::good(call.function)),
    });
    let bench = Bench::start(scripted).await;
    let job = bench.submit(&["a"]).await;
    bench.wait_for_state(job, JobState::Waiting).await;
    bench.faults.set(Some(Trouble::Down));
    outage::lasts(&bench, "a retry that is due").await;
    bench.faults.set(None);
    assert_eq!(bench.wait(job).await.status.state, JobState::Succeeded);
    assert_eq!(bench.scripted.calls(), ["apply a", "apply a"]);
    bench.finish().await;
}
