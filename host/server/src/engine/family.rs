//! Families: what a job has to tell another one, its parent or one of its child jobs, is told.
//!
//! Invariant: a unit is about one job. The hearer records first, then the teller that it was told; a crash in between
//! has it told again, which changes nothing, as orders and ends are numbered. No job keeps another from being told.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde_json::Value;
use windlass_core::child::{ChildEnd, Order};
use windlass_core::decide::Decision;
use windlass_core::decide::child::OpenOrder;
use windlass_core::decide::create::create_child;
use windlass_core::entry::Entry;
use windlass_core::fault::{Fault, HOST_CHILD};
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::{Job, JobState};

use crate::engine::{DECIDE_TRIES_MAX, Engine, EngineError, is_cancelling};
use crate::store::{Change, CommitError, Unit};

/// Jobs whose news are told at once: together they fill a transaction of the store, and one page is held in memory.
const PAGE_JOBS: usize = 64;
/// Orders of one job that are told before others have their turn: each time it is loaded once and committed once, so
/// that a map of 10,000 child jobs costs 40 of each.
const ORDERS_MAX: usize = 256;
/// Of those, orders that are told at once: each holds a child job in memory, with its arguments.
const ORDERS_AT_ONCE: usize = 64;
/// Bytes of what child jobs give that one unit of their parent records: as a few of the largest outputs.
const ENDS_BYTES_MAX: usize = 8 << 20;

/// What was told in one look at all that is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// So many orders and ends.
    pub count: usize,
    /// Jobs that could not tell something.
    pub failed: BTreeSet<JobId>,
}

impl Told {
    fn and(mut self, other: Self) -> Self {
        self.count += other.count;
        self.failed.extend(other.failed);
        self
    }
}

/// The end of a child, on its way to its parent.
struct OpenEnd {
    task: InstanceName,
    end: ChildEnd,
}

impl OpenEnd {
    fn of(child: &Job) -> Option<(JobId, Self)> {
        let parent = child.parent().filter(|_| child.status.owes_end)?;
        Some((parent.job, Self { task: parent.task.clone(), end: child.end_for_parent()? }))
    }

    fn bytes(&self) -> usize {
        self.end.output.as_ref().map_or(0, |output| output.bytes.len())
    }
}

impl Engine {
    /// Tells what is to be told, but for what the jobs in `resting` have to tell. What cannot be told stays to be told.
    pub async fn tell_families(&self, resting: &BTreeSet<JobId>) -> Result<Told, EngineError> {
        let (mut told, mut after) = (Told::default(), None);
        loop {
            let page = self.store.untold(after, PAGE_JOBS).await?;
            let awake: Vec<_> = page.iter().filter(|job| !resting.contains(job)).copied().collect();
            told = told.and(self.tell_page(&awake).await);
            after = page.last().copied();
            if page.len() < PAGE_JOBS {
                return Ok(told);
            }
        }
    }

