//! An event, and the jobs that wait for it: whatever fails in the middle of a publication, and whoever else publishes
//! the same, each job is given it once.
//!
//! An engine on the model of a store, every operation of which can fail, or let others go ahead, at a chosen place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::poll;
use windlass_core::call::Outcome;
use windlass_core::decide::create::Timing;
use windlass_core::entry::Fact;
use windlass_core::event::CloudEvent;
use windlass_core::id::JobId;
use windlass_core::job::JobState;
use windlass_core::payload::Payload;
use windlass_core::permit::Policy;
use windlass_core::problem::Problems;
use windlass_host::engine::event::Published;
use windlass_host::engine::{Engine, EngineError, Limits, Parts};
use windlass_host::store::{Store, StoreFailure, UniqueKey};
use windlass_tests::clock::ManualClock;
use windlass_tests::conformance::fixture::{
    EVENT_TYPES, at, born_of, call, claim, commit, event, host_id, job_id, unit, waiting_flow,
};
use windlass_tests::guarded::{Guard, GuardedStore, Op};
use windlass_tests::model::Model;

const PRINCIPAL: &str = "local";
const BUILT: &str = EVENT_TYPES[0];
/// More than a publication has operations, or is polled.
const STEPS_MAX: u64 = 200;

/// What an operation does that is chosen by its number.
#[derive(Debug, Clone)]
enum Fault {
    Before(StoreFailure),
    /// Done, and not told.
    After(StoreFailure),
}

/// Fails at one operation, and lets others go ahead at each.
#[derive(Default)]
struct Chosen {
    count: AtomicU64,
    fault: Option<(u64, Fault)>,
    turns: u32,
}

impl Guard for Chosen {
    fn before(&self, _: Op) -> Result<u64, StoreFailure> {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        match &self.fault {
            Some((chosen, Fault::Before(failure))) if *chosen == number => Err(failure.clone()),
            _ => Ok(number),
        }
    }

