//! Flow documents: read as they are written, and refused with their place.

use windlass_proto::v1;

use super::FlowDocument;
use super::file::parse;

const DOCUMENT: &str = r#"{"tasks":[{"name":"snapshot","plugin":"backup","action":"snapshot","inputs":{"exact":{"literal":1.25},"keep":{"literal":{"n":3}},"source":{"argument":"source"}},"provides":{"archive":"/path"},"timeout":"5m","retry":{"attempts_max":3,"backoff_initial":"1s","backoff_multiplier":2.0}},{"name":"verify","plugin":"backup@0.1.0","action":"verify","inputs":{"archive":{"name":"archive"},"note":{"optional_name":"note"},"size":{"output":{"task":"snapshot","pointer":"/size"}}},"revert_inputs":{"why":{"literal":"undone"}}}],"defaults":{"source":"docs"}}"#;
const TREE: &str = r#"{"pattern":"graph","retry":{"times":2,"backoff_initial":"1s","backoff_max":"5m","backoff_multiplier":1.5,"except":["host.timeout"],"revert_all":true},"tasks":[{"name":"both","flow":{"pattern":"unordered","map":{"over":{"argument":"hosts"},"name":"host","parallel_max":4},"tasks":[{"name":"a","plugin":"p","action":"x","when":"x > 1","priority":-2},{"name":"b","plugin":"p","action":"x","when":{"condition":"y","skips":"task"}}]},"needs":["c"]},{"name":"c","plugin":"p","action":"x"},{"name":"d","flow":{"repeat":{"until":"round > 2","rounds_max":10,"backoff_initial":"5s"},"tasks":[]}},{"name":"e","flow":{"retry":{"for_each":{"over":{"name":"regions"},"name":"region"}},"tasks":[]}},{"name":"f","flow":{"retry":{"always_revert":true},"tasks":[]}},{"name":"g","flow":{"retry":{"always_revert_all":true},"tasks":[]}}],"parallel_max":3}"#;

const WHOLE: &str = r#"{"pattern":"graph","revert":{"plugin":"p","action":"x"},"tasks":[{"name":"m","flow":{"revert":{"plugin":"p@1.0.0","action":"y","inputs":{"a":{"output":{"task":"b","pointer":"/id"}},"c":{"name":"d"}},"timeout":"5m","retry":{"attempts_max":3,"backoff_initial":"1s","backoff_multiplier":2.0},"memory_bytes_max":1048576},"tasks":[{"name":"b","plugin":"p","action":"x"}]},"phase":"configure"},{"name":"r","plugin":"p","action":"x","phase":"reserve"},{"name":"q","plugin":"p","action":"x","phase":"acquire"}]}"#;

const FAMILY: &str = r#"{"tasks":[{"name":"image","when":"tag != ''","provides":{"digest":"/image/digest"},"job":{"flow":"build-image@3","inputs":{"tag":{"name":"tag"}},"priority":5,"timeout":"2h"}},{"name":"latest","job":{"flow":"build-image"}},{"name":"hosts","flow":{"pattern":"unordered","map":{"over":{"name":"hosts"},"name":"host"},"tasks":[{"name":"host","job":{"flow":{"pattern":"graph","tasks":[{"name":"a","plugin":"p","action":"x"},{"name":"b","job":{"flow":{"tasks":[]}}}],"defaults":{"a":1},"parallel_max":2},"priority":-1}}]}}]}"#;

fn read(file: &str, text: &str) -> v1::Flow {
    parse(file, text).unwrap_or_else(|problem| panic!("{problem}")).wire()
}

#[test]
fn a_flow_is_written_as_it_was_read() {
    let flow = read("a.json", DOCUMENT);
    assert_eq!(flow.tasks[0].timeout.unwrap().seconds, 300);
    let exact = Some(v1::input::Source::LiteralJson("1.25".to_owned()));
    assert_eq!(flow.tasks[0].inputs["exact"].source, exact);
    assert_eq!(serde_json::to_string(&FlowDocument::from(&flow)).unwrap(), DOCUMENT);
}

#[test]
fn a_nested_flow_with_scopes_and_conditions_is_written_as_it_was_read() {
    let flow = read("a.json", TREE);
    assert_eq!(flow.tasks[0].flow.as_ref().unwrap().tasks[0].priority, -2);
    assert_eq!(serde_json::to_string(&FlowDocument::from(&flow)).unwrap(), TREE);
}

