//! Order by pattern, needs and data: exact traces.

use serde_json::json;

use super::bench::{Bench, broken, spec};
use super::shape::{Shape, flow_of, from, nested, output, t};
use crate::call::Direction;
use crate::decide::create::Timing;
use crate::flow::{Flow, Input, Pattern};
use crate::instance::InstanceName;
use crate::job::{Job, JobSpec, JobState};

use Pattern::{Graph, Linear, Unordered};

pub fn bench(flow: Flow) -> Bench {
    Bench::of_flow(flow, spec(), Timing::default())
}

/// The trace of a flow that goes well, one call after the other.
fn one_by_one(flow: Flow) -> String {
    let mut bench = bench(flow);
    bench.room = 0;
    assert_eq!(bench.run(), JobState::Succeeded);
    let begun = bench.trace();
    let begun = begun.split(' ').filter_map(|seen| seen.strip_suffix(":applying"));
    begun.collect::<Vec<_>>().join(" ")
}

#[test]
fn f02_a_linear_flow_keeps_its_order_whatever_the_room() {
    for room in [0, 1, 8, usize::MAX] {
        let mut bench = bench(flow_of(Linear, [t("a"), t("b")]));
        bench.room = room;
        assert_eq!(bench.run(), JobState::Succeeded);
        assert_eq!(bench.trace(), "a:applying a:applied b:applying b:applied");
    }
}

#[test]
fn f03_unordered_tasks_are_called_at_once() {
    let mut bench = bench(flow_of(Unordered, [t("a"), t("b")]));
    bench.claim();
    assert_eq!(bench.calling(), "a b");
    bench.finish_task("b");
    bench.finish_task("a");
    assert_eq!(bench.job.status.state, JobState::Succeeded);
    assert_eq!(bench.trace(), "a:applying b:applying b:applied a:applied");
}

#[test]
fn f04_the_higher_priority_begins_first() {
    let tasks = (0..10).map(|priority| t(&format!("t{priority}")).priority(priority));
    assert_eq!(one_by_one(flow_of(Unordered, tasks)), "t9 t8 t7 t6 t5 t4 t3 t2 t1 t0");
    let tasks = ["a", "b", "c"].map(|name| t(name).priority(-1));
    assert_eq!(one_by_one(flow_of(Unordered, tasks)), "a b c", "then the order of definition");
}

#[test]
fn f05_tasks_out_of_order_run_by_their_data() {
    let flow = flow_of(
        Graph,
        [
            t("d").takes(from("of_c")),
            t("c").takes(from("of_b")).provides("of_c"),
            t("b").takes(output("a")).provides("of_b"),
            t("a"),
        ],
    );
    let mut bench = bench(flow);
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(
        bench.trace(),
        "a:applying a:applied b:applying b:applied c:applying c:applied d:applying d:applied"
    );
}

#[test]
fn an_input_of_revert_makes_an_edge_too() {
    let flow = flow_of(Graph, [t("b").revert_takes(from("of_a")), t("a").provides("of_a")]);
    assert_eq!(one_by_one(flow), "a b");
}

