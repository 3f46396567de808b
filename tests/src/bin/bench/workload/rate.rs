//! Jobs submitted and waited for, so many in flight: how many there are a second, and how long each takes.

use anyhow::{Context as _, Result};
use windlass_tests::crash::site::Site;

use super::Setting;
use super::shape::Shape;
use crate::drive::{Driven, Until, drive};
use crate::floor::Floor;
use crate::host::Host;
use crate::proof;
use crate::reading::{Cost, Reading, Usage, percentile};

/// Lanes that warm a host up: more would only queue.
const WARM_LANES: usize = 64;

/// What a client saw, and what the host used up meanwhile.
pub struct Seen {
    pub driven: Driven<String>,
    before: Usage,
    after: Usage,
    site: Site,
}

impl Seen {
    fn cost(&self) -> Result<Cost> {
        Cost::of(self.before, self.after, self.driven.done.len(), &self.site)
    }
}

pub async fn run(setting: &Setting, shape: Shape, in_flight: usize) -> Result<Vec<Reading>> {
    let host = Host::fresh(&setting.serve).await?;
    let seen = of_host(host, setting, shape, in_flight).await?;
    let floor = Floor::fresh().await?;
    let (until, plan) = (Until::Elapsed(setting.size.span), shape.plan());
    floor.run(in_flight.min(WARM_LANES), Until::Count(warm_up(shape, in_flight)), &plan).await?;
    let least = floor.run(in_flight, until, &plan).await?;
    readings(shape, in_flight, &seen, &least)
}

/// On a host that is given, which ends with it.
pub async fn of_host(host: Host, setting: &Setting, shape: Shape, in_flight: usize) -> Result<Seen> {
    let client = &host.client;
    let job = |number, lane| client.run(lane, shape.spec(number), shape.end());
    drive(in_flight.min(WARM_LANES), Until::Count(warm_up(shape, in_flight)), job).await?;
    let before = host.usage()?;
    let driven = drive(in_flight, Until::Elapsed(setting.size.span), job).await?;
    let after = host.usage()?;
    let ids: Vec<String> = driven.done.iter().map(|done| done.gave.clone()).collect();
    proof::all_in_state(client, &ids, shape.end()).await?;
    proof::tasks(client, &ids, shape.tasks(), shape.task_end()).await?;
    Ok(Seen { driven, before, after, site: host.terminate().await? })
}

fn warm_up(shape: Shape, in_flight: usize) -> usize {
    shape.warm_up() * in_flight.min(WARM_LANES)
}

fn readings(shape: Shape, in_flight: usize, seen: &Seen, least: &Driven<()>) -> Result<Vec<Reading>> {
    let rate = |id| Reading::new(id, seen.driven.rate()).beside(least.rate());
    let took = |id, percent| {
        let value = percentile(seen.driven.milliseconds(), percent).context("a job has ended")?;
        let floor = percentile(least.milliseconds(), percent).context("a job of the floor has ended")?;
        anyhow::Ok(Reading::new(id, value).beside(floor))
    };
    let mut readings = match (shape, in_flight) {
        (Shape::One, 1) => vec![rate("one_1_rate"), took("one_1_p50_ms", 50)?, took("one_1_p99_ms", 99)?],
        (Shape::One, 64) => vec![rate("one_64_rate")],
        (Shape::One, 512) => vec![rate("one_512_rate")],
        (Shape::Linear, 1) => vec![took("linear_1_p50_ms", 50)?],
        (Shape::Linear, 64) => vec![rate("linear_64_rate")],
        (Shape::Reverted, 1) => vec![took("reverted_1_p50_ms", 50)?],
        (Shape::Reverted, 64) => vec![rate("reverted_64_rate")],
        (Shape::Chain, 1) => vec![took("chain_400_ms", 50)?],
        (Shape::Wide, 1) => vec![took("wide_400_ms", 50)?],
        (Shape::Grid, 1) => vec![took("grid_ms", 50)?],
        other => anyhow::bail!("nothing is told of {other:?}"),
    };
    if let Some(first) = readings.first_mut() {
        first.cost = Some(seen.cost()?);
    }
    Ok(readings)
}