#[test]
fn own_reverts_and_phases_are_written_as_they_were_read() {
    let flow = read("a.json", WHOLE);
    assert_eq!(flow.tasks[1].phase(), v1::Phase::Reserve);
    assert_eq!(flow.tasks[0].flow.as_ref().unwrap().revert.as_ref().unwrap().action, "y");
    assert_eq!(serde_json::to_string(&FlowDocument::from(&flow)).unwrap(), WHOLE);
}

#[test]
fn child_jobs_are_written_as_they_were_read_and_a_stored_flow_by_its_name_and_number() {
    use v1::child_job::Work;
    let mut flow = read("a.json", FAMILY);
    assert_eq!(serde_json::to_string(&FlowDocument::from(&flow)).unwrap(), FAMILY);
    let Some(v1::task::Wait::Job(job)) = flow.tasks[1].wait.as_mut() else { panic!() };
    assert_eq!(
        job.work,
        Some(Work::Reference(v1::FlowReference { name: "build-image".to_owned(), revision: 0 }))
    );
    // A host answers with the flow, and which revision it was.
    job.flow_revision = Some(v1::FlowReference { name: "build-image".to_owned(), revision: 4 });
    job.work = Some(Work::Flow(v1::Flow::default()));
    let shown = serde_json::to_string(&FlowDocument::from(&flow)).unwrap();
    assert!(shown.contains(r#"{"name":"latest","job":{"flow":"build-image@4"}}"#), "{shown}");
}

#[test]
fn json_and_yaml_mean_the_same() {
    for document in [DOCUMENT, TREE, WHOLE, FAMILY] {
        // JSON is YAML in another style; and the style that people write is the same again.
        assert_eq!(read("a.yaml", document), read("a.json", document));
    }
    let yaml = "
# A comment.
pattern: graph
tasks:
- name: a
  plugin: p
  action: x
  inputs:
    list: {literal: [1, 0.5, true, null, text]}
    argument: &again {argument: source}
    aliased: *again
    off: {literal: off}
    on: {literal: on}
    thousand: {literal: 1_000}
    agent: {literal: 007}
    merged: {literal: {<<: {a: 1}, b: 2}}
    lines:
      literal: |
        one
        two
  timeout: 1m30s
  when: size > 100
defaults:
  yes: no
";
    let json = r#"{"pattern": "graph", "tasks": [{"name": "a", "plugin": "p", "action": "x", "inputs": {
        "list": {"literal": [1, 0.5, true, null, "text"]}, "argument": {"argument": "source"},
        "aliased": {"argument": "source"}, "off": {"literal": "off"}, "on": {"literal": "on"},
        "thousand": {"literal": "1_000"}, "agent": {"literal": "007"}, "merged": {"literal": {"a": 1, "b": 2}},
        "lines": {"literal": "one\ntwo\n"}}, "timeout": "90s", "when": "size > 100"}], "defaults": {"yes": "no"}}"#;
    assert_eq!(read("a.yml", yaml), read("a.json", json));
}

#[test]
fn the_name_of_a_file_says_what_it_holds_and_otherwise_its_first_character() {
    assert_eq!(read("-", " \n{\"tasks\": []}"), read("-", "tasks: []"));
    assert_eq!(read("flow", "{\"tasks\": []}"), read("FLOW.YML", "{tasks: []}"));
    assert!(parse("a.json", "tasks: []").is_err());
}

/// What the problem says, and where.
#[track_caller]
fn refused(file: &str, text: &str, place: &str, words: &[&str]) {
    let problem = parse(file, text).map(|_| ()).expect_err("it is no flow");
    assert_eq!(problem.exit, crate::exit::Exit::Usage);
    let told = problem.to_string();
    assert!(told.contains(file) && told.contains(place), "{told}");
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert_eq!(told.matches(", column ").count(), 1, "{told}");
}

