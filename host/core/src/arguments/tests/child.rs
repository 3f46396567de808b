//! Child jobs: each is judged as a flow of its own, with what it is given.

use serde_json::json;

use super::*;
use crate::child::GENERATIONS_MAX;
use crate::decide::tests::shape::{child, own_revert};
use crate::own_revert::OwnRevert;

/// A job that copies what its arguments `source` and `target` say.
fn copying_job() -> Flow {
    let inputs = [("from", from("source")), ("to", Input::Argument("target".to_owned()))];
    flow(vec![task("copy", &inputs, &[("place", "/to")])])
}

fn given(target: Input) -> Vec<(&'static str, Input)> {
    vec![("source", literal(json!("/a"))), ("target", target)]
}

fn before() -> Node {
    let inputs = [("from", literal(json!("/a"))), ("to", literal(json!("/b")))];
    Node::Task(task("before", &inputs, &[("made", "/to")]))
}

#[test]
fn a_child_is_checked_with_what_it_is_given() {
    let after = |inputs: &[(&str, Input)]| {
        let flow = flow_of(Pattern::Linear, [before(), child("job", copying_job(), inputs)]);
        validated(&flow, json!({}), &[])
    };
    assert_eq!(after(&given(from("made"))), [""; 0]);
    assert_eq!(after(&given(literal(json!("/c")))), [""; 0]);
    // Its schema judges what is known, and what it is not given is missing in it.
    let wrong = after(&given(literal(json!("c"))));
    assert!(wrong[0].starts_with("flow.tasks[1].job.flow.tasks[0].inputs.to: "), "{wrong:?}");
    let missing = after(&given(literal(json!("/c")))[..1]);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].starts_with("flow.tasks[1].job.flow.tasks[0].inputs.to: "), "{missing:?}");
    assert!(missing[0].contains("no argument and no default is called \"target\""), "{missing:?}");
    // What it asks of its parent has to come before it.
    let nobody = after(&given(from("nobody")));
    assert!(
        nobody[0].starts_with("flow.tasks[1].job.inputs.target: job \"job\" has no provider"),
        "{nobody:?}"
    );
    assert_eq!(nobody.len(), 1, "{nobody:?}");
}

#[test]
fn names_of_a_child_are_its_own_and_what_it_gives_goes_by_its_name() {
    let after = Node::Task(task("after", &[("from", from("job")), ("to", from("made"))], &[]));
    let mut same = copying_job();
    let Node::Task(copy) = &mut same.nodes[0] else { unreachable!() };
    copy.name = "before".to_owned();
    let job = child("job", same, &given(from("made")));
    let flow = flow_of(Pattern::Linear, [before(), job, after]);
    assert_eq!(validated(&flow, json!({}), &[]), [""; 0]);
    // Nothing inside it is seen outside.
    let peeping = Node::Task(task("after", &[("from", from("place")), ("to", from("made"))], &[]));
    let flow =
        flow_of(Pattern::Linear, [before(), child("job", copying_job(), &given(from("made"))), peeping]);
    let problems = validated(&flow, json!({}), &[]);
    assert!(problems[0].starts_with("flow.tasks[2].inputs.from: "), "{problems:?}");
}

#[test]
fn a_priority_of_a_child_is_one_that_a_job_may_have() {
    let of = |priority: i32| {
        let Node::Wait(mut wait) = child("job", copying_job(), &given(from("made"))) else { unreachable!() };
        let Until::Child(child) = &mut wait.until else { unreachable!() };
        child.priority = Some(priority);
        validated(&flow_of(Pattern::Linear, [before(), Node::Wait(wait)]), json!({}), &[])
    };
    assert_eq!([of(-1_000), of(1_000)].concat(), [""; 0]);
    let wrong = [of(-1_001), of(1_001)].concat();
    assert_eq!(wrong.len(), 2);
    assert!(wrong.iter().all(|problem| problem.starts_with("flow.tasks[1].job.priority: ")), "{wrong:?}");
}

#[test]
fn what_a_child_calls_is_among_the_calls_of_its_flow_at_its_place() {
    let flow = flow_of(Pattern::Linear, [before(), child("job", copying_job(), &given(from("made")))]);
    let placed = flow.placed_calls();
    let places: Vec<_> = placed.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["flow.tasks[0]", "flow.tasks[1].job.flow.tasks[0]"]);
}

#[test]
fn what_one_call_undoes_holds_no_other_job() {
    let revert = OwnRevert { plugin: pin(), action: "copy".to_owned(), ..own_revert() };
    let inside = nested("m", Pattern::Linear, [child("job", copying_job(), &given(literal(json!("/c"))))]);
    let flow = flow_of(Pattern::Linear, [before(), inside.reverts(revert)]);
    let problems = validated(&flow, json!({ "from": "/a", "to": "/b" }), &[]);
    let expected = "flow.tasks[1].flow.tasks[0].job: job \"job\" is in a flow with a revert of its own";
    assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{problems:?}");
}

#[test]
fn children_of_children_have_bounds_and_are_counted_together() {
    let generations = |count: usize| {
        let youngest = flow_of(Pattern::Linear, [before()]);
        (1..count).fold(youngest, |inner, _| flow_of(Pattern::Linear, [child("job", inner, &[])]))
    };
    assert_eq!(validated(&generations(GENERATIONS_MAX), json!({}), &[]), [""; 0]);
    let deep = validated(&generations(GENERATIONS_MAX + 1), json!({}), &[]);
    assert!(deep[0].contains("8 deep at most"), "{deep:?}");
    let many = |count: usize| {
        let sleeps = (0..count).map(|number| sleep(&format!("s{number}"), 1));
        flow_of(Pattern::Unordered, sleeps)
    };
    let half = TASKS_MAX / 2;
    let family = flow_of(Pattern::Linear, [child("one", many(half), &[]), child("two", many(half), &[])]);
    let large = validated(&family, json!({}), &[]);
    assert!(large[0].contains("are 10002 tasks with those of its child jobs"), "{large:?}");
}

#[test]
fn what_a_child_is_not_given_is_no_argument_of_its_parent() {
    let flow = flow_of(Pattern::Linear, [child("job", copying_job(), &given(from("place")))]);
    let schemas = |pin: &PluginPin| {
        let manifest = manifest(copy_schema());
        (pin.name == manifest.name).then(|| Arc::new(Schemas::compile(&manifest).expect("it compiles")))
    };
    assert_eq!(told(&crate::revision::check_without_arguments(&flow, &schemas)), [""; 0]);
    let flow = flow_of(Pattern::Linear, [child("job", copying_job(), &given(from("place"))[1..])]);
    let problems = told(&crate::revision::check_without_arguments(&flow, &schemas));
    assert!(problems[0].starts_with("flow.tasks[0].job.flow.tasks[0].inputs.from: "), "{problems:?}");
}
