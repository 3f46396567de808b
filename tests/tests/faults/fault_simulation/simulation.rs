//! One history.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio::sync::watch;
use windlass_core::call::{Direction, Observation, Outcome};
use windlass_core::child::Parent;
use windlass_core::decide::Decision;
use windlass_core::decide::control::Resolution;
use windlass_core::entry::Entry;
use windlass_core::flow::Leaf;
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::{CancelMode, Job, JobState, Origin};
use windlass_host::clock::Clock as _;
use windlass_host::engine::job::Demand;
use windlass_host::engine::submit::Submission;
use windlass_host::engine::{Engine, EngineError};
use windlass_host::store::{Store, Subject};
use windlass_tests::clock::ManualClock;
use windlass_tests::crash::witness;
use windlass_tests::invariants;
use windlass_tests::ledger::LedgerLine;
use windlass_tests::scripted::{self, ACTION, Made, Scripted, register};

use super::ground::Ground;
use super::member::Member;
use super::random::Random;
use super::work::{self, NUMBER, TASKS};

pub const PRINCIPAL: &str = "local";
const JOBS_MAX: usize = 5;
const MEMBERS_MAX: usize = 4;
const STEPS: usize = 60;
/// Rounds in which everything is let go: every task of every job, forth and back, with all its retries.
const HEALING_ROUNDS_MAX: usize = 200;
/// Longer than any pause that a call may ask for.
const HEALING_STEP: TimeDelta = TimeDelta::days(2);
const ROWS: usize = 100;
/// A message, the end of a select, a call that is cut: each takes a turn of the runtime.
const SETTLING_TURNS: usize = 20;
/// By then everything that can happen has, on the slowest machine.
const SETTLING_MAX: Duration = Duration::from_secs(60);

/// See the module.
pub struct Simulation {
    pub(super) random: Random,
    clock: Arc<ManualClock>,
    ground: Ground,
    pub(super) store: Arc<dyn Store>,
    scripted: Arc<Scripted>,
    pub(super) members: Vec<Member>,
    ended: Arc<watch::Sender<u64>>,
    /// Those that were submitted, and their children.
    pub(super) jobs: Vec<JobId>,
    submitted: usize,
}

impl Simulation {
    /// Panics where something that must hold does not.
    pub async fn run(seed: u64) {
        let mut simulation = Self::new(seed).await;
        for _ in 0..STEPS {
            // Now and then something happens while an outcome is recorded.
            if simulation.random.chance(25) {
                simulation.release();
            }
            simulation.step().await;
            simulation.settle().await;
            simulation.check().await;
        }
        simulation.heal().await;
        simulation.check_ends().await;
        simulation.cut_power(seed).await;
    }

    async fn new(seed: u64) -> Self {
        let (ground, store) = Ground::fresh().await;
        let scripted = Scripted::new(move |call| work::answer(seed, call));
        let mut simulation = Self {
            random: Random::of(seed),
            clock: Arc::default(),
            store,
            ground,
            scripted,
            members: Vec::new(),
            ended: Arc::new(watch::Sender::new(0)),
            jobs: Vec::new(),
            submitted: 0,
        };
        simulation.join().await;
        register(&simulation.members[0].engine).await.expect("the plugin is taken");
        simulation.submit().await;
        simulation
    }

    /// A host begins, and takes the claims of all others, which may not know it yet.
    async fn join(&mut self) {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let member = Member::new(store, clock, self.scripted.clone(), self.ended.clone());
        member.engine.succeed_predecessors("simulated", "0").await.expect("the store answers");
        self.members.push(member);
    }

    pub(super) fn engine(&mut self) -> Arc<Engine> {
        let at = self.random.below(self.members.len() as u64) as usize;
        self.members[at].engine.clone()
    }

    async fn step(&mut self) {
        match self.random.below(100) {
            0..32 => self.release(),
            32..54 => self.take().await,
            54..60 => self.tell().await,
            60..68 => self.submit().await,
            68..78 => self.pass_time().await,
            78..82 => self.lose_claim().await,
            82..86 if self.members.len() < MEMBERS_MAX => self.join().await,
            86..89 => self.leave().await,
            89..92 => self.answer().await,
            92..94 => self.publish().await,
            _ => self.ask().await,
        }
    }

    /// Lets one call end.
    fn release(&mut self) {
        if let Some(place) = self.random.pick(&self.scripted.held()) {
            self.scripted.release(place);
        }
    }

