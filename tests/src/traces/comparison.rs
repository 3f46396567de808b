//! Comparisons: every read that a store offers, asked of the store and of the model.
//!
//! Nothing is left out because it belongs to no job of this trace: whatever another trace left behind shows.

use std::collections::BTreeSet;
use std::fmt::Debug;

use chrono::{DateTime, TimeDelta, Utc};
use windlass_core::id::{FlowId, JobId};
use windlass_core::instance::InstanceName;
use windlass_core::job::JobState;
use windlass_host::store::{JobFilter, RecordKind, Reference, Store, StoreFailure};

use super::cast::Cast;
use super::follower::Follower;
use crate::conformance::fixture::{EVENT_TYPES, at, operation_id, trigger_id};
use crate::dice::Dice;
use crate::model::Model;

/// What the two do not agree on.
#[derive(Debug, Clone)]
pub struct Wrong(pub String);

impl From<StoreFailure> for Wrong {
    fn from(failure: StoreFailure) -> Self {
        Self(format!("a read failed: {failure}"))
    }
}

type Same = Result<(), Wrong>;

/// More than any trace has of anything.
const ALL: usize = 10_000;
/// Names of the notes that a trace writes.
pub const NOTE_NAMES: [&str; 3] = ["a", "ab", ""];

/// A store, and what it should be.
pub struct Comparison<'a> {
    pub store: &'a dyn Store,
    pub model: &'a Model,
    pub cast: Cast,
    /// Notes that were ever written in this trace, or tried to.
    pub noted: &'a BTreeSet<NoteName>,
    pub now: DateTime<Utc>,
}

/// Which note: of a job, a task instance, and by what name.
pub type NoteName = (JobId, InstanceName, String);

/// A part of what is compared.
#[derive(Debug, Clone, Copy)]
enum Part {
    Board,
    Claims,
    Awaiting,
    Untold,
    Due,
    Lists,
    Tail,
    Notes,
    Records,
    Keys,
    References,
    Blobs,
}

const PARTS: [Part; 12] = [
    Part::Board,
    Part::Claims,
    Part::Awaiting,
    Part::Untold,
    Part::Due,
    Part::Lists,
    Part::Tail,
    Part::Notes,
    Part::Records,
    Part::Keys,
    Part::References,
    Part::Blobs,
];

