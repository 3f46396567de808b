//! A witness of one job: reads its entries as a stored logbook, and objects to whatever must never be.

use std::collections::{BTreeMap, BTreeSet};

use super::model;
use crate::call::Direction;
use crate::child::Order;
use crate::entry::{Entry, Fact};
use crate::instance::{Failed, InstanceName, TaskInstance, TaskState};
use crate::job::{Job, JobState};
use crate::wait::Answer;

/// What a plugin would have seen of one task instance. Kept apart from the core's own books.
#[derive(Debug, Default)]
struct Ledger {
    applies: u32,
    reverts: u32,
    undo: u32,
    /// The call that was begun and has no end yet.
    open: Option<(Direction, u32)>,
    /// The number of the observation that was begun and has no end yet.
    looking: Option<u32>,
    looks: u32,
    is_wait: bool,
    is_child: bool,
    has_effects: bool,
}

impl Ledger {
    /// A wait begins, or a look at what was accepted begins or ends.
    fn see_wait(&mut self, fact: &Fact) {
        match fact {
            Fact::TaskWaiting { attempt, .. } => {
                self.is_wait = true;
                self.applies += 1;
                assert_eq!(*attempt, self.applies, "attempts are counted");
            }
            Fact::TaskObserving { attempt, .. } => {
                assert_eq!((self.open, self.looking), (None, None), "one call at a time");
                self.looks += 1;
                assert_eq!(*attempt, self.looks, "observations are counted");
                self.looking = Some(*attempt);
            }
            Fact::TaskNotReady { attempt, .. } => {
                assert_eq!(self.looking.take(), Some(*attempt), "intent first");
            }
            _ => {}
        }
    }

    /// A child job is made, goes on, is undone, or has ended.
    fn see_child(&mut self, fact: &Fact) {
        match fact {
            Fact::ChildOrdered { attempt, order: Order::Undo, .. } => {
                assert_eq!(self.open, None, "one undoing at a time");
                self.reverts += 1;
                assert_eq!(*attempt, self.reverts, "attempts are counted");
                self.open = Some((Direction::Revert, *attempt));
            }
            Fact::ChildOrdered { attempt, .. } => {
                (self.is_wait, self.is_child, self.has_effects) = (true, true, true);
                self.applies += 1;
                assert_eq!(*attempt, self.applies, "attempts are counted");
            }
            Fact::TaskAnswered { answer: Answer::Child(end), .. } => self.has_effects = end.has_effects,
            _ => {}
        }
    }

    /// A call of apply, or an observation of what it accepted, has an end.
    fn close(&mut self, attempt: u32) {
        assert_eq!(attempt, self.applies, "it is about the latest apply");
        if self.is_wait || self.looking.take().is_some() {
            assert_eq!(self.open, None, "one call at a time");
        } else {
            assert_eq!(self.open.take(), Some((Direction::Apply, attempt)), "intent first");
        }
    }
}

#[derive(Debug)]
pub struct Witness {
    replayed: Job,
    entries: usize,
    ledger: BTreeMap<InstanceName, Ledger>,
    /// What must be applied before each task, as a reader of the definition would say.
    before: BTreeMap<String, BTreeSet<String>>,
    /// The names of the scopes around each task and own revert that run again, the outermost first.
    scopes: BTreeMap<String, Vec<String>>,
    /// For each own revert, the tasks that it undoes.
    own_reverts: BTreeMap<String, BTreeSet<String>>,
    /// Those of them that are tried again.
    tried: BTreeSet<String>,
}

impl Witness {
    /// A witness who has read nothing yet.
    pub fn new(job: &Job) -> Self {
        let mut replayed = Job::unborn(job.spec.clone(), job.flow.clone());
        assert_eq!(replayed.plan, job.plan, "one flow has one plan");
        // Compared no more: it is the same one.
        replayed.plan = job.plan.clone();
        Self {
            replayed,
            entries: 0,
            ledger: BTreeMap::new(),
            before: model::before(&job.flow),
            scopes: model::scopes(&job.flow),
            own_reverts: model::own_reverts(&job.flow),
            tried: model::tried(&job.flow),
        }
    }

    /// One decision was taken, with these entries.
    pub fn see(&mut self, job: &Job, entries: &[Entry]) {
        for entry in entries {
            let stored = rmp_serde::to_vec_named(entry).expect("an entry can be written");
            let entry: Entry = rmp_serde::from_slice(&stored).expect("an entry can be read");
            self.see_entry(&entry);
        }
        assert_eq!(&self.replayed, job, "the logbook tells of the job as it is");
        let anew = job.frontier_anew();
        assert_eq!(job.frontier, anew, "the frontier is what follows from the instances");
        self.check(job);
    }

