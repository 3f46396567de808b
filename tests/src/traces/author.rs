//! The author of a trace: what is commanded next, given what is stored.
//!
//! Most of it is what hosts do when all is well; the rest is late, stale, repeated or wrong, as it is among several
//! hosts. The author knows the model, never the store.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use windlass_core::child::Parent;
use windlass_core::decide::create::{Timing, create, create_dropped};
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::{Cause, Job, JobState, Origin};
use windlass_core::occurrence::{self, Occurrence};
use windlass_host::store::{Change, Expected, Record, RecordKey, UniqueKey, Unit};

use super::cast::{BLOBS, Cast};
use super::command::Command;
use super::comparison::NOTE_NAMES;
use crate::conformance::Ask;
use crate::conformance::fixture::{self, actor, at, operation_id, trigger_id};
use crate::dice::Dice;
use crate::faulty::{Slip, Trouble};
use crate::model::State;

/// Jobs as they were, for decisions that come late.
const FORMER_MAX: usize = 12;
/// Units that are committed at once: their orders are tried out, and are few.
const AT_ONCE_MAX: u64 = 3;
/// Above what a row of a store holds without ado.
const LARGE_NOTE_BYTES: usize = 70_000;

/// See the module.
pub struct Author {
    pub cast: Cast,
    pub dice: Dice,
    pub now: DateTime<Utc>,
    /// Numbers of jobs that are not born yet. Not in their order: several hosts make ids.
    unborn: Vec<u64>,
    pub(super) former: VecDeque<Arc<Job>>,
    may_fail: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Birth,
    Decision,
    Note,
    Purge,
    Record,
    Take,
    Expire,
}

#[derive(Debug, Clone, Copy)]
enum Plan {
    One,
    AtOnce,
    Race,
    Blob,
    Restart,
    Compare,
    Slip,
    Trouble,
}

impl Author {
    pub fn of(cast: Cast, mut dice: Dice, may_fail: bool) -> Self {
        let mut unborn = cast.job_numbers();
        dice.shuffle(&mut unborn);
        // Past the births of all traces before, as real time is.
        let now = at(10_000 * cast.seed as i64);
        Self { cast, dice, now, unborn, former: VecDeque::new(), may_fail }
    }

    pub fn next(&mut self, state: &State) -> Command {
        self.pass_time();
        let faults = u64::from(self.may_fail);
        let plan = self.dice.weighed(&[
            (60, Plan::One),
            (8, Plan::AtOnce),
            (4, Plan::Race),
            (4, Plan::Blob),
            (2, Plan::Restart),
            (3, Plan::Compare),
            (12 * faults, Plan::Slip),
            (4 * faults, Plan::Trouble),
        ]);
        match plan {
            Plan::One => Command::Commit(vec![self.unit(state)]),
            Plan::AtOnce => {
                let count = 2 + self.dice.below(AT_ONCE_MAX - 1);
                Command::Commit((0..count).map(|_| self.unit(state)).collect())
            }
            Plan::Race => Command::Commit(self.race(state)),
            Plan::Blob => {
                let place = self.dice.place(BLOBS);
                self.dice.weighed(&[
                    (3, Command::PutBlob(place)),
                    (2, Command::RemoveBlob(place)),
                    (1, Command::PutWrongBlob(place)),
                ])
            }
            Plan::Restart => Command::Restart,
            Plan::Compare => Command::Compare,
            Plan::Slip => {
                Command::Slip(self.dice.weighed(&[(2, Slip::Lost), (3, Slip::Unknown), (3, Slip::Fenced)]))
            }
            Plan::Trouble => {
                let troubles = [(1, Trouble::Down), (2, Trouble::Full), (1, Trouble::WritesDown)];
                Command::Trouble(self.dice.weighed(&troubles), self.unit(state))
            }
        }
    }

    /// A job as it is now, for those who will not notice that it moves on.
    pub fn remember(&mut self, job: &Arc<Job>) {
        self.former.push_back(Arc::clone(job));
        if self.former.len() > FORMER_MAX {
            self.former.pop_front();
        }
    }

    /// Often none: things happen at the same instant, or within a microsecond.
    fn pass_time(&mut self) {
        self.now += match self.dice.below(4) {
            0 => TimeDelta::zero(),
            1 => TimeDelta::nanoseconds(self.dice.below(900) as i64),
            _ => TimeDelta::milliseconds(self.dice.below(400) as i64),
        };
    }

