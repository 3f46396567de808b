//! Arguments: schemas, names and flows.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::decide::tests::shape::{Shape, approval, event_wait, flow_of, nested, sleep, sleep_until};
use crate::flow::{Flow, InDoubt, Input, Inputs, Node, ObservePolicy, Pattern, PluginPin, RetryPolicy, Task};
use crate::id::Digest;
use crate::plugin::{ActionManifest, AskedGrants, Manifest};
use crate::problem::Problems;
use crate::wait::{Approval, Until};

mod child;
mod undo;

pub(crate) fn manifest(input: Value) -> Manifest {
    let action = ActionManifest {
        name: "copy".to_owned(),
        description: String::new(),
        input,
        output: json!({}),
        reversible: true,
        observed: false,
    };
    Manifest {
        manifest: 1,
        name: "files".to_owned(),
        version: "1.0.0".to_owned(),
        description: String::new(),
        actions: vec![action],
        grants: AskedGrants::default(),
    }
}

fn copy_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "from": {"$ref": "#/$defs/path"},
            "to": {"$ref": "#/$defs/path"},
            "keep": {"type": "integer", "minimum": 1},
        },
        "required": ["from", "to"],
        "additionalProperties": false,
        "$defs": {"path": {"type": "string", "pattern": "^/"}},
    })
}

pub(crate) fn pin() -> PluginPin {
    PluginPin { digest: Digest::of(b"files"), name: "files".to_owned(), version: "1.0.0".to_owned() }
}

pub(crate) fn task(name: &str, inputs: &[(&str, Input)], provides: &[(&str, &str)]) -> Task {
    Task {
        name: name.to_owned(),
        plugin: pin(),
        action: "copy".to_owned(),
        inputs: Inputs::Named(named_inputs(inputs)),
        revert_inputs: None,
        provides: provides
            .iter()
            .map(|(name, pointer)| ((*name).to_owned(), (*pointer).to_owned()))
            .collect(),
        needs: Vec::new(),
        priority: 0,
        timeout_ms: None,
        retry: RetryPolicy::default(),
        when: None,
        memory_bytes_max: None,
        in_doubt: Default::default(),
        observe: crate::flow::ObservePolicy::default(),
        phase: None,
    }
}

fn named_inputs(inputs: &[(&str, Input)]) -> BTreeMap<String, Input> {
    inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect()
}

fn from(name: &str) -> Input {
    Input::From(name.to_owned())
}

fn literal(value: Value) -> Input {
    Input::Literal(value)
}

fn flow(tasks: Vec<Task>) -> Flow {
    Flow::linear(tasks)
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("a test gives an object").clone()
}

/// The problems, as `path: message`.
fn told(problems: &Problems) -> Vec<String> {
    problems.0.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

fn validated(flow: &Flow, arguments: Value, awaited: &[&str]) -> Vec<String> {
    let schemas = Arc::new(Schemas::compile(&manifest(copy_schema())).unwrap());
    let lookup = |asked: &PluginPin| (*asked == pin()).then(|| schemas.clone());
    told(&validate_flow(flow, &object(arguments), awaited, &lookup))
}

#[test]
fn every_problem_of_a_value_is_listed_with_its_place() {
    let schema = Schema::compile(&copy_schema(), "input").unwrap();
    assert_eq!(schema.check(&json!({"from": "/a", "to": "/b"}), "arguments"), Problems::default());
    let problems = schema.check(&json!({"from": "a", "keep": 0, "more": 1}), "arguments");
    let mut paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["arguments", "arguments", "arguments.from", "arguments.keep"]);
    let nested = json!({"properties": {"list": {"items": {"properties": {"a/b": {"type": "null"}}}}}});
    let problems =
        Schema::compile(&nested, "input").unwrap().check(&json!({"list": [{}, {"a/b": 1}]}), "arguments");
    assert_eq!(problems.0[0].path, "arguments.list[1].a/b");
}

#[test]
fn a_long_value_is_not_quoted_and_a_thousand_problems_are_not_listed() {
    let schema = Schema::compile(&json!({"items": {"type": "integer"}}), "input").unwrap();
    let problems = schema.check(&json!(vec!["x".repeat(10_000); 1_000]), "arguments");
    assert_eq!(problems.0.len(), 100);
    assert!(problems.0[0].message.len() <= 400);
}