    fn see_entry(&mut self, entry: &Entry) {
        self.entries += 1;
        assert_eq!(entry.sequence, self.entries as u64, "no gap");
        assert!(entry.at >= self.replayed.status.updated, "time goes on");
        let epoch = self.replayed.status.epoch;
        let is_claim = matches!(entry.fact, Fact::Claimed { .. });
        assert_eq!(entry.epoch, epoch + u64::from(is_claim), "the epoch rises with a claim only");
        if let Some(name) = entry.fact.task().filter(|_| !entry.fact.is_of_scope()) {
            self.see_task(name, &entry.fact);
        }
        self.replayed.record(entry).expect("the logbook is legal");
    }

    /// What is begun, and what is undone as a whole, has its turn.
    fn check_turn(&self, name: &InstanceName, fact: &Fact) {
        match fact {
            Fact::TaskReverting { .. } | Fact::ChildOrdered { order: Order::Undo, .. } => {
                self.check_revert_order(name);
            }
            Fact::TaskApplying { .. }
            | Fact::TaskObserving { .. }
            | Fact::TaskWaiting { .. }
            | Fact::ChildOrdered { .. } => self.check_apply_order(name),
            Fact::TaskReverted { attempt: 1.., .. } => self.check_undone_with(name),
            _ => {}
        }
    }

    fn see_task(&mut self, name: &InstanceName, fact: &Fact) {
        self.check_turn(name, fact);
        let is_undone_with_its_flow = self.open_own_revert(name);
        let ledger = self.ledger.entry(name.clone()).or_default();
        match fact {
            Fact::TaskApplying { attempt, .. } => {
                assert!(!self.own_reverts.contains_key(&name.task), "an own revert never applies");
                assert_eq!((ledger.open, ledger.looking), (None, None), "one call at a time");
                ledger.applies += 1;
                assert_eq!(*attempt, ledger.applies, "attempts are counted");
                ledger.open = Some((Direction::Apply, *attempt));
                ledger.has_effects = true;
            }
            Fact::TaskReverting { attempt, .. } => {
                assert_eq!((ledger.open, ledger.looking), (None, None), "one call at a time");
                ledger.reverts += 1;
                assert_eq!(*attempt, ledger.reverts, "attempts are counted");
                ledger.open = Some((Direction::Revert, *attempt));
            }
            Fact::TaskWaiting { .. } | Fact::TaskObserving { .. } | Fact::TaskNotReady { .. } => {
                ledger.see_wait(fact);
            }
            Fact::ChildOrdered { .. } | Fact::TaskAnswered { .. } => ledger.see_child(fact),
            Fact::TaskApplied { attempt, .. }
            | Fact::TaskAccepted { attempt, .. }
            | Fact::TaskBackoff { attempt, .. }
            | Fact::TaskInDoubt { attempt, .. } => ledger.close(*attempt),
            Fact::TaskApplyFailed { attempt: 0, .. } => {
                assert!(ledger.applies == 0, "only before any call does a task fail without one");
            }
            // It was in doubt, and its policy is to undo it then.
            Fact::TaskApplyFailed { attempt, fault, .. } if fault.class == crate::fault::HOST_IN_DOUBT => {
                assert_eq!((ledger.open, ledger.applies), (None, *attempt), "its call was lost");
            }
            Fact::TaskApplyFailed { attempt, how, .. } => {
                ledger.close(*attempt);
                if ledger.is_child {
                    return;
                }
                let is_lone = *how == Failed::Reject && ledger.applies == 1 && ledger.undo == 0;
                ledger.has_effects = !is_lone && !ledger.is_wait;
            }
            Fact::TaskReverted { attempt: 0, .. } => {
                let is_clear = !ledger.has_effects || is_undone_with_its_flow;
                assert!(is_clear && ledger.open.is_none(), "nothing of {name} was to be undone");
                ledger.has_effects = false;
            }
            Fact::TaskReverted { attempt, .. } => {
                assert_eq!(ledger.open.take(), Some((Direction::Revert, *attempt)), "intent first");
                ledger.has_effects = false;
            }
            Fact::TaskRevertBackoff { attempt, .. }
            | Fact::TaskRevertInterrupted { attempt, .. }
            | Fact::TaskRevertFailed { attempt, .. } => {
                assert_eq!(ledger.open.take(), Some((Direction::Revert, *attempt)), "intent first");
            }
            Fact::UndoRecorded { attempt, .. } => {
                let open = ledger.open.map(|(_, open)| open).or(ledger.looking);
                assert_eq!(open, Some(*attempt), "only while it runs");
                ledger.undo += 1;
            }
            _ => {}
        }
    }