    /// One or two members take a ready job at the same time.
    async fn take(&mut self) {
        let mut ready = self.store.board(ROWS).await.expect("the store answers");
        ready.sort_by_key(|job| self.place(*job));
        let Some(job) = self.random.pick(&ready) else { return };
        for _ in 0..=self.random.below(2) {
            let at = self.random.below(self.members.len() as u64) as usize;
            if !self.members[at].is_stopping() {
                self.members[at].take(job);
            }
        }
    }

    /// One or two members have jobs told what others have to tell them.
    async fn tell(&mut self) {
        let (first, second, nobody) = (self.engine(), self.engine(), BTreeSet::new());
        if self.random.chance(50) {
            first.tell_families(&nobody).await.expect("the store answers");
        } else {
            let told = tokio::join!(first.tell_families(&nobody), second.tell_families(&nobody));
            told.0.expect("the store answers");
            told.1.expect("the store answers");
        }
        self.meet_children().await;
    }

    /// In the order of their parents and nodes: their ids are others in every run of a seed.
    async fn meet_children(&mut self) {
        let mut met = Vec::new();
        for spec in witness::specs(&*self.store).await {
            let Origin::Child(Parent { job, task }) = &spec.origin else { continue };
            if self.place(spec.id).is_none() {
                met.push((self.place(*job), task.clone(), spec.created, spec.id));
            }
        }
        met.sort();
        self.jobs.extend(met.into_iter().map(|(.., id)| id));
    }

    fn place(&self, job: JobId) -> Option<usize> {
        self.jobs.iter().position(|known| *known == job)
    }

    async fn submit(&mut self) {
        if self.submitted == JOBS_MAX {
            return;
        }
        let flow = work::flow(&mut self.random);
        let later = TimeDelta::minutes(self.random.below(90) as i64);
        let submission = Submission {
            principal: PRINCIPAL.to_owned(),
            labels: BTreeMap::from([(NUMBER.to_owned(), self.submitted.to_string())]),
            flow: Some(flow),
            execute_at: self.random.chance(30).then(|| self.members[0].engine.now() + later),
            priority: self.random.below(3) as i32 - 1,
            timeout_ms: self.random.chance(20).then(|| 1 + self.random.below(7_200_000)),
            never_revert: self.random.chance(10),
            ..Submission::default()
        };
        let submitted = self.engine().submit(submission).await.expect("the job is in order");
        self.jobs.push(submitted.job.id());
        self.submitted += 1;
    }

    /// The clock goes on, or back; what is due is woken, or not yet.
    async fn pass_time(&mut self) {
        let seconds = self.random.below(2 * 3_600) as i64 - 1_800;
        self.clock.advance(TimeDelta::seconds(seconds));
        if self.random.chance(70) {
            self.wake().await;
        }
    }

    async fn wake(&mut self) {
        let engine = self.engine();
        for due in engine.due(ROWS).await.expect("the store answers") {
            let Subject::Job(job) = due.subject else { continue };
            let actor = engine.host_actor();
            let woken = engine.decide(job, &actor, |decision| {
                decision.wake();
                Ok(())
            });
            woken.await.expect("what is due can be woken");
        }
    }

    /// Somebody finds that the host of a job is gone. It may not be.
    async fn lose_claim(&mut self) {
        let mut claims = self.store.claims().await.expect("the store answers");
        claims.sort_by_key(|(_, job)| self.place(*job));
        let Some((host, job)) = self.random.pick(&claims) else { return };
        let engine = self.engine();
        let actor = engine.host_actor();
        match engine.decide(job, &actor, |decision| decision.lose_claim(host)).await {
            // The last is of a claim that was given back meanwhile.
            Ok(_) | Err(EngineError::Precondition { .. }) => {}
            Err(error) => panic!("job {job}: {error}"),
        }
    }

    /// A host stops: it lets its calls finish, or cuts them short.
    async fn leave(&mut self) {
        let at = self.random.below(self.members.len() as u64) as usize;
        match self.random.chance(50) {
            true => self.members[at].stop(),
            false => self.members[at].abort(),
        }
        if self.members.iter().all(Member::is_stopping) {
            self.join().await;
        }
    }

    /// An operator asks for something, whether that is possible or not.
    async fn ask(&mut self) {
        let Some(job) = self.random.pick(&self.jobs) else { return };
        let task = self.random.pick(&TASKS).unwrap_or("a").to_owned();
        let task = InstanceName { task, iteration: Vec::new() };
        let demand = match self.random.below(12) {
            0 => Demand::Cancel(CancelMode::Revert),
            1 => Demand::Cancel(CancelMode::Leave),
            2 => Demand::Suspend,
            3 | 4 => Demand::Resume,
            5 => Demand::Retry,
            6 => Demand::Revert,
            7 => Demand::Prioritise(self.random.below(5) as i32),
            8 => Demand::Resolve { task, resolution: Resolution::Retry },
            9 => Demand::Resolve { task, resolution: Resolution::Accept },
            10 => Demand::Quarantine,
            _ => Demand::Release,
        };
        self.demand(job, demand).await;
    }

