//! Jobs for later: how many are taken a second, and what the host holds of them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use windlass_proto::v1;
use windlass_tests::work::timestamp;

use super::Setting;
use super::shape::Shape;
use crate::clock;
use crate::drive::{Until, drive};
use crate::floor::Floor;
use crate::host::Host;
use crate::proof;
use crate::reading::{Cost, Reading};

/// Nothing of it is due while this runs.
const LATER: Duration = Duration::from_secs(24 * 3_600);
/// Calls under way: as many as for other rates.
const IN_FLIGHT: usize = 64;
/// As many as a batch may have.
const BATCH: usize = 1_000;
/// While one is answered, the next is on its way.
const BATCHES_IN_FLIGHT: usize = 2;

fn spec(number: usize, at: chrono::DateTime<chrono::Utc>) -> v1::JobSpec {
    v1::JobSpec { execute_time: Some(timestamp(at)), ..Shape::One.spec(number) }
}

pub async fn single(setting: &Setting) -> Result<Vec<Reading>> {
    let (host, count) = (Host::fresh(&setting.serve).await?, setting.size.scheduled);
    let (client, at) = (&host.client, clock::now() + LATER);
    let before = host.usage()?;
    let submit = |number, lane| client.submit(lane, spec(number, at));
    let driven = drive(IN_FLIGHT, Until::Count(count), submit).await?;
    let after = host.usage()?;
    let resident = host.resident_mib()?;
    let ids: Vec<String> = driven.done.iter().map(|done| done.gave.clone()).collect();
    proof::all_in_state(client, &ids, v1::JobState::Scheduled).await?;
    let site = host.terminate().await?;
    let cost = Cost::of(before, after, count, &site)?;
    let least = Floor::fresh().await?.store(IN_FLIGHT, count).await?;
    let rate = Reading::new("schedule_single_rate", driven.rate()).beside(least.rate()).at_cost(cost);
    Ok(vec![rate, Reading::new("schedule_rss_mib", resident)])
}

pub async fn batch(setting: &Setting) -> Result<Vec<Reading>> {
    let (host, count) = (Host::fresh(&setting.serve).await?, setting.size.scheduled);
    let (client, at) = (&host.client, clock::now() + LATER);
    let before = host.usage()?;
    let submit = |number: usize, lane| {
        let specs = (0..BATCH).map(|place| spec(number * BATCH + place, at)).collect();
        client.submit_batch(lane, specs)
    };
    let driven = drive(BATCHES_IN_FLIGHT, Until::Count(count.div_ceil(BATCH)), submit).await?;
    let after = host.usage()?;
    let rate = driven.rate() * BATCH as f64;
    let ids: Vec<String> = driven.done.into_iter().flat_map(|done| done.gave).collect();
    proof::all_in_state(client, &ids, v1::JobState::Scheduled).await?;
    ids.first().context("jobs were scheduled")?;
    let site = host.terminate().await?;
    let cost = Cost::of(before, after, ids.len(), &site)?;
    let least = Floor::fresh().await?.store_many(BATCHES_IN_FLIGHT, count).await?;
    let floor = least.rate() * BATCH as f64;
    Ok(vec![Reading::new("schedule_batch_rate", rate).beside(floor).at_cost(cost)])
}