    /// One unit: a change with what belongs to it, or several. Each is made in the knowledge of those before it.
    fn unit(&mut self, state: &State) -> Unit {
        let count = if self.dice.one_in(4) { 2 + self.dice.below(3) } else { 1 };
        let mut known = state.clone();
        let mut changes = Vec::new();
        for _ in 0..count {
            let more = self.changes(&known);
            if let Ok(after) = known.after(&fixture::unit(more.clone())) {
                known = after;
            }
            changes.extend(more);
        }
        Unit { changes, urgent: self.dice.one_in(3) }
    }

    fn changes(&mut self, state: &State) -> Vec<Change> {
        let births = if self.unborn.is_empty() { 0 } else { 4 };
        let kinds = [
            (births, Kind::Birth),
            (16, Kind::Decision),
            (2, Kind::Note),
            (2, Kind::Purge),
            (4, Kind::Record),
            (1, Kind::Take),
            (1, Kind::Expire),
        ];
        match self.dice.weighed(&kinds) {
            Kind::Birth => self.birth(),
            Kind::Decision => self.decision(state).into_iter().collect(),
            Kind::Note => self.note(state).into_iter().collect(),
            Kind::Purge => self.purge(state).into_iter().collect(),
            Kind::Record => vec![self.record(state)],
            Kind::Take => vec![match self.take(None) {
                Change::Take { key, .. } if self.dice.one_in(3) => Change::ExpectFree { key },
                take => take,
            }],
            Kind::Expire => {
                let back = TimeDelta::milliseconds(self.dice.below(3_000) as i64);
                vec![Change::ExpireKeys { before: self.whole_now() - back }]
            }
        }
    }

    fn birth(&mut self) -> Vec<Change> {
        let Some(number) = self.unborn.pop() else { return Vec::new() };
        let flow = self.cast.flow(&mut self.dice);
        let mut spec = fixture::spec(number, &flow);
        spec.created = self.now;
        spec.owner = format!("owner-{}", self.dice.below(2));
        spec.job_type = format!("type-{}", self.dice.below(2));
        spec.never_revert = self.dice.one_in(8);
        let mut changes = Vec::new();
        if self.dice.one_in(3) {
            let operation = operation_id(self.cast.operation(&mut self.dice));
            let occurrence = Occurrence {
                trigger: trigger_id(self.cast.trigger(&mut self.dice)),
                generation: 1,
                nominal: self.whole_now(),
                origin: occurrence::Origin::Schedule,
            };
            let key = UniqueKey::Occurrence { key: occurrence.key(operation).to_vec() };
            changes.push(Change::Take { key, at: self.whole_now(), job: spec.id });
            spec.origin = Origin::Operation { operation, occurrence, window_ms: 5_000 };
        } else if self.dice.one_in(2) {
            changes.push(self.take(Some(spec.id)));
        } else if self.dice.one_in(2) {
            let task = InstanceName { task: "child".to_owned(), iteration: Vec::new() };
            spec.origin = Origin::Child(Parent { job: self.some_job(), task });
        }
        let (job, entries) = if self.dice.one_in(10) {
            create_dropped(Arc::new(spec), flow, Cause::Window, actor())
        } else {
            let later = TimeDelta::microseconds(self.dice.below(900_000) as i64) + TimeDelta::nanoseconds(1);
            let execute_at = self.dice.one_in(3).then(|| self.now + later);
            create(Arc::new(spec), flow, Timing { execute_at, priority: self.priority() }, actor())
        };
        changes.push(Change::birth(&job, entries));
        changes
    }

    /// Seldom anything but the default, and then the ends of what there is as well.
    pub(super) fn priority(&mut self) -> i32 {
        self.dice.weighed(&[(6, 0), (2, 1), (2, -1), (1, 7), (1, i32::MAX), (1, i32::MIN)])
    }

    /// Occurrences are of whole milliseconds; and keys need no order within one.
    fn whole_now(&self) -> DateTime<Utc> {
        self.now.trunc_subsecs(3)
    }

    fn take(&mut self, job: Option<JobId>) -> Change {
        let key = self.dice.pick(&self.cast.keys()).expect("a trace has keys").clone();
        let job = job.unwrap_or_else(|| self.some_job());
        Change::Take { key, at: self.whole_now(), job }
    }

    fn some_job(&mut self) -> JobId {
        *self.dice.pick(&self.cast.jobs()).expect("a trace has jobs")
    }

