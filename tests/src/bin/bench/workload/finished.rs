//! A store of a great many finished jobs: how soon its host is ready, what it holds, and how much slower it is.

use anyhow::{Context as _, Result};

use super::Setting;
use super::rate;
use super::shape::Shape;
use super::start::SETTLED;
use crate::bulk;
use crate::drive::{Until, drive};
use crate::floor;
use crate::host::Host;
use crate::proof;
use crate::reading::{Reading, median};

const IN_FLIGHT: usize = 64;

pub async fn run(setting: &Setting) -> Result<Vec<Reading>> {
    let before = rate_of(Host::fresh(&setting.serve).await?, setting).await?;
    let site = bulk::site(setting.size.finished, &setting.serve).await?;
    let least = floor::open(&site.store_file())?;
    let host = Host::on(site, &setting.serve).await?;
    let ready = host.ready_in.as_secs_f64() * 1e3;
    tokio::time::sleep(SETTLED).await;
    let idle = host.resident_mib()?;
    let alone = alone(&host, setting).await?;
    let large = rate_of(host, setting).await?;
    let after = rate_of(Host::fresh(&setting.serve).await?, setting).await?;
    // What else the machine does changes from second to second.
    let small = f64::midpoint(before, after);
    Ok(vec![
        Reading::new("finished_ready_ms", ready).beside(least.as_secs_f64() * 1e3),
        Reading::new("finished_idle_mib", idle),
        Reading::new("finished_1_p50_ms", alone),
        Reading::new("finished_rate", large),
        Reading::new("finished_loss", 100.0 * (1.0 - large / small)),
    ])
}

/// From submission to the end of a one-action job, one at a time, in milliseconds: the median.
async fn alone(host: &Host, setting: &Setting) -> Result<f64> {
    let end = Shape::One.end();
    let job = |number, lane| host.client.run(lane, Shape::One.spec(number), end);
    let driven = drive(1, Until::Elapsed(setting.size.span), job).await?;
    let ids: Vec<String> = driven.done.iter().map(|done| done.gave.clone()).collect();
    proof::all_in_state(&host.client, &ids, end).await?;
    median(driven.milliseconds()).context("a job has ended")
}

/// One-action jobs a second, on a host that ends with it.
async fn rate_of(host: Host, setting: &Setting) -> Result<f64> {
    Ok(rate::of_host(host, setting, Shape::One, IN_FLIGHT).await?.driven.rate())
}
