//! Flows with a revert of their own: exact traces, evidence and input.

use std::collections::BTreeMap;

use serde_json::json;

use super::bench::{Bench, accepted, broken, reject, retry, seconds, unknown};
use super::scope::{bench, gives, run, short};
use super::shape::{Shape, flow_of, from, literal, map, nested, output, own_revert, repeat, t, times};
use crate::call::{Direction, End, Function, Prior, UndoRecord};
use crate::decide::advance::unwinding_order;
use crate::decide::control::Resolution;
use crate::flow::{Flow, Input, Node, Pattern, RetryPolicy};
use crate::instance::{InstanceName, TaskState};
use crate::job::{CancelMode, Cause, JobState};
use crate::own_revert::OwnRevert;
use crate::payload::Payload;
use crate::scope::SkipDepth;

use Direction::{Apply, Revert};
use Pattern::{Graph, Linear, Unordered};

/// A machine with its address and its disk, between two tasks.
fn machine(members: impl IntoIterator<Item = Node>) -> Flow {
    flow_of(Linear, [t("a"), nested("m", Linear, members).reverts(own_revert()), t("z")])
}

fn three() -> Flow {
    machine([t("b"), t("c"), t("d")])
}

fn taking(inputs: &[(&str, Input)]) -> OwnRevert {
    let inputs = inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone()));
    OwnRevert { inputs: inputs.collect::<BTreeMap<_, _>>(), ..own_revert() }
}

/// What the revert of a flow was told, each time.
fn told(bench: &Bench, own_revert: &str) -> Vec<(End, Vec<UndoRecord>)> {
    let calls = bench.made.iter().filter(|made| made.task == own_revert);
    calls.filter_map(|made| made.evidence.clone()).map(|evidence| (evidence.end, evidence.undo)).collect()
}

fn class_of(end: &End) -> &str {
    match end {
        End::Applied(_) => "applied",
        End::Partial { failure: Some(fault), .. } => &fault.class,
        End::Partial { is_interrupted: true, .. } => "interrupted",
        End::Partial { .. } => "partial",
        End::Failed { .. } | End::Accepted(_) | End::Interrupted => panic!("that is told of a task: {end:?}"),
    }
}

/// The names of what the tasks in a flow gave.
fn given(end: &End) -> Vec<String> {
    let (End::Applied(outputs) | End::Partial { outputs, .. }) = end else {
        panic!("no flow ends so: {end:?}")
    };
    let outputs = outputs.value().and_then(|outputs| outputs.as_object().cloned());
    outputs.expect("they are a JSON object").keys().cloned().collect()
}

fn state(bench: &Bench, task: &str) -> &'static str {
    bench.job.current(task).map_or("none", |instance| instance.state.word())
}

fn words(bench: &Bench) -> Vec<String> {
    bench.trace().split(' ').map(str::to_owned).collect()
}

#[test]
fn a_failure_after_a_flow_undoes_it_in_one_call_and_then_what_is_before_it() {
    for room in [0, 16] {
        let mut bench = bench(three()).script("z", Apply, &[broken()]);
        bench.room = room;
        assert_eq!(bench.run(), JobState::Reverted);
        assert_eq!(short(&bench), "a b c d z z! -z -m.revert -a");
        for task in ["b", "c", "d", "m", "m.revert"] {
            assert_eq!(state(&bench, task), "reverted", "{task}");
        }
        let calls =
            bench.made.iter().filter(|made| made.function == Revert.into()).map(|made| made.task.as_str());
        assert_eq!(calls.collect::<Vec<_>>(), ["z", "m.revert", "a"]);
        assert_eq!(class_of(&told(&bench, "m.revert")[0].0), "applied");
    }
}

#[test]
fn what_it_undid_is_said_to_be_undone_in_reverse_with_it() {
    let (_, _, bench) = run(bench(three()).script("z", Apply, &[broken()]));
    let words = words(&bench);
    let at = words.iter().position(|word| word == "m.revert:reverting").expect("it is called");
    assert_eq!(words[at + 1..at + 5], ["d:reverted", "c:reverted", "b:reverted", "m.revert:reverted"]);
    let b = bench.job.current("b").expect("it ran");
    assert_eq!((b.attempt, b.revert_attempt), (1, 0), "without a call");
}