#[test]
fn what_is_no_flow_is_refused_with_its_place() {
    refused(
        "a.json",
        "{\"tasks\":\n[{\"name\":\"a\"}]}",
        "line 2, column",
        &["plugin", "a flow, a wait or a job in their place"],
    );
    refused("a.json", "{\"tasks\":[{\"name\":\"a\",\"plugin\":\"p\"}]}", "line 1,", &["action"]);
    refused(
        "a.json",
        "{\"tasks\":[{\"name\":\"n\",\"flow\":{\"tasks\":[{\"name\":\"a\"}]}}]}",
        "line 1,",
        &["plugin"],
    );
    refused("a.json", "{\"task\":[]}", "line 1, column 7", &["task", "expected one of"]);
    refused("a.json", "{\"defaults\":{\"a\":1,\"a\":2},\"tasks\":[]}", "line 1,", &["twice"]);
    refused("a.json", "{\"tasks\":[]", "line 1,", &["EOF"]);
    refused("a.yaml", "tasks: []\npattern: circle\n", "line 2, column 10", &["circle", "unordered"]);
    refused("a.yaml", "tasks: []\n\ntask: 1\n", "line 3, column 1", &["task"]);
    refused(
        "a.yaml",
        "tasks:\n- name: a\n  plugin: p\n  action: x\n  timeout: soon\n",
        "line 5, column",
        &["soon"],
    );
    refused(
        "a.yaml",
        "tasks:\n- name: a\n  plugin: p\n  action: x\n  inputs: {i: {guess: 1}}\n",
        "line 5,",
        &["guess"],
    );
    refused("a.yaml", "tasks:\n- name: a\n  name: b\n", "line 3, column 3", &["name"]);
    refused("a.yaml", "tasks:\n- name: a\n  plugin: p\n", "line 2,", &["no `action`"]);
    refused("a.yaml", "tasks: []\nretry: {}\n", "line 2,", &["`times`"]);
    // The whole of a file has no place in it.
    let both = "tasks: []\nretry: {times: 1}\nmap: {over: {name: x}, name: y}\n";
    let told = parse("a.yaml", both).map(|_| ()).expect_err("it is no flow").to_string();
    assert!(told.contains("one of `retry`, `repeat` and `map`"), "{told}");
    let whole = "tasks: []\nretry: {times: 1}\nrevert: {plugin: p, action: x}\n";
    let told = parse("a.yaml", whole).map(|_| ()).expect_err("it is no flow").to_string();
    assert!(told.contains("no `revert` of its own"), "{told}");
    refused("a.yaml", "tasks: []\nrevert: {plugin: p}\n", "line 2,", &["action"]);
    refused("a.yaml", "tasks: []\nparallel_max: yes\n", "line 2,", &[]);
    refused("a.yaml", "tasks: []\nretry: {times: 1, revert_all: yes}\n", "line 2,", &[]);
    refused("a.yaml", "tasks: []\n---\ntasks: []\n", "line", &["document"]);
    refused("a.yaml", "tasks: [\n", "line", &[]);
    refused(
        "a.yaml",
        "tasks:\n- name: n\n  retry: {attempts_max: 2}\n  flow: {tasks: []}\n",
        "line 2,",
        &["`flow`"],
    );
    refused("a.yaml", "tasks:\n- {name: n, flow: {tasks: [], parallel_max: 2}}\n", "line 2,", &["outermost"]);
    refused("a.yaml", "tasks: []\ndefaults: {a: .nan}\n", "line 2,", &[]);
    refused("a.yaml", "tasks: []\ndefaults: {a: !secret x}\n", "line 2,", &["secret"]);
}

#[test]
fn what_is_no_child_job_is_refused_with_its_place() {
    refused("a.yaml", "tasks:\n- name: a\n  job: {inputs: {}}\n", "line 3,", &["flow"]);
    refused("a.yaml", "tasks:\n- name: a\n  job:\n    flow: two words\n", "line 4,", &["NAME@REVISION"]);
    refused("a.yaml", "tasks:\n- name: a\n  job:\n    flow: image@0\n", "line 4,", &["number"]);
    refused("a.yaml", "tasks:\n- name: a\n  job:\n    flow: {tasks: [{name: b}]}\n", "line 4,", &["plugin"]);
    refused("a.yaml", "tasks:\n- name: a\n  job: {flow: image, needs: [b]}\n", "line 3,", &["needs"]);
    refused(
        "a.yaml",
        "tasks:\n- {name: a, timeout: 1h, job: {flow: image}}\n",
        "line 2,",
        &["`job`", "`timeout`"],
    );
    refused(
        "a.yaml",
        "tasks:\n- {name: a, sleep: {for: 1h}, job: {flow: image}}\n",
        "line 2,",
        &["`sleep`", "something else"],
    );
}

#[test]
fn aliases_do_not_blow_a_document_up() {
    let mut text = "tasks: []\ndefaults:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("  a{n}: &a{n} [{aliases}]\n"));
    }
    assert!(parse("a.yaml", &text).is_err());
}

#[test]
fn a_flow_of_ten_thousand_tasks_can_be_read() {
    let task = "- name: t{}\n  plugin: p\n  action: x\n  inputs: {a: {name: b}, c: {literal: [1, 2, 3]}}\n  needs: [a]\n";
    let tasks: String = (0..10_000).map(|n| task.replace("{}", &n.to_string())).collect();
    assert_eq!(read("a.yaml", &format!("tasks:\n{tasks}")).tasks.len(), 10_000);
}
