//! Faults of a store: what is refused, for how long, what dawdles, and how often it was asked meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use windlass_host::store::{StoreFailure, Unit};

use crate::dice::Dice;
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
    /// Another host takes its jobs first, so that the store fences it. Waits for a commit that speaks for a claim.
    Fenced,
}

/// Turns that an operation lets others go ahead, at most: enough to turn the order of a handful of commits round.
const TURNS_MAX: u64 = 12;

/// See the module. None by default.
#[derive(Debug, Default)]
pub struct Faults {
    trouble: Mutex<Option<Trouble>>,
    slip: Mutex<Option<(u64, Slip)>>,
    delay: Mutex<Option<Dice>>,
    usurped: Mutex<Vec<Unit>>,
    slipped: Mutex<Vec<Slip>>,
    commits: AtomicU64,
    asked: AtomicU64,
}

impl Faults {
    /// Nothing fails, and every operation is held back by a number of turns that follows from the seed.
    pub fn delaying(seed: u64) -> Self {
        let faults = Self::default();
        faults.delay(Some(seed));
        faults
    }

    /// From now on, until it is set to none.
    pub fn set(&self, trouble: Option<Trouble>) {
        *held(&self.trouble) = trouble;
    }

    /// From now on, until it is set to none.
    pub fn delay(&self, seed: Option<u64>) {
        *held(&self.delay) = seed.map(Dice::of);
    }

    /// The n-th commit from now on, counted from 1, goes wrong. Where commits overlap: the first of those that the
    /// slip can befall from then on.
    pub fn slip(&self, n: u64, slip: Slip) {
        let at = self.commits() + n;
        *held(&self.slip) = Some((at, slip));
    }

    /// Whether the slip has happened.
    pub fn has_slipped(&self) -> bool {
        held(&self.slip).is_none()
    }

    /// How often a commit went wrong in this way.
    pub fn slips_of(&self, kind: Slip) -> usize {
        held(&self.slipped).iter().filter(|slip| **slip == kind).count()
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.set(None);
        self.delay(None);
        *held(&self.slip) = None;
    }

    /// The units by which another host took jobs, since this was asked last.
    pub fn usurped_units(&self) -> Vec<Unit> {
        std::mem::take(&mut *held(&self.usurped))
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
        let mut slip = held(&self.slip);
        let is_now = slip.is_some_and(|(at, slip)| slip == wanted && number >= at);
        if is_now {
            *slip = None;
            held(&self.slipped).push(wanted);
        }
        is_now
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds a fault")
}

fn down() -> StoreFailure {
    StoreFailure::Down("a test says so".to_owned())
}

impl Guard for Faults {
    fn before(&self, op: Op) -> Result<u64, StoreFailure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let trouble = *held(&self.trouble);
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

    fn turns(&self, _: Op) -> u32 {
        let mut delay = held(&self.delay);
        delay.as_mut().map_or(0, |dice| dice.below(TURNS_MAX + 1) as u32)
    }

    fn usurps(&self) -> bool {
        self.slips(self.commits(), Slip::Fenced)
    }

    fn usurped(&self, unit: Unit) {
        held(&self.usurped).push(unit);
    }
}