#[test]
fn a_failure_inside_is_what_the_own_revert_is_told_of() {
    let flow = machine([t("b"), t("c"), t("d")]);
    let (trace, state, bench) = run(bench(flow).script("c", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("a b c c! -m.revert -a", JobState::Reverted));
    assert_eq!(class_of(&told(&bench, "m.revert")[0].0), "fixture.broken");
    let Some(Cause::Task { task, .. }) = &bench.job.status.cause else { panic!("a task failed") };
    assert_eq!(task.task, "c");
    // A task that did nothing failed all the same.
    let (trace, state, bench) = run(self::bench(three()).script("c", Apply, &[reject()]));
    assert_eq!((trace.as_str(), state), ("a b c c! -m.revert -a", JobState::Reverted));
    assert_eq!(class_of(&told(&bench, "m.revert")[0].0), "fixture.reject");
    assert_eq!(self::state(&bench, "c"), "reverted");
}

#[test]
fn it_is_not_called_where_nothing_was_begun_or_nothing_was_done() {
    let (trace, state, bench) = run(bench(three()).script("a", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("a a! -a", JobState::Reverted));
    assert_eq!(self::state(&bench, "m.revert"), "none");
    let (trace, state, bench) = run(self::bench(three()).script("b", Apply, &[reject()]));
    assert_eq!((trace.as_str(), state), ("a b b! -a", JobState::Reverted));
    assert_eq!(self::state(&bench, "b"), "reverted", "as every task that did nothing");
    assert_eq!(self::state(&bench, "m"), "reverted");
    // Left out as a whole, or all that is in it.
    let left_out = nested("m", Linear, [t("b")]).reverts(own_revert()).when("false", SkipDepth::Task);
    let flow = flow_of(Linear, [t("a"), left_out, t("z")]);
    let (trace, state, _) = run(self::bench(flow).script("z", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("a ~b z z! -z -a", JobState::Reverted));
}

#[test]
fn the_outermost_flow_can_be_undone_as_a_whole() {
    let mut flow = flow_of(Unordered, [t("a"), t("b"), t("c")]);
    flow.revert = Some(own_revert());
    let mut bench = bench(flow).script("b", Apply, &[broken()]);
    bench.claim();
    for task in ["a", "b", "c"] {
        bench.finish_task(task);
    }
    assert_eq!(bench.calling(), "flow.revert");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(short(&bench), "a b c b! -flow.revert");
    assert_eq!(state(&bench, "flow"), "reverted");
}

#[test]
fn evidence_tells_what_the_tasks_gave_and_every_undo_record_oldest_first() {
    let flow = machine([t("b"), nested("e", Linear, [t("c")]).scope(map(literal(json!([1, 2])), None))]);
    let mut bench = bench(flow).script("b", Apply, &[gives(json!({"id": 7}))]);
    bench.room = 0;
    bench.run_until("b:applying");
    let call = bench.call();
    bench.decide(|d| d.record_undo(&call, Payload::json(&json!("first")))).expect("it is under way");
    bench.finish();
    for element in ["second", "third"] {
        let call = bench.call();
        bench.decide(|d| d.record_undo(&call, Payload::json(&json!(element)))).expect("it is under way");
        bench.pass(seconds(1));
        let outcome = gives(json!(element));
        bench.finish_with(&call, outcome).expect("it is under way");
    }
    bench.decide(|d| d.cancel(CancelMode::Revert, "enough".into())).expect("it runs");
    assert_eq!(bench.run(), JobState::Reverted);
    let (end, undo) = told(&bench, "m.revert").remove(0);
    let End::Applied(outputs) = end else { panic!("all is applied") };
    assert_eq!(outputs.value(), Some(json!({"b": {"id": 7}, "c": ["second", "third"]})));
    let undo = undo.iter().map(|record| (record.task.to_string(), record.attempt, record.undo.value()));
    let written = |task: &str, undo: &str| (task.to_owned(), 1, Some(json!(undo)));
    let expected = [written("b", "first"), written("c#0", "second"), written("c#1", "third")];
    assert_eq!(undo.collect::<Vec<_>>(), expected);
    let bytes = |value: serde_json::Value| value.to_string().len();
    let told = bench.job.evidence(&InstanceName { task: "b".into(), iteration: vec![] }).expect("it ran");
    assert_eq!(told.bytes(), bytes(json!({"id": 7})) + bytes(json!("first")));
}

#[test]
fn what_is_in_doubt_makes_the_evidence_interrupted() {
    let mut bench = bench(three());
    bench.run_until("c:applying");
    bench.decide(|d| d.cancel(CancelMode::Revert, "enough".into())).expect("it runs");
    bench.crash();
    assert_eq!(bench.calling(), "m.revert");
    assert_eq!(bench.run(), JobState::Reverted);
    let (end, _) = told(&bench, "m.revert").remove(0);
    assert!(matches!(end, End::Partial { failure: None, is_interrupted: true, .. }), "{end:?}");
    assert_eq!(given(&end), ["b"], "it is told what the others gave");
    assert_eq!(short(&bench), "a b c -m.revert -a");
}

#[test]
fn a_flow_that_was_left_halfway_is_partial_and_tells_what_was_done() {
    let mut bench = bench(three());
    bench.room = 0;
    bench.run_until("c:applying");
    bench.decide(|d| d.cancel(CancelMode::Revert, "enough".into())).expect("it runs");
    assert_eq!(bench.run(), JobState::Reverted);
    let (end, _) = told(&bench, "m.revert").remove(0);
    assert!(matches!(end, End::Partial { failure: None, is_interrupted: false, .. }), "{end:?}");
    assert_eq!(given(&end), ["b", "c"]);
}

#[test]
fn what_is_left_out_keeps_no_flow_from_being_applied() {
    let flow = machine([t("b"), nested("k", Linear, [t("c")]).when("false", SkipDepth::Task), t("d")]);
    let (trace, _, bench) = run(bench(flow).script("z", Apply, &[broken()]));
    assert_eq!(trace, "a b ~c d z z! -z -m.revert -a");
    let (end, _) = told(&bench, "m.revert").remove(0);
    assert_eq!((class_of(&end), given(&end)), ("applied", vec!["b".to_owned(), "d".to_owned()]));
}

#[test]
fn what_failed_and_was_accepted_later_is_no_failure() {
    let asked = bench(three()).script("c", Apply, &[retry(), accepted()]);
    let mut bench = asked.script("c", Function::Observe, &[unknown()]);
    bench.run_until("c:backoff");
    assert_eq!(bench.job.failures().len(), 1, "until it is tried again");
    bench.now = bench.job.status.alarm().expect("it waits");
    bench.decide(|d| d.wake());
    bench.run_until("c:under_way");
    assert_eq!(bench.job.failures(), [], "nothing fails any more");
    bench.decide(|d| d.cancel(CancelMode::Revert, "enough".into())).expect("it waits");
    assert_eq!(bench.run(), JobState::Reverted);
    let (end, _) = told(&bench, "m.revert").remove(0);
    assert!(matches!(end, End::Partial { failure: None, is_interrupted: false, .. }), "{end:?}");
    assert_eq!(given(&end), ["b"], "what is not ready yet gave nothing");
}

#[test]
fn what_an_operator_had_done_again_is_no_failure() {
    let spec = crate::job::JobSpec { never_revert: true, ..super::bench::spec() };
    let scripted = Bench::of_flow(three(), spec, Default::default()).script("c", Apply, &[broken()]);
    let mut bench = scripted.script("d", Apply, &[broken()]);
    assert_eq!(bench.run(), JobState::Failed);
    bench.decide(|d| d.retry("once more".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Failed);
    let failed: Vec<_> = bench.job.failures().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(failed, ["d"]);
    bench.decide(|d| d.revert("undo it".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Reverted);
    let (end, _) = told(&bench, "m.revert").remove(0);
    assert_eq!((class_of(&end), given(&end)), ("fixture.broken", vec!["b".to_owned(), "c".to_owned()]));
}

#[test]
fn an_own_revert_that_was_cut_short_is_called_again_under_its_key() {
    let mut bench = bench(three()).script("z", Apply, &[broken()]);
    bench.run_until("m.revert:reverting");
    bench.make();
    bench.crash();
    assert_eq!(bench.run(), JobState::Reverted);
    let calls: Vec<_> = bench.made.iter().filter(|made| made.task == "m.revert").collect();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].key, calls[1].key);
    assert_eq!((calls[1].attempt, calls[1].prior), (2, Prior::Interrupted));
    assert_eq!(calls[0].evidence, calls[1].evidence);
    assert_ne!(calls[0].key, bench.made[0].key);
}

#[test]
fn its_pauses_and_attempts_are_its_own() {
    let retries = RetryPolicy { attempts_max: 2, pause_ms: 5_000, pause_ms_max: 5_000, factor_percent: 100 };
    let m = nested("m", Linear, [t("b")]).reverts(OwnRevert { retry: retries, ..own_revert() });
    let bench = bench(flow_of(Linear, [t("a"), m])).script("m.revert", Revert, &[retry(), retry()]);
    let mut bench = bench.script("b", Apply, &[broken()]);
    bench.run_until("m.revert:revert_backoff");
    assert_eq!(bench.job.status.state, JobState::Waiting);
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(bench.residue(), ["a", "b"]);
    assert_eq!(bench.job.current("m.revert").map(|i| i.revert_attempt), Some(2));
}

#[test]
fn one_that_fails_stops_its_path_and_names_the_tasks_inside() {
    let flow = || flow_of(Linear, [t("a"), nested("m", Linear, [t("b"), t("c")]).reverts(own_revert())]);
    let failed = || {
        let bench = bench(flow()).script("c", Apply, &[broken()]).script("m.revert", Revert, &[broken()]);
        let (trace, state, bench) = run(bench);
        assert_eq!((trace.as_str(), state), ("a b c c! -m.revert -m.revert!", JobState::Failed));
        assert_eq!(bench.residue(), ["a", "b", "c"]);
        assert_eq!(self::state(&bench, "b"), "applied");
        bench
    };
    let mut again = failed();
    again.decide(|d| d.resolve("m.revert", &[], Resolution::Retry, "it is back".into())).expect("it failed");
    assert_eq!(again.run(), JobState::Reverted);
    let calls: Vec<_> = again.made.iter().filter(|made| made.task == "m.revert").collect();
    assert_eq!((calls[0].key == calls[1].key, calls[1].attempt), (true, 2));
    // A retry of the job undoes it first, too.
    let mut retried = failed();
    retried.decide(|d| d.retry("again".into())).expect("it failed");
    assert_eq!(retried.run(), JobState::Reverted);
    for (resolution, word) in [(Resolution::Accept, "accepted"), (Resolution::Skip, "skipped_revert")] {
        let mut let_be = failed();
        let decided = let_be.decide(|d| d.resolve("m.revert", &[], resolution, "a person did it".into()));
        decided.expect("it failed");
        assert_eq!(let_be.run(), JobState::Failed, "what was let be remains");
        assert_eq!(let_be.residue(), ["b", "c"]);
        for task in ["b", "c", "m.revert"] {
            assert_eq!(state(&let_be, task), word, "{task}");
        }
        assert_eq!(state(&let_be, "a"), "reverted");
        assert!(short(&let_be).ends_with("-m.revert! -a"), "{}", short(&let_be));
    }
}

#[test]
fn what_an_operator_does_anew_is_undone_by_a_call_of_its_own() {
    let flow = flow_of(Linear, [t("a"), nested("m", Linear, [t("b"), t("c")]).reverts(own_revert())]);
    let bench = bench(flow).script("c", Apply, &[broken(), broken()]).script("a", Revert, &[broken()]);
    let (_, state, mut bench) = run(bench);
    assert_eq!((state, bench.residue()), (JobState::Failed, vec!["a".to_owned()]));
    bench.decide(|d| d.resolve("a", &[], Resolution::Accept, "it may stay".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Failed);
    bench.decide(|d| d.retry("once more".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(bench.residue(), ["a"], "the first a was let be");
    let made: Vec<_> = bench.made.iter().map(|made| made.task.as_str()).collect();
    assert_eq!(made, ["a", "b", "c", "m.revert", "a", "a#1", "b#1", "c#1", "m.revert#1", "a#1"]);
    let keys: Vec<_> = bench.made.iter().filter(|m| m.task.starts_with("m.")).map(|m| &m.key).collect();
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn effects_that_were_let_be_with_their_flow_are_not_undone_by_the_next_call() {
    let flow = flow_of(Linear, [nested("m", Linear, [t("b"), t("c")]).reverts(own_revert()), t("z")]);
    let bench = bench(flow).script("z", Apply, &[broken(), broken()]);
    let (_, state, mut bench) = run(bench.script("m.revert", Revert, &[broken()]));
    assert_eq!((state, bench.residue()), (JobState::Failed, vec!["b".to_owned(), "c".to_owned()]));
    bench.decide(|d| d.resolve("m.revert", &[], Resolution::Accept, "fine".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Failed);
    bench.decide(|d| d.retry("once more".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(bench.residue(), ["b", "c"], "of the second time nothing remains");
    let made: Vec<_> = bench.made.iter().map(|made| made.task.as_str()).collect();
    assert_eq!(made, ["b", "c", "z", "z", "m.revert", "b#1", "c#1", "z#1", "z#1", "m.revert#1"]);
}

#[test]
fn of_own_reverts_in_each_other_the_outermost_that_is_reached_stands_for_all() {
    let inner = nested("inner", Linear, [t("c"), t("d")]).reverts(own_revert());
    let outer = nested("outer", Linear, [t("b"), inner]).reverts(own_revert());
    let flow = flow_of(Linear, [t("a"), outer, t("z")]);
    let (trace, state, bench) = run(bench(flow).script("z", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("a b c d z z! -z -outer.revert -a", JobState::Reverted));
    assert_eq!(self::state(&bench, "inner.revert"), "none");
    assert_eq!((self::state(&bench, "d"), self::state(&bench, "inner")), ("reverted", "reverted"));
}

#[test]
fn a_scope_inside_undoes_its_own_tries_task_by_task() {
    let tried = nested("s", Linear, [t("c"), t("f")]).scope(times(2));
    let flow = machine([t("b"), tried]);
    let scripted = bench(flow).script("f", Apply, &[broken()]).script("z", Apply, &[broken()]);
    let (trace, state, bench) = run(scripted);
    assert_eq!(trace, "a b c#1 f#1 f#1! -f#1 -c#1 c#2 f#2 z z! -z -m.revert -a");
    assert_eq!(state, JobState::Reverted);
    let (end, _) = told(&bench, "m.revert").remove(0);
    assert_eq!(class_of(&end), "applied", "the last try went well");
    assert_eq!(given(&end), ["b", "c", "f"]);
}

#[test]
fn in_a_scope_each_try_is_undone_as_a_whole() {
    let inner = nested("m", Linear, [t("b"), t("f")]).reverts(own_revert());
    let flow = flow_of(Linear, [nested("s", Linear, [t("a"), inner]).scope(times(2))]);
    let (trace, state, bench) = run(bench(flow).script("f", Apply, &[broken(), broken()]));
    assert_eq!(trace, "a#1 b#1 f#1 f#1! -m.revert#1 -a#1 a#2 b#2 f#2 f#2! -m.revert#2 -a#2");
    assert_eq!(state, JobState::Reverted);
    let second = InstanceName { task: "m.revert".into(), iteration: vec![2] };
    assert_eq!(bench.job.scope_attempt(&second), 2);
}

#[test]
fn in_a_map_and_in_rounds_each_element_and_round_is_undone_as_a_whole() {
    let inner = || nested("m", Linear, [t("b"), t("c")]).reverts(own_revert());
    let scope = map(literal(json!(["x", "y"])), None);
    let flow = flow_of(Linear, [nested("each", Linear, [inner()]).scope(scope), t("z")]);
    let (trace, _, _) = run(bench(flow).script("z", Apply, &[broken()]));
    assert_eq!(trace, "b#0 b#1 c#0 c#1 z z! -z -m.revert#1 -m.revert#0");
    let rounds = nested("r", Linear, [inner()]).scope(repeat("round == 2", 3));
    let (trace, _, _) = run(bench(flow_of(Linear, [rounds, t("z")])).script("z", Apply, &[broken()]));
    assert_eq!(trace, "b#1 c#1 b#2 c#2 z z! -z -m.revert#2 -m.revert#1");
}

#[test]
fn one_that_fails_in_a_scope_fails_the_job_and_the_one_around_it_is_called() {
    let inner = nested("inner", Linear, [t("f")]).reverts(own_revert());
    let tried = nested("s", Linear, [inner]).scope(times(3));
    let flow = machine([t("b"), tried]);
    let scripted = bench(flow).script("f", Apply, &[broken()]).script("inner.revert", Revert, &[broken()]);
    let (trace, state, bench) = run(scripted);
    assert_eq!(trace, "a b f#1 f#1! -inner.revert#1 -inner.revert#1! -m.revert -a");
    assert_eq!(state, JobState::Reverted);
    assert_eq!(self::state(&bench, "inner.revert"), "reverted", "nothing of it is left to decide");
    assert_eq!(self::state(&bench, "f"), "reverted");
}

#[test]
fn its_input_comes_from_outside_and_inside_and_leaves_out_what_nobody_inside_gave() {
    let inputs = [
        ("from", from("of_a")),
        ("id", output("b")),
        ("late", from("of_c")),
        ("kind", literal(json!("disk"))),
        ("none", Input::Optional("nobody".into())),
    ];
    let m = nested("m", Linear, [t("b"), t("c").provides("of_c")]).reverts(taking(&inputs));
    let flow = || flow_of(Graph, [m.clone(), t("a").provides("of_a")]);
    let input_of = |bench: &Bench| {
        let name = InstanceName { task: "m.revert".into(), iteration: vec![] };
        bench.job.input(&name, Revert).expect("it has its input")
    };
    let (b, c) = (gives(json!(1)), gives(json!(2)));
    let mut whole =
        bench(flow()).script("a", Apply, &[gives(json!(0))]).script("b", Apply, std::slice::from_ref(&b));
    whole = whole.script("c", Apply, &[c]);
    assert_eq!(whole.run(), JobState::Succeeded);
    assert_eq!(short(&whole), "a b c", "it begins when what its revert takes is there");
    whole.decide(|d| d.revert("undo it".into())).expect("it succeeded");
    whole.run_until("m.revert:reverting");
    assert_eq!(input_of(&whole), json!({"from": 0, "id": 1, "late": 2, "kind": "disk"}));
    whole.run();
    assert!(short(&whole).ends_with("-m.revert -a"), "what it takes is undone later");
    let mut part = bench(flow()).script("a", Apply, &[gives(json!(0))]).script("b", Apply, &[b]);
    part = part.script("c", Apply, &[broken()]);
    part.run_until("m.revert:reverting");
    assert_eq!(input_of(&part), json!({"from": 0, "id": 1, "kind": "disk"}));
}

#[test]
fn never_revert_and_leaving_leave_everything_in_place() {
    let spec = crate::job::JobSpec { never_revert: true, ..super::bench::spec() };
    let mut never = Bench::of_flow(three(), spec, Default::default()).script("z", Apply, &[broken()]);
    assert_eq!(never.run(), JobState::Failed);
    assert_eq!(never.residue(), ["a", "b", "c", "d", "z"]);
    let mut left = bench(three());
    left.run_until("c:applying");
    left.decide(|d| d.cancel(CancelMode::Leave, "enough".into())).expect("it runs");
    assert_eq!(left.run(), JobState::Failed);
    assert_eq!(left.residue(), ["a", "b", "c"]);
    assert_eq!(state(&left, "m.revert"), "none");
}

#[test]
fn a_deadline_has_it_called_and_does_not_cut_it_short() {
    let spec = crate::job::JobSpec { timeout_ms: Some(1_000), ..super::bench::spec() };
    let mut bench = Bench::of_flow(three(), spec, Default::default());
    bench.run_until("c:applying");
    bench.pass(seconds(5));
    bench.finish();
    assert_eq!(bench.calling(), "m.revert");
    bench.pass(seconds(500));
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.job.status.cause, Some(Cause::Timeout));
    assert_eq!(short(&bench), "a b c -m.revert -a");
}

#[test]
fn a_suspension_holds_before_it_and_after_it() {
    let mut bench = bench(three()).script("z", Apply, &[broken()]);
    bench.room = 0;
    bench.run_until("z:reverting");
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.finish();
    assert_eq!((bench.job.status.state, bench.calling().as_str()), (JobState::Suspended, ""));
    bench.decide(|d| d.resume()).expect("it is suspended");
    bench.claim();
    assert_eq!(bench.calling(), "m.revert");
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Suspended);
    assert_eq!(state(&bench, "b"), "reverted");
    bench.decide(|d| d.resume()).expect("it is suspended");
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn it_is_a_call_and_has_room_like_one() {
    let whole = |name: &str, task: &str| nested(name, Linear, [t(task)]).reverts(own_revert());
    let mut flow = flow_of(Unordered, [whole("m", "b"), whole("n", "c"), t("d")]);
    flow.parallel_max = Some(2);
    let mut bench = bench(flow);
    bench.run();
    bench.decide(|d| d.revert("undo it".into())).expect("it succeeded");
    bench.claim();
    assert_eq!(bench.job.in_flight_count(), 2);
    assert_eq!(bench.calling(), "m.revert n.revert");
    bench.finish_task("m.revert");
    assert_eq!(bench.calling(), "d n.revert");
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn what_would_be_undone_is_told_as_one_step_for_the_flow() {
    let conditional = nested("k", Linear, [t("y")]).when("true", SkipDepth::All);
    let mut flow = three();
    flow.nodes.push(conditional);
    let mut bench = bench(flow);
    bench.run();
    let steps = unwinding_order(&bench.job).into_iter().map(|step| {
        let undoes: Vec<_> = step.undoes.iter().map(|instance| instance.name.to_string()).collect();
        format!("{}: {}", step.name, undoes.join(" "))
    });
    assert_eq!(steps.collect::<Vec<_>>(), ["y: y", "z: z", "m.revert: d c b", "a: a"]);
}

#[test]
fn an_own_revert_applies_never_and_is_refused_where_it_is_not_its_turn() {
    use crate::entry::Fact;
    let mut bench = bench(three());
    bench.run_until("z:applying");
    let name = || InstanceName { task: "m.revert".into(), iteration: vec![] };
    let member = || InstanceName { task: "b".into(), iteration: vec![] };
    let facts = [
        Fact::TaskApplying { task: name(), attempt: 1, prior: Prior::None },
        Fact::TaskSkipped { task: name(), by: "m".into() },
        Fact::TaskApplyFailed {
            task: name(),
            attempt: 0,
            fault: crate::fault::Fault::new("x", "y"),
            how: crate::instance::Failed::Reject,
        },
        Fact::TaskReverting { task: name(), attempt: 1, prior: Prior::None },
        Fact::TaskReverted { task: member(), attempt: 0, output: None },
    ];
    for fact in facts {
        let mut job = bench.job.clone();
        let last = bench.entries.last().expect("it ran");
        let entry = crate::entry::Entry { sequence: job.status.sequence + 1, fact, ..last.clone() };
        job.record(&entry).expect_err("it is not possible");
    }
    let instance = bench.job.current("b").map(|instance| instance.state);
    assert_eq!(instance, Some(TaskState::Applied));
}

#[test]
fn what_was_accepted_after_a_call_that_failed_has_not_failed() {
    let mut bench = bench(machine([t("b")])).script("b", Apply, &[retry(), accepted()]);
    bench.claim();
    while bench.trace().split(" ").all(|seen| seen != "b:under_way") {
        match bench.job.status.state {
            JobState::Waiting => {
                bench.now = bench.job.status.alarm().expect("it waits");
                bench.decide(|d| d.wake());
                bench.claim();
            }
            _ => bench.finish(),
        }
    }
    bench.decide(|d| d.cancel(CancelMode::Revert, "enough".into())).expect("it waits");
    assert_eq!(bench.run(), JobState::Reverted);
    let end = &told(&bench, "m.revert")[0].0;
    assert!(matches!(end, End::Partial { failure: None, is_interrupted: false, .. }), "{end:?}");
}
