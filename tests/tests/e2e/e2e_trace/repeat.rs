//! Flows in rounds, with one slot and with sixteen.

use std::time::Duration;

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern};
use windlass_tests::work::{Shape as _, flow, literal, nested, output, repeat, task, times};

use super::play::play;

use JobState::{Failed, Reverted, Succeeded};
use Pattern::{Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_runs_until_its_condition_holds_and_gives_what_its_last_round_gave() {
    // `static_count` gives 1 for ever, so only the number of the round decides.
    let both = [task("p", "static_count"), ok("q")];
    let rounds = nested("r", Unordered, both);
    let rounds = rounds.scope(repeat("p.count == 1 && round == 3", 5, Duration::ZERO));
    let then = task("then", "echo").with("x", output("p", "/count"));
    let trace = "{ p#1 | q#1 } { p#2 | q#2 } { p#3 | q#3 } then";
    let end = play(flow([rounds, then]), trace).ends(Succeeded).await;
    assert_eq!(end.told("apply then").input, json!({ "x": 1 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_that_are_used_up_fail_and_are_undone_from_the_last() {
    let rounds = nested("r", Linear, [ok("a"), ok("b")]).scope(repeat("false", 2, Duration::ZERO));
    let trace = "first a#1 b#1 a#2 b#2 -b#2 -a#2 -b#1 -a#1 -first";
    let end = play(flow([ok("first"), rounds]), trace).ends(Reverted).await;
    end.assert_failed_by("r", "host.rounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_cannot_be_evaluated_fails_the_rounds() {
    let rounds = nested("r", Linear, [ok("a")]).scope(repeat("a.missing > 1", 2, Duration::ZERO));
    let end = play(flow([rounds]), "a#1 -a#1").ends(Reverted).await;
    end.assert_failed_by("r", "host.expression");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_a_round_undoes_the_rounds_before_it_and_the_scope_around_tries_again() {
    let a = ok("a");
    // Fails in the second round of the first try.
    let f = task("f", "fail_n").with("n", literal(json!(1))).when("round_two", v1::SkipDepth::Task);
    let rounds = nested("r", Linear, [a, f]).scope(repeat("round == 2", 3, Duration::ZERO));
    let scope = nested("s", Linear, [ok("t"), rounds]).scope(times(2));
    let trace = "t#1 a#1#1 f#1#1! -f#1#1 -a#1#1 -t#1 t#2 a#2#1 f#2#1 a#2#2 f#2#2";
    play(flow([scope]), trace).given(json!({ "round_two": true })).ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_cannot_be_undone_keeps_those_before_it() {
    let rounds =
        nested("r", Linear, [ok("a"), task("n", "nasty")]).scope(repeat("round == 2", 2, Duration::ZERO));
    let end = play(flow([rounds, task("bad", "fail")]), "a#1 n#1 a#2 n#2 bad! -bad -n#2!").ends(Failed).await;
    end.assert_residue(&["a#1", "a#2", "n#1", "n#2"]);
}
