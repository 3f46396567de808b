//! Scopes that run again, and conditions: exact traces.

use serde_json::json;

use super::bench::{Bench, applied, broken, seconds, spec};
use super::shape::{Shape, flow_of, for_each, from, literal, map, nested, output, repeat, t, times, tried};
use crate::call::{Direction, Outcome};
use crate::decide::create::Timing;
use crate::decide::outcome::CallName;
use crate::flow::{Flow, Input, Pattern, RetryPolicy};
use crate::instance::{InstanceName, TaskState};
use crate::job::{CancelMode, Cause, Job, JobState};
use crate::payload::Payload;
use crate::scope::{Scope, SkipDepth, Strategy};

use Direction::{Apply, Revert};
use Pattern::{Graph, Linear, Unordered};

pub fn bench(flow: Flow) -> Bench {
    Bench::of_flow(flow, spec(), Timing::default())
}

/// The trace of a run one call at a time, and how it ended.
pub fn run(mut bench: Bench) -> (String, JobState, Bench) {
    bench.room = 0;
    let state = bench.run();
    (short(&bench), state, bench)
}

/// `a` for applying, `a!` for failed, `-a` for reverting, `~a` for left out.
pub fn short(bench: &Bench) -> String {
    let trace = bench.trace();
    let words = trace.split(' ').filter_map(|seen| {
        let (task, state) = seen.rsplit_once(':')?;
        match state {
            "applying" => Some(task.to_owned()),
            "apply_failed" => Some(format!("{task}!")),
            "reverting" => Some(format!("-{task}")),
            "revert_failed" => Some(format!("-{task}!")),
            "skipped" => Some(format!("~{task}")),
            _ => None,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

pub fn gives(value: serde_json::Value) -> Outcome {
    Outcome::Applied { output: Payload::json(&value), undo: None }
}

fn input(job: &Job, task: &str, iteration: &[u32]) -> serde_json::Value {
    let name = InstanceName { task: task.to_owned(), iteration: iteration.to_vec() };
    job.input(&name, Apply).expect("it has its input")["x"].clone()
}

fn scope_states(bench: &Bench) -> Vec<String> {
    let of_scopes = bench.entries.iter().filter(|entry| entry.fact.is_of_scope());
    let told = of_scopes.map(|entry| {
        let name = entry.fact.task().expect("it names one");
        format!("{name}:{}", entry.fact.kind().trim_start_matches("scope."))
    });
    told.collect()
}

#[test]
fn r01_a_scope_is_undone_in_reverse_and_tried_again() {
    let flow = flow_of(Linear, [nested("s", Linear, [t("t1"), t("f")]).scope(times(4))]);
    let (trace, state, bench) = run(bench(flow).script("f", Apply, &[broken()]));
    assert_eq!(trace, "t1#1 f#1 f#1! -f#1 -t1#1 t1#2 f#2");
    assert_eq!(state, JobState::Succeeded);
    let told = scope_states(&bench);
    assert_eq!(told, ["s:applying", "s:reverting", "s:applying", "s:applied"]);
    let second = InstanceName { task: "t1".into(), iteration: vec![2] };
    assert_eq!(bench.job.scope_attempt(&second), 2);
    assert_ne!(bench.made[0].key, bench.made.last().expect("made").key);
}

#[test]
fn r01_the_outermost_flow_can_be_the_scope() {
    let mut flow = flow_of(Linear, [t("t1"), t("f")]);
    flow.scope = Some(times(4));
    let (trace, state, bench) = run(bench(flow).script("f", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("t1#1 f#1 f#1! -f#1 -t1#1 t1#2 f#2", JobState::Succeeded));
    assert_eq!(scope_states(&bench).first().map(String::as_str), Some("flow:applying"));
}

#[test]
fn r02_when_the_tries_are_used_up_the_job_is_undone() {
    let flow = flow_of(Linear, [nested("s", Linear, [t("f")]).scope(times(2))]);
    let (trace, state, bench) = run(bench(flow).script("f", Apply, &[broken(), broken()]));
    assert_eq!(trace, "f#1 f#1! -f#1 f#2 f#2! -f#2");
    assert_eq!(state, JobState::Reverted);
    let told = scope_states(&bench);
    assert_eq!(told, ["s:applying", "s:reverting", "s:applying", "s:apply_failed", "s:reverted"]);
    let Some(Cause::Task { task, .. }) = &bench.job.status.cause else { panic!("a task failed") };
    assert_eq!(task.to_string(), "f#2");
    // 0 and 1 are one try.
    for count in [0, 1] {
        let flow = flow_of(Linear, [nested("s", Linear, [t("f")]).scope(times(count))]);
        let (trace, state, _) = run(self::bench(flow).script("f", Apply, &[broken()]));
        assert_eq!((trace.as_str(), state), ("f#1 f#1! -f#1", JobState::Reverted));
    }
}

#[test]
fn r04_only_the_inner_scope_is_done_again() {
    let inner = nested("inner", Linear, [t("t2"), t("f")]).scope(times(3));
    let outer = nested("outer", Linear, [t("t1"), inner, t("t4")]).scope(tried(Strategy::AlwaysRevert));
    let (trace, state, _) = run(bench(flow_of(Linear, [outer])).script("f", Apply, &[broken()]));
    assert_eq!(trace, "t1#1 t2#1#1 f#1#1 f#1#1! -f#1#1 -t2#1#1 t2#1#2 f#1#2 t4#1");
    assert_eq!(state, JobState::Succeeded);
}

#[test]
fn r05_an_inner_scope_begins_anew_with_each_try_of_the_outer() {
    let inner = nested("inner", Linear, [t("t2"), t("t3")]).scope(times(3));
    let outer = nested("outer", Linear, [t("t1"), inner, t("f")]).scope(times(3));
    let bench =
        bench(flow_of(Linear, [outer])).script("f", Apply, &[broken()]).script("t3", Apply, &[broken()]);
    let (trace, state, bench) = run(bench);
    assert_eq!(
        trace,
        "t1#1 t2#1#1 t3#1#1 t3#1#1! -t3#1#1 -t2#1#1 t2#1#2 t3#1#2 f#1 f#1! -f#1 -t3#1#2 -t2#1#2 -t1#1 \
         t1#2 t2#2#1 t3#2#1 f#2"
    );
    assert_eq!(state, JobState::Succeeded);
    let again = InstanceName { task: "t2".into(), iteration: vec![2, 1] };
    assert_eq!(bench.job.scope_attempt(&again), 1, "its counter restarts");
}

#[test]
fn r07_r08_what_reverts_all_asks_no_scope_around_it() {
    let all = |strategy| match tried(strategy) {
        Scope::Retry(retry) => Scope::Retry(crate::scope::ScopeRetry { revert_all: true, ..retry }),
        scope => scope,
    };
    for inner in [all(Strategy::Times(0)), tried(Strategy::AlwaysRevertAll)] {
        let inner = nested("inner", Linear, [t("f")]).scope(inner);
        let outer = nested("outer", Linear, [t("t1"), inner]).scope(times(3));
        let (trace, state, _) = run(bench(flow_of(Linear, [t("t0"), outer])).script("f", Apply, &[broken()]));
        assert_eq!(trace, "t0 t1#1 f#1#1 f#1#1! -f#1#1 -t1#1 -t0");
        assert_eq!(state, JobState::Reverted);
    }
    // Without that, the outer scope tries again.
    let inner = nested("inner", Linear, [t("f")]).scope(tried(Strategy::AlwaysRevert));
    let outer = nested("outer", Linear, [t("t1"), inner]).scope(times(3));
    let (trace, state, _) = run(bench(flow_of(Linear, [outer])).script("f", Apply, &[broken()]));
    assert_eq!(trace, "t1#1 f#1#1 f#1#1! -f#1#1 -t1#1 t1#2 f#2#1");
    assert_eq!(state, JobState::Succeeded);
}

#[test]
fn r10_each_value_is_tried_in_turn() {
    let list = json!([3, 2, 5]);
    let flow = || {
        let scope = nested("s", Linear, [t("f").takes(from("x"))]).scope(for_each(literal(list.clone())));
        flow_of(Linear, [scope])
    };
    let (trace, state, always) = run(bench(flow()).script("f", Apply, &[broken(), broken(), broken()]));
    assert_eq!(trace, "f#1 f#1! -f#1 f#2 f#2! -f#2 f#3 f#3! -f#3");
    assert_eq!(state, JobState::Reverted);
    assert_eq!([1, 2, 3].map(|n| input(&always.job, "f", &[n])), [json!(3), json!(2), json!(5)]);
    let (_, state, once) = run(bench(flow()).script("f", Apply, &[broken()]));
    assert_eq!((state, input(&once.job, "f", &[2])), (JobState::Succeeded, json!(2)));
}

#[test]
fn r12_an_empty_list_fails_before_any_apply() {
    let flow = flow_of(Linear, [nested("s", Linear, [t("f")]).scope(for_each(literal(json!([]))))]);
    let (trace, state, bench) = run(bench(flow));
    assert_eq!((trace.as_str(), state), ("", JobState::Reverted));
    let Some(Cause::Task { task, fault }) = &bench.job.status.cause else { panic!("the scope failed") };
    assert_eq!((task.to_string().as_str(), fault.class.as_str()), ("s", "host.nothing_to_try"));
    assert!(fault.message.starts_with("nothing to try"));
}

#[test]
fn r13_r18_the_list_comes_from_an_earlier_task() {
    let flow = || {
        let over = Input::Output { task: "find".into(), pointer: "/found".into() };
        flow_of(Linear, [t("find"), nested("s", Linear, [t("f").takes(from("x"))]).scope(for_each(over))])
    };
    let found = gives(json!({"found": ["a", "b"]}));
    let (trace, state, good) =
        run(bench(flow()).script("find", Apply, &[found]).script("f", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("find f#1 f#1! -f#1 f#2", JobState::Succeeded));
    assert_eq!(input(&good.job, "f", &[2]), json!("b"));
    for odd in [json!({"found": 3}), json!({})] {
        let (trace, state, odd) = run(bench(flow()).script("find", Apply, &[gives(odd)]));
        assert_eq!((trace.as_str(), state), ("find -find", JobState::Reverted));
        let Some(Cause::Task { fault, .. }) = &odd.job.status.cause else { panic!("the scope failed") };
        assert_eq!(fault.class, "host.list");
        assert_eq!(odd.job.instances_of("f").count(), 0, "no outcomes");
    }
}

#[test]
fn r14_what_runs_beside_a_failure_is_awaited_and_undone() {
    let flow = flow_of(Linear, [nested("s", Unordered, [t("t1"), t("f"), t("t3")]).scope(times(3))]);
    let mut bench = bench(flow).script("f", Apply, &[broken()]);
    bench.room = 2;
    bench.claim();
    assert_eq!(bench.calling(), "t1#1 f#1");
    bench.finish_task("f");
    assert_eq!(bench.calling(), "t1#1", "t1 is awaited, and t3 does not begin");
    bench.finish_task("t1");
    assert_eq!(bench.calling(), "t1#1 f#1");
    assert_eq!(bench.run(), JobState::Succeeded);
    let undone = short(&bench);
    assert!(undone.ends_with("-f#1 -t1#1 t1#2 f#2 t3#2"), "{undone}");
}

#[test]
fn r16_what_was_not_reached_is_not_undone() {
    let flow = flow_of(Linear, [nested("s", Linear, [t("f"), t("never")]).scope(times(2))]);
    let (trace, state, _) = run(bench(flow).script("f", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("f#1 f#1! -f#1 f#2 never#2", JobState::Succeeded));
}

#[test]
fn a_scope_that_is_tried_again_holds_up_nothing_beside_it() {
    let scope = nested("s", Linear, [t("a"), t("f")]).scope(times(2));
    let mut bench = bench(flow_of(Unordered, [scope, nested("n", Linear, [t("b"), t("c")])]));
    bench = bench.script("f", Apply, &[broken()]);
    bench.claim();
    assert_eq!(bench.calling(), "a#1 b");
    bench.finish_task("a");
    bench.finish_task("f");
    assert_eq!(bench.calling(), "f#1 b", "f is undone while b runs");
    assert_eq!(bench.job.status.state, JobState::Running);
    bench.finish_task("b");
    assert_eq!(bench.calling(), "f#1 c");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn what_is_undone_to_be_tried_again_comes_before_a_call_that_has_rested() {
    let at_once = RetryPolicy { attempts_max: 3, pause_ms: 0, pause_ms_max: 0, factor_percent: 100 };
    let scope = nested("s", Unordered, [t("f"), t("a")]).scope(times(2));
    let mut bench = bench(flow_of(Unordered, [scope, t("w").retried(at_once)]));
    bench = bench.script("f", Apply, &[broken()]).script("w", Apply, &[super::bench::retry()]);
    bench.room = 2;
    bench.claim();
    bench.room = 1;
    ["f", "a"].into_iter().for_each(|task| bench.finish_task(task));
    assert_eq!((short(&bench).as_str(), bench.calling().as_str()), ("f#1 a#1 f#1! w -a#1", "a#1 w"));
    bench.finish_task("w");
    assert_eq!(bench.calling(), "f#1 a#1", "w wants to be called again, and f is to be undone");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn a_scope_that_cannot_be_undone_fails_the_job_whatever_is_around_it() {
    let inner = nested("inner", Linear, [t("a"), t("f")]).scope(times(3));
    let outer = nested("outer", Linear, [t("t1"), inner]).scope(times(3));
    let bench =
        bench(flow_of(Linear, [outer])).script("f", Apply, &[broken()]).script("a", Revert, &[broken()]);
    let (trace, state, bench) = run(bench);
    assert_eq!(trace, "t1#1 a#1#1 f#1#1 f#1#1! -f#1#1 -a#1#1 -a#1#1!");
    assert_eq!(state, JobState::Failed);
    assert_eq!(bench.residue(), ["t1#1", "a#1#1"]);
    let Some(Cause::Task { task, .. }) = &bench.job.status.cause else { panic!("a scope failed") };
    assert_eq!(task.to_string(), "inner#1");
}

#[test]
fn an_operator_resolves_what_a_scope_could_not_undo_and_tries_anew() {
    let scope = nested("s", Linear, [t("a"), t("f")]).scope(times(3));
    let bench =
        bench(flow_of(Linear, [scope])).script("f", Apply, &[broken()]).script("a", Revert, &[broken()]);
    let (_, state, mut bench) = run(bench);
    assert_eq!((state, bench.residue()), (JobState::Failed, vec!["a#1".to_owned()]));
    bench
        .decide(|d| d.resolve("a", &[], crate::decide::control::Resolution::Retry, "again".into()))
        .expect("it failed");
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn the_pause_between_tries_is_kept_and_survives_a_crash() {
    let Scope::Retry(mut retry) = times(3) else { panic!("it is one") };
    retry.backoff = crate::scope::Backoff { pause_ms: 10_000, pause_ms_max: 60_000, factor_percent: 200 };
    let flow = flow_of(Linear, [nested("s", Linear, [t("f")]).scope(Scope::Retry(retry))]);
    let mut bench = bench(flow).script("f", Apply, &[broken()]);
    bench.claim();
    bench.finish();
    bench.crash();
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Waiting);
    let wake = bench.job.status.wake.expect("it waits") - bench.now;
    assert!(wake > seconds(7) && wake <= seconds(10), "{wake}");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(scope_states(&bench), ["s:applying", "s:reverting", "s:backoff", "s:applying", "s:applied"]);
}

#[test]
fn excepted_classes_are_not_tried_again() {
    let Scope::Retry(mut retry) = times(3) else { panic!("it is one") };
    retry.except = vec!["odd".to_owned()];
    let odd = Outcome::Broken { fault: crate::fault::Fault::new("odd", "odd") };
    let flow = flow_of(Linear, [nested("s", Linear, [t("f")]).scope(Scope::Retry(retry))]);
    let (trace, state, _) = run(bench(flow).script("f", Apply, &[broken(), odd]));
    assert_eq!((trace.as_str(), state), ("f#1 f#1! -f#1 f#2 f#2! -f#2", JobState::Reverted));
}

#[test]
fn revert_outranks_retry() {
    let flow = flow_of(Linear, [t("a"), nested("s", Linear, [t("f")]).scope(times(3))]);
    let mut bench = bench(flow).script("f", Apply, &[broken()]);
    bench.claim();
    bench.finish();
    bench.decide(|d| d.cancel(CancelMode::Revert, "enough".into())).expect("it runs");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(short(&bench), "a f#1 f#1! -f#1 -a");
}

#[test]
fn s16_a_suspended_scope_goes_on_with_its_tries() {
    let flow = flow_of(Linear, [nested("s", Linear, [t("a"), t("f")]).scope(times(3))]);
    let mut bench = bench(flow).script("f", Apply, &[broken(), broken()]);
    bench.run_until("f#1:reverting");
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Suspended);
    bench.decide(|d| d.resume()).expect("it is suspended");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(short(&bench), "a#1 f#1 f#1! -f#1 -a#1 a#2 f#2 f#2! -f#2 -a#2 a#3 f#3");
}

#[test]
fn s03_a_suspension_asked_for_during_the_last_call_of_a_scope_comes_too_late() {
    let mut bench = bench(flow_of(Linear, [nested("s", Linear, [t("a")]).scope(times(3))]));
    bench.claim();
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Succeeded);
}

#[test]
fn a_scope_repeats_until_its_condition_holds() {
    let scope = || nested("s", Linear, [t("probe")]).scope(repeat("probe.ready || round == 4", 5));
    let probe = |ready: bool| gives(json!({"ready": ready}));
    let outcomes = [probe(false), probe(false), probe(true)];
    let flow = || flow_of(Linear, [scope(), t("then").takes(output("probe"))]);
    let (trace, state, done) = run(bench(flow()).script("probe", Apply, &outcomes));
    assert_eq!((trace.as_str(), state), ("probe#1 probe#2 probe#3 then", JobState::Succeeded));
    assert_eq!(input(&done.job, "then", &[]), json!({"ready": true}));
    // By the number of the round.
    let never = [probe(false), probe(false), probe(false), probe(false)];
    let (trace, state, _) = run(bench(flow()).script("probe", Apply, &never));
    assert_eq!((trace.as_str(), state), ("probe#1 probe#2 probe#3 probe#4 then", JobState::Succeeded));
}

#[test]
fn rounds_are_bounded_and_undone_the_last_one_first() {
    let scope = nested("s", Linear, [t("a"), t("b")]).scope(repeat("false", 2));
    let (trace, state, bench) = run(bench(flow_of(Linear, [scope])));
    assert_eq!((trace.as_str(), state), ("a#1 b#1 a#2 b#2 -b#2 -a#2 -b#1 -a#1", JobState::Reverted));
    let Some(Cause::Task { fault, .. }) = &bench.job.status.cause else { panic!("the scope failed") };
    assert_eq!(fault.class, "host.rounds");
}

#[test]
fn a_map_runs_for_each_value_side_by_side_and_gives_a_list() {
    let over = || literal(json!(["a", "b", "c"]));
    let flow = |most| {
        let each = nested("m", Linear, [t("one").takes(from("x")), t("two").takes(output("one"))]);
        flow_of(Linear, [each.scope(map(over(), most)), t("all").takes(output("two"))])
    };
    let mut wide = bench(flow(None));
    wide.claim();
    assert_eq!(wide.calling(), "one#0 one#1 one#2");
    assert_eq!([0, 1, 2].map(|n| input(&wide.job, "one", &[n])), [json!("a"), json!("b"), json!("c")]);
    let call = |bench: &Bench, task: &str, n: u32| {
        let instance = bench.job.in_flight().find(|i| i.name.task == task && i.name.iteration == [n]);
        CallName::of(instance.expect("it is under way"))
    };
    for (task, n) in [("one", 2), ("one", 0), ("two", 2), ("one", 1), ("two", 1), ("two", 0)] {
        let call = call(&wide, task, n);
        wide.finish_with(&call, gives(json!(format!("{task}{n}")))).expect("it is under way");
    }
    assert_eq!(wide.calling(), "all");
    assert_eq!(input(&wide.job, "all", &[]), json!(["two0", "two1", "two2"]));
    wide.finish();
    assert_eq!(wide.job.status.state, JobState::Succeeded);
    assert_eq!(wide.job.output("one"), Ok(json!(["one0", "one1", "one2"])));
    let mut narrow = bench(flow(Some(2)));
    narrow.claim();
    assert_eq!(narrow.calling(), "one#0 one#1");
    assert_eq!(narrow.run(), JobState::Succeeded);
    let (trace, state, _) = run(bench(flow_of(
        Linear,
        [nested("m", Linear, [t("e")]).scope(map(literal(json!([])), None)), t("z")],
    )));
    assert_eq!((trace.as_str(), state), ("z", JobState::Succeeded));
}

#[test]
fn v10_no_element_begins_after_one_failed_and_all_are_undone() {
    let each = nested("m", Linear, [t("one"), t("two")]).scope(map(literal(json!([1, 2, 3])), Some(2)));
    let mut bench = bench(flow_of(Linear, [t("first"), each]));
    bench.claim();
    bench.finish();
    assert_eq!(bench.calling(), "one#0 one#1");
    let call = bench.call_of("one");
    bench.finish_with(&call, broken()).expect("it is under way");
    assert_eq!(bench.calling(), "one#1");
    bench.finish();
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(short(&bench), "first one#0 one#1 one#0! -one#1 -one#0 -first");
}

#[test]
fn a_map_in_a_scope_is_tried_again_whole() {
    let each = nested("m", Linear, [t("one")]).scope(map(literal(json!([1, 2])), None));
    let scope = nested("s", Linear, [each]).scope(times(2));
    let (trace, state, _) = run(bench(flow_of(Linear, [scope])).script("one", Apply, &[applied(), broken()]));
    assert_eq!(trace, "one#1#0 one#1#1 one#1#1! -one#1#1 -one#1#0 one#2#0 one#2#1");
    assert_eq!(state, JobState::Succeeded);
}

#[test]
fn d01_what_comes_after_a_skipped_task_is_skipped() {
    let flow = flow_of(
        Graph,
        [
            t("a"),
            t("b").when("a.go == 'b'", SkipDepth::All),
            t("b2").needs(&["b"]),
            t("c").when("a.go == 'c'", SkipDepth::All),
        ],
    );
    let (trace, state, bench) = run(bench(flow).script("a", Apply, &[gives(json!({"go": "c"}))]));
    assert_eq!((trace.as_str(), state), ("a ~b ~b2 c", JobState::Succeeded));
    assert_eq!(bench.job.current("b2").and_then(|b2| b2.skipped_by.clone()).as_deref(), Some("b"));
}

#[test]
fn d03_one_no_is_enough_for_a_join() {
    let flow = flow_of(
        Graph,
        [
            t("a"),
            t("b").needs(&["a"]).when("false", SkipDepth::All),
            t("c").needs(&["a"]).when("true", SkipDepth::All),
            t("d").needs(&["b", "c"]),
        ],
    );
    let (trace, state, _) = run(bench(flow));
    assert_eq!((trace.as_str(), state), ("a ~b ~d c", JobState::Succeeded));
}

#[test]
fn d05_a_skipped_task_is_passed_over_on_the_way_back() {
    let flow = flow_of(Linear, [t("a"), t("b").when("false", SkipDepth::Task), t("f")]);
    let (trace, state, _) = run(bench(flow).script("f", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("a ~b f f! -f -a", JobState::Reverted));
}

#[test]
fn d06_a_nested_flow_is_skipped_whole_by_what_all_before_it_gave() {
    let inner = nested("n", Linear, [t("x1"), nested("deep", Unordered, [t("x2"), t("x3")]).scope(times(2))]);
    let flow = flow_of(
        Graph,
        [t("a"), t("b"), inner.when("a.n + b.n > 3", SkipDepth::All), t("z").needs(&["n"]), t("free")],
    );
    let given = |n: i32| gives(json!({"n": n}));
    let no = bench(flow.clone()).script("a", Apply, &[given(1)]).script("b", Apply, &[given(2)]);
    let (trace, state, _) = run(no);
    assert_eq!((trace.as_str(), state), ("a b ~x1 ~x2#1 ~x3#1 ~z free", JobState::Succeeded));
    let yes = bench(flow).script("a", Apply, &[given(2)]).script("b", Apply, &[given(2)]);
    let (trace, state, _) = run(yes);
    assert_eq!((trace.as_str(), state), ("a b x1 x2#1 x3#1 z free", JobState::Succeeded));
}

#[test]
fn skip_depths_reach_as_far_as_they_say() {
    let traces = [SkipDepth::Task, SkipDepth::Neighbours, SkipDepth::Flow, SkipDepth::All].map(|depth| {
        let inner = nested("n", Linear, [t("a"), t("b").when("false", depth), t("c"), t("d")]);
        let (trace, state, _) = run(bench(flow_of(Linear, [inner, t("e")])));
        assert_eq!(state, JobState::Succeeded);
        trace
    });
    assert_eq!(traces, ["a ~b c d e", "a ~b ~c d e", "a ~b ~c ~d e", "a ~b ~c ~d ~e"]);
    // All ends with the scope that runs again; a flow that has a condition is no bound.
    for (scope, trace) in [(Some(times(2)), "~b#1 ~c#1 e"), (None, "~b ~c ~e")] {
        let inner = nested("n", Linear, [t("b").when("false", SkipDepth::All), t("c")]);
        let inner = match scope {
            Some(scope) => inner.scope(scope),
            None => inner.when("true", SkipDepth::All),
        };
        assert_eq!(run(bench(flow_of(Linear, [inner, t("e")]))).0, trace);
    }
}

#[test]
fn r18_a_condition_that_cannot_be_evaluated_is_the_failure_of_its_task() {
    for node in [
        t("b").when("a.missing", SkipDepth::All),
        nested("b", Linear, [t("c")]).when("a.missing", SkipDepth::All),
    ] {
        let flow = flow_of(Linear, [t("a"), node]);
        let (trace, state, bench) = run(bench(flow).script("a", Apply, &[gives(json!({}))]));
        assert_eq!(trace.replace(" b!", ""), "a -a");
        assert_eq!(state, JobState::Reverted);
        let Some(Cause::Task { task, fault }) = &bench.job.status.cause else { panic!("it failed") };
        assert_eq!((task.task.as_str(), fault.class.as_str()), ("b", "host.expression"));
        assert!(fault.message.contains("a.missing"), "{}", fault.message);
    }
}

#[test]
fn verdicts_are_stored_and_a_crash_evaluates_none_again() {
    let flow =
        flow_of(Linear, [t("a").when("true", SkipDepth::All), t("b").when("false", SkipDepth::Task), t("c")]);
    let mut bench = bench(flow);
    bench.claim();
    bench.crash();
    bench.finish();
    bench.crash();
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(short(&bench), "a a ~b c c");
}

#[test]
fn a_succeeded_job_with_scopes_is_undone_on_request() {
    let scope = nested("s", Linear, [t("a"), t("f")]).scope(times(3));
    let rounds = nested("r", Linear, [t("p")]).scope(repeat("round == 2", 3));
    let each = nested("m", Unordered, [t("e")]).scope(map(literal(json!([1, 2])), None));
    let flow = flow_of(Linear, [scope, rounds, each, t("no").when("false", SkipDepth::Task)]);
    let (_, state, mut bench) = run(bench(flow).script("f", Apply, &[broken()]));
    assert_eq!(state, JobState::Succeeded);
    let order = crate::decide::advance::unwinding_order(&bench.job);
    let order: Vec<_> = order.iter().map(|instance| instance.name.to_string()).collect();
    assert_eq!(order, ["e#1", "e#0", "p#2", "p#1", "f#2", "a#2"]);
    bench.decide(|d| d.revert("undo".into())).expect("it succeeded");
    let from = bench.made.len();
    assert_eq!(bench.run(), JobState::Reverted);
    let undone: Vec<_> = bench.made[from..].iter().map(|made| made.task.clone()).collect();
    assert_eq!(undone, order);
    assert!(
        bench.job.instances.values().all(|i| matches!(i.state, TaskState::Reverted | TaskState::Skipped))
    );
}

#[test]
fn v15_without_revert_nothing_is_tried_again_and_an_operator_goes_on_where_it_failed() {
    let flow = flow_of(Linear, [nested("s", Linear, [t("a"), t("f")]).scope(times(3)), t("z")]);
    let spec = crate::job::JobSpec { never_revert: true, ..spec() };
    let mut bench = Bench::of_flow(flow, spec, Timing::default()).script("f", Apply, &[broken()]);
    bench.room = 0;
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(bench.residue(), ["a#1", "f#1"]);
    bench.decide(|d| d.retry("go on".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(short(&bench), "a#1 f#1 f#1! f#1 z");
}

#[test]
fn an_operators_retry_of_what_was_undone_begins_another_series() {
    let flow = flow_of(Linear, [t("nasty"), nested("s", Linear, [t("a"), t("f")]).scope(times(2))]);
    let bench =
        bench(flow).script("f", Apply, &[broken(), broken(), broken()]).script("nasty", Revert, &[broken()]);
    let (_, state, mut bench) = run(bench);
    assert_eq!((state, bench.residue()), (JobState::Failed, vec!["nasty".to_owned()]));
    bench
        .decide(|d| d.resolve("nasty", &[], crate::decide::control::Resolution::Accept, "it stays".into()))
        .expect("it failed");
    assert_eq!(bench.run(), JobState::Failed);
    bench.decide(|d| d.retry("anew".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert!(short(&bench).ends_with("nasty#1 a#3 f#3 f#3! -f#3 -a#3 a#4 f#4"), "{}", short(&bench));
    let name = InstanceName { task: "f".into(), iteration: vec![4] };
    assert_eq!(bench.job.scope_attempt(&name), 2);
}
