//! A small host: it claims what is on the board, makes every call at once, and tells what is to be told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use windlass_core::decide::create::Timing;
use windlass_core::entry::{Actor, Entry};
use windlass_core::id::JobId;
use windlass_core::job::{Job, JobState};
use windlass_core::permit::Policy;
use windlass_core::problem::Problems;
use windlass_host::engine::family::Told;
use windlass_host::engine::job::Demand;
use windlass_host::engine::{Engine, Limits, Parts};
use windlass_host::store::{JobFilter, Store, StoreFailure};
use windlass_tests::clock::ManualClock;
use windlass_tests::conformance::fixture::{born_of, call, host_id, unit};
use windlass_tests::guarded::{Guard, GuardedStore, Op};
use windlass_tests::invariants;
use windlass_tests::model::Model;

use super::script::Shape;

const PRINCIPAL: &str = "local";
const ROWS: usize = 1_000;
/// Rounds of one life: far more than jobs tell each other things.
const ROUNDS_MAX: usize = 100;

/// What an operation does that is chosen by its number.
#[derive(Debug, Clone)]
pub enum Fault {
    Before(StoreFailure),
    /// Done, and not told.
    After(StoreFailure),
    /// Nothing happens from then on.
    Dies,
    /// The last that happens.
    DiesAfter,
}

/// Fails at one operation, and lets others go ahead at each.
#[derive(Default)]
pub struct Chosen {
    count: AtomicU64,
    is_dead: AtomicBool,
    fault: Option<(u64, Fault)>,
    turns: u32,
}

impl Chosen {
    pub fn failing(number: u64, fault: Fault) -> Self {
        Self { fault: Some((number, fault)), ..Self::default() }
    }

    /// Lets others go ahead so many times at each operation.
    pub fn polite(turns: u32) -> Self {
        Self { turns, ..Self::default() }
    }

    fn die(&self) -> StoreFailure {
        self.is_dead.store(true, Ordering::SeqCst);
        StoreFailure::Down("this host is dead".to_owned())
    }

    fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }
}

/// One for an engine and for whoever counts its operations.
struct Shared(Arc<Chosen>);

impl Guard for Shared {
    fn before(&self, _: Op) -> Result<u64, StoreFailure> {
        if self.0.is_dead() {
            return Err(self.0.die());
        }
        let number = self.0.count.fetch_add(1, Ordering::SeqCst) + 1;
        match &self.0.fault {
            Some((chosen, Fault::Before(failure))) if *chosen == number => Err(failure.clone()),
            Some((chosen, Fault::Dies)) if *chosen == number => Err(self.0.die()),
            _ => Ok(number),
        }
    }

    fn after(&self, _: Op, number: u64) -> Result<(), StoreFailure> {
        match &self.0.fault {
            Some((chosen, Fault::After(failure))) if *chosen == number => Err(failure.clone()),
            Some((chosen, Fault::DiesAfter)) if *chosen == number => Err(self.0.die()),
            _ => Ok(()),
        }
    }

    fn step(&self, _: Op) {}

    fn turns(&self, _: Op) -> u32 {
        self.0.turns
    }
}

pub fn engine(store: &Arc<Model>, guard: Chosen) -> Engine {
    guarded(store, Arc::new(guard))
}

fn guarded(store: &Arc<Model>, guard: Arc<Chosen>) -> Engine {
    Engine::new(Parts {
        store: Arc::new(GuardedStore::new(store.clone(), Arc::new(Shared(guard)))),
        clock: Arc::new(ManualClock::default()),
        policy: Policy::default(),
        limits: Limits::default(),
        grant_rule: Box::new(|_| Problems::default()),
        host: host_id(1),
    })
}

async fn submit(store: &Model, n: u64, shape: Shape) -> JobId {
    let (job, birth) = born_of(n, Arc::new(shape.flow()), Timing::default());
    store.commit(unit(vec![birth])).await.expect("stored");
    job.id()
}

/// See the module.
pub struct Household {
    pub store: Arc<Model>,
    /// Nothing of it fails.
    pub engine: Engine,
    pub parent: JobId,
    shape: Shape,
    is_cancelled: Cell<bool>,
    calls: RefCell<Vec<String>>,
}

impl Household {
    pub async fn of(shape: Shape) -> Self {
        let store = Arc::new(Model::default());
        let engine = engine(&store, Chosen::default());
        let parent = submit(&store, 1, shape).await;
        Self { store, engine, parent, shape, is_cancelled: Cell::default(), calls: RefCell::default() }
    }

    /// The n-th job that is nobody's child.
    pub async fn another(&self, n: u64, shape: Shape) -> JobId {
        submit(&self.store, n, shape).await
    }

    pub async fn job(&self, id: JobId) -> Job {
        self.store.job(id).await.expect("readable").expect("stored")
    }

    pub async fn entries(&self, id: JobId) -> Vec<Entry> {
        self.store.entries(id, 0, ROWS).await.expect("readable")
    }

