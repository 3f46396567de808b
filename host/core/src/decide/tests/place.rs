//! One job in every place where a job can be, for tests that ask the same of all.

use super::bench::{Bench, W1, broken, midnight, retry, seconds, spec};
use crate::call::Direction;
use crate::decide::create::Timing;
use crate::entry::Fact;
use crate::job::{CancelMode, Cause, JobSpec, JobState};

/// Each place, with a name that starts with the state.
pub const PLACES: [&str; 20] = [
    "scheduled",
    "ready, fresh",
    "ready, its host lost",
    "ready, unwinding",
    "waiting",
    "waiting, unwinding",
    "running",
    "reverting",
    "suspending",
    "suspending, unwinding",
    "suspended",
    "suspended, fresh",
    "suspended, unwinding",
    "quarantined",
    "quarantined, fresh",
    "quarantined, unwinding",
    "succeeded",
    "reverted",
    "failed",
    "ended, never run",
];

fn forward() -> Bench {
    let mut bench = Bench::of(&["a", "b"]).script("b", Direction::Apply, &[retry()]);
    bench.run_until("b:applying");
    bench
}

fn back() -> Bench {
    let mut bench = Bench::of(&["a", "b"]).script("b", Direction::Apply, &[broken()]).script(
        "b",
        Direction::Revert,
        &[retry()],
    );
    bench.run_until("b:reverting");
    bench
}

fn lost(mut bench: Bench) -> Bench {
    bench.decide(|d| d.lose_claim(W1)).expect("it is claimed");
    bench
}

fn suspended(mut bench: Bench) -> Bench {
    bench.decide(|d| d.suspend()).expect("it can be");
    bench
}

fn quarantined(mut bench: Bench) -> Bench {
    bench.decide(|d| d.quarantine("it looks odd".into())).expect("it can be");
    bench
}

fn finished(mut bench: Bench) -> Bench {
    bench.finish();
    bench
}

fn ended(mut bench: Bench) -> Bench {
    bench.run();
    bench
}

/// A job with two tasks in the place: the first is applied and the second under way, where that can be.
pub fn place(name: &str) -> Bench {
    let fresh = || Bench::of(&["a", "b"]);
    let bench = match name {
        "scheduled" => {
            let execute_at = Some(midnight() + seconds(60));
            Bench::with(&["a", "b"], spec(), Timing { execute_at, priority: 0 })
        }
        "ready, fresh" => fresh(),
        "ready, its host lost" => lost(forward()),
        "ready, unwinding" => lost(back()),
        "waiting" => finished(forward()),
        "waiting, unwinding" => finished(back()),
        "running" => forward(),
        "reverting" => back(),
        "suspending" => suspended(forward()),
        "suspending, unwinding" => suspended(back()),
        "suspended" => finished(suspended(forward())),
        "suspended, fresh" => suspended(fresh()),
        "suspended, unwinding" => finished(suspended(back())),
        "quarantined" => quarantined(forward()),
        "quarantined, fresh" => quarantined(fresh()),
        "quarantined, unwinding" => quarantined(back()),
        "succeeded" => ended(fresh()),
        "reverted" => ended(back()),
        "failed" => {
            let spec = JobSpec { never_revert: true, ..spec() };
            ended(Bench::with(&["a", "b"], spec, Timing::default()).script(
                "b",
                Direction::Apply,
                &[broken()],
            ))
        }
        "ended, never run" => end(fresh(), JobState::Dropped),
        _ => unreachable!("{name} is no place"),
    };
    let ends = ["dropped", "cancelled", "superseded"];
    let state = bench.job.status.state.word();
    assert!(name.starts_with(state) || ends.contains(&state), "{name} is {state}");
    bench
}

/// Ends a job that never ran.
pub fn end(mut bench: Bench, state: JobState) -> Bench {
    match state {
        JobState::Cancelled => {
            bench.decide(|d| d.cancel(CancelMode::Leave, "enough".into())).expect("it waits")
        }
        _ => bench
            .decide(|d| d.record(Fact::Ended { state, cause: Some(Cause::Overlap), residue: Vec::new() })),
    }
    bench
}