    /// X01: whatever comes before it in the flow is applied.
    fn check_apply_order(&self, name: &InstanceName) {
        let job = &self.replayed;
        assert_eq!(job.status.direction, Direction::Apply, "nothing is applied while unwinding");
        assert_eq!(job.status.state, JobState::Running, "{name} is applied by a running job");
        for before in &self.before[&name.task] {
            let path = &name.iteration[..self.shared(before, &name.task)];
            assert!(self.is_settled(job, before, path), "{before} comes before {name}");
        }
        let run = job.status.runs.len() as u32;
        let failed = job.task_instances().filter(|i| i.state == TaskState::ApplyFailed && i.run == run);
        let reaching = failed.map(|instance| &instance.name).find(|failed| self.reaches(failed, name));
        assert_eq!(reaching, None, "nothing begins after a failure");
        if job.wait(&name.task).is_some() {
            return;
        }
        let calls = job.task_instances().filter(|instance| instance.is_in_flight()).count();
        assert!(job.flow.parallel_max.is_none_or(|most| calls < most as usize), "no more than asked for");
    }

    /// X01: whatever comes after it in the flow is undone, or an operator let it be.
    fn check_revert_order(&self, name: &InstanceName) {
        let job = &self.replayed;
        let is_unwinding = job.status.direction == Direction::Revert;
        let (scopes, path) = (&self.scopes[&name.task], &name.iteration);
        let turned = scopes.iter().enumerate().position(|(depth, scope)| {
            let around = InstanceName { task: scope.clone(), iteration: path[..depth].to_vec() };
            job.instances.get(&around).is_some_and(|scope| scope.state == TaskState::Reverting)
        });
        let is_turned = turned.is_some();
        for (own_revert, _) in self.own_reverts.iter().filter(|(_, inside)| inside.contains(&name.task)) {
            let around = self.scopes[own_revert].len();
            let is_own_affair = !is_unwinding && turned.is_some_and(|outermost| outermost >= around);
            assert!(is_own_affair, "{name} is undone with {own_revert}");
        }
        assert!(is_unwinding || is_turned, "nothing is reverted while applying");
        assert_eq!(job.status.state == JobState::Reverting, is_unwinding, "{name} is reverted with its job");
        let own = [name.task.clone()].into();
        let undone = self.own_reverts.get(&name.task).unwrap_or(&own);
        let behind = |other: &InstanceName| {
            self.before.get(&other.task).is_some_and(|before| !before.is_disjoint(undone))
                && !undone.contains(&other.task)
                && self.is_beside(other, name)
        };
        for instance in job.instances.values().filter(|i| behind(&i.name)) {
            let is_let_be = matches!(instance.state, TaskState::Accepted | TaskState::SkippedRevert);
            assert!(is_let_be || !instance.has_effects(), "{} is undone before {name}", instance.name);
        }
        let is_applying = |instance: &&TaskInstance| {
            // In a scope that is tried again, what is outside of it goes on.
            let is_calling = matches!(instance.state, TaskState::Applying | TaskState::Observing);
            is_calling && instance.is_in_flight() && is_unwinding
        };
        let applying = job.instances.values().find(is_applying).map(|instance| &instance.name);
        assert_eq!(applying, None, "what is being applied is let finish");
    }

    /// The own revert of a flow around it is being called.
    fn open_own_revert(&self, name: &InstanceName) -> bool {
        self.own_reverts.iter().filter(|(_, inside)| inside.contains(&name.task)).any(|(own_revert, _)| {
            let is_open = |(other, ledger): (&InstanceName, &Ledger)| {
                other.task == *own_revert && ledger.open.is_some() && self.is_beside(other, name)
            };
            self.ledger.iter().any(is_open)
        })
    }

    /// An own revert has undone all in its flow, but what an operator let be.
    fn check_undone_with(&self, own_revert: &InstanceName) {
        let Some(inside) = self.own_reverts.get(&own_revert.task) else { return };
        for (name, ledger) in &self.ledger {
            let is_inside = inside.contains(&name.task) && self.is_beside(name, own_revert);
            let is_let_be = || self.replayed.instances[name].is_let_be();
            assert!(!is_inside || !ledger.has_effects || is_let_be(), "{name} is undone with {own_revert}");
        }
    }

    /// What a failure reaches at least: all that is in the innermost scope that could be tried again.
    fn reaches(&self, failed: &InstanceName, other: &InstanceName) -> bool {
        let scopes = &self.scopes[&failed.task];
        let depth = scopes.iter().rposition(|scope| self.tried.contains(scope)).map_or(0, |last| last + 1);
        self.scopes[&other.task].get(..depth) == Some(&scopes[..depth])
            && other.iteration.get(..depth) == failed.iteration.get(..depth)
    }

