//! Own reverts and phases: what is wrong with them.

use serde_json::json;

use super::*;
use crate::own_revert::OwnRevert;
use crate::phase::Phase;
use crate::scope::{Repeat, Scope};

fn own(inputs: &[(&str, Input)]) -> OwnRevert {
    OwnRevert {
        plugin: pin(),
        action: "copy".to_owned(),
        inputs: named_inputs(inputs),
        timeout_ms: None,
        retry: RetryPolicy::default(),
        memory_bytes_max: None,
    }
}

fn good() -> Vec<(&'static str, Input)> {
    vec![("from", literal(json!("/a"))), ("to", literal(json!("/b")))]
}

fn member(name: &str) -> Node {
    Node::Task(task(name, &good(), &[("place", "/to")]))
}

/// `before`, then the flow `m` of `b` and `c` with that revert, then `after`.
fn whole(revert: OwnRevert) -> Flow {
    let m = nested("m", Pattern::Linear, [member("b"), member("c")]).reverts(revert);
    flow_of(Pattern::Linear, [member("before"), m, member("after")])
}

fn problems(flow: &Flow) -> Vec<String> {
    validated(flow, json!({}), &[])
}

fn output(task: &str) -> Input {
    Input::Output { task: task.to_owned(), pointer: "/to".to_owned() }
}

#[test]
fn what_is_inside_is_asked_of_nobody_and_what_is_outside_as_of_a_task() {
    assert_eq!(problems(&whole(own(&good()))), [""; 0]);
    // What is given inside may be missing, and counts for what the schema requires.
    for inside in [output("c"), from("c"), from("place"), Input::Optional("c".to_owned())] {
        let inputs = [("from", output("before")), ("to", inside)];
        assert_eq!(problems(&whole(own(&inputs))), [""; 0]);
    }
    let mut outermost = whole(own(&good()));
    outermost.revert = Some(own(&[("from", output("before")), ("to", from("after"))]));
    assert_eq!(problems(&outermost), [""; 0]);
}

#[test]
fn everything_that_is_wrong_with_an_own_revert_is_told_with_its_place() {
    let inputs = [
        ("from", from("nobody")),
        ("to", output("after")),
        ("keep", Input::Output { task: "b".to_owned(), pointer: "to".to_owned() }),
        ("more", output("nowhere")),
    ];
    let told = problems(&whole(own(&inputs)));
    let paths: Vec<_> = told.iter().filter_map(|told| told.split(": ").next()).collect();
    assert_eq!(
        paths,
        ["from", "keep", "more", "to"].map(|name| format!("flow.tasks[1].flow.revert.inputs.{name}"))
    );
    assert!(
        told[0].contains("the own revert of flow \"m\" has no provider for its input \"from\""),
        "{told:?}"
    );
    assert!(told[1].contains("is not a JSON pointer"), "{told:?}");
    assert!(told[2].contains("no task is called \"nowhere\""), "{told:?}");
    assert!(told[3].contains("comes later in a linear flow"), "{told:?}");
    // By its schema.
    let told = problems(&whole(own(&[("from", literal(json!(1))), ("other", output("b"))])));
    assert_eq!(
        told,
        [
            "flow.tasks[1].flow.revert.inputs.from: 1 is not of type \"string\"",
            "flow.tasks[1].flow.revert.inputs.to: is required: give it as an input",
            "flow.tasks[1].flow.revert.inputs.other: action \"copy\" has no property \"other\": remove it or correct \
             its name",
        ]
    );
    // Its plugin and action, and its bounds.
    let unknown =
        PluginPin { name: "other".to_owned(), ..PluginPin { digest: Digest::of(b"other"), ..pin() } };
    let told = problems(&whole(OwnRevert { plugin: unknown, ..own(&good()) }));
    assert!(told[0].starts_with("flow.tasks[1].flow.revert.plugin: plugin other 1.0.0"), "{told:?}");
    let retry = RetryPolicy { attempts_max: 0, ..RetryPolicy::default() };
    let told = problems(&whole(OwnRevert {
        action: "cut".to_owned(),
        timeout_ms: Some(0),
        memory_bytes_max: Some(1),
        retry,
        ..own(&good())
    }));
    let paths: Vec<_> = told.iter().filter_map(|told| told.split(": ").next()).collect();
    let fields = ["retry.attempts_max", "timeout_ms", "memory_bytes_max", "action"];
    assert_eq!(paths, fields.map(|field| format!("flow.tasks[1].flow.revert.{field}")));
}

