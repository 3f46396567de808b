//! Random histories: whatever is decided of a job, its replayed logbook is what the store has of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use windlass_core::decide::create::Timing;
use windlass_core::flow::Flow;
use windlass_core::job::Job;
use windlass_host::store::{CommitError, Store};

use super::fixture::{born_of, child_job, flow, host_id, unit};
use super::{Ask, Bench, ask_of};

/// Histories that are tried, each of at most so many steps.
const HISTORIES: u32 = 48;
const STEPS_MAX: usize = 60;

/// What is asked of the job next, and how much later.
#[derive(Debug, Clone)]
struct Step {
    ask: Ask,
    later_ms: i64,
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
        3 => Just(Ask::ChildTold),
        3 => (0u8..4).prop_map(Ask::HearEnd),
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
    let mut flow = Flow::clone(&flow("copy", 3));
    if n.is_multiple_of(2) {
        flow.nodes.insert(1, child_job("child", "copy"));
    }
    let (mut job, birth) = born_of(n, Arc::new(flow), Timing::default());
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
    let is_to_tell = store.untold(None, usize::MAX).await.expect("readable").contains(&job.id());
    assert_eq!(is_to_tell, job.status.is_untold());
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
    super::fixture::commit(store, job, now, |decision| ask_of(decision, ask, host_id(1))).await
}
