//! Crash points: at which write of its life a host dies, told by an environment variable.

use std::fmt;
use std::process::abort;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use windlass_host::store::StoreFailure;

use crate::guarded::{Guard, Op};

/// The environment variable that names the point; absent: the host does not crash.
pub const VARIABLE: &str = "CRASH_POINT";

/// Where a host dies. Counted from 1, since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    pub write: Write,
    pub number: u64,
    pub side: Side,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    Commit,
    /// Storing the bytes of a plugin, as a whole.
    Blob,
    /// One transaction of that.
    BlobStep,
}

/// On which side of the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = match self.write {
            Write::Commit => "commit",
            Write::Blob => "blob",
            Write::BlobStep => "blob-step",
        };
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "{side}:{write}:{}", self.number)
    }
}

impl FromStr for CrashPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused =
            || format!("{text:?} is no crash point: give before|after:commit|blob|blob-step:NUMBER");
        let mut parts = text.split(':');
        let side = match parts.next() {
            Some("before") => Side::Before,
            Some("after") => Side::After,
            _ => return Err(refused()),
        };
        let write = match parts.next() {
            Some("commit") => Write::Commit,
            Some("blob") => Write::Blob,
            Some("blob-step") => Write::BlobStep,
            _ => return Err(refused()),
        };
        let number = parts.next().and_then(|number| number.parse().ok()).ok_or_else(refused)?;
        Ok(Self { write, number, side })
    }
}

/// Counts the writes of a host, and kills the process at the point. `abort` runs no destructor and flushes nothing:
/// to the files it is a SIGKILL.
#[derive(Debug, Default)]
pub struct CrashGuard {
    point: Option<CrashPoint>,
    commits: AtomicU64,
    blobs: AtomicU64,
    blob_steps: AtomicU64,
}

impl CrashGuard {
    pub fn new(point: Option<CrashPoint>) -> Self {
        Self { point, ..Self::default() }
    }

    /// The point that the environment names.
    pub fn from_environment() -> Result<Self, String> {
        let point = std::env::var(VARIABLE).ok().map(|text| text.parse()).transpose()?;
        Ok(Self::new(point))
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    fn count(&self, write: Write) -> &AtomicU64 {
        match write {
            Write::Commit => &self.commits,
            Write::Blob => &self.blobs,
            Write::BlobStep => &self.blob_steps,
        }
    }

    fn die_at(&self, write: Write, number: u64, side: Side) {
        if self.point == Some(CrashPoint { write, number, side }) {
            abort();
        }
    }

    fn begin(&self, write: Write) -> u64 {
        let number = self.count(write).fetch_add(1, Ordering::SeqCst) + 1;
        self.die_at(write, number, Side::Before);
        number
    }
}

impl Guard for CrashGuard {
    fn before(&self, op: Op) -> Result<u64, StoreFailure> {
        Ok(match op {
            Op::Commit { .. } => self.begin(Write::Commit),
            Op::PutBlob => self.begin(Write::Blob),
            Op::RemoveBlob | Op::Read => 0,
        })
    }

    fn after(&self, op: Op, number: u64) -> Result<(), StoreFailure> {
        match op {
            Op::Commit { .. } => self.die_at(Write::Commit, number, Side::After),
            Op::PutBlob => self.die_at(Write::Blob, number, Side::After),
            Op::RemoveBlob | Op::Read => {}
        }
        Ok(())
    }

    fn step(&self, op: Op) {
        if op == Op::PutBlob {
            self.begin(Write::BlobStep);
        }
    }
}
