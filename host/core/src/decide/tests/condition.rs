//! What is left out, and what that means for those around it: exact traces.

use serde_json::json;

use super::bench::broken;
use super::scope::{bench, gives, run, short};
use super::shape::{Shape, flow_of, for_each, literal, map, nested, repeat, t, times};
use crate::call::Direction::{Apply, Revert};
use crate::decide::control::Resolution;
use crate::flow::Node;
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

#[test]
fn a_scope_without_tasks_has_its_place_in_the_order_all_the_same() {
    let ends = |empty: Node| {
        let flow = flow_of(Graph, [t("a"), empty.needs(&["a"]), t("b").needs(&["e"])]);
        let mut bench = bench(flow);
        bench.claim();
        assert_eq!(bench.calling(), "a");
        let (trace, state, _) = run(bench);
        (trace, state)
    };
    let empty = || nested("e", Linear, []);
    let scopes = [times(2), repeat("round == 2", 3), map(literal(json!([1, 2])), Some(1))];
    for empty in scopes.map(|scope| empty().scope(scope)) {
        assert_eq!(ends(empty), ("a b".to_owned(), JobState::Succeeded));
    }
    let left_out = empty().when("false", SkipDepth::All);
    assert_eq!(ends(left_out), ("a ~b".to_owned(), JobState::Succeeded));
    let without_values = empty().scope(for_each(literal(json!([]))));
    assert_eq!(ends(without_values), ("a -a".to_owned(), JobState::Reverted));
    assert_eq!(ends(empty().scope(repeat("false", 2))), ("a -a".to_owned(), JobState::Reverted));
}

/// `a`, whose revert fails, then `b` under a condition on what `a` gave; `first` cannot be compared, so `b` fails. Somebody
/// lets the effect of `a` be, and has the job tried again, in which `a` gives `then`.
fn asked_again(b: Node, then: serde_json::Value) -> (String, JobState) {
    let flow = flow_of(Linear, [t("a"), b.when("a > 1", SkipDepth::Task), t("c")]);
    let mut bench =
        bench(flow).script("a", Apply, &[gives(json!("much")), gives(then)]).script("a", Revert, &[broken()]);
    assert_eq!(bench.run(), JobState::Failed);
    bench.decide(|d| d.resolve("a", &[], Resolution::Accept, "let it be".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Failed);
    bench.decide(|d| d.retry("again".into())).expect("it has failed");
    let state = bench.run();
    (short(&bench), state)
}

#[test]
fn r18_a_retry_asks_a_condition_again_that_could_not_be_evaluated() {
    let nested = || nested("b", Linear, [t("d")]);
    for (b, failed, ran) in [(t("b"), " b!", "b#1"), (nested(), "", "d")] {
        let (trace, state) = asked_again(b.clone(), json!(2));
        assert_eq!(state, JobState::Succeeded, "{trace}");
        assert!(trace.contains(failed) && trace.contains(&format!(" {ran} c")), "{trace}");
        let (trace, state) = asked_again(b.clone(), json!(1));
        assert_eq!(state, JobState::Succeeded, "{trace}");
        assert!(!trace.contains(&format!(" {ran} ")) && trace.ends_with(" c"), "left out: {trace}");
        let (trace, state) = asked_again(b, json!("much"));
        assert_eq!(
            state,
            JobState::Failed,
            "it cannot be evaluated still, and what was let be remains: {trace}"
        );
        assert!(!trace.contains(&format!(" {ran} ")), "{trace}");
    }
}
