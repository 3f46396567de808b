//! Random flows beside a simple interpreter of them: written from the definition, slow, and without a plan. After
//! everything that happens both must have the same calls under way, told the same, and wake at the same time; in the end
//! both have the same state, cause, effects and residue.
//!
//! A failure names its seed. `WINDLASS_SEED=n` runs that one alone, `WINDLASS_SEEDS=n` so many, from 0 on.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use crate::call::Function;
use crate::decide::outcome::CallName;
use crate::entry::Entry;
use crate::flow::Flow;
use crate::instance::TaskState;
use crate::job::JobState;
use draft::{Draft, draft};
use happening::{GOOD, Happening, happening, outcome};
use pair::{Manner, Pair, bench};
use short::in_short;

mod back;
mod begin;
mod call;
mod draft;
mod frame;
mod happening;
mod operator;
mod pair;
mod short;
mod sight;
mod told;
mod tree;
mod valid;
mod wait;
mod walk;

/// Enough for every pair of constructs to meet, in a few seconds.
const SEEDS: u64 = 500;
/// Smaller cases that are tried after a failure.
const SHRINKS_MAX: u32 = 1_000;

/// Runs a test with what is drawn from each seed; what fails is made smaller, and told with its seed.
fn each<S: Strategy>(
    seeds: u64,
    strategy: &S,
    in_short: impl Fn(&S::Value) -> String,
    test: impl Fn(S::Value),
) {
    let number_of = |variable: &str| -> Option<u64> {
        let text = std::env::var(variable).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}: give the number of a seed")))
    };
    let seeds = match (number_of("WINDLASS_SEED"), number_of("WINDLASS_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, given) => 0..given.unwrap_or(seeds),
    };
    let config = ProptestConfig {
        cases: 1,
        max_shrink_iters: SHRINKS_MAX,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    for seed in seeds {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let ran = TestRunner::new_with_rng(config.clone(), rng).run(strategy, |drawn| {
            test(drawn);
            Ok(())
        });
        match ran {
            Ok(()) => {}
            Err(TestError::Fail(reason, drawn)) => {
                panic!("WINDLASS_SEED={seed} went wrong: {reason}\n{}", in_short(&drawn))
            }
            Err(error) => panic!("WINDLASS_SEED={seed} went wrong: {error}"),
        }
    }
}

#[test]
fn random_flows_run_as_their_definition_says_wherever_their_hosts_die() {
    let drawn = (draft(), manner(), prop::collection::vec(happening(), 0..100));
    let told = |(draft, manner, happenings): &(Draft, Manner, Vec<Happening>)| {
        format!("{manner:?} {}\n{happenings:?}", in_short(&draft.flow()))
    };
    let met = RefCell::new(BTreeMap::<&str, u64>::new());
    each(SEEDS, &drawn, told, |(draft, manner, happenings)| {
        let pair = Pair::run(draft.flow(), &manner, &happenings);
        for entry in &pair.bench.entries {
            *met.borrow_mut().entry(kind(entry)).or_default() += 1;
        }
    });
    println!("{:?}", met.borrow());
}

fn manner() -> impl Strategy<Value = Manner> {
    let room = prop_oneof![Just(1_usize), Just(2), Just(3), Just(16)];
    let timeout_ms = prop::option::weighted(0.2, 0_u64..60);
    (room, prop::bool::weighted(0.08), timeout_ms).prop_map(|(room, never_revert, timeout_ms)| Manner {
        room,
        never_revert,
        timeout_ms,
    })
}

/// What an entry tells of, for a reader who wants to know what was met.
fn kind(entry: &Entry) -> &'static str {
    let task = entry.fact.task().map_or("", |task| task.task.as_str());
    let is_own = task.ends_with(crate::own_revert::SUFFIX);
    match entry.fact.kind() {
        "task.reverting" if is_own => "own_revert.reverting",
        "task.reverted" if is_own => "own_revert.reverted",
        "task.revert_failed" if is_own => "own_revert.revert_failed",
        "task.reverted" if entry.fact.attempt() == 0 => "task.reverted without a call",
        kind => kind,
    }
}

/// How a job ends with so many slots, where one task fails once; none where something else failed as well.
fn end_of(flow: &Flow, slots: usize, failing: &str, how: u8) -> Option<(JobState, Vec<String>, Vec<String>)> {
    let mut bench = bench(flow.clone(), &Manner { room: slots, never_revert: false, timeout_ms: None });
    bench.claim();
    loop {
        if let Some(alarm) = bench.job.status.alarm() {
            bench.now = alarm;
            bench.decide(|d| d.wake());
            bench.claim();
        }
        let Some(call) = bench.job.in_flight().next().map(CallName::of) else {
            if bench.job.status.state == JobState::Waiting {
                continue;
            }
            break;
        };
        // Of tries and rounds the first; of elements the second fails as well as the first.
        let is_first = call.task.iteration.iter().all(|number| *number <= 1)
            && (call.function, call.attempt) == (Function::Apply, 1);
        // An answer is the same whenever it is given.
        let number = call.task.iteration.iter().sum::<u32>() as u8 + call.task.task.len() as u8;
        let how = if call.task.task == failing && is_first { how } else { GOOD.0 };
        bench.room = slots.saturating_sub(bench.job.in_flight_count() - 1);
        bench.finish_with(&call, outcome((how, number), call.function)).expect("it is under way");
    }
    let faults = bench.job.instances.values().filter_map(|instance| instance.fault.as_ref());
    let is_alone = faults.into_iter().all(|fault| !fault.class.starts_with("host."));
    let applied = bench.job.task_instances().filter(|instance| instance.state == TaskState::Applied);
    let applied = applied.map(|instance| instance.name.to_string()).collect();
    is_alone.then(|| (bench.job.status.state, bench.residue(), applied))
}

#[test]
fn x08_one_slot_and_sixteen_come_to_the_same_end() {
    let told = |(draft, failing, how): &(Draft, Index, u8)| {
        format!("{failing:?} fails by {how} {}", in_short(&draft.flow()))
    };
    each(SEEDS / 2, &(draft(), any::<Index>(), 0_u8..6), told, |(draft, failing, how)| {
        let flow = draft.flow();
        let names: Vec<_> = flow.leaves().map(|leaf| leaf.name().to_owned()).collect();
        let failing = failing.get(&names);
        let (one, sixteen) = (end_of(&flow, 1, failing, how), end_of(&flow, 16, failing, how));
        if let (Some(one), Some(sixteen)) = (one, sixteen) {
            assert_eq!(one, sixteen);
        }
    });
}