    fn note(&mut self, state: &State) -> Option<Change> {
        let mut jobs: Vec<_> = state.jobs.values().collect();
        if !self.dice.one_in(5) {
            jobs.retain(|job| job.status.claim.is_some());
        }
        let job = self.dice.pick(&jobs)?;
        let epoch = job.status.epoch + u64::from(self.dice.one_in(8));
        let iteration = if self.dice.one_in(4) { vec![1] } else { Vec::new() };
        let len = match self.dice.below(10) {
            0 => LARGE_NOTE_BYTES,
            some => some as usize - 1,
        };
        Some(Change::Note {
            job: job.id(),
            epoch: Some(epoch),
            task: InstanceName { task: "task-1".to_owned(), iteration },
            name: (*self.dice.pick(&NOTE_NAMES).expect("there are names")).to_owned(),
            value: vec![self.dice.below(256) as u8; len],
        })
    }

    fn purge(&mut self, state: &State) -> Option<Change> {
        let mut jobs: Vec<_> = state.jobs.values().collect();
        if !self.dice.one_in(4) {
            jobs.retain(|job| job.status.state.is_ended());
        }
        let Some(job) = self.dice.pick(&jobs) else {
            return Some(Change::Purge { job: self.some_job(), sequence: self.dice.below(4) });
        };
        let sequence = job.status.sequence - u64::from(self.dice.one_in(8));
        Some(Change::Purge { job: job.id(), sequence })
    }

    fn record(&mut self, state: &State) -> Change {
        let record = self.new_record(1);
        let found = state.records.get(&record.key()).map(|record| record.generation());
        let stale = u64::from(self.dice.one_in(6));
        let generation = found.map_or(1, |found| found.saturating_sub(stale));
        let key = record.key();
        match self.dice.below(8) {
            0 => Change::Remove { key, generation },
            1 => Change::Expect { key, generation },
            2 => Change::Put { record: self.same_record(key, 5), expected: Expected::Any },
            3 => Change::Put { record, expected: Expected::Absent },
            _ => match found {
                Some(found) => {
                    let record = self.same_record(key, found + 1);
                    Change::Put { record, expected: Expected::Generation(generation) }
                }
                None => Change::Put { record, expected: Expected::Absent },
            },
        }
    }

    /// The same thing, and mostly something else about it.
    fn same_record(&mut self, key: RecordKey, generation: u64) -> Record {
        loop {
            let record = self.new_record(generation);
            if record.key() == key {
                return record;
            }
        }
    }

    fn new_record(&mut self, generation: u64) -> Record {
        match self.dice.below(8) {
            0 => fixture::host(self.cast.host(&mut self.dice), generation),
            1 => self.cast.plugin(&mut self.dice, generation),
            2 => {
                let (number, flow) = (self.cast.operation(&mut self.dice), self.cast.flow(&mut self.dice));
                let deleted = self.dice.one_in(3).then_some(self.now);
                fixture::operation(number, generation, &flow, deleted)
            }
            3 => fixture::named_flow(&self.cast.flow_name(&mut self.dice), generation),
            // Its generation is the same for ever.
            4 => {
                let (name, revision) =
                    (self.cast.flow_name(&mut self.dice), self.cast.revision(&mut self.dice));
                fixture::flow_revision(&name, revision, &self.cast.flow(&mut self.dice))
            }
            _ => {
                let later = TimeDelta::nanoseconds(self.dice.below(900_000_000) as i64);
                let due = (!self.dice.one_in(4)).then(|| self.now + later);
                fixture::trigger(self.cast.trigger(&mut self.dice), generation, due)
            }
        }
    }

    /// Hosts that want the same job, or clients that want the same key.
    fn race(&mut self, state: &State) -> Vec<Unit> {
        let ready: Vec<_> =
            state.jobs.values().filter(|job| job.status.state == JobState::Ready).cloned().collect();
        let claims: Vec<_> = match self.dice.pick(&ready).cloned() {
            Some(job) => (0..AT_ONCE_MAX).filter_map(|_| self.decide(&job, &Ask::Claim)).collect(),
            None => {
                let Change::Take { key, at, .. } = self.take(None) else { return Vec::new() };
                let take = |job| Change::Take { key: key.clone(), at, job };
                self.cast.jobs().into_iter().take(AT_ONCE_MAX as usize).map(take).collect()
            }
        };
        claims.into_iter().map(|change| fixture::unit(vec![change])).collect()
    }
}
