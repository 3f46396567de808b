//! A host in a process of its own: started, killed, stopped.
//!
//! Invariant: the process is gone when its handle is dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::client::Client;
use super::point::{CrashPoint, VARIABLE};
use super::site::Site;
use crate::home::Kind;
use crate::plugins::target_directory;

/// A host starts in a fraction of a second; a busy machine takes longer.
const START_MAX: Duration = Duration::from_secs(60);
/// A host that was asked to stop, or whose call was cut, is gone long before.
const END_MAX: Duration = Duration::from_secs(60);

/// A running host.
pub struct HostProcess {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub address: String,
    errors: PathBuf,
}

/// What became of a start.
#[allow(clippy::large_enum_variant)] // One at a time.
pub enum Started {
    Ready(HostProcess),
    /// It ended before it was ready.
    Ended(Ended),
}

/// How a process ended, and what it had to say.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub printed: Vec<String>,
    pub errors: String,
}

impl Ended {
    /// It killed itself, as a crash point does.
    pub fn is_crash(&self) -> bool {
        const SIGABRT: i32 = 6;
        self.status.signal() == Some(SIGABRT)
    }

    /// The number behind a word that it printed.
    pub fn number(&self, word: &str) -> u64 {
        let found = self.printed.iter().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {word} in {self:?}"))
    }
}

impl Started {
    pub fn ready(self) -> HostProcess {
        match self {
            Self::Ready(process) => process,
            Self::Ended(ended) => panic!("the host is not ready: {ended:#?}"),
        }
    }

    pub fn refused(self) -> Ended {
        match self {
            Self::Ready(process) => panic!("the host serves on {}", process.address),
            Self::Ended(ended) => ended,
        }
    }
}

/// A crash host on the site. `binary` is cargo's `CARGO_BIN_EXE_crash_host`.
pub async fn crash_host(binary: &str, site: &Site, point: Option<CrashPoint>) -> Started {
    let mut command = Command::new(binary);
    command.arg(site.store_address()).args([site.compiled(), site.ledger()]);
    if let Some(point) = point {
        command.env(VARIABLE, point.to_string());
    }
    start(command, site.path()).await
}

/// `windlass serve` on the site, with more arguments.
pub async fn windlass<S: AsRef<OsStr>>(site: &Site, arguments: impl IntoIterator<Item = S>) -> Started {
    let mut command = serve_command(&windlass_program(), &site.data(), &site.ledger(), arguments);
    if Kind::chosen() == Kind::Postgres {
        command.args(["--store", &site.store_address()]);
    }
    start(command, site.path()).await
}

/// The program that users run.
pub fn windlass_program() -> PathBuf {
    let program = target_directory().join("release/windlass");
    assert!(program.is_file(), "{} is missing: build it with `cargo build --release`", program.display());
    program
}

/// `windlass serve` as a command.
pub fn serve_command<S: AsRef<OsStr>>(
    program: &Path,
    data: &Path,
    ledger: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    // Nothing of whoever runs the tests.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"WINDLASS_"))
    {
        command.env_remove(name);
    }
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    command.arg("--allow-dir").arg(format!("{}:rw", ledger.display()));
    command.args(arguments);
    command
}

/// Starts a host, and waits until it says that it is ready, or ends. Its errors are kept in `folder`.
pub async fn start(mut command: Command, folder: &Path) -> Started {
    let errors = folder.join("errors.log");
    let log = File::options().create(true).append(true).open(&errors).expect("a log can be written");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} starts: {error}"));
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let line = timeout(START_MAX, lines.next_line()).await.expect("a host is ready in time");
    let line = line.expect("what a host prints is text");
    match line.as_deref().and_then(|line| line.strip_prefix("ready: ")) {
        Some(address) => {
            let address = address.to_owned();
            Started::Ready(HostProcess { child, lines, address, errors })
        }
        None => Started::Ended(ended(child, lines, line, &errors).await),
    }
}

async fn ended(
    mut child: Child,
    mut lines: Lines<BufReader<ChildStdout>>,
    first: Option<String>,
    errors: &Path,
) -> Ended {
    let mut printed: Vec<_> = first.into_iter().collect();
    let end = async {
        while let Some(line) = lines.next_line().await.expect("what a host prints is text") {
            printed.push(line);
        }
        child.wait().await.expect("a process ends")
    };
    let status = timeout(END_MAX, end).await.expect("the host ends in time");
    let errors = std::fs::read_to_string(errors).expect("the log can be read");
    Ended { status, printed, errors }
}

impl HostProcess {
    pub async fn client(&self) -> Result<Client, tonic::Status> {
        Client::connect(&self.address).await
    }

    /// Of the process, for whoever asks the kernel about it.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs as long as there is a handle")
    }

    /// SIGKILL, from outside.
    pub async fn kill(mut self) -> Ended {
        self.child.start_kill().expect("it can be killed");
        self.ended().await
    }

    /// Sends a signal, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.expect("`kill` can be run");
        assert!(sent.success(), "the signal {name} was not sent");
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(self) -> Ended {
        self.signal("TERM").await;
        self.ended().await
    }

    /// Ends its standard input, which asks a crash host to stop, and waits for the end.
    pub async fn stop(mut self) -> Ended {
        drop(self.child.stdin.take());
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(self) -> Ended {
        ended(self.child, self.lines, None, &self.errors).await
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }
}
