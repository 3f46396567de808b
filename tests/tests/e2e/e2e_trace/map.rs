//! Flows for each value of a list, with one slot and with sixteen.

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, SkipDepth};
use windlass_tests::work::{
    Shape as _, argument, flow, gate, literal, map, named, nested, output, own_revert, task, times,
};

use super::play::play;

use JobState::{Failed, Reverted, Succeeded};
use Pattern::{Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn echo(name: &str) -> v1::Task {
    task(name, "echo").with("x", named("x"))
}

fn over(values: serde_json::Value) -> windlass_proto::v1::flow::Scope {
    map(literal(values), 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_gives_its_list_in_the_order_of_the_values_whoever_was_first() {
    let each = nested("m", Linear, [echo("e"), gate("g")]).scope(map(argument("list"), 0));
    let all = task("all", "echo").with("list", output("e", "/x"));
    let one = "e#0 e#1 e#2 g#0 g#1 g#2 all";
    let play = play(flow([each, all]), one)
        .with_sixteen("{ e#0 g#0 | e#1 g#1 | e#2 g#2 } all")
        .given(json!({ "list": ["p", "q", "r"] }));
    let end = play.directed(Succeeded, async |stage| stage.host.open_gate("g")).await;
    assert_eq!(end.told("apply all").input, json!({ "list": ["p", "q", "r"] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_of_nothing_is_nothing_to_do() {
    let each = nested("m", Linear, [echo("e")]).scope(over(json!([])));
    let all = task("all", "echo").with("list", output("e", "/x"));
    let end = play(flow([ok("a"), each, all]), "a all").ends(Succeeded).await;
    assert_eq!(end.told("apply all").input, json!({ "list": [] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v10_an_element_that_fails_lets_the_others_finish_and_all_are_undone() {
    let g = task("g", "gate").with("name", named("x"));
    let tasks = [g, task("f", "fail").when("x == 'q'", SkipDepth::Task), ok("last")];
    let each = nested("m", Linear, tasks).scope(over(json!(["p", "q", "r"])));
    let one = "a g#0 g#1 g#2:applying ~f#0 g#2:applied f#1:applying ~f#2 f#1:apply_failed \
               -f#1 -g#2 -g#1 -g#0 -a";
    let sixteen = "a { g#0 | g#1 f#1! | g#2 } { -f#1 -g#1 | -g#0 | -g#2 } -a";
    let play = play(flow([ok("a"), each, ok("never")]), one).with_sixteen(sixteen);
    let end = play
        .directed(Reverted, async |stage| {
            if stage.is_wide {
                for call in ["apply g#0", "apply g#1", "apply g#2"] {
                    stage.until_called(call).await;
                }
                stage.host.open_gate("q");
                stage.until("task.apply_failed", "f").await;
            }
            ["p", "q", "r"].iter().for_each(|gate| stage.host.open_gate(gate));
        })
        .await;
    end.assert_failed_by("f#1", "fixture.fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_element_that_cannot_be_undone_stays_and_the_others_are_undone() {
    let tasks = [echo("e"), task("n", "nasty").when("x == 1", SkipDepth::Task)];
    let each = nested("m", Linear, tasks).scope(over(json!([0, 1])));
    let one = "a e#0 e#1:applying ~n#0 e#1:applied n#1 bad! -bad -n#1! -e#0";
    let sixteen = "a { e#0 ~n#0 | e#1 n#1 } bad! -bad { -n#1! | -e#0 }";
    let play = play(flow([ok("a"), each, task("bad", "fail")]), one).with_sixteen(sixteen);
    let end = play.ends(Failed).await;
    end.assert_residue(&["a", "e#1", "n#1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_element_tries_again_by_itself() {
    let inner = nested("s", Linear, [echo("e"), task("f", "fail_n").with("n", literal(json!(1)))]);
    let each = nested("m", Linear, [inner.scope(times(2))]).scope(over(json!(["p"])));
    let trace = "e#0#1 f#0#1! -f#0#1 -e#0#1 e#0#2 f#0#2 all";
    let all = task("all", "echo").with("list", output("e", "/x"));
    let end = play(flow([each, all]), trace).ends(Succeeded).await;
    assert_eq!(end.told("apply all").input, json!({ "list": ["p"] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_in_a_map_runs_for_every_pair() {
    let inner = nested("inner", Linear, [task("e", "echo").with("x", named("y"))]);
    let inner = match map(named("x"), 0) {
        v1::flow::Scope::Map(map) => {
            inner.scope(v1::flow::Scope::Map(v1::Map { name: "y".to_owned(), ..map }))
        }
        scope => inner.scope(scope),
    };
    let outer = nested("outer", Linear, [inner]).scope(over(json!([[1, 2], [3]])));
    let all = task("all", "echo").with("list", output("e", "/x"));
    let trace = "{ e#0#0 | e#0#1 | e#1#0 } all bad! -bad -all { -e#1#0 | -e#0#1 | -e#0#0 }";
    let end = play(flow([outer, all, task("bad", "fail")]), trace).ends(Reverted).await;
    assert_eq!(end.told("apply all").input, json!({ "list": [[1, 2], [3]] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_element_of_a_map_is_undone_as_a_whole() {
    let both = nested("both", Unordered, [echo("e"), ok("o")]);
    let both = both.reverts(own_revert("echo", &[("of", named("x"))]));
    let each = nested("m", Linear, [both]).scope(over(json!(["p", "q"])));
    let trace = "{ e#0 | e#1 | o#0 | o#1 } bad! -bad \
                 { both.revert#1:reverting { o#1:reverted | e#1:reverted } both.revert#1:reverted \
                 | both.revert#0:reverting { o#0:reverted | e#0:reverted } both.revert#0:reverted }";
    let end = play(flow([each, task("bad", "fail")]), trace).ends(Reverted).await;
    assert_eq!(end.told("revert both.revert#1").input, json!({ "of": "q" }));
}
