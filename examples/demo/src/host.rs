//! The host: `windlass serve` as a process of its own, in a process group of its own.
//!
//! Invariant: it does not outlive its value.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::stage::Stage;

/// A host is ready within a second; a busy machine gets more.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// After a signal. A host that drains waits for calls, of which there are none by then.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a killed process is looked for.
const REAP_PAUSE: Duration = Duration::from_millis(2);
const SIGKILL: i32 = 9;

/// A running host.
pub struct Host {
    child: Child,
    pub pid: u32,
    /// Where it serves, as it said.
    pub url: String,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
}

impl Host {
    /// Starts a host on the stage's store, on a free port, and waits until it is ready.
    pub async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let log_path = stage.host_log();
        let log = OpenOptions::new().create(true).append(true).open(&log_path);
        let log = log.with_context(|| format!("{} cannot be written", log_path.display()))?;
        let mut command = Command::new(&stage.windlass);
        // What the environment says is meant for the hosts of whoever runs the demo.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WINDLASS_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--name", "demo", "--data-dir"])
            .arg(stage.store())
            .arg(format!("--allow-dir={}:ro", stage.source.display()))
            .arg(format!("--allow-dir={}:rw", stage.backup().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for the demo, which stops its host itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", stage.windlass.display()))?;
        let started = Instant::now();
        let pid = child.id().context("the host ended at once")?;
        let url = ready(&mut child).await?;
        Ok(Self { child, pid, url, ready_after: started.elapsed() })
    }

    /// SIGKILL. Returns when the process is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.start_kill().context("the host cannot be killed")?;
        let status = self.ended().await?;
        ensure!(status.signal() == Some(SIGKILL), "the host ended before it was killed: {status}");
        Ok(())
    }

    /// SIGTERM. How long it took to exit, with 0.
    pub async fn stop(mut self) -> anyhow::Result<Duration> {
        let asked = Instant::now();
        let sent = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.pid)).status().await;
        ensure!(sent.context("sh cannot be started")?.success(), "SIGTERM cannot be sent to {}", self.pid);
        let status = self.ended().await?;
        ensure!(status.success(), "the host did not exit with 0 after SIGTERM: {status}");
        Ok(asked.elapsed())
    }

    async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let status = timeout(EXIT_TIMEOUT, self.child.wait()).await;
        status
            .with_context(|| format!("the host still runs {} s after the signal", EXIT_TIMEOUT.as_secs()))?
            .context("the host cannot be waited for")
    }
}

impl Drop for Host {
    /// Gone before its directory is removed.
    fn drop(&mut self) {
        // Fails where it has ended, which is what is wanted.
        let _ = self.child.start_kill();
        let patience = Instant::now() + EXIT_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
            std::thread::sleep(REAP_PAUSE);
        }
    }
}

/// Reads the line `ready: URL`.
async fn ready(child: &mut Child) -> anyhow::Result<String> {
    let stdout = child.stdout.take().context("the host has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = timeout(READY_TIMEOUT, lines.next_line()).await;
    let line = line.with_context(|| format!("the host is not ready after {} s", READY_TIMEOUT.as_secs()))?;
    let Some(line) = line.context("the host's standard output cannot be read")? else {
        bail!("the host ended before it was ready");
    };
    match line.strip_prefix("ready: ") {
        Some(url) => Ok(url.to_owned()),
        None => bail!("the host should say where it is ready, and said {line:?}"),
    }
}