    pub async fn children(&self) -> Vec<Job> {
        let page = self.store.jobs(&JobFilter::default(), None, ROWS).await.expect("readable");
        let mut children = Vec::new();
        for (spec, _) in page.jobs {
            children.extend(Some(self.job(spec.id).await).filter(|job| job.parent().is_some()));
        }
        children
    }

    /// The only one.
    pub async fn child(&self) -> Option<Job> {
        let mut children = self.children().await;
        assert!(children.len() <= 1, "{} children", children.len());
        children.pop()
    }

    /// Every call that was made, such as `Apply x`.
    pub fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    /// Claims and calls, until every job has ended, waits, or has something to be told.
    pub async fn work(&self) {
        loop {
            let ready = self.store.board(ROWS).await.expect("readable");
            if ready.is_empty() {
                break;
            }
            for job in ready {
                self.run(job).await;
            }
        }
        self.cancel().await;
    }

    async fn run(&self, id: JobId) {
        let host = host_id(1);
        let actor = Actor::Host(host);
        let claimed = self.engine.decide(id, &actor, |decision| decision.claim(host));
        claimed.await.expect("it is ready");
        loop {
            let job = self.job(id).await;
            let Some(call) = call(&job) else { return };
            let outcome = self.shape.outcome(&job, &call);
            self.calls.borrow_mut().push(format!("{:?} {}", call.function, call.task));
            let finished = self.engine.decide(id, &actor, |decision| {
                decision.finish(&call, outcome.clone()).expect("it is under way");
                Ok(())
            });
            finished.await.expect("nobody else decides");
        }
    }

    /// Where that belongs to the shape: once, when the child waits.
    async fn cancel(&self) {
        let Some(mode) = self.shape.cancel().filter(|_| !self.is_cancelled.get()) else { return };
        if self.children().await.iter().any(|child| child.status.state == JobState::Waiting) {
            let demands = [Demand::Cancel(mode)];
            let asked = self.engine.demand(self.parent, PRINCIPAL, &demands, "enough", None);
            asked.await.expect("it waits for its child");
            self.is_cancelled.set(true);
        }
    }

    /// Works and tells, through what is chosen, until there is nothing to do. How many operations telling took.
    pub async fn live(&self, chosen: Chosen) -> u64 {
        let chosen = Arc::new(chosen);
        let mut teller = guarded(&self.store, chosen.clone());
        self.until_quiet(async || {
            let nobody = BTreeSet::new();
            let told = teller.tell_families(&nobody).await.unwrap_or_default();
            if chosen.is_dead() {
                teller = engine(&self.store, Chosen::default());
            }
            told
        })
        .await;
        self.check_end().await;
        chosen.count.load(Ordering::SeqCst)
    }

    /// The same with two hosts that tell at once, which let each other go ahead more or less often.
    pub async fn live_twice(&self, turns: u32) {
        let tellers = [1, 1 + turns].map(|turns| engine(&self.store, Chosen::polite(turns)));
        self.until_quiet(async || {
            let nobody = BTreeSet::new();
            let [first, second] = &tellers;
            let (first, second) = futures::join!(first.tell_families(&nobody), second.tell_families(&nobody));
            let (first, second) = (first.expect("nothing fails"), second.expect("nothing fails"));
            Told { count: first.count + second.count, ..Told::default() }
        })
        .await;
        self.check_end().await;
    }

    /// Until nothing is left to do.
    pub async fn settle(&self) {
        let nobody = BTreeSet::new();
        self.until_quiet(async || self.engine.tell_families(&nobody).await.expect("nothing fails")).await;
    }

    async fn until_quiet(&self, mut tell: impl AsyncFnMut() -> Told) {
        for _ in 0..ROUNDS_MAX {
            self.work().await;
            tell().await;
            let is_told = self.store.untold(None, 1).await.expect("readable").is_empty();
            if is_told && self.store.board(1).await.expect("readable").is_empty() {
                return;
            }
        }
        panic!("{:?} does not come to rest: {:#?}", self.shape, self.children().await);
    }

    /// What must hold of any family.
    pub async fn check(&self) {
        invariants::check(&*self.store, &[]).await;
    }

    pub async fn check_end(&self) {
        self.check().await;
        let (state, expected) = self.shape.ends();
        let parent = self.job(self.parent).await;
        assert_eq!(parent.status.state, state, "{:?}: {:#?}", self.shape, self.entries(self.parent).await);
        // One that was not made, or not begun, when the others failed has nothing to undo.
        let word = |state: JobState| match state {
            JobState::Cancelled if self.shape == Shape::MapFails => JobState::Reverted.word(),
            state => state.word(),
        };
        let mut states: Vec<_> = self.children().await.iter().map(|child| word(child.status.state)).collect();
        let mut expected: Vec<_> = expected.into_iter().map(word).collect();
        states.sort_unstable();
        expected.sort_unstable();
        assert_eq!(states, expected, "{:?}", self.shape);
    }
}