#[test]
fn a_flow_that_runs_again_has_no_revert_of_its_own() {
    let scope =
        Scope::Repeat(Repeat { until: "round == 2".to_owned(), rounds_max: 3, backoff: Default::default() });
    let m = nested("m", Pattern::Linear, [member("b")]).reverts(own(&good())).scope(scope.clone());
    let told = problems(&flow_of(Pattern::Linear, [m]));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("flow.tasks[0].flow.revert: flow \"m\" runs again"), "{told:?}");
    // Nested into it, it may.
    let inner = nested("inner", Pattern::Linear, [member("b")]).reverts(own(&good()));
    let outer = nested("outer", Pattern::Linear, [inner]).scope(scope);
    assert_eq!(problems(&flow_of(Pattern::Linear, [outer])), [""; 0]);
}

#[test]
fn the_name_of_an_own_revert_is_nobody_elses() {
    let mut flow = whole(own(&good()));
    flow.nodes.push(member("m.revert"));
    flow.nodes.push(member("after.revert"));
    let told = problems(&flow);
    assert_eq!(
        told,
        ["flow.tasks[3].name: \"m.revert\" is the name of the own revert of flow \"m\": rename it"]
    );
    let mut flow = flow_of(Pattern::Linear, [member("flow.revert"), member("flow")]);
    assert_eq!(problems(&flow), [""; 0], "nothing has that name");
    flow.revert = Some(own(&good()));
    let told = problems(&flow);
    assert!(
        told.iter().any(|told| told.contains("the outermost flow, as it has a revert of its own")),
        "{told:?}"
    );
    assert!(told.iter().any(|told| told.starts_with("flow.tasks[0].name")), "{told:?}");
}

#[test]
fn an_own_revert_that_goes_in_a_circle_is_told() {
    let m = nested("m", Pattern::Graph, [member("b")])
        .reverts(own(&[("from", output("a")), ("to", output("b"))]));
    let Node::Task(mut a) = member("a") else { panic!("it is a task") };
    a.needs.push("b".to_owned());
    let told = problems(&flow_of(Pattern::Graph, [m, Node::Task(a)]));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("m -> a -> m goes in a circle"), "{told:?}");
}

#[test]
fn phases_that_no_order_serves_are_told() {
    let reserve = || member("r").phase(Phase::Reserve);
    let acquire = || member("q").phase(Phase::Acquire);
    let linear = |nodes: [Node; 3]| problems(&flow_of(Pattern::Linear, nodes));
    assert_eq!(linear([reserve(), member("x"), acquire()]), [""; 0]);
    let told = linear([acquire(), member("x"), reserve()]);
    assert_eq!(
        told,
        [
            "flow.tasks[2].phase: phase reserve comes before phase acquire, and this is after \"q\" in a linear flow: \
          move it before, or make the flow a graph"
        ]
    );
    let inside = nested("n", Pattern::Unordered, [reserve(), acquire()]);
    let told = problems(&flow_of(Pattern::Linear, [inside]));
    assert_eq!(told.len(), 2);
    assert!(
        told[0].starts_with("flow.tasks[0].flow.tasks[0].phase: an unordered flow has no order"),
        "{told:?}"
    );
    assert!(told[0].contains("make it a graph"), "{told:?}");
    let Node::Task(mut early) = reserve() else { panic!("it is a task") };
    early.needs.push("q".to_owned());
    let told = problems(&flow_of(Pattern::Graph, [Node::Task(early), acquire()]));
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("r -> (phase acquire) -> q -> r goes in a circle"), "{told:?}");
}