    /// The instances agree in all iterations of the scopes that hold both.
    fn is_beside(&self, one: &InstanceName, other: &InstanceName) -> bool {
        let shared = self.shared(&one.task, &other.task);
        one.iteration.get(..shared) == other.iteration.get(..shared)
    }

    /// How many scopes that run again hold both.
    fn shared(&self, one: &str, other: &str) -> usize {
        let (of_one, of_other) = (&self.scopes[one], &self.scopes[other]);
        of_one.iter().zip(of_other).take_while(|(one, other)| one == other).count()
    }

    /// What of a task a later one has to do with is applied or left out; where it is in scopes that do not hold the
    /// later one, that is the whole of the outermost of them. The path is that of the scopes that hold both.
    fn is_settled(&self, job: &Job, task: &str, path: &[u32]) -> bool {
        let instance = match self.scopes[task].get(path.len()) {
            Some(scope) => job.instances.get(&InstanceName { task: scope.clone(), iteration: path.to_vec() }),
            None => job.instances_of(task).filter(|i| i.name.iteration.starts_with(path)).last(),
        };
        instance.is_some_and(|i| matches!(i.state, TaskState::Applied | TaskState::Skipped))
    }

    fn check(&self, job: &Job) {
        let status = &job.status;
        let tasks = || job.instances.values().filter(|instance| instance.plugin.is_some());
        let in_flight = tasks().filter(|instance| instance.is_in_flight()).count();
        // A claimed job without a call under way would never be heard of again.
        assert_eq!(in_flight > 0, status.state.is_claimed(), "a call, while it is claimed");
        assert_eq!(in_flight, job.in_flight_count(), "all that are under way are known");
        assert_eq!(status.claim.is_some(), status.state.is_claimed(), "a claim, while it is claimed");
        assert_eq!(status.wake.is_some(), status.state == JobState::Waiting, "an alarm, while it waits");
        if status.state == JobState::Running {
            assert_eq!(status.direction, Direction::Apply, "what unwinds never shows running");
        }
        if status.state == JobState::Reverting {
            assert_eq!(status.direction, Direction::Revert);
        }
        for instance in job.instances.values().filter(|i| i.is_task() || i.child.is_some()) {
            assert_eq!(self.ledger[&instance.name].has_effects, instance.has_effects(), "{}", instance.name);
        }
        check_end(self, job);
        check_times(job);
    }
}

/// X02: an end tells the truth about what remains.
fn check_end(witness: &Witness, job: &Job) {
    let status = &job.status;
    let remains = || witness.ledger.iter().filter(|(_, ledger)| ledger.has_effects).map(|(name, _)| name);
    let mut residue: Vec<_> = status.residue.iter().collect();
    residue.sort();
    match status.state {
        JobState::Failed => assert_eq!(residue, remains().collect::<Vec<_>>(), "the residue is what remains"),
        _ => assert_eq!(residue, Vec::<&InstanceName>::new(), "only a failed job has a residue"),
    }
    match status.state {
        JobState::Succeeded => assert!(
            job.flow.leaves().all(|leaf| {
                let is_good = |i: &TaskInstance| {
                    let is_over =
                        matches!(i.state, TaskState::Applied | TaskState::Skipped | TaskState::Reverted);
                    is_over || i.is_let_be()
                };
                witness.is_settled(job, leaf.name(), &[]) && job.instances_of(leaf.name()).all(is_good)
            }),
            "all is applied or left out"
        ),
        JobState::Reverted | JobState::Cancelled | JobState::Dropped | JobState::Superseded => {
            assert_eq!(remains().next(), None, "nothing remains");
        }
        _ => {}
    }
    if status.state.is_ended() {
        assert!(status.request.is_none(), "nothing is asked of what has ended");
        assert_eq!(status.cause.is_none(), status.state == JobState::Succeeded, "an end has a cause");
    }
}

/// C08: created <= due <= triggered <= started <= ended.
fn check_times(job: &Job) {
    let status = &job.status;
    assert!(job.spec.created <= status.due);
    assert!(status.triggered.is_none_or(|triggered| status.due <= triggered), "due, then triggered");
    let mut last = status.triggered;
    for run in &status.runs {
        for time in [run.started, run.ended].into_iter().flatten() {
            assert!(last.is_none_or(|last| last <= time), "runs go on in time");
            last = Some(time);
        }
    }
    let is_over = status.state.is_ended();
    assert_eq!(status.run().ended.is_some(), is_over, "a run has ended when the job has");
    for instance in job.instances.values() {
        let times = [instance.started, instance.apply_ended, instance.revert_started, instance.ended];
        let times: Vec<_> = times.into_iter().flatten().collect();
        assert!(times.is_sorted(), "{}: {times:?}", instance.name);
    }
}