    fn after(&self, _: Op, number: u64) -> Result<(), StoreFailure> {
        match &self.fault {
            Some((chosen, Fault::After(failure))) if *chosen == number => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    fn step(&self, _: Op) {}

    fn turns(&self, _: Op) -> u32 {
        self.turns
    }
}

fn engine(store: &Arc<Model>, guard: Chosen) -> Engine {
    Engine::new(Parts {
        store: Arc::new(GuardedStore::new(store.clone(), Arc::new(guard))),
        clock: Arc::new(ManualClock::default()),
        policy: Policy::default(),
        limits: Limits::default(),
        grant_rule: Box::new(|_| Problems::default()),
        host: host_id(1),
    })
}

/// The n-th job, which waits for so many events of the type, and for nothing else.
async fn waiting(store: &dyn Store, n: u64, waits: usize) -> JobId {
    let flow = waiting_flow(&vec![BUILT; waits]);
    let (mut job, birth) = born_of(n, flow, Timing::default());
    store.commit(unit(vec![birth])).await.expect("stored");
    claim(store, &mut job, host_id(1), at(5)).await;
    let called = call(&job).expect("its task is called");
    let finished = commit(store, &mut job, at(6), |decision| {
        let applied = Outcome::Applied { output: Payload::json(&1.into()), undo: None };
        decision.finish(&called, applied).expect("it is under way");
    });
    finished.await.expect("stored");
    assert_eq!(job.status.state, JobState::Waiting);
    job.id()
}

/// How many answers each job has; one that has some is ready to go on.
async fn answers(store: &dyn Store, jobs: &[JobId]) -> Vec<usize> {
    let mut counts = Vec::new();
    for id in jobs {
        let job = store.job(*id).await.expect("readable").expect("stored");
        let entries = store.entries(*id, 0, 1_000).await.expect("readable");
        let count = entries.iter().filter(|entry| matches!(entry.fact, Fact::TaskAnswered { .. })).count();
        let state = if count == 0 { JobState::Waiting } else { JobState::Ready };
        assert_eq!(job.status.state, state, "{id} has {count} answers");
        counts.push(count);
    }
    counts
}

fn key(event: &CloudEvent) -> UniqueKey {
    UniqueKey::Event { source: event.source.clone(), id: event.id.clone() }
}

async fn publish(engine: &Engine) -> Result<Published, EngineError> {
    let published = engine.publish(PRINCIPAL, &[event(BUILT, "1")]).await;
    published.map(|mut published| published.remove(0))
}

/// Every operation of a publication fails in each way; the same event published again reaches whoever has it not.
#[tokio::test]
async fn whatever_fails_a_publication_that_is_made_again_gives_the_event_to_each_once() {
    let kept = |failure: fn(String) -> StoreFailure| failure("a test says so".to_owned());
    let failures = [kept(StoreFailure::Corrupt), kept(StoreFailure::Down), StoreFailure::Full];
    for failure in failures {
        for fault in [Fault::Before(failure.clone()), Fault::After(failure)] {
            let mut kept_from_some = 0;
            for number in 1..STEPS_MAX {
                let store = Arc::new(Model::default());
                let mut jobs = Vec::new();
                for n in 1..=3 {
                    jobs.push(waiting(&*store, n, 2).await);
                }
                let guard = Chosen { fault: Some((number, fault.clone())), ..Chosen::default() };
                let failing = publish(&engine(&store, guard)).await;
                let Err(error) = failing else {
                    assert_eq!(failing.ok(), Some(Published::Accepted { jobs: vec![], delivered: 3 }));
                    assert!(number > 8, "a publication to three jobs is more than {number} operations");
                    break;
                };
                let held = store.holder(&key(&event(BUILT, "1"))).await.expect("readable");
                if error.to_string().contains("could not be given") {
                    // What cannot be read, or written, is the affair of one job.
                    let counts = answers(&*store, &jobs).await;
                    assert!(counts.iter().filter(|count| **count == 2).count() >= 2, "{counts:?}: {error}");
                    assert!(held.is_none(), "it is not taken: {error}");
                    kept_from_some += 1;
                }
                let again = publish(&engine(&store, Chosen::default())).await.expect("nothing fails");
                assert_eq!(again == Published::Duplicate, held.is_some(), "{error}: {again:?}");
                assert_eq!(answers(&*store, &jobs).await, [2, 2, 2], "{fault:?} at {number}");
                assert!(number + 1 < STEPS_MAX, "a publication has fewer operations");
            }
            let is_of_one_job = matches!(
                fault,
                Fault::Before(StoreFailure::Corrupt(_)) | Fault::After(StoreFailure::Corrupt(_))
            );
            assert_eq!(kept_from_some > 0, is_of_one_job, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_publisher_is_told_which_jobs_have_not_got_the_event_and_what_to_do() {
    let store = Arc::new(Model::default());
    let job = waiting(&*store, 1, 1).await;
    // The holder of the key, the triggers, the jobs that wait, and then the job.
    let fault = Fault::Before(StoreFailure::Corrupt("a row does not decode".to_owned()));
    let guard = Chosen { fault: Some((4, fault)), ..Chosen::default() };
    let error = publish(&engine(&store, guard)).await.expect_err("the job cannot be read");
    assert!(matches!(error, EngineError::Precondition { .. }), "{error:?}");
    let text = error.to_string();
    for part in [
        "event 1 of /tests could not be given to 1 of the jobs that wait for it",
        &format!("job {job}: the store is corrupt: a row does not decode"),
        "publish it again",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// A second publication is held up at each of its steps, while the first one ends and another job begins to wait. That
/// one must not be given an event that was published, and acknowledged, before.
#[tokio::test]
async fn a_publication_that_comes_late_gives_the_event_to_nobody_who_began_to_wait_after_the_first() {
    let mut is_held_up_in_delivery = false;
    for steps in 0..STEPS_MAX {
        let store = Arc::new(Model::default());
        let before = waiting(&*store, 1, 1).await;
        let (first, second) =
            (engine(&store, Chosen::default()), engine(&store, Chosen { turns: 1, ..Chosen::default() }));
        let mut late = Box::pin(publish(&second));
        let mut ended = None;
        for _ in 0..steps {
            if let std::task::Poll::Ready(published) = poll!(&mut late) {
                ended = Some(published);
                break;
            }
        }
        let is_over = ended.is_some();
        let early = publish(&first).await.expect("nothing fails");
        let after = waiting(&*store, 2, 1).await;
        let late = match ended {
            Some(published) => published,
            None => late.await,
        };
        let accepted = [&early, late.as_ref().expect("nothing fails")];
        let accepted = accepted.iter().filter(|published| ***published != Published::Duplicate).count();
        assert_eq!(accepted, 1, "after {steps} steps");
        assert_eq!(answers(&*store, &[before, after]).await, [1, 0], "after {steps} steps");
        is_held_up_in_delivery |= !is_over && early == Published::Accepted { jobs: vec![], delivered: 0 };
        if is_over {
            assert!(is_held_up_in_delivery, "the second was held up after it had given the event");
            return;
        }
    }
    panic!("a publication is over within {STEPS_MAX} steps");
}

/// More jobs than are given an event at once, some of which wait for others.
#[tokio::test]
async fn an_event_reaches_every_job_that_waits_for_it_however_many_there_are() {
    let store = Arc::new(Model::default());
    let mut jobs = Vec::new();
    for n in 1..=150 {
        jobs.push(waiting(&*store, n, 1).await);
    }
    let other = engine(&store, Chosen::default()).publish(PRINCIPAL, &[event(EVENT_TYPES[2], "0")]).await;
    assert_eq!(other.expect("taken"), [Published::Accepted { jobs: vec![], delivered: 0 }]);
    let published = publish(&engine(&store, Chosen::default())).await;
    assert_eq!(published.expect("taken"), Published::Accepted { jobs: vec![], delivered: 150 });
    assert!(answers(&*store, &jobs).await.iter().all(|count| *count == 1));
    assert_eq!(store.awaiting(BUILT, None, 10).await.expect("readable"), []);
    assert_eq!(store.board(1_000).await.expect("readable").len(), jobs.len());
    assert_eq!(jobs[0], job_id(1));
}