#[test]
fn schemas_that_are_no_schemas_or_refer_elsewhere_are_refused_at_admission() {
    for bad in [
        json!({"type": "strnig"}),
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"properties": {"a": {"$ref": "#/$defs/none"}}}),
        json!({"pattern": "("}),
        json!("schema"),
        json!({"description": "x".repeat(SCHEMA_BYTES_MAX)}),
    ] {
        let problems = Schemas::compile(&manifest(bad.clone())).unwrap_err();
        assert!(problems.0[0].path.starts_with("actions[0].input"), "{bad}: {problems}");
    }
    // Both directions of an action, and all actions, at once.
    let mut twice = manifest(json!({"type": 1}));
    twice.actions[0].output = json!({"type": 2});
    assert_eq!(Schemas::compile(&twice).unwrap_err().0.len(), 2);
}

#[test]
fn a_schema_that_refers_to_itself_or_searches_for_ever_ends() {
    let tree = json!({"properties": {"children": {"items": {"$ref": "#"}}}, "additionalProperties": false});
    let schema = Schema::compile(&tree, "input").unwrap();
    assert_eq!(schema.check(&json!({"children": [{"children": [{"x": 1}]}]}), "arguments").0.len(), 1);
    let slow = Schema::compile(&json!({"pattern": "^(a|aa)+(?=b)$"}), "input").unwrap();
    assert!(!slow.check(&json!("a".repeat(5_000)), "arguments").0.is_empty());
}

#[test]
fn f01_an_empty_flow_is_valid() {
    assert_eq!(validated(&flow(vec![]), json!({}), &[]), Vec::<String>::new());
}

#[test]
fn f08_duplicate_names_are_listed() {
    let inputs = [("from", literal(json!("/a"))), ("to", literal(json!("/b")))];
    let tasks = vec![
        task("a", &inputs, &[]),
        task("b", &inputs, &[]),
        task("a", &inputs, &[]),
        task("a", &inputs, &[]),
    ];
    let problems = validated(&flow(tasks), json!({}), &[]);
    let told = |index| {
        format!("flow.tasks[{index}].name: \"a\" is the name of flow.tasks[0] already: rename one of them")
    };
    assert_eq!(problems, [told(2), told(3)]);
}