    async fn tell_page(&self, page: &[JobId]) -> Told {
        let mut told = Told::default();
        let (mut parents, mut ends) = (Vec::new(), BTreeMap::<JobId, Vec<OpenEnd>>::new());
        let loaded = join_all(page.iter().map(|job| self.store.job(*job))).await;
        for (id, loaded) in page.iter().zip(loaded) {
            match loaded {
                Ok(Some(job)) => {
                    if let Some((parent, end)) = OpenEnd::of(&job) {
                        ends.entry(parent).or_default().push(end);
                    }
                    if job.status.orders > 0 {
                        parents.push(job);
                    }
                }
                // It was purged since it was listed.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(job = %id, %error, "a job that has something to tell cannot be read");
                    told.failed.insert(*id);
                }
            }
        }
        let orders = join_all(parents.iter().map(|parent| self.give_orders(parent)));
        let ends = join_all(ends.into_iter().map(|(parent, ends)| self.tell_ends(parent, ends)));
        let (orders, ends) = futures::join!(orders, ends);
        orders.into_iter().chain(ends).fold(told, Told::and)
    }

    async fn give_orders(&self, parent: &Job) -> Told {
        let (id, actor) = (parent.id(), self.host_actor());
        let mut orders = parent.open_orders();
        orders.truncate(ORDERS_MAX);
        let mut given = Vec::with_capacity(orders.len());
        for some in orders.chunks(ORDERS_AT_ONCE) {
            given.extend(self.order_all(parent, some).await);
        }
        let mut told = Told::default();
        if given.len() < orders.len() {
            told.failed.insert(id);
        }
        if given.is_empty() {
            return told;
        }
        let recorded = self.decide(id, &actor, |decision| {
            for (order, end) in &given {
                decision.child_told(order);
                if let Some(end) = end {
                    decision.hear_end(&order.task, end.clone());
                }
            }
            Ok(())
        });
        match recorded.await {
            Ok(_) => told.count += given.len(),
            Err(error) => {
                tracing::warn!(job = %id, %error, "a job cannot record that its child jobs know their orders");
                told.failed.insert(id);
            }
        }
        told
    }

    /// The orders that were given, with the ends of children that cannot be made.
    async fn order_all<'orders>(
        &self,
        parent: &Job,
        orders: &'orders [OpenOrder],
    ) -> Vec<(&'orders OpenOrder, Option<ChildEnd>)> {
        let answers = join_all(orders.iter().map(|order| self.order(parent, order))).await;
        let mut given = Vec::with_capacity(orders.len());
        for (order, answer) in orders.iter().zip(answers) {
            match answer {
                Ok(end) => given.push((order, end)),
                Err(error) => {
                    let (job, child, word) = (parent.id(), order.child, order.order.word());
                    tracing::warn!(%job, %child, order = word, %error, "a child job cannot be told an order");
                }
            }
        }
        given
    }

    /// Has a child record an order, and makes it where it is not there. Where it cannot be made: what its parent hears
    /// in the place of its end.
    async fn order(&self, parent: &Job, order: &OpenOrder) -> Result<Option<ChildEnd>, EngineError> {
        for _ in 0..DECIDE_TRIES_MAX {
            let change = match self.store.job(order.child).await? {
                Some(mut child) => {
                    check_kinship(parent, &child)?;
                    let entries = self.obeyed(&mut child, order);
                    if entries.is_empty() {
                        return Ok(None);
                    }
                    let urgent = entries.iter().any(|entry| is_cancelling(&entry.fact));
                    Unit { changes: vec![Change::recorded(&child, entries, None)], urgent }
                }
                None => match self.born_of(parent, order) {
                    Ok((child, entries)) => Unit::of(vec![Change::birth(&child, entries)]),
                    Err(fault) => return Ok(Some(unborn(order, fault))),
                },
            };
            match self.commit(change).await {
                Ok(()) => return Ok(None),
                // Made or changed by somebody else: it is looked at again.
                Err(CommitError::Conflict(_) | CommitError::Fenced { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy { subject: format!("job {}", order.child) })
    }

    fn obeyed(&self, child: &mut Job, order: &OpenOrder) -> Vec<Entry> {
        let mut decision = Decision::new(child, self.now(), self.host_actor());
        decision.obey_parent(order.order, order.number);
        decision.into_entries()
    }

    /// A child that nobody has made. One that is not to run any more is made all the same, and ends at once: otherwise
    /// somebody who was told of the order before could still make it, and it would run.
    fn born_of(&self, parent: &Job, order: &OpenOrder) -> Result<(Job, Vec<Entry>), Fault> {
        let (child, task) = (order.child, &order.task);
        let fault = |what: String| Fault::new(HOST_CHILD, what);
        if order.order == Order::Retry {
            return Err(fault(format!("job {child} is not there any more, and cannot be tried again")));
        }
        let birth = parent.birth(task, self.now());
        let birth = birth.map_err(|problems| fault(format!("job {child} cannot be made: {problems}")))?;
        let bytes = Value::Object(birth.spec.arguments.clone()).to_string().len();
        let bytes_max = self.limits.arguments_bytes_max;
        if bytes > bytes_max {
            let what = format!(
                "job {child} cannot be made: its arguments are {bytes} bytes as JSON, at most {bytes_max}; put large data \
                 into a granted directory"
            );
            return Err(fault(what));
        }
        let is_to_run = order.order == Order::Start;
        let started = if is_to_run { order.number } else { order.number.saturating_sub(1) };
        let (mut job, mut entries) = create_child(birth, started, self.host_actor());
        if !is_to_run {
            entries.extend(self.obeyed(&mut job, order));
        }
        Ok((job, entries))
    }

    /// Tells a parent how some of its child jobs ended, and those that it knows.
    async fn tell_ends(&self, parent: JobId, mut ends: Vec<OpenEnd>) -> Told {
        let mut told = Told::default();
        while !ends.is_empty() {
            let rest = ends.split_off(units_of(&ends));
            told = told.and(self.tell_some_ends(parent, ends).await);
            ends = rest;
        }
        told
    }

    async fn tell_some_ends(&self, parent: JobId, ends: Vec<OpenEnd>) -> Told {
        let actor = self.host_actor();
        let heard = self.decide(parent, &actor, |decision| {
            ends.iter().for_each(|open| decision.hear_end(&open.task, open.end.clone()));
            Ok(())
        });
        match heard.await {
            // Nobody wants to know of a parent that was purged.
            Ok(_) | Err(EngineError::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(job = %parent, %error, "a job cannot be told how its child jobs ended");
                return Told { count: 0, failed: ends.iter().map(|open| open.end.job).collect() };
            }
        }
        let known = ends.iter().map(|OpenEnd { end, .. }| {
            self.decide(end.job, &actor, |decision| {
                decision.parent_told(end.number);
                Ok(())
            })
        });
        let mut told = Told::default();
        for (open, known) in ends.iter().zip(join_all(known).await) {
            match known {
                Ok(_) | Err(EngineError::NotFound { .. }) => told.count += 1,
                Err(error) => {
                    let job = open.end.job;
                    tracing::warn!(%job, %error, "a child job cannot record that its parent knows its end");
                    told.failed.insert(job);
                }
            }
        }
        told
    }

    /// A job is not purged while others need it: its child jobs, to know that it has ended, and its parent, which may
    /// undo it.
    pub(super) async fn check_family_lets_go(&self, job: &Job) -> Result<(), EngineError> {
        let id = job.id();
        let refused = |message: String| Err(EngineError::precondition(format!("job {id}"), message));
        let orders = job.status.orders;
        if orders > 0 {
            return refused(format!(
                "{orders} child jobs of job {id} do not know yet that it has ended: purge it again in a moment"
            ));
        }
        match job.parent() {
            Some(parent) if self.store.job(parent.job).await?.is_some() => refused(format!(
                "job {id} is a child of job {}, which could not undo it any more: purge that one first",
                parent.job
            )),
            _ => Ok(()),
        }
    }
}

/// How many of the ends, at least one, are one unit.
fn units_of(ends: &[OpenEnd]) -> usize {
    let mut bytes = 0;
    let fits = |open: &&OpenEnd| {
        bytes += open.bytes();
        bytes <= ENDS_BYTES_MAX
    };
    ends.iter().take_while(fits).count().max(1)
}

/// The id of a child follows from its parent: another job has it only in a store that somebody wrote by hand.
fn check_kinship(parent: &Job, child: &Job) -> Result<(), EngineError> {
    let (parent, id) = (parent.id(), child.id());
    if child.parent().is_some_and(|found| found.job == parent) {
        return Ok(());
    }
    let message =
        format!("job {id} is there, and is no child of job {parent}: cancel job {parent}, or purge job {id}");
    Err(EngineError::precondition(format!("job {id}"), message))
}

/// What the parent of a child that cannot be made hears.
fn unborn(order: &OpenOrder, fault: Fault) -> ChildEnd {
    ChildEnd {
        job: order.child,
        number: order.number,
        state: JobState::Failed,
        has_effects: false,
        fault: Some(fault),
        output: None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use windlass_core::payload::Payload;

    use super::*;

    fn of_bytes(bytes: usize) -> OpenEnd {
        let job = JobId(Uuid::from_u128(1));
        let output = Payload { media_type: String::new(), bytes: vec![0; bytes] };
        let (state, output) = (JobState::Succeeded, Some(output));
        let end = ChildEnd { job, number: 1, state, has_effects: true, fault: None, output };
        OpenEnd { task: InstanceName { task: "job".to_owned(), iteration: Vec::new() }, end }
    }

    #[test]
    fn ends_of_a_unit_are_bounded_in_bytes_and_one_is_always_told() {
        let units =
            |sizes: &[usize]| units_of(&sizes.iter().map(|bytes| of_bytes(*bytes)).collect::<Vec<_>>());
        assert_eq!(units(&[0; 100]), 100);
        assert_eq!(units(&[ENDS_BYTES_MAX / 2; 3]), 2);
        assert_eq!(units(&[ENDS_BYTES_MAX + 1, 1]), 1);
        assert_eq!(units(&[1, ENDS_BYTES_MAX, 1]), 1);
    }
}
