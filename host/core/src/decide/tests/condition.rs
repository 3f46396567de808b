//! What is left out, and what that means for those around it: exact traces.

use super::bench::broken;
use super::scope::{bench, run, short};
use super::shape::{Shape, flow_of, nested, t};
use crate::call::Direction::{Apply, Revert};
use crate::flow::Pattern::{Graph, Linear, Unordered};
use crate::job::JobState;
use crate::scope::SkipDepth;

#[test]
fn x01_a_skipped_task_lets_nobody_be_undone_before_those_after_it() {
    let flow = flow_of(Linear, [t("a"), t("b").when("false", SkipDepth::Task), t("c"), t("f")]);
    let mut bench = bench(flow).script("f", Apply, &[broken()]);
    bench.claim();
    (0..3).for_each(|_| bench.finish());
    assert_eq!(bench.calling(), "f");
    bench.finish();
    assert_eq!(bench.calling(), "c", "a has to wait for c, though b between them was left out");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(short(&bench), "a ~b c f f! -f -c -a");
}

#[test]
fn x01_what_was_left_out_with_another_lets_nobody_begin_before_its_turn() {
    let both = nested("both", Unordered, [t("a"), t("b").when("false", SkipDepth::Neighbours)]);
    let mut bench = bench(flow_of(Linear, [both, t("b2"), t("c")]));
    bench.claim();
    assert_eq!(short(&bench), "a ~b ~b2");
    assert_eq!(bench.calling(), "a", "c has to wait for a, though b2 between them was left out");
    assert_eq!(bench.run(), JobState::Succeeded);
    let (trace, state, _) = run(bench_of_stuck());
    assert_eq!((trace.as_str(), state), ("a ~b c f f! -f -c -c!", JobState::Failed), "a is not passed by");
}

fn bench_of_stuck() -> super::bench::Bench {
    let flow = flow_of(Linear, [t("a"), t("b").when("false", SkipDepth::Task), t("c"), t("f")]);
    bench(flow).script("f", Apply, &[broken()]).script("c", Revert, &[broken()])
}

#[test]
fn only_what_comes_right_after_it_is_a_neighbour_of_what_is_left_out() {
    let inner = nested("inner", Graph, [t("p").when("false", SkipDepth::Neighbours), t("q").needs(&["p"])]);
    let (trace, state, _) = run(bench(flow_of(Linear, [inner, t("r"), t("s").needs(&["p"])])));
    assert_eq!((trace.as_str(), state), ("~p ~q r s", JobState::Succeeded));
}
