//! Simulations: jobs with random work, random waits and random outcomes, run by several engines on one store that lose their claims
//! to each other, under a clock that moves at random, with an operator who asks for random things.
//!
//! Whatever happens, X01, X02 and X07 hold after each step, a host that lost a claim begins nothing more, and when
//! everything heals every job comes to an end. One seed, one history: a failing one is printed, and run alone with
//! `WINDLASS_SEED=n`.

mod ground;
mod member;
mod random;
mod simulation;
mod wait;
mod work;

use std::thread;

use simulation::Simulation;
use windlass_tests::home::Kind;

/// Enough to meet every pair of neighbouring steps many times over, in some seconds.
const SEEDS: u64 = 200;
/// Every step is followed by a look at all that is stored, which takes a server some forty questions.
const SEEDS_ON_POSTGRES: u64 = 40;
/// As many as there are processors on a small machine.
const THREADS: u64 = 2;

/// Names the seed where the history fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the simulation failed with WINDLASS_SEED={}", self.0);
        }
    }
}

fn run(seed: u64) {
    let _named = Named(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Simulation::run(seed));
}

#[test]
fn x01_x02_x07_hold_in_random_histories_of_several_engines_on_one_store() {
    if let Ok(seed) = std::env::var("WINDLASS_SEED") {
        run(seed.parse().expect("WINDLASS_SEED is a number"));
        return;
    }
    let seeds = match Kind::chosen() {
        Kind::Redb => SEEDS,
        Kind::Postgres => SEEDS_ON_POSTGRES,
    };
    thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || (first..seeds).step_by(THREADS as usize).for_each(run));
        }
    });
}
