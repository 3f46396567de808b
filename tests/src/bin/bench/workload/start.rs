//! Starts on a store without jobs, with the plugin compiled, and what such a host holds.

use std::time::Duration;

use anyhow::Result;

use super::Setting;
use crate::floor;
use crate::host::Host;
use crate::reading::Reading;

/// After it a host that has nothing to do has done what it does at first.
pub const SETTLED: Duration = Duration::from_secs(1);

pub async fn run(setting: &Setting) -> Result<Vec<Reading>> {
    // The first one takes the plugin.
    let site = Host::fresh(&setting.serve).await?.terminate().await?;
    let least = floor::open(&site.store_file())?;
    let host = Host::on(site, &setting.serve).await?;
    let ready = host.ready_in.as_secs_f64() * 1e3;
    tokio::time::sleep(SETTLED).await;
    let idle = host.resident_mib()?;
    host.terminate().await?;
    let ready = Reading::new("ready_ms", ready).beside(least.as_secs_f64() * 1e3);
    Ok(vec![ready, Reading::new("idle_mib", idle)])
}
