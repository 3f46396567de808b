//! Random histories: whatever is decided of a job, its replayed logbook is what the store has of it.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use windlass_core::call::Outcome;
use windlass_core::decide::Decision;
use windlass_core::decide::control::Resolution;
use windlass_core::decide::create::Timing;
use windlass_core::entry::Line;
use windlass_core::fault::Fault;
use windlass_core::job::{CancelMode, Job};
use windlass_core::payload::Payload;
use windlass_host::store::{CommitError, Store};

use super::Bench;
use super::fixture::{at, born_of, call, flow, host_id, unit};

/// Histories that are tried, each of at most so many steps.
const HISTORIES: u32 = 48;
const STEPS_MAX: usize = 60;

/// What is asked of the job next, and how much later.
#[derive(Debug, Clone)]
struct Step {
    ask: Ask,
    later_ms: i64,
}

#[derive(Debug, Clone)]
enum Ask {
    Wake,
    Claim,
    Finish(u8),
    Undo,
    Noise,
    LoseClaim,
    GiveUp,
    Suspend,
    Resume,
    Cancel(bool),
    Quarantine,
    Release,
    Retry,
    Revert,
    Resolve(u8),
    Reschedule,
    Prioritise(i32),
}

fn step() -> impl Strategy<Value = Step> {
    let ask = prop_oneof![
        4 => Just(Ask::Wake),
        8 => Just(Ask::Claim),
        12 => (0u8..8).prop_map(Ask::Finish),
        2 => Just(Ask::Undo),
        2 => Just(Ask::Noise),
        2 => Just(Ask::LoseClaim),
        1 => Just(Ask::GiveUp),
        1 => Just(Ask::Suspend),
        2 => Just(Ask::Resume),
        1 => any::<bool>().prop_map(Ask::Cancel),
        1 => Just(Ask::Quarantine),
        2 => Just(Ask::Release),
        2 => Just(Ask::Retry),
        1 => Just(Ask::Revert),
        2 => (0u8..3).prop_map(Ask::Resolve),
        1 => Just(Ask::Reschedule),
        1 => (-3i32..3).prop_map(Ask::Prioritise),
    ];
    (ask, 0i64..2_000).prop_map(|(ask, later_ms)| Step { ask, later_ms })
}

pub(super) async fn a_replayed_logbook_is_the_stored_job(bench: Bench) {
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, seed);
    let next = AtomicU64::new(1);
    let handle = tokio::runtime::Handle::current();
    let tried = runner.run(&proptest::collection::vec(step(), 1..STEPS_MAX), |steps| {
        let n = next.fetch_add(1, Ordering::Relaxed);
        tokio::task::block_in_place(|| handle.block_on(live(&bench, n, &steps)));
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn live(bench: &Bench, n: u64, steps: &[Step]) {
    let (mut job, birth) = born_of(n, flow("copy", 3), Timing::default());
    bench.store().commit(unit(vec![birth])).await.expect("stored");
    let mut now = job.status.updated;
    for step in steps {
        now += TimeDelta::milliseconds(step.later_ms);
        advance(bench.store().as_ref(), &mut job, now, &step.ask).await.expect("nobody else decides");
    }
    bench.step().await;
    let store = bench.store();
    let stored = store.job(job.id()).await.expect("readable").expect("stored");
    assert_eq!(stored, job);
    let entries = store.entries(job.id(), 0, usize::MAX).await.expect("readable");
    let replayed =
        Job::replay(stored.spec.clone(), stored.flow.clone(), &entries).expect("it can be replayed");
    assert_eq!(replayed, stored);
    let is_on_board = store.board(usize::MAX).await.expect("readable").contains(&job.id());
    assert_eq!(is_on_board, job.status.state == windlass_core::job::JobState::Ready);
    let claims = store.claims().await.expect("readable");
    let claim = claims.iter().find(|(_, id)| *id == job.id()).map(|(host, _)| *host);
    assert_eq!(claim, job.status.claim.map(|claim| claim.host));
}

/// Asks; what is not possible where the job stands changes nothing.
async fn advance(
    store: &dyn Store,
    job: &mut Job,
    now: chrono::DateTime<chrono::Utc>,
    ask: &Ask,
) -> Result<(), CommitError> {
    let under_way = call(job);
    let task = job.flow.tasks[0].name.clone();
    super::fixture::commit(store, job, now, |decision| ask_of(decision, ask, under_way, &task)).await
}

fn ask_of(
    decision: &mut Decision<'_>,
    ask: &Ask,
    under_way: Option<windlass_core::decide::outcome::CallName>,
    task: &str,
) {
    let host = host_id(1);
    let payload = Payload::json(&serde_json::json!({"n": 1}));
    // Each refuses what is not possible, and then records nothing.
    let _ = match (ask, under_way) {
        (Ask::Wake, _) => {
            decision.wake();
            true
        }
        (Ask::Claim, _) => decision.claim(host).is_ok(),
        (Ask::Finish(which), Some(call)) => decision.finish(&call, outcome(*which, &call)).is_ok(),
        (Ask::Undo, Some(call)) => decision.record_undo(&call, payload).is_ok(),
        (Ask::Noise, Some(call)) => {
            let line = Line { at: at(1), source: "stdout".to_owned(), text: "é\n".to_owned() };
            decision.record_noise(&call, vec![line], Some((0.3, "on".to_owned()))).is_ok()
        }
        (Ask::Finish(_) | Ask::Undo | Ask::Noise, None) => false,
        (Ask::LoseClaim, _) => decision.lose_claim(host).is_ok(),
        (Ask::GiveUp, _) => decision.give_up(host).is_ok(),
        (Ask::Suspend, _) => decision.suspend().is_ok(),
        (Ask::Resume, _) => decision.resume().is_ok(),
        (Ask::Cancel(leave), _) => {
            let mode = if *leave { CancelMode::Leave } else { CancelMode::Revert };
            decision.cancel(mode, "asked".to_owned()).is_ok()
        }
        (Ask::Quarantine, _) => decision.quarantine("looked at".to_owned()).is_ok(),
        (Ask::Release, _) => decision.release().is_ok(),
        (Ask::Retry, _) => decision.retry("asked".to_owned()).is_ok(),
        (Ask::Revert, _) => decision.revert("asked".to_owned()).is_ok(),
        (Ask::Resolve(which), _) => {
            let resolution = [Resolution::Retry, Resolution::Accept, Resolution::Skip][usize::from(*which)];
            decision.resolve(task, resolution, "decided".to_owned()).is_ok()
        }
        (Ask::Reschedule, _) => {
            let execute_at = decision.now() + TimeDelta::milliseconds(500);
            decision.reschedule(execute_at).is_ok()
        }
        (Ask::Prioritise(priority), _) => decision.prioritise(*priority).is_ok(),
    };
}

fn outcome(which: u8, call: &windlass_core::decide::outcome::CallName) -> Outcome {
    let fault = || Fault::new("test.failed", "it did not work");
    let payload = || Payload::json(&serde_json::json!([1.5, null]));
    match (which, call.direction) {
        (0..4, windlass_core::call::Direction::Apply) => {
            Outcome::Applied { output: payload(), undo: (which == 0).then(payload) }
        }
        (0..4, windlass_core::call::Direction::Revert) => {
            Outcome::Reverted { output: (which == 0).then(payload) }
        }
        (4, _) => Outcome::Reject { fault: fault() },
        (5, _) => Outcome::Broken { fault: fault() },
        _ => Outcome::Retry { fault: fault(), after_ms: (which == 6).then_some(300) },
    }
}
