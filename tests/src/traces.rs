//! Traces: random commands, as hosts give them, on a store and on the model of it; after each the two must say the
//! same.
//!
//! What a trace does follows from its seed alone (of commits that are made at once, the store says which is first).
//! Many traces follow each other on one store: each has ids of its own, and leaves nothing behind, which is checked as
//! well.
//!
//! A failure names its seed. `WINDLASS_SEED=n` runs that one alone, `WINDLASS_SEEDS=n` runs so many, from 0 on.

use std::ops::Range;
use std::time::Instant;

use crate::conformance::Bench;

mod alike;
mod author;
mod cast;
mod command;
mod comparison;
mod decision;
mod follower;
mod order;
mod trace;

pub use alike::{alike, form};
use trace::Trace;

/// The traces that the short run makes of each store; several ways to run one store share them.
const SEEDS: u64 = 1_000;

/// A share of them, for one of so many ways, from 0, to run the same store.
pub fn share(way: u64, ways: u64) -> Range<u64> {
    SEEDS * way / ways..SEEDS * (way + 1) / ways
}

/// Traces that run at a time, each on a store of its own: most of a trace is waiting for a disk.
const LANES: u64 = 4;

/// Runs the traces of these seeds on a few benches, each used again and again. Panics at the first that goes
/// wrong.
pub async fn run(make: impl AsyncFn() -> Bench, seeds: Range<u64>) {
    let seeds = match (number_of("WINDLASS_SEED"), number_of("WINDLASS_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => 0..seeds,
        (None, None) => seeds,
    };
    let began = Instant::now();
    let count = seeds.end - seeds.start;
    let mut lanes = Vec::new();
    for first in seeds.clone().take(LANES as usize) {
        let own = (first..seeds.end).step_by(LANES as usize);
        lanes.push(tokio::spawn(lane(make().await, own)));
    }
    let mut commands = 0;
    let mut panicked = None;
    for lane in &mut lanes {
        match lane.await {
            Ok(more) => commands += more,
            Err(error) => panicked = panicked.or(Some(error)),
        }
    }
    if let Some(error) = panicked {
        std::panic::resume_unwind(error.into_panic());
    }
    println!("{count} traces, {commands} commands, {:?}", began.elapsed());
}

/// Gives the number of commands.
async fn lane(bench: Bench, seeds: impl Iterator<Item = u64>) -> u64 {
    let mut commands = 0;
    for seed in seeds {
        // Named by a failure that nobody foresaw, too: a panic in the store, or a read that failed.
        let named = Named(seed);
        commands += Trace::of(&bench, seed).run().await;
        drop(named);
    }
    bench.finish().await;
    commands
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}: give the number of a seed")))
}

/// The seed that is run, for whoever reads of a panic.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("seed {seed} went wrong; run it alone: WINDLASS_SEED={seed} and this test");
        }
    }
}