    async fn demand(&mut self, job: JobId, demand: Demand) {
        let engine = self.engine();
        Self::demand_of(&engine, job, demand).await;
    }

    pub(super) async fn demand_of(engine: &Engine, job: JobId, demand: Demand) {
        match engine.demand(job, PRINCIPAL, &[demand], "chance", None).await {
            Ok(_) | Err(EngineError::Precondition { .. }) => {}
            Err(error) => panic!("job {job}: {error}"),
        }
    }

    /// Returns when every run has ended, or waits for a call that the simulation holds.
    async fn settle(&self) {
        self.spread_news().await;
        // An outcome that is recorded while other calls of its job run is told by no event: look until it is so.
        let began = Instant::now();
        while began.elapsed() < SETTLING_MAX {
            if self.is_settled().await {
                return;
            }
            tokio::task::yield_now().await;
        }
        let running: Vec<usize> = self.members.iter().map(Member::running).collect();
        let held: Vec<_> = self.scripted.made().into_iter().filter(|made| made.is_held).collect();
        let jobs = witness::jobs(&*self.store).await;
        let more: Vec<_> = jobs.iter().flat_map(|found| self.more(&found.job)).collect();
        panic!("it does not settle: {running:?} run, held are {held:#?}, more is {more:#?}, of {jobs:#?}");
    }

    /// Who has a job hears of what others recorded of it, as it would some seconds later by looking. Who had it hears
    /// nothing: it goes on until it is refused.
    async fn spread_news(&self) {
        for (host, job) in self.store.claims().await.expect("the store answers") {
            let holder = self.members.iter().find(|member| member.host == host);
            let stored = self.store.job(job).await.expect("the store answers");
            if let (Some(holder), Some(stored)) = (holder, stored) {
                holder.engine.hear(job, &stored.status);
            }
        }
    }

    /// Whoever was told to stop has a few turns to hear of it. A run that has its claim waits when all its calls are
    /// held; one that lost it, and does not know it yet, when any is.
    async fn is_settled(&self) -> bool {
        let mut held = BTreeMap::new();
        for _ in 0..SETTLING_TURNS {
            held.clear();
            for made in self.scripted.made().into_iter().filter(|made| made.is_held) {
                *held.entry((made.job, made.fence)).or_insert(0_usize) += 1;
            }
            let running: usize = self.members.iter().map(Member::running).sum();
            if running != held.len() {
                return false;
            }
            tokio::task::yield_now().await;
        }
        for id in &self.jobs {
            let job = self.store.job(*id).await.expect("the store answers").expect("the job is there");
            let epoch = job.status.claim.map_or(0, |claim| claim.epoch);
            let waiting = held.get(&(id.to_string(), epoch)).copied();
            if waiting.is_some_and(|count| count != job.in_flight_count() || !self.more(&job).is_empty()) {
                return false;
            }
        }
        true
    }

    /// Its host has something more to record, for which no call needs to end: it has room for all that it could call. One
    /// that stops finds out only when it hears of something.
    fn more(&self, job: &Job) -> Vec<Entry> {
        let Some(claim) = job.status.claim else { return Vec::new() };
        let holder = self.members.iter().find(|member| member.host == claim.host);
        let Some(holder) = holder else { return Vec::new() };
        let (mut job, now) = (job.clone(), self.clock.now());
        // A pause that began before the clock went back lasts until it has come round again.
        let room = job.wanted_calls(now);
        let decision = Decision::new(&mut job, now, holder.engine.host_actor()).with_room(room);
        let mut decision = match holder.is_stopping() {
            true => decision.stopping(claim.host),
            false => decision,
        };
        match decision.proceed(claim.host) {
            Ok(()) => decision.into_entries(),
            Err(_) => Vec::new(),
        }
    }

    /// X01, X02, X07 and the replay of every logbook; and J11: who lost a claim begins nothing more.
    async fn check(&self) {
        let made = self.scripted.made();
        invariants::check(&*self.store, &ledger(&made)).await;
        let mut fences: HashMap<&str, u64> = HashMap::new();
        for call in &made {
            let last = fences.entry(&call.job).or_default();
            assert!(*last <= call.fence, "a host that lost its claim begins a call: {call:#?}");
            *last = call.fence;
        }
    }