#[test]
fn f09_an_input_without_provider_is_refused_naming_task_and_input() {
    let mut first = task("first", &[("from", from("made")), ("to", literal(json!("/b")))], &[]);
    first.revert_inputs = Some(named_inputs(&[("from", from("nothing")), ("to", literal(json!("/b")))]));
    let second = task("second", &[("from", from("source")), ("to", literal(json!("/b")))], &[("made", "")]);
    let problems = validated(&flow(vec![first, second]), json!({"source": "/a"}), &[]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    let told = "flow.tasks[0].inputs.from: task \"first\" has no provider for its input \"from\": \"made\" is neither";
    assert!(
        problems[0].starts_with(told)
            && problems[0].ends_with("task \"second\" provides it later: move it before")
    );
    let told =
        "flow.tasks[0].revert_inputs.from: task \"first\" has no provider for its revert input \"from\"";
    assert!(problems[1].starts_with(told), "{problems:?}");
}

#[test]
fn outputs_are_taken_from_earlier_tasks_only() {
    let output =
        |task: &str, pointer: &str| Input::Output { task: task.to_owned(), pointer: pointer.to_owned() };
    let with = |input| task("b", &[("from", input), ("to", literal(json!("/b")))], &[]);
    let at_hand = |input| {
        flow(vec![
            task("a", &[("from", literal(json!("/a"))), ("to", literal(json!("/b")))], &[("path", "/path")]),
            with(input),
            task("c", &[("from", literal(json!("/a"))), ("to", literal(json!("/b")))], &[]),
        ])
    };
    for good in [output("a", ""), output("a", "/path/0"), from("path"), Input::Argument("given".to_owned())] {
        assert_eq!(validated(&at_hand(good), json!({"given": "/g"}), &[]), Vec::<String>::new());
    }
    for (bad, words) in [
        (output("a", "path"), "not a JSON pointer"),
        (output("b", ""), "its own output"),
        (output("c", ""), "comes later"),
        (output("d", ""), "no task is called"),
        (Input::Argument("path".to_owned()), "no argument and no default"),
    ] {
        let problems = validated(&at_hand(bad), json!({}), &[]);
        assert!(problems.len() == 1 && problems[0].contains(words), "{problems:?}");
    }
}

#[test]
fn w03_arguments_outrank_defaults_and_what_is_known_is_checked() {
    let mut checked = flow(vec![task("a", &[("from", from("source")), ("to", from("target"))], &[])]);
    checked.defaults.insert("source".to_owned(), json!("relative"));
    let problems = validated(&checked, json!({"target": 7}), &[]);
    let paths: Vec<_> = problems.iter().filter_map(|told| told.split(": ").next()).collect();
    assert_eq!(paths, ["flow.tasks[0].inputs.from", "flow.tasks[0].inputs.to"]);
    assert_eq!(validated(&checked, json!({"source": "/a", "target": "/b"}), &[]), Vec::<String>::new());
    let merged = effective_arguments(&checked, &object(json!({"source": "/a"})));
    assert_eq!(Value::Object(merged), json!({"source": "/a"}));
}

#[test]
fn an_input_that_is_known_only_in_part_is_checked_in_part() {
    let inputs = [
        ("from", from("made")),
        ("keep", literal(json!(0))),
        ("more", from("made")),
        ("extra", literal(json!(1))),
    ];
    let first = task("a", &[("from", literal(json!("/a"))), ("to", literal(json!("/b")))], &[("made", "")]);
    let problems = validated(&flow(vec![first, task("b", &inputs, &[])]), json!({}), &[]);
    assert_eq!(problems.len(), 4, "{problems:?}");
    for (path, words) in [
        ("flow.tasks[1].inputs.keep: ", "less than the minimum"),
        ("flow.tasks[1].inputs.to: ", "is required"),
        ("flow.tasks[1].inputs.more: ", "no property \"more\""),
        ("flow.tasks[1].inputs: ", "extra"),
    ] {
        assert!(
            problems.iter().any(|told| told.starts_with(path) && told.contains(words)),
            "{path} in {problems:?}"
        );
    }
}

#[test]
fn f22_a_single_action_takes_the_arguments_and_the_event_to_come() {
    let mut single = task("copy", &[], &[]);
    single.inputs = Inputs::Arguments;
    let single = flow(vec![single]);
    assert_eq!(validated(&single, json!({"from": "/a", "to": "/b"}), &[]), Vec::<String>::new());
    let problems = validated(&single, json!({"from": "a"}), &[]);
    assert!(problems.len() == 2 && problems.iter().all(|told| told.starts_with("arguments")), "{problems:?}");
    assert_eq!(validated(&single, json!({"from": "/a"}), &["to"]), Vec::<String>::new());
    assert_eq!(validated(&single, json!({"from": "/a", "to": "/b"}), &["event"]).len(), 1);
}

#[test]
fn w10_unknown_plugins_and_actions_bad_names_and_bounds_are_told_at_once() {
    let inputs = [("from", literal(json!("/a"))), ("to", literal(json!("/b")))];
    let mut unknown = task("a", &inputs, &[("ok", "nope"), ("also", "/~2")]);
    unknown.plugin.name = "ghost".to_owned();
    unknown.retry = RetryPolicy { attempts_max: 0, pause_ms: 10, pause_ms_max: 5, factor_percent: 99 };
    unknown.timeout_ms = Some(0);
    let mut wrong = task("../b", &inputs, &[]);
    wrong.action = "move".to_owned();
    let problems = validated(&flow(vec![unknown, wrong]), json!({}), &[]);
    let paths: Vec<_> = problems.iter().filter_map(|told| told.split(": ").next()).collect();
    let expected = [
        "[0].retry.attempts_max",
        "[0].retry.pause_ms_max",
        "[0].retry.factor_percent",
        "[0].timeout_ms",
        "[0].provides.also",
        "[0].provides.ok",
        "[0].plugin",
        "[1].name",
        "[1].action",
    ];
    assert_eq!(paths, expected.map(|path| format!("flow.tasks{path}")));
    assert!(problems[8].ends_with("it has copy"), "{}", problems[8]);
    let many = vec![task("a", &inputs, &[]); TASKS_MAX + 1];
    assert_eq!(validated(&flow(many), json!({}), &[]).len(), 1);
}

#[test]
fn an_optional_input_may_have_no_provider() {
    let inputs =
        [("from", from("source")), ("to", from("source")), ("keep", Input::Optional("keep".to_owned()))];
    let optional = flow(vec![task("a", &inputs, &[])]);
    assert_eq!(validated(&optional, json!({"source": "/a"}), &[]), Vec::<String>::new());
    assert_eq!(validated(&optional, json!({"source": "/a", "keep": "many"}), &[]).len(), 1);
}

#[test]
fn a_root_that_refers_to_a_definition_is_checked_in_part_too() {
    let mut schema = json!({"$ref": "#/$defs/Copy", "$defs": {"Copy": copy_schema()}});
    schema["$defs"]["path"] = schema["$defs"]["Copy"]["$defs"]["path"].clone();
    let schema = Schema::compile(&schema, "input").unwrap();
    let awaited = ["from".to_owned()].into();
    let problems = schema.check_parts(&object(json!({"keep": 0})), &awaited, "inputs");
    assert_eq!(told(&problems).len(), 2, "{problems}");
    assert!(schema.knows("from") && !schema.knows("more"));
}

#[test]
fn names_are_safe_everywhere_and_never_look_like_ids() {
    let refused = |name: &str| {
        let mut problems = Problems::default();
        check_name(&mut problems, "name", name);
        !problems.0.is_empty()
    };
    for good in ["a", "_x", "nightly-backup.v2", "0", &"x".repeat(64)] {
        assert!(!refused(good), "{good}");
    }
    let uuid = "0198c0de-0000-7000-8000-000000000000";
    for bad in ["", "-a", ".", "..", "a/b", "a b", "\u{e9}", uuid, &"x".repeat(65)] {
        assert!(refused(bad), "{bad}");
    }
}

/// A task that copies what is given, with these inputs besides.
fn copying(name: &str, inputs: &[(&str, Input)]) -> Node {
    let literals = [("from", literal(json!("/a"))), ("to", literal(json!("/b")))];
    let named: Vec<_> =
        literals.into_iter().filter(|(name, _)| !inputs.iter().any(|(other, _)| other == name)).collect();
    Node::Task(task(name, &named.into_iter().chain(inputs.iter().cloned()).collect::<Vec<_>>(), &[]))
}

#[test]
fn f06_a_circle_of_data_is_refused_naming_the_tasks_on_it() {
    let providing = |name: &str, takes: &str, gives: &str| {
        let Node::Task(mut task) = copying(name, &[("from", from(takes))]) else {
            unreachable!("it is a task")
        };
        task.provides.insert(gives.to_owned(), String::new());
        Node::Task(task)
    };
    let circle = flow_of(Pattern::Graph, [providing("a", "y", "x"), providing("b", "x", "y")]);
    let told = "flow.tasks[0]: a -> b -> a goes in a circle, and none of them can begin: take one need or input away";
    assert_eq!(validated(&circle, json!({}), &[]), [told]);
    let linear = flow_of(Pattern::Linear, [providing("a", "y", "x"), providing("b", "x", "y")]);
    assert!(validated(&linear, json!({}), &[])[0].ends_with("provides it later: move it before"));
}

#[test]
fn f07_a_need_of_nothing_or_of_what_cannot_come_before_is_refused() {
    let inner =
        nested("inner", Pattern::Unordered, [copying("a", &[]), copying("b", &[]).needs(&["a", "inner"])]);
    let checked =
        flow_of(Pattern::Linear, [copying("c", &[]).needs(&["ghost", "last"]), inner, copying("last", &[])]);
    assert_eq!(
        validated(&checked, json!({}), &[]),
        [
            "flow.tasks[0].needs[0]: no task and no nested flow is called \"ghost\"",
            "flow.tasks[0].needs[1]: \"last\" comes later in a linear flow; move it before, or make the flow a graph",
            "flow.tasks[1].flow.tasks[1].needs[0]: \"a\" is beside it in the unordered flow \"inner\", whose members \
             have no order; make that flow a graph",
            "flow.tasks[1].flow.tasks[1].needs[1]: \"inner\" is the same, holds it or is in it: nothing can come after \
             itself",
        ]
    );
}

#[test]
fn f08_duplicate_names_are_found_anywhere_in_the_nesting() {
    let inner =
        nested("x", Pattern::Graph, [copying("a", &[]), nested("b", Pattern::Graph, [copying("x", &[])])]);
    let problems = validated(&flow_of(Pattern::Linear, [copying("a", &[]), inner]), json!({}), &[]);
    assert_eq!(
        problems,
        [
            "flow.tasks[1].flow.tasks[0].name: \"a\" is the name of flow.tasks[0] already: rename one of them",
            "flow.tasks[1].flow.tasks[1].flow.tasks[0].name: \"x\" is the name of flow.tasks[1] already: rename one of \
             them",
        ]
    );
}

#[test]
fn f09_what_a_task_cannot_see_is_no_provider_and_several_are_none() {
    let provider = |name: &str| {
        let Node::Task(mut task) = copying(name, &[]) else { unreachable!("it is a task") };
        task.provides.insert("made".to_owned(), String::new());
        Node::Task(task)
    };
    let reader = || copying("reader", &[("from", from("made")), ("to", Input::Optional("made".to_owned()))]);
    let beside = validated(&flow_of(Pattern::Unordered, [provider("a"), reader()]), json!({}), &[]);
    assert_eq!(beside.len(), 1, "an optional input may have none: {beside:?}");
    assert!(beside[0].ends_with("task \"a\" provides it, but \"a\" is beside it in the unordered flow, whose members have no order; make that flow a graph"), "{beside:?}");
    let several = flow_of(Pattern::Graph, [provider("a"), provider("b"), reader()]);
    let told = validated(&several, json!({}), &[]);
    assert!(
        told.len() == 2 && told.iter().all(|told| told.contains("provided by a, b, and nothing says which")),
        "{told:?}"
    );
    // An argument outranks them all, and so does what is seen nearer.
    assert_eq!(validated(&several, json!({"made": "/m"}), &[]), Vec::<String>::new());
    let nested_flow = output_of_a_nested_flow(provider("a"));
    let told = validated(&nested_flow, json!({}), &[]);
    assert!(
        told.len() == 1 && told[0].ends_with("\"inner\" is a nested flow; name the task in it"),
        "{told:?}"
    );
}

fn output_of_a_nested_flow(provider: Node) -> Flow {
    let output = Input::Output { task: "inner".to_owned(), pointer: String::new() };
    let inner = nested("inner", Pattern::Linear, [provider]);
    flow_of(Pattern::Graph, [inner, copying("reader", &[("from", output)])])
}

#[test]
fn a_flow_that_is_too_deep_too_large_or_out_of_bounds_is_refused() {
    let mut deep = nested("n0", Pattern::Linear, [copying("a", &[])]);
    for level in 1..NESTING_MAX - 1 {
        deep = nested(&format!("n{level}"), Pattern::Linear, [deep]);
    }
    assert_eq!(validated(&flow_of(Pattern::Linear, [deep.clone()]), json!({}), &[]), Vec::<String>::new());
    let deeper = flow_of(Pattern::Linear, [nested("more", Pattern::Linear, [deep])]);
    let told = validated(&deeper, json!({}), &[]);
    assert!(
        told.len() == 1 && told[0].ends_with("is nested too deep: flows nest 8 deep at most"),
        "{told:?}"
    );
    let flows = (0..=NESTED_MAX).map(|n| nested(&format!("n{n}"), Pattern::Linear, []));
    assert_eq!(validated(&flow_of(Pattern::Graph, flows), json!({}), &[]).len(), 1);
    let many: Vec<_> = (0..=NEEDS_MAX).map(|n| format!("t{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let mut odd =
        flow_of(Pattern::Graph, [copying("a", &[]).needs(&many), copying("b", &[]).priority(1_001)]);
    odd.parallel_max = Some(0);
    let told = validated(&odd, json!({}), &[]);
    let paths: Vec<_> = told.iter().filter_map(|told| told.split(": ").next()).collect();
    assert_eq!(paths, ["flow.parallel_max", "flow.tasks[0].needs", "flow.tasks[1].priority"]);
}

#[test]
fn the_largest_flow_is_checked_whole() {
    let tasks = (0..TASKS_MAX).map(|n| match n.checked_sub(1) {
        Some(before) => copying(&format!("t{n}"), &[("from", from(&format!("t{before}")))]),
        None => copying("t0", &[]),
    });
    let mut large = flow_of(Pattern::Graph, tasks);
    assert_eq!(validated(&large, json!({}), &[]), Vec::<String>::new());
    large.nodes.push(copying("one-more", &[]));
    assert_eq!(validated(&large, json!({}), &[]), ["flow.tasks: are 10001 tasks: a flow has at most 10000"]);
}

#[test]
fn everything_wrong_with_waits_is_told_and_their_data_is_checked_like_any() {
    let long = "x".repeat(MESSAGE_BYTES_MAX + 1);
    let mut release = approval("release", &["ann", ""]);
    if let Node::Wait(wait) = &mut release {
        wait.until = Until::Approval(Approval {
            message: long,
            principals: vec!["ann".to_owned(), String::new()],
            timeout_ms: 0,
        });
        wait.provides.insert("who".to_owned(), "principal".to_owned());
    }
    let nodes = [
        sleep("never", 400 * 86_400),
        sleep_until("odd", literal(json!("tomorrow"))),
        sleep_until("when", from("nobody")),
        event_wait("image", "", Some("event.data.size > nobody")),
        event_wait("other", "built", Some("event.")),
        release,
    ];
    let told = validated(&flow_of(Pattern::Graph, nodes), json!({}), &[]);
    let expected = [
        "flow.tasks[0].sleep: 34560000000 is out of bounds",
        "flow.tasks[1].sleep.until: \"tomorrow\" is no time",
        "flow.tasks[2].sleep.until: wait \"when\" has no provider for its time",
        "flow.tasks[3].wait_event.type: is empty",
        "flow.tasks[3].wait_event.match: \"event.data.size > nobody\" reads \"nobody\"",
        "flow.tasks[4].wait_event.match: \"event.\"",
        "flow.tasks[5].provides.who: \"principal\" is not a JSON pointer",
        "flow.tasks[5].approval.timeout_ms: 0 is out of bounds",
        "flow.tasks[5].approval.message: has 4097 bytes",
        "flow.tasks[5].approval.principals[1]: is empty",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for expected in expected {
        assert!(told.iter().any(|told| told.starts_with(expected)), "{expected}: {told:#?}");
    }
}

#[test]
fn what_a_wait_gives_is_seen_by_tasks_after_it_and_what_it_reads_comes_before_it() {
    let mut first = task("first", &[("from", literal(json!("/a"))), ("to", literal(json!("/b")))], &[]);
    first.provides.insert("size".to_owned(), "/size".to_owned());
    let taking = task("taking", &[("from", from("image")), ("to", literal(json!("/b")))], &[]);
    let nodes =
        [Node::Task(taking), event_wait("image", "built", Some("event.data.size > size")), Node::Task(first)];
    let flow = flow_of(Pattern::Graph, nodes);
    assert_eq!(validated(&flow, json!({}), &[]), Vec::<String>::new());
    let plan = crate::plan::Plan::of(&flow);
    assert_eq!(plan.predecessors("image"), ["first"]);
    assert_eq!(plan.predecessors("taking"), ["image"]);
}

#[test]
fn only_what_an_observed_action_did_can_be_looked_at() {
    let inputs = [("from", literal(json!("/a"))), ("to", literal(json!("/b")))];
    let copy = |in_doubt, deadline_ms| Task {
        in_doubt,
        observe: ObservePolicy { deadline_ms, ..ObservePolicy::default() },
        ..task("copy", &inputs, &[])
    };
    let day = ObservePolicy::default().deadline_ms;
    let work = flow(vec![copy(InDoubt::Observe, day - 1)]);
    assert_eq!(
        validated(&work, json!({}), &[]),
        [
            "flow.tasks[0].in_doubt: is observe, and copy of files is not observed: say reapply, revert or hold",
            "flow.tasks[0].observe: is for what is accepted and finishes elsewhere, and copy of files is not \
             observed: leave it out",
        ]
    );
    assert_eq!(validated(&flow(vec![copy(InDoubt::Hold, day)]), json!({}), &[]), [""; 0]);

    let mut manifest = manifest(copy_schema());
    manifest.actions[0].observed = true;
    let schemas = Arc::new(Schemas::compile(&manifest).unwrap());
    let lookup = |_: &PluginPin| Some(schemas.clone());
    assert_eq!(validate_flow(&work, &Map::new(), &[], &lookup), Problems::default());
}
