//! The model that stores are compared with: it conforms itself, and the traces notice stores that do not.

mod flawed;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use flawed::{Flaw, Flawed};
use windlass_tests::conformance::{Bench, run_all};
use windlass_tests::faulty::{Faults, Slip};
use windlass_tests::model::Model;
use windlass_tests::traces;

/// Seeds within which every flaw shows: a tenth of the short run.
const SEEDS: u64 = 100;

fn model() -> Bench {
    Bench::of(Arc::new(Model::default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_conforms() {
    run_all(async || model()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_does_what_the_model_does_behind_faults() {
    let all_faults = Mutex::new(Vec::new());
    let make = async || {
        let faults = Arc::new(Faults::default());
        all_faults.lock().expect("nothing panics while it holds the faults").push(Arc::clone(&faults));
        model().faulty(faults)
    };
    traces::run(make, 0..SEEDS).await;
    let all_faults = all_faults.into_inner().expect("nothing panics while it holds the faults");
    for slip in [Slip::Lost, Slip::Unknown, Slip::Fenced] {
        let count: usize = all_faults.iter().map(|faults| faults.slips_of(slip)).sum();
        println!("{slip:?}: {count}");
        assert!(count as u64 > SEEDS / 4, "only {count} commits were {slip:?} in {SEEDS} traces");
    }
}

#[test]
fn every_flaw_of_a_store_shows_in_its_traces() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("starts");
    for flaw in Flaw::ALL {
        let make = async || Bench::of(Arc::new(Flawed::of(flaw)));
        let tried = catch_unwind(AssertUnwindSafe(|| runtime.block_on(traces::run(make, 0..SEEDS))));
        let panicked = tried.expect_err(&format!("{flaw:?} was not noticed in {SEEDS} traces"));
        let said = panicked.downcast_ref::<String>().expect("a trace says what is wrong");
        assert!(said.starts_with("seed "), "{flaw:?}: {said}");
        println!("{flaw:?}: {}", said.lines().next().unwrap_or_default());
    }
}