    /// Everything is let go, until every job has ended.
    async fn heal(&mut self) {
        self.join().await;
        for _ in 0..HEALING_ROUNDS_MAX {
            self.settle().await;
            let mut is_over = true;
            for id in self.jobs.clone() {
                match self.store.job(id).await.expect("the store answers").map(|job| job.status.state) {
                    Some(JobState::Suspended | JobState::Suspending) => {
                        self.demand(id, Demand::Resume).await;
                        is_over = false;
                    }
                    Some(JobState::Quarantined) => {
                        self.demand(id, Demand::Release).await;
                        is_over = false;
                    }
                    Some(state) => is_over &= state.is_ended(),
                    None => panic!("job {id} is gone"),
                }
            }
            let is_told = self.store.untold(None, 1).await.expect("the store answers").is_empty();
            if is_over && is_told && self.members.iter().all(|member| member.running() == 0) {
                return;
            }
            self.clock.advance(HEALING_STEP);
            self.wake().await;
            self.tell().await;
            let healer = self.members.len() - 1;
            for job in self.store.board(ROWS).await.expect("the store answers") {
                self.members[healer].take(job);
            }
            self.scripted.held().into_iter().for_each(|place| self.scripted.release(place));
        }
        panic!("not every job comes to an end: {:#?}", witness::jobs(&*self.store).await);
    }

    /// What the ledger has to say of how each job ended.
    async fn check_ends(&self) {
        self.check().await;
        let made = self.scripted.made();
        for found in witness::jobs(&*self.store).await {
            let job = &found.job;
            assert_eq!(job.status.claim, None);
            let is_wait = |name: &str| {
                job.flow.leaves().any(|leaf| leaf.name() == name && matches!(leaf, Leaf::Wait(_)))
            };
            for instance in job.instances.values().filter(|instance| !is_wait(&instance.name.task)) {
                let key = |direction| instance.name.key(job.id(), direction);
                let ended = |direction, is_good: fn(&Outcome) -> bool| {
                    let key = key(direction);
                    made.iter().any(|made| made.key == key && made.outcome.as_ref().is_some_and(is_good))
                };
                let was_applied = ended(Direction::Apply, |outcome| {
                    let is_there = |seen: &Observation| matches!(seen, Observation::Present { .. });
                    matches!(outcome, Outcome::Applied { .. })
                        || matches!(outcome, Outcome::Observed(seen) if is_there(seen))
                });
                let was_reverted = ended(Direction::Revert, |o| matches!(o, Outcome::Reverted { .. }));
                if instance.output.is_some() {
                    assert!(was_applied, "{} has an output that no call gave", instance.name);
                }
                if !instance.has_effects() && !instance.is_lone_reject() && instance.attempt > 0 {
                    let was_lone_reject = instance.revert_attempt == 0;
                    assert!(was_reverted || was_lone_reject, "{} counts as reverted", instance.name);
                }
            }
            check_end(job);
        }
    }

    /// X07: the store, when its power is cut, has everything that was acknowledged, whole.
    async fn cut_power(self, seed: u64) {
        let before: Vec<Job> = witness::jobs(&*self.store).await.into_iter().map(|found| found.job).collect();
        let Self { ground, store, members, scripted, .. } = self;
        ground.cut_power();
        drop((members, store, scripted));
        let after = ground.restart(seed).await;
        let after: Vec<Job> = witness::jobs(&*after).await.into_iter().map(|found| found.job).collect();
        assert_eq!(before, after);
    }
}

fn check_end(job: &Job) {
    let is_applied = |name: &str| job.current(name).is_some_and(|instance| instance.output.is_some());
    match job.status.state {
        JobState::Succeeded => assert!(job.flow.leaves().all(|leaf| is_applied(leaf.name())), "{job:#?}"),
        JobState::Reverted | JobState::Cancelled => {
            let left: Vec<&InstanceName> =
                job.instances.values().filter(|i| i.has_effects()).map(|i| &i.name).collect();
            assert!(left.is_empty(), "{left:?} remain");
        }
        JobState::Failed => {}
        state => panic!("a job ended {}", state.word()),
    }
}

/// The calls as the fixtures would have written them down.
fn ledger(made: &[Made]) -> Vec<LedgerLine> {
    let line = |made: &Made| LedgerLine {
        kind: scripted::word(made.function).to_owned(),
        action: ACTION.to_owned(),
        job: made.job.clone(),
        task: made.task.clone(),
        iteration: made.iteration.clone(),
        key: made.key.clone(),
        attempt: made.attempt,
        scope_attempt: made.scope_attempt,
        prior: format!("{:?}", made.prior).to_lowercase(),
        fence: made.fence,
        input: serde_json::Value::Null,
        evidence: serde_json::Value::Null,
        failures: serde_json::Value::Null,
    };
    made.iter().map(line).collect()
}
