//! A server of one test's own, which may be killed, paused and started again on the same data.
//!
//! Invariant: it is gone when it is dropped; and where the test program is killed, at the end of `tests/postgres run`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uuid::Uuid;

use super::{DIRECTORY_VARIABLE, told};

/// See the module.
pub struct Server {
    place: PathBuf,
    url: String,
}

impl Server {
    /// An empty one.
    pub async fn start() -> Self {
        // Short: a socket's path has 107 bytes at most.
        let name = format!("own-{}", &Uuid::now_v7().simple().to_string()[20..]);
        let place = Path::new(&told(DIRECTORY_VARIABLE)).join(name);
        let url = ask("start", place.clone()).await;
        Self { place, url }
    }

    /// By its socket, as a user who may do everything. The same after every restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has logged since it was made.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.join("log")).expect("a server writes a log")
    }

    /// Ends it as a crash does: it recovers when it is started again.
    pub async fn kill(&self) {
        ask("kill", self.place.clone()).await;
    }

    /// Stops it as an administrator does: sessions are ended, transactions are rolled back.
    pub async fn stop(&self) {
        ask("stop", self.place.clone()).await;
    }

    /// Starts it after [`Server::kill`] or [`Server::stop`].
    pub async fn restart(&self) {
        assert_eq!(ask("start", self.place.clone()).await, self.url);
    }

    /// It and all its sessions stop in their tracks; connections stay.
    pub async fn pause(&self) {
        ask("pause", self.place.clone()).await;
    }

    pub async fn resume(&self) {
        ask("resume", self.place.clone()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In any state: one that is paused hears nothing before it is resumed, and one may be killed already.
        for verb in ["resume", "kill"] {
            let _ = command(verb, &self.place).stderr(Stdio::null()).status();
        }
        if let Err(error) = std::fs::remove_dir_all(&self.place) {
            println!("{} is left to the end of `tests/postgres run`: {error}", self.place.display());
        }
    }
}

fn command(verb: &str, place: &Path) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/postgres"));
    command.arg(verb).arg(place).stdin(Stdio::null());
    command
}

/// Asks the script, and returns what it prints.
async fn ask(verb: &'static str, place: PathBuf) -> String {
    let asked = tokio::task::spawn_blocking(move || command(verb, &place).output());
    let output = asked.await.expect("no panic").expect("`tests/postgres` can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`tests/postgres {verb}` failed: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
