//! Workloads: what is done with a host, by name.

mod due;
mod finished;
mod kill;
mod rate;
mod schedule;
mod shape;
mod start;

use anyhow::Result;

use crate::reading::Reading;
use crate::size::Size;
use shape::Shape;

/// A job of one action.
pub fn one_action(number: usize) -> windlass_proto::v1::JobSpec {
    Shape::One.spec(number)
}

/// What workloads are given.
pub struct Setting {
    pub size: Size,
    /// For `windlass serve`.
    pub serve: Vec<String>,
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    pub about: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Jobs of a shape, so many in flight.
    Rate(Shape, usize),
    ScheduleSingle,
    ScheduleBatch,
    Due,
    Start,
    Finished,
    Kill,
}

impl Workload {
    /// Rounds that it takes part in.
    pub fn rounds(&self, size: &Size) -> usize {
        match self.kind {
            Kind::Rate(..) | Kind::Start => size.rounds,
            Kind::ScheduleSingle | Kind::ScheduleBatch | Kind::Due | Kind::Finished | Kind::Kill => {
                size.rounds_of_long
            }
        }
    }

    /// One run.
    pub async fn run(&self, setting: &Setting) -> Result<Vec<Reading>> {
        match self.kind {
            Kind::Rate(shape, in_flight) => rate::run(setting, shape, in_flight).await,
            Kind::ScheduleSingle => schedule::single(setting).await,
            Kind::ScheduleBatch => schedule::batch(setting).await,
            Kind::Due => due::run(setting).await,
            Kind::Start => start::run(setting).await,
            Kind::Finished => finished::run(setting).await,
            Kind::Kill => kill::run(setting).await,
        }
    }
}

const fn workload(name: &'static str, about: &'static str, kind: Kind) -> Workload {
    Workload { name, about, kind }
}

/// In the order in which they run.
pub const ALL: &[Workload] = &[
    workload("one-1", "one-action jobs, one at a time: rate, p50, p99", Kind::Rate(Shape::One, 1)),
    workload("one-64", "one-action jobs, 64 in flight", Kind::Rate(Shape::One, 64)),
    workload("one-512", "one-action jobs, 512 in flight", Kind::Rate(Shape::One, 512)),
    workload("linear-1", "ten tasks in a row, one flow at a time", Kind::Rate(Shape::Linear, 1)),
    workload("linear-64", "ten tasks in a row, 64 flows in flight", Kind::Rate(Shape::Linear, 64)),
    workload("reverted-1", "ten tasks whose last fails, one flow at a time", Kind::Rate(Shape::Reverted, 1)),
    workload("reverted-64", "ten tasks whose last fails, 64 in flight", Kind::Rate(Shape::Reverted, 64)),
    workload("chain-400", "400 tasks in a row, alone", Kind::Rate(Shape::Chain, 1)),
    workload("wide-400", "400 tasks side by side, alone", Kind::Rate(Shape::Wide, 1)),
    workload("grid", "ten layers of ten tasks, alone", Kind::Rate(Shape::Grid, 1)),
    workload("schedule-single", "jobs for later, a call each", Kind::ScheduleSingle),
    workload("schedule-batch", "jobs for later, in batches", Kind::ScheduleBatch),
    workload("due", "jobs that are due at one instant", Kind::Due),
    workload("start", "start on an empty store, and idle memory", Kind::Start),
    workload("finished", "start, memory and rate on a store of finished jobs", Kind::Finished),
    workload("kill", "SIGKILL under load on that store: what is lost, and for how long", Kind::Kill),
];
