//! Faults of a store: what is refused, for how long, and how often it was asked meanwhile.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use windlass_host::store::StoreFailure;

use crate::guarded::{Guard, Op};

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is answered.
    Down,
    /// Nothing is written but what ends or removes things.
    Full,
    /// Nothing is written.
    WritesDown,
}

/// One commit that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    /// It is not made, and its caller is told that the store failed.
    Lost,
    /// It is made, and its caller is told that the store failed.
    Unknown,
}

/// See the module. None by default.
#[derive(Debug, Default)]
pub struct Faults {
    trouble: Mutex<Option<Trouble>>,
    slip: Mutex<Option<(u64, Slip)>>,
    commits: AtomicU64,
    asked: AtomicU64,
}

impl Faults {
    /// From now on, until it is set to none.
    pub fn set(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().expect("nothing panics while it holds the trouble") = trouble;
    }

    /// The n-th commit from now on, counted from 1, goes wrong.
    pub fn slip(&self, n: u64, slip: Slip) {
        let at = self.commits() + n;
        *self.slip.lock().expect("nothing panics while it holds the slip") = Some((at, slip));
    }

    /// Whether the slip has happened.
    pub fn has_slipped(&self) -> bool {
        self.slip.lock().expect("nothing panics while it holds the slip").is_none()
    }

    /// Commits that were begun.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Operations of any kind that were begun.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn slips(&self, number: u64, wanted: Slip) -> bool {
        let mut slip = self.slip.lock().expect("nothing panics while it holds the slip");
        let is_now = *slip == Some((number, wanted));
        if is_now {
            *slip = None;
        }
        is_now
    }
}

fn down() -> StoreFailure {
    StoreFailure::Down("a test says so".to_owned())
}

impl Guard for Faults {
    fn before(&self, op: Op) -> Result<u64, StoreFailure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let trouble = *self.trouble.lock().expect("nothing panics while it holds the trouble");
        let is_write = match op {
            Op::Commit { .. } | Op::PutBlob | Op::RemoveBlob => true,
            Op::Read => false,
        };
        let is_commit = matches!(op, Op::Commit { .. });
        let number = match is_commit {
            true => self.commits.fetch_add(1, Ordering::SeqCst) + 1,
            false => 0,
        };
        match trouble {
            Some(Trouble::Down) => return Err(down()),
            Some(Trouble::WritesDown) if is_write => return Err(down()),
            Some(Trouble::Full)
                if is_write && op != (Op::Commit { urgent: true }) && op != Op::RemoveBlob =>
            {
                return Err(StoreFailure::Full);
            }
            Some(Trouble::Full | Trouble::WritesDown) | None => {}
        }
        if is_commit && self.slips(number, Slip::Lost) { Err(down()) } else { Ok(number) }
    }

    fn after(&self, op: Op, number: u64) -> Result<(), StoreFailure> {
        let is_commit = matches!(op, Op::Commit { .. });
        if is_commit && self.slips(number, Slip::Unknown) { Err(down()) } else { Ok(()) }
    }

    fn step(&self, _: Op) {}
}
