//! The host that is measured: `windlass serve` in a process of its own, with what the kernel says of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use windlass_tests::crash::process::{self, HostProcess, Started};
use windlass_tests::crash::site::Site;
use windlass_tests::plugins::fixtures;

use crate::client::Client;
use crate::reading::Usage;

/// Of the kernel's clock in `/proc/PID/stat`, which every Linux of today has at 100 a second.
const TICKS_PER_SECOND: f64 = 100.0;
/// Where the times are in `/proc/PID/stat`, counted behind the name of the program, which may have blanks.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// See the module.
pub struct Host {
    pub site: Site,
    pub client: Client,
    /// From the start of the process until it said that it serves.
    pub ready_in: Duration,
    process: HostProcess,
}

impl Host {
    /// On an empty store, with the fixtures uploaded.
    pub async fn fresh(serve: &[String]) -> Result<Self> {
        let mut host = Self::on(Site::fresh().await, serve).await?;
        host.client.upload(fixtures()).await?;
        Ok(host)
    }

    /// On whatever is at the site.
    pub async fn on(site: Site, serve: &[String]) -> Result<Self> {
        let began = Instant::now();
        let process = match process::windlass(&site, serve).await {
            Started::Ready(process) => process,
            Started::Ended(ended) => anyhow::bail!("the host does not start: {ended:#?}"),
        };
        let ready_in = began.elapsed();
        let client = Client::connect(&process.address).await?;
        Ok(Self { site, client, ready_in, process })
    }

    /// SIGTERM; the site when it is gone.
    pub async fn terminate(self) -> Result<Site> {
        let ended = self.process.terminate().await;
        anyhow::ensure!(ended.status.success(), "the host did not stop well: {ended:#?}");
        Ok(self.site)
    }

    /// SIGKILL; the site as it was left.
    pub async fn kill(self) -> Site {
        self.process.kill().await;
        self.site
    }

    pub fn usage(&self) -> Result<Usage> {
        let stat = self.told("stat")?;
        let behind_name = stat.rsplit_once(')').context("/proc/PID/stat names the program")?.1;
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let ticks = |place: usize| -> Result<f64> {
            Ok(fields.get(place).context("/proc/PID/stat has the times")?.parse()?)
        };
        let seconds = (ticks(USER_TIME)? + ticks(SYSTEM_TIME)?) / TICKS_PER_SECOND;
        let written_bytes = field(&self.told("io")?, "write_bytes:")?;
        Ok(Usage { processor: Duration::from_secs_f64(seconds), written_bytes })
    }

    /// Memory that it has, in MiB.
    pub fn resident_mib(&self) -> Result<f64> {
        Ok(field(&self.told("status")?, "VmRSS:")? as f64 / 1024.0)
    }

    fn told(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.process.id());
        std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))
    }
}

/// The number behind a name, as files below `/proc` have it.
fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.with_context(|| format!("no {name} in {text}"))?.parse()?)
}
