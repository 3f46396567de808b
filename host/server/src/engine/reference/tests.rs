//! Where holes are, how deep a flow is, and where problems within stored flows are told.

use std::collections::BTreeMap;

use windlass_core::flow::{Nested, Pattern};
use windlass_core::wait::Wait;

use super::*;

fn flow(nodes: Vec<Node<String>>) -> Flow<String> {
    Flow { nodes, ..Flow::linear([]) }
}

fn job(name: &str, revision: Option<u32>, nodes: Vec<Node<String>>) -> Node<String> {
    let child = Child {
        flow: Box::new(flow(nodes)),
        flow_revision: revision.map(|revision| RevisionName { name: name.to_owned(), revision }),
        inputs: BTreeMap::new(),
        priority: None,
        timeout_ms: 1_000,
    };
    let (until, provides) = (Until::Child(child), BTreeMap::new());
    Node::Wait(Wait { name: name.to_owned(), until, provides, needs: Vec::new(), when: None })
}

fn nested(name: &str, nodes: Vec<Node<String>>) -> Node<String> {
    Node::Flow(Nested {
        name: name.to_owned(),
        pattern: Pattern::Linear,
        nodes,
        needs: Vec::new(),
        scope: None,
        when: None,
        revert: None,
        phase: None,
    })
}

#[test]
fn names_are_found_in_nested_flows_and_in_child_jobs_but_not_in_what_they_stand_for() {
    let stored = job("stored", Some(3), vec![job("within", Some(1), vec![])]);
    let inner = job("inner", None, vec![job("named", Some(0), vec![]), job("whole", None, vec![])]);
    let mut outer = flow(vec![stored, nested("both", vec![inner])]);
    let places: Vec<_> = holes(&mut outer).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["flow.tasks[0].job", "flow.tasks[1].flow.tasks[0].job.flow.tasks[0].job"]);
}

#[test]
fn levels_are_those_of_the_messages() {
    assert_eq!(levels(&[]), 0);
    assert_eq!(levels(&[job("a", None, vec![])]), 3);
    assert_eq!(levels(&[nested("a", vec![job("b", None, vec![nested("c", vec![])])])]), 7);
}

#[test]
fn the_deepest_flow_that_is_taken_can_be_stored_as_json_and_read_again() {
    // Nested flows and child jobs by turns: for a level on the wire, JSON needs the most for these.
    let mut nodes = Vec::new();
    while 1 + levels(&nodes) + 5 <= LEVELS_MAX {
        nodes = vec![nested("n", vec![job("j", None, nodes)])];
    }
    let deepest = flow(nodes).map(|name| panic!("plugin {name}"));
    let text = serde_json::to_string(&deepest).unwrap();
    assert_eq!(serde_json::from_str::<Flow>(&text).unwrap(), deepest);
}

#[test]
fn what_is_wrong_within_a_stored_flow_is_told_where_it_is_named_with_what_is_missing_first() {
    let mut problems = Problems::default();
    problems.add("flow.tasks[0].job.reference", "there is no flow a");
    let references = References { places: vec!["flow.tasks[1].job".to_owned()], problems };
    let mut found = Problems::default();
    found.add("flow.tasks[1].job.flow.tasks[4].plugin", "is not there");
    found.add("flow.tasks[1].job.inputs.x", "has no provider");
    found.add("flow.tasks[10].job.flow.tasks[4].plugin", "is not there either");
    let told = references.judged::<()>(Err(found.into())).unwrap_err().to_string();
    let expected = [
        "flow.tasks[0].job.reference: there is no flow a",
        "flow.tasks[1].job.reference: flow.tasks[4].plugin is not there",
        "flow.tasks[1].job.inputs.x: has no provider",
        "flow.tasks[10].job.flow.tasks[4].plugin: is not there either",
    ];
    assert_eq!(told, expected.join("; "));
    assert!(references.judged(Ok(())).is_err(), "a flow with holes is never taken");
    assert!(References::default().judged(Ok(())).is_ok());
}
