//! Flows that are undone as a whole, with one slot and with sixteen, in whatever is around them.

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, Phase, TaskState};
use windlass_tests::work::{
    Shape as _, flow, literal, named, nested, output, own_revert, pattern, task, times, whole,
};

use super::play::play;

use JobState::{Failed, Reverted, Succeeded};
use Pattern::{Graph, Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn fail_n(name: &str, count: u32) -> v1::Task {
    task(name, "fail_n").with("n", literal(count.into()))
}

fn bad() -> v1::Task {
    task("bad", "fail")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_is_undone_by_one_call_that_is_told_of_everything_in_it() {
    let b = ok("b").with("value", literal(json!(1)));
    let machine = nested("m", Linear, [b, ok("c").with("undo", literal(json!("of c")))]);
    let machine = machine.reverts(own_revert("echo", &[("id", output("b", "/value")), ("from", named("a"))]));
    let trace = "a b c bad! -bad m.revert:reverting c:reverted b:reverted m.revert:reverted -a";
    let end = play(flow([ok("a"), machine, bad()]), trace).ends(Reverted).await;
    let told = end.told("revert m.revert");
    assert_eq!(told.input, json!({ "id": 1, "from": { "value": null } }));
    assert_eq!(told.evidence["end"]["applied"], json!({ "b": { "value": 1 }, "c": { "value": null } }));
    assert_eq!(told.evidence["undo"], json!(["of c"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_it_beside_each_other_is_undone_by_the_one_call_when_all_have_finished() {
    let machine =
        nested("m", Unordered, [ok("b"), ok("c"), nested("deep", Linear, [ok("d"), task("f", "fail")])]);
    let machine = machine.reverts(own_revert("echo", &[]));
    let trace = "a { b | c | d f! } m.revert:reverting \
                 { f:reverted | d:reverted | c:reverted | b:reverted } m.revert:reverted -a";
    let one =
        "a b c d f! m.revert:reverting f:reverted d:reverted c:reverted b:reverted m.revert:reverted -a";
    let play = play(flow([ok("a"), machine, ok("never")]), one).with_sixteen(trace);
    let end = play.ends(Reverted).await;
    let told = &end.told("revert m.revert").evidence["end"]["partial"];
    assert_eq!(told["failure"]["class"], "fixture.fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outermost_flow_is_undone_as_a_whole() {
    let work = v1::Flow {
        tasks: vec![ok("a"), ok("b")],
        revert: Some(own_revert("giver", &[])),
        ..v1::Flow::default()
    };
    let trace = "a b flow.revert:reverting b:reverted a:reverted flow.revert:reverted";
    let play = play(whole(work), trace);
    play.directed(Reverted, async |stage| {
        stage.host.wait(&stage.job).await;
        stage.host.revert(&stage.job).await.expect("it has succeeded");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v07_one_that_fails_keeps_what_is_before_it_and_names_the_tasks_in_it() {
    let machine = nested("m", Linear, [ok("b"), ok("c")]).reverts(own_revert("nasty", &[]));
    let trace = "a b c bad! -bad m.revert:reverting m.revert:revert_failed";
    let end = play(flow([ok("a"), machine, bad()]), trace).ends(Failed).await;
    end.assert_residue(&["a", "b", "c"]);
    assert_eq!(end.task("m.revert").revert_class.as_deref(), Some("fixture.nasty"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_try_of_the_scope_around_it_is_undone_by_a_call_of_its_own() {
    let machine = nested("m", Linear, [ok("b"), fail_n("f", 2)]).reverts(own_revert("echo", &[]));
    let scope = nested("s", Linear, [ok("a"), machine]).scope(times(3));
    let undone = |n: u32| {
        format!(
            "a#{n} b#{n} f#{n}! m.revert#{n}:reverting f#{n}:reverted b#{n}:reverted m.revert#{n}:reverted -a#{n}"
        )
    };
    let trace = format!("{} {} a#3 b#3 f#3", undone(1), undone(2));
    play(flow([scope]), &trace).ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_in_it_undoes_its_own_tries_task_by_task_and_the_call_what_is_left() {
    let scope = nested("s", Linear, [ok("b"), fail_n("f", 1)]).scope(times(2));
    let machine = nested("m", Linear, [ok("a"), scope]).reverts(own_revert("echo", &[]));
    let trace = "a b#1 f#1! -f#1 -b#1 b#2 f#2 bad! -bad \
                 m.revert:reverting f#2:reverted b#2:reverted a:reverted m.revert:reverted";
    play(flow([machine, bad()]), trace).ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_in_each_other_the_outermost_that_is_reached_stands_for_all() {
    let inner = || nested("inner", Linear, [ok("b")]).reverts(own_revert("echo", &[]));
    let outer = nested("outer", Linear, [ok("a"), inner()]).reverts(own_revert("echo", &[]));
    let trace = "a b bad! -bad outer.revert:reverting b:reverted a:reverted outer.revert:reverted";
    play(flow([outer, bad()]), trace).ends(Reverted).await;
    // In a scope between them the inner one is what is reached.
    let scope = nested("s", Linear, [inner(), fail_n("f", 1)]).scope(times(2));
    let outer = nested("outer", Linear, [ok("a"), scope]).reverts(own_revert("echo", &[]));
    let trace = "a b#1 f#1! -f#1 inner.revert#1:reverting b#1:reverted inner.revert#1:reverted b#2 f#2";
    play(flow([outer]), trace).ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phases_are_released_by_one_call() {
    let phased = |name: &str, phase: Phase| ok(name).phase(phase);
    let tasks = [
        phased("q", Phase::Acquire),
        phased("r", Phase::Reserve),
        phased("c1", Phase::Configure),
        phased("c2", Phase::Configure),
    ];
    let machine = nested("m", Graph, tasks).reverts(own_revert("echo", &[]));
    let trace = "r { c1 | c2 } q bad! -bad \
                 m.revert:reverting { q:reverted | c2:reverted | c1:reverted | r:reverted } m.revert:reverted";
    let end = play(pattern(Graph, [machine, bad().needs(&["m"])]), trace).ends(Reverted).await;
    assert!(["q", "r", "c1", "c2"].iter().all(|name| end.task(name).state == TaskState::Reverted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_is_told_its_undo_records_in_the_order_in_which_tasks_were_begun_not_defined() {
    let phased = |name: &str, phase: Phase| ok(name).with("undo", literal(json!(name))).phase(phase);
    let tasks = [phased("q", Phase::Acquire), phased("r", Phase::Reserve), phased("c", Phase::Configure)];
    let machine = nested("m", Graph, tasks).reverts(own_revert("echo", &[]));
    let trace = "r c q bad! -bad m.revert:reverting q:reverted c:reverted r:reverted m.revert:reverted";
    let end = play(flow([machine, bad()]), trace).ends(Reverted).await;
    assert_eq!(end.told("revert m.revert").evidence["undo"], json!(["r", "c", "q"]));
}