#[test]
fn f19_what_joins_waits_for_all_and_what_forks_for_it() {
    let flow = flow_of(
        Graph,
        [t("d").needs(&["c"]), t("e").needs(&["c"]), t("c").needs(&["a", "b"]), t("a"), t("b")],
    );
    let mut bench = bench(flow);
    bench.claim();
    assert_eq!(bench.calling(), "a b");
    bench.finish_task("a");
    assert_eq!(bench.calling(), "b", "c wants both");
    bench.finish_task("b");
    assert_eq!(bench.calling(), "c");
    bench.finish_task("c");
    assert_eq!(bench.calling(), "d e");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn f20_a_slow_branch_holds_up_no_other() {
    let branch = |name: &str, tasks: [&str; 3]| nested(name, Linear, tasks.map(t));
    let flow = flow_of(Unordered, [branch("slow", ["a", "b", "c"]), branch("fast", ["p", "q", "r"])]);
    let mut bench = bench(flow);
    bench.claim();
    for task in ["p", "q", "r"] {
        assert_eq!(bench.calling(), format!("a {task}"));
        bench.finish_task(task);
    }
    assert_eq!((bench.calling().as_str(), bench.job.status.state), ("a", JobState::Running));
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn a_need_of_a_nested_flow_waits_for_all_of_it_and_data_only_for_its_task() {
    let inner = nested("inner", Unordered, [t("a").provides("of_a"), t("b")]);
    let flow = |after| flow_of(Graph, [inner.clone(), after]);
    let mut all = bench(flow(t("c").needs(&["inner"])));
    all.claim();
    all.finish_task("a");
    assert_eq!(all.calling(), "b");
    all.finish_task("b");
    assert_eq!(all.calling(), "c");
    let mut one = bench(flow(t("c").takes(from("of_a"))));
    one.claim();
    one.finish_task("a");
    assert_eq!(one.calling(), "b c");
}

#[test]
fn an_empty_nested_flow_is_passed_and_keeps_the_order_around_it() {
    let empty = |name, pattern| nested(name, pattern, []);
    let flow = flow_of(Linear, [t("a"), empty("x", Graph), empty("y", Linear), t("b")]);
    assert_eq!(one_by_one(flow), "a b");
    let mut bench = bench(flow_of(Graph, [empty("x", Unordered)]));
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "");
}

#[test]
fn v01_a_graph_is_unwound_against_its_data_and_not_its_definition() {
    let flow = flow_of(Graph, [t("fail").takes(output("b")), t("b").takes(output("a")), t("a")]);
    let mut bench = bench(flow).script("fail", Direction::Apply, &[broken()]);
    assert_eq!(bench.run(), JobState::Reverted);
    let end = "fail:apply_failed fail:reverting fail:reverted b:reverting b:reverted a:reverting a:reverted";
    assert!(bench.trace().ends_with(end), "{}", bench.trace());
}

#[test]
fn v03_a_nested_flow_is_undone_before_what_was_before_it() {
    let inner = nested("inner", Linear, [t("b"), t("fail")]);
    let mut bench = bench(flow_of(Linear, [t("a"), inner])).script("fail", Direction::Apply, &[broken()]);
    assert_eq!(bench.run(), JobState::Reverted);
    let end = "fail:reverting fail:reverted b:reverting b:reverted a:reverting a:reverted";
    assert!(bench.trace().ends_with(end), "{}", bench.trace());
}

/// A job with these arguments in which every task gave its own name, but those with an output here.
fn applied(flow: Flow, arguments: serde_json::Value, outputs: &[(&str, serde_json::Value)]) -> Job {
    let arguments = arguments.as_object().expect("a test gives an object").clone();
    let mut bench = Bench::of_flow(flow, JobSpec { arguments, ..spec() }, Timing::default());
    let names: Vec<_> = bench.job.flow.tasks().map(|task| task.name.clone()).collect();
    for name in names {
        let given = outputs.iter().find(|(task, _)| *task == name).map(|(_, value)| value.clone());
        let output = crate::payload::Payload::json(&given.unwrap_or_else(|| json!(name)));
        bench =
            bench.script(&name, Direction::Apply, &[crate::call::Outcome::Applied { output, undo: None }]);
    }
    assert_eq!(bench.run(), JobState::Succeeded);
    bench.job
}

fn input(job: &Job, task: &str) -> serde_json::Value {
    let name = InstanceName { task: task.to_owned(), iteration: Vec::new() };
    job.input(&name, Direction::Apply).expect("it has its input")["x"].clone()
}

#[test]
fn f11_a_literal_outranks_an_argument_and_that_the_nearest_visible_task() {
    let shadowing = |reader: Input| {
        let inner = nested("inner", Linear, [t("near").provides("x"), t("reader").takes(reader)]);
        flow_of(Linear, [t("far").provides("x"), inner, t("late").provides("x")])
    };
    let literal = Input::Literal(json!("injected"));
    assert_eq!(input(&applied(shadowing(literal), json!({"x": 1}), &[]), "reader"), json!("injected"));
    assert_eq!(input(&applied(shadowing(from("x")), json!({"x": 1}), &[]), "reader"), json!(1));
    assert_eq!(input(&applied(shadowing(from("x")), json!({}), &[]), "reader"), json!("near"));
    // Outside, a linear flow shows its last.
    let inner = nested("inner", Linear, [t("one").provides("x"), t("two").provides("x")]);
    let flow = flow_of(Linear, [t("far").provides("x"), inner, t("reader").takes(from("x"))]);
    assert_eq!(input(&applied(flow, json!({}), &[]), "reader"), json!("two"));
    // Members of an unordered flow see past each other.
    let inner = nested("inner", Unordered, [t("beside").provides("x"), t("reader").takes(from("x"))]);
    let flow = flow_of(Linear, [t("far").provides("x"), inner]);
    assert_eq!(input(&applied(flow, json!({}), &[]), "reader"), json!("far"));
}

#[test]
fn f14_a_name_is_bound_to_another_and_f15_parts_of_an_output_go_by_name() {
    let mut first = super::shape::task("m");
    first.provides = [("p", "/0"), ("q", "/1"), ("whole", "")]
        .map(|(name, pointer)| (name.to_owned(), pointer.to_owned()))
        .into();
    let first = crate::flow::Node::Task(first);
    let flow = flow_of(
        Graph,
        [
            t("of_p").takes(from("p")),
            t("of_q").takes(from("q")),
            t("of_all").takes(from("whole")),
            t("of_a").takes(from("a")),
            first,
        ],
    );
    let job = applied(flow, json!({"a": 17, "y": 4, "z": 9}), &[("m", json!([1, {"b": 2}]))]);
    assert_eq!(input(&job, "of_p"), json!(1));
    assert_eq!(input(&job, "of_q"), json!({"b": 2}));
    assert_eq!(input(&job, "of_all"), json!([1, {"b": 2}]));
    assert_eq!(input(&job, "of_a"), json!(17));
}

#[test]
fn f17_an_optional_input_is_left_out_or_the_argument_or_what_is_injected() {
    let flow = |input| flow_of(Linear, [t("a").takes(input)]);
    let optional = || Input::Optional("x".to_owned());
    let absent = applied(flow(optional()), json!({}), &[]);
    let a = InstanceName { task: "a".to_owned(), iteration: Vec::new() };
    let whole = absent.input(&a, Direction::Apply).expect("it has one");
    assert_eq!(whole, json!({}));
    assert_eq!(input(&applied(flow(optional()), json!({"x": 3}), &[]), "a"), json!(3));
    assert_eq!(input(&applied(flow(Input::Literal(json!(5))), json!({"x": 3}), &[]), "a"), json!(5));
}