impl Comparison<'_> {
    /// Everything.
    pub async fn whole(&self, dice: &mut Dice) -> Same {
        for job in self.cast.jobs() {
            self.job(job, dice).await?;
        }
        for part in PARTS {
            self.part(part, dice).await?;
        }
        Ok(())
    }

    /// These jobs, and one more thing.
    pub async fn some(&self, jobs: &[JobId], dice: &mut Dice) -> Same {
        for job in jobs {
            self.job(*job, dice).await?;
        }
        let part = *dice.pick(&PARTS).expect("there are parts");
        self.part(part, dice).await
    }

    async fn part(&self, part: Part, dice: &mut Dice) -> Same {
        match part {
            Part::Board => self.board(dice).await,
            Part::Claims => self.claims().await,
            Part::Awaiting => self.awaiting(dice).await,
            Part::Untold => self.untold(dice).await,
            Part::Due => self.due(dice).await,
            Part::Lists => self.lists(dice).await,
            Part::Tail => self.tail(dice).await,
            Part::Notes => self.notes(dice).await,
            Part::Records => self.records(dice).await,
            Part::Keys => self.keys().await,
            Part::References => self.references().await,
            Part::Blobs => self.blobs().await,
        }
    }

    async fn job(&self, id: JobId, dice: &mut Dice) -> Same {
        let (found, expected) = (self.store.job(id).await?, self.model.job(id).await?);
        same(|| format!("job({id})"), &found, &expected)?;
        let last = expected.map_or(0, |job| job.status.sequence);
        for (after, limit) in [(0, ALL), (dice.below(last + 2), 1 + dice.place(4))] {
            let found = self.store.entries(id, after, limit).await?;
            let expected = self.model.entries(id, after, limit).await?;
            same(|| format!("entries({id}, {after}, {limit})"), &found, &expected)?;
        }
        Ok(())
    }

    /// Those that were written, and one that perhaps never was.
    async fn notes(&self, dice: &mut Dice) -> Same {
        let job = *dice.pick(&self.cast.jobs()).expect("a trace has jobs");
        let iteration = if dice.one_in(2) { vec![1] } else { Vec::new() };
        let task = InstanceName { task: "task-1".to_owned(), iteration };
        let other = (job, task, (*dice.pick(&NOTE_NAMES).expect("there are names")).to_owned());
        for (job, task, name) in self.noted.iter().chain([&other]) {
            let found = self.store.note(*job, task, name).await?;
            let expected = self.model.note(*job, task, name).await?;
            same(|| format!("note({job}, {task}, {name:?})"), &found, &expected)?;
        }
        Ok(())
    }

    async fn board(&self, dice: &mut Dice) -> Same {
        for limit in [ALL, 1 + dice.place(3)] {
            let (found, expected) = (self.store.board(limit).await?, self.model.board(limit).await?);
            same(|| format!("board({limit})"), &found, &expected)?;
        }
        Ok(())
    }

    /// In no order that is promised.
    async fn claims(&self) -> Same {
        let (mut found, expected) = (self.store.claims().await?, self.model.claims().await?);
        found.sort();
        same(|| "claims()".to_owned(), &found, &expected)
    }

    async fn awaiting(&self, dice: &mut Dice) -> Same {
        for event_type in EVENT_TYPES {
            let all = self.model.awaiting(event_type, None, ALL).await?;
            let behind = dice.pick(&all).copied();
            for (after, limit) in [(None, ALL), (behind, 1 + dice.place(3))] {
                let found = self.store.awaiting(event_type, after, limit).await?;
                let expected = self.model.awaiting(event_type, after, limit).await?;
                same(|| format!("awaiting({event_type:?}, {after:?}, {limit})"), &found, &expected)?;
            }
        }
        Ok(())
    }

    async fn untold(&self, dice: &mut Dice) -> Same {
        let all = self.model.untold(None, ALL).await?;
        let behind = dice.pick(&all).copied();
        for (after, limit) in [(None, ALL), (behind, 1 + dice.place(3))] {
            let (found, expected) =
                (self.store.untold(after, limit).await?, self.model.untold(after, limit).await?);
            same(|| format!("untold({after:?}, {limit})"), &found, &expected)?;
        }
        Ok(())
    }

    async fn due(&self, dice: &mut Dice) -> Same {
        let (found, expected) = (self.store.next_due().await?, self.model.next_due().await?);
        same(|| "next_due()".to_owned(), &found, &expected)?;
        // At the very instant, and a moment before and after it.
        let instants: Vec<_> = self.model.due(at(i64::MAX / 1_000_000), ALL).await?;
        let instant = dice.pick(&instants).map_or(self.now, |due| due.at);
        let near = instant + TimeDelta::nanoseconds(*dice.pick(&[-1, 0, 0, 999]).expect("four"));
        for (now, limit) in [(self.now + TimeDelta::days(400), ALL), (near, ALL), (near, 1 + dice.place(3))] {
            let (found, expected) = (self.store.due(now, limit).await?, self.model.due(now, limit).await?);
            same(|| format!("due({now:?}, {limit})"), &found, &expected)?;
        }
        Ok(())
    }

    /// How the pages are cut is the store's affair, as long as they end.
    async fn lists(&self, dice: &mut Dice) -> Same {
        for filter in [JobFilter::default(), self.filter(dice)] {
            let limit = 1 + dice.place(4);
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let page = self.store.jobs(&filter, after, limit).await?;
                if page.jobs.len() > limit {
                    let (wrong, count) = (format!("jobs({filter:?}, {after:?}, {limit})"), page.jobs.len());
                    return Err(Wrong(format!("{wrong} gives {count}")));
                }
                found.extend(page.jobs);
                if page.next.is_some() && page.next >= after.or(Some(JobId(uuid::Uuid::max()))) {
                    return Err(Wrong(format!(
                        "jobs({filter:?}, {after:?}, {limit}) goes on at {:?}",
                        page.next
                    )));
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let expected = self.model.jobs(&filter, None, ALL).await?.jobs;
            same(|| format!("pages of {limit} of jobs({filter:?})"), &found, &expected)?;
        }
        Ok(())
    }

    fn filter(&self, dice: &mut Dice) -> JobFilter {
        let mut filter = JobFilter::default();
        match dice.below(7) {
            0 => filter.states = (0..3).filter_map(|_| dice.pick(&JobState::ALL).copied()).collect(),
            1 => filter.owner = Some(format!("owner-{}", dice.below(3))),
            2 => filter.job_type = Some(format!("type-{}", dice.below(3))),
            3 => filter.operation = Some(operation_id(self.cast.operation(dice))),
            4 => filter.trigger = Some(trigger_id(self.cast.trigger(dice))),
            5 => {
                let parity = if dice.one_in(2) { "even" } else { "odd" };
                filter.labels.insert("parity".to_owned(), parity.to_owned());
            }
            _ => {
                let back = TimeDelta::milliseconds(dice.below(40_000) as i64);
                filter.created_from = Some(self.now - back);
                filter.created_before = Some(self.now - back / 2);
            }
        }
        if dice.one_in(3) {
            filter.states.extend(JobState::ALL.into_iter().filter(|state| !state.is_ended()));
        }
        filter
    }

    async fn tail(&self, dice: &mut Dice) -> Same {
        let state = self.model.state().clone();
        Follower::default().catch_up(self.store, &state, 1 + dice.place(20)).await?;
        let end = self.store.tail_end().await?;
        let (behind, _) = self.store.tail(Some(end), ALL).await?;
        same(|| "what is behind tail_end()".to_owned(), &behind, &Vec::new())
    }

    async fn records(&self, dice: &mut Dice) -> Same {
        for key in self.cast.records() {
            let (found, expected) = (self.store.record(key).await?, self.model.record(key).await?);
            same(|| format!("record({key:?})"), &found, &expected)?;
        }
        for kind in RecordKind::ALL {
            let all = self.model.records(kind, None, ALL).await?;
            let behind = dice.pick(&all).map(|record| record.key());
            for (after, limit) in [(None, ALL), (behind, 1 + dice.place(2))] {
                let found = self.store.records(kind, after, limit).await?;
                let expected = self.model.records(kind, after, limit).await?;
                same(|| format!("records({kind:?}, {after:?}, {limit})"), &found, &expected)?;
            }
        }
        Ok(())
    }

    async fn keys(&self) -> Same {
        for key in self.cast.keys() {
            let (found, expected) = (self.store.holder(&key).await?, self.model.holder(&key).await?);
            same(|| format!("holder({key:?})"), &found, &expected)?;
        }
        Ok(())
    }

    /// In no order that is promised; where there are more than the limit, some of them.
    async fn references(&self) -> Same {
        for plugin in self.cast.plugins() {
            let mut expected = self.model.references(plugin, ALL).await?;
            expected.sort_by_key(place_of);
            let mut found = self.store.references(plugin, ALL).await?;
            found.sort_by_key(place_of);
            same(|| format!("references({plugin})"), &found, &expected)?;
            let some = self.store.references(plugin, 2).await?;
            let is_right = some.len() == expected.len().min(2)
                && some.iter().all(|reference| expected.contains(reference))
                && (some.len() < 2 || some[0] != some[1]);
            same(|| format!("2 of {expected:?} are references({plugin}, 2) = {some:?}"), &is_right, &true)?;
        }
        Ok(())
    }

    async fn blobs(&self) -> Same {
        for digest in self.cast.blobs {
            let (found, expected) = (self.store.blob(digest).await?, self.model.blob(digest).await?);
            let len = |blob: &Option<Vec<u8>>| blob.as_ref().map(Vec::len);
            same(|| format!("length of blob({digest})"), &len(&found), &len(&expected))?;
            same(|| format!("bytes of blob({digest}) are right"), &(found == expected), &true)?;
        }
        Ok(())
    }
}

fn place_of(reference: &Reference) -> (u8, uuid::Uuid, u32) {
    match reference {
        Reference::Operation(operation) => (0, operation.0, 0),
        Reference::Job(job) => (1, job.0, 0),
        Reference::FlowRevision(name) => (2, FlowId::of_name(&name.name).0, name.revision),
    }
}

fn same<T: PartialEq + Debug>(what: impl FnOnce() -> String, found: &T, expected: &T) -> Same {
    if found == expected {
        return Ok(());
    }
    Err(Wrong(format!("{}\n  store: {found:?}\n  model: {expected:?}", what())))
}
