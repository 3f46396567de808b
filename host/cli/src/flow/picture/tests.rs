//! Trees and lines, character by character.

use super::*;
use crate::flow::file::parse;

fn flow(document: &str) -> v1::Flow {
    parse("-", document).unwrap_or_else(|problem| panic!("{problem}")).wire()
}

#[test]
fn a_nested_flow_is_a_tree_and_a_line() {
    let shown = flow(
        r#"{"pattern": "graph", "parallel_max": 4, "tasks": [
            {"name": "copies", "needs": ["snapshot"], "flow": {"pattern": "unordered", "tasks": [
                {"name": "near", "plugin": "copy", "action": "put", "inputs": {"a": {"name": "archive"}}},
                {"name": "far", "plugin": "copy", "action": "put", "priority": 1,
                 "inputs": {"a": {"output": {"task": "snapshot", "pointer": "/path"}}}}]}},
            {"name": "snapshot", "plugin": "backup", "action": "snapshot"}]}"#,
    );
    let tree = "graph       at most 4 calls at once\n\
                ├ copies    unordered; needs snapshot\n\
                │ ├ near    copy put; takes archive\n\
                │ └ far     copy put; takes snapshot/path; priority 1\n\
                └ snapshot  backup snapshot";
    assert_eq!(super::tree(&shown), tree);
    assert_eq!(line(&shown), "(near | far), snapshot");
    assert_eq!(names(&shown), ["near", "far", "snapshot"]);
}

#[test]
fn scopes_and_conditions_stand_beside_what_they_are_of() {
    let shown = flow(
        "
retry: {times: 4, backoff_initial: 1m, except: [host.timeout], revert_all: true}
tasks:
- {name: probe, plugin: net, action: probe, when: 'size > 100'}
- name: hosts
  when: {condition: probe.ok, skips: task}
  flow:
    pattern: unordered
    map: {over: {name: hosts}, name: host, parallel_max: 4}
    tasks: [{name: deploy, plugin: net, action: put, inputs: {at: {name: host}}}]
- name: regions
  flow:
    retry: {for_each: {over: {argument: regions}, name: region}}
    tasks:
    - {name: poll, flow: {repeat: {until: status.ready, rounds_max: 10, backoff_initial: 5s}, tasks: []}}
    - {name: once, flow: {retry: {always_revert: true}, tasks: []}}
",
    );
    let tree = "linear      retry 4x, pausing 1m, except after host.timeout, else revert all\n\
                ├ probe     net probe; when size > 100 (skips all)\n\
                ├ hosts     unordered; for each host in hosts, 4 at once; when probe.ok (skips task)\n\
                │ └ deploy  net put; takes host\n\
                └ regions   linear; retry for each region in regions\n\
                \u{20} ├ poll    linear; repeat until status.ready, 10x at most, pausing 5s\n\
                \u{20} └ once    linear; always revert";
    assert_eq!(super::tree(&shown), tree);
}

#[test]
fn own_reverts_and_phases_stand_beside_what_they_are_of() {
    let shown = flow(
        "
pattern: graph
revert: {plugin: net, action: release}
tasks:
- {name: address, plugin: net, action: reserve, phase: reserve}
- name: machine
  phase: acquire
  flow:
    revert: {plugin: vm, action: machine, inputs: {id: {output: {task: boot, pointer: /id}}, at: {name: zone}}}
    tasks: [{name: boot, plugin: vm, action: boot}]
",
    );
    let tree = "graph      undone by net release\n\
                ├ address  net reserve; phase reserve\n\
                └ machine  linear; undone by vm machine with boot/id, zone; phase acquire\n\
                \u{20} └ boot   vm boot";
    assert_eq!(super::tree(&shown), tree);
}

#[test]
fn a_child_job_is_drawn_with_what_it_does_where_that_is_known() {
    let mut shown = flow(
        "
tasks:
- {name: image, job: {flow: build-image@3, inputs: {tag: {name: tag}}, priority: 5, timeout: 2h}}
- name: hosts
  job:
    flow: {pattern: graph, parallel_max: 2, tasks: [{name: deploy, plugin: net, action: put}]}
    inputs: {digest: {output: {task: image, pointer: /image/digest}}, fast: {literal: true}}
",
    );
    let tree = "linear\n\
                ├ image     job of build-image@3; priority 5; 2h at most; takes tag\n\
                └ hosts     job; graph; at most 2 calls at once; takes image/image/digest\n\
                \u{20} └ deploy  net put";
    assert_eq!(super::tree(&shown), tree);
    assert_eq!(line(&shown), "image > hosts");
    assert_eq!(names(&shown), ["image", "hosts"]);
    // A host answers with the flow as well.
    let Some(v1::task::Wait::Job(job)) = shown.tasks[0].wait.as_mut() else { panic!() };
    job.flow_revision = Some(v1::FlowReference { name: "build-image".to_owned(), revision: 3 });
    job.work = Some(v1::child_job::Work::Flow(flow("tasks: [{name: push, plugin: oci, action: push}]")));
    let tree = super::tree(&shown);
    let image = "├ image     job of build-image@3; linear; priority 5; 2h at most; takes tag\n\
                 │ └ push    oci push\n";
    assert!(tree.contains(image), "{tree}");
}

#[test]
fn a_long_flow_is_counted() {
    let tasks: Vec<_> =
        (0..40).map(|n| format!(r#"{{"name": "t{n}", "plugin": "p", "action": "a"}}"#)).collect();
    let shown = flow(&format!(r#"{{"tasks": [{}]}}"#, tasks.join(",")));
    assert_eq!(line(&shown), "linear of 40 tasks, the first t0");
}
