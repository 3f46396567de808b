//! Random histories: whatever is asked of a job in whatever order, the laws hold, and it comes to an end.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::bench::{
    Bench, W1, absent, accepted, applied, broken, failed, flow, midnight, of_operation, payload, present,
    reject, retry, reverted, seconds, spec, unknown,
};
use super::shape::{
    Shape, approval, event_wait, flow_of, for_each, literal, map, nested, own_revert, sleep, times,
};
use crate::call::{Function, Outcome};
use crate::decide::control::Resolution;
use crate::decide::create::Timing;
use crate::decide::outcome::CallName;
use crate::decide::wait::Verdict;
use crate::entry::Line;
use crate::event::tests::event;
use crate::fault::Fault;
use crate::flow::{Flow, InDoubt, Node, Pattern, RetryPolicy};
use crate::job::{CancelMode, Cause, JobSpec, JobState};
use crate::own_revert::OwnRevert;
use crate::scope::{Backoff, Repeat, Scope, SkipDepth};

/// Enough to meet every pair of neighbouring inputs many times over, in a few seconds.
const CASES: u32 = 10_000;

const TASKS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// What an operator decides about.
const RESOLVED: [&str; 10] =
    ["a", "b", "c", "d", "e", "f", "flow.revert", "outer.revert", "inner.revert", "row.revert"];

#[derive(Debug, Clone)]
enum Input {
    /// One of the calls that are under way ends.
    Finish(Answer, Index),
    /// There is room for more.
    Proceed,
    FinishStale,
    Undo,
    Noise,
    Claim,
    Wake,
    LoseClaim,
    GiveUp,
    Quarantine,
    Release,
    Refuse,
    Cancel(CancelMode),
    Suspend,
    Resume,
    Retry,
    Revert,
    Resolve(Index, Resolution),
    Reschedule(i64),
    Prioritise(i32),
    /// An answer to the approval of that name.
    Answer(Index, bool),
    /// An event for whoever waits for one.
    Event(u8),
    /// Seconds; the clock may be set back.
    Time(i64),
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Good,
    Retry,
    RetryAfter(u64),
    Reject,
    Broken,
    Nonsense,
    /// Of an apply; what is looked at is not ready.
    Accept,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => Just(Answer::Good),
        2 => Just(Answer::Retry),
        1 => any::<u64>().prop_map(Answer::RetryAfter),
        1 => (0_u64..100_000).prop_map(Answer::RetryAfter),
        1 => Just(Answer::Reject),
        2 => Just(Answer::Broken),
        1 => Just(Answer::Nonsense),
        3 => Just(Answer::Accept),
    ]
}

fn mode() -> impl Strategy<Value = CancelMode> {
    prop_oneof![Just(CancelMode::Revert), Just(CancelMode::Leave)]
}

fn resolution() -> impl Strategy<Value = Resolution> {
    prop_oneof![Just(Resolution::Retry), Just(Resolution::Accept), Just(Resolution::Skip)]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        24 => (answer(), any::<Index>()).prop_map(|(answer, which)| Input::Finish(answer, which)),
        2 => Just(Input::Proceed),
        14 => Just(Input::Claim),
        4 => Just(Input::Wake),
        3 => Just(Input::LoseClaim),
        2 => Just(Input::GiveUp),
        2 => Just(Input::Undo),
        1 => Just(Input::FinishStale),
        1 => Just(Input::Noise),
        1 => Just(Input::Quarantine),
        1 => Just(Input::Release),
        1 => Just(Input::Refuse),
        2 => mode().prop_map(Input::Cancel),
        2 => Just(Input::Suspend),
        2 => Just(Input::Resume),
        3 => Just(Input::Retry),
        2 => Just(Input::Revert),
        2 => (any::<Index>(), resolution()).prop_map(|(task, how)| Input::Resolve(task, how)),
        1 => (-500_i64..500).prop_map(Input::Reschedule),
        1 => (-2..3).prop_map(Input::Prioritise),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(task, is_yes)| Input::Answer(task, is_yes)),
        1 => (0_u8..3).prop_map(Input::Event),
        3 => (-400_i64..400).prop_map(Input::Time),
        1 => (-90_000_i64..90_000).prop_map(Input::Time),
    ]
}

fn some_spec() -> impl Strategy<Value = JobSpec> {
    let timeout =
        prop_oneof![3 => Just(None), 1 => (0_u64..300_000).prop_map(Some), 1 => Just(Some(u64::MAX))];
    let window =
        prop_oneof![3 => Just(None), 1 => (0_u64..600_000).prop_map(Some), 1 => Just(Some(u64::MAX))];
    (timeout, window, prop::bool::weighted(0.15)).prop_map(|(timeout_ms, window, never_revert)| {
        let mut spec = JobSpec { timeout_ms, never_revert, ..spec() };
        if let Some(window_ms) = window {
            spec.origin = of_operation(midnight() + seconds(30), window_ms);
        }
        spec
    })
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    let pause = prop_oneof![Just(0_u64), 1_u64..5_000, Just(u64::MAX)];
    let factor = prop_oneof![Just(0_u32), 100_u32..300, Just(u32::MAX)];
    (0_u32..4, pause, any::<u64>(), factor).prop_map(
        |(attempts_max, pause_ms, pause_ms_max, factor_percent)| RetryPolicy {
            attempts_max,
            pause_ms,
            pause_ms_max,
            factor_percent,
        },
    )
}

fn start() -> impl Strategy<Value = Start> {
    let execute_at = prop::option::weighted(0.3, -100_i64..200);
    let shape = (prop::option::weighted(0.6, 0..3_usize), prop::option::weighted(0.3, 1..4_u32), 0..4_usize);
    let scopes = prop::option::weighted(0.5, (0..5_usize, 0..5_usize, 0..TASKS.len(), 0..TASKS.len()));
    let nodes = (prop::option::weighted(0.4, (0..TASKS.len(), 0..3_usize)), doubt());
    let wholes = (prop::bool::weighted(0.15), prop::bool::weighted(0.5), prop::bool::weighted(0.5));
    let start = (0..=TASKS.len(), policy(), some_spec(), execute_at, shape, (scopes, wholes), nodes);
    start.prop_map(
        |(tasks, policy, spec, execute_at, (shape, parallel_max, room), (scopes, wholes), nodes)| {
            let flow = waiting(flow(&TASKS[..tasks], &policy), nodes);
            let flow = scoped(shaped(flow, shape), scopes);
            let flow = undone_whole(flow, &policy, wholes);
            let flow = Flow { parallel_max, ..flow };
            Start { flow, spec, execute_at, room }
        },
    )
}

fn doubt() -> impl Strategy<Value = InDoubt> {
    let all = [InDoubt::Reapply, InDoubt::Observe, InDoubt::Revert, InDoubt::Hold];
    prop::sample::select(all.to_vec())
}

/// The same flow, with a wait in the place of a task, and what becomes of the others in doubt.
fn waiting(mut flow: Flow, (wait, in_doubt): (Option<(usize, usize)>, InDoubt)) -> Flow {
    for node in &mut flow.nodes {
        let Node::Task(task) = node else { continue };
        task.in_doubt = in_doubt;
        task.observe.deadline_ms = 60_000;
    }
    if let Some((at, kind)) = wait
        && let Some(node) = flow.nodes.get_mut(at)
    {
        let name = node.name().to_owned();
        *node = match kind {
            0 => sleep(&name, 30),
            1 => approval(&name, &[]),
            _ => event_wait(&name, "done", None),
        };
    }
    flow
}

/// The same tasks, no more in a row: side by side, two in a row beside the others, or two that need the first.
fn shaped(flow: Flow, shape: Option<usize>) -> Flow {
    let Some(shape) = shape else { return flow };
    let mut nodes = flow.nodes;
    let pattern = if shape == 2 { Pattern::Graph } else { Pattern::Unordered };
    if shape == 1 && nodes.len() > 2 {
        let row = nodes.split_off(nodes.len() - 2);
        nodes.insert(1, nested("row", Pattern::Linear, row));
    }
    if shape == 2 {
        let last = nodes.len().saturating_sub(2);
        nodes = nodes
            .into_iter()
            .enumerate()
            .map(|(at, node)| if at > 0 && at >= last { node.needs(&[TASKS[0]]) } else { node })
            .collect();
    }
    flow_of(pattern, nodes)
}

/// The same nodes, with some of them in a scope in a scope, and a condition.
fn scoped(mut flow: Flow, scopes: Option<(usize, usize, usize, usize)>) -> Flow {
    let Some((outer, inner, from, left_out)) = scopes else { return flow };
    let pause = Backoff { pause_ms: 2_000, pause_ms_max: 10_000, factor_percent: 200 };
    let scope = |kind: usize| match kind {
        0 => Some(times(3)),
        1 => {
            Some(Scope::Repeat(Repeat { until: "round == 2".into(), rounds_max: 3, backoff: pause.clone() }))
        }
        2 => Some(map(literal(json!([1, 2])), Some(1))),
        3 => Some(for_each(literal(json!(["x", "y"])))),
        _ => None,
    };
    let skips = [SkipDepth::Task, SkipDepth::Neighbours, SkipDepth::Flow, SkipDepth::All];
    let from = from.min(flow.nodes.len());
    let mut inside = flow.nodes.split_off(from);
    if let Some(node) = inside.get_mut(left_out) {
        *node = node.clone().when(if inner == 4 { "has(names.none)" } else { "true" }, skips[left_out % 4]);
    }
    let rest = inside.split_off(inside.len() / 2);
    // What needs the first task is beside it, or in a scope beside it.
    let nested = |name: &str, nodes, kind| match (nested(name, flow.pattern, nodes), scope(kind)) {
        (node, Some(scope)) => node.scope(scope),
        (node, None) => node.when("true", SkipDepth::All),
    };
    inside.push(nested("inner", rest, inner));
    flow.nodes.push(nested("outer", inside, outer));
    flow
}

/// The same flow, with reverts of its own: the outermost, and nested ones that do not run again.
fn undone_whole(mut flow: Flow, policy: &RetryPolicy, (outermost, outer, inner): (bool, bool, bool)) -> Flow {
    let own = || OwnRevert { retry: policy.clone(), ..own_revert() };
    flow.revert = outermost.then(own);
    for node in &mut flow.nodes {
        let Node::Flow(nested) = node else { continue };
        nested.revert = Some(own()).filter(|_| outer && nested.scope.is_none());
        for node in &mut nested.nodes {
            let Node::Flow(nested) = node else { continue };
            nested.revert = Some(own()).filter(|_| inner && nested.scope.is_none());
        }
    }
    flow
}

/// How a random job begins.
#[derive(Debug, Clone)]
struct Start {
    flow: Flow,
    spec: JobSpec,
    execute_at: Option<i64>,
    room: usize,
}

impl Start {
    fn bench(&self) -> Bench {
        let execute_at = self.execute_at.map(|at| midnight() + seconds(at));
        let timing = Timing { execute_at, priority: 0 };
        let mut bench = Bench::of_flow(self.flow.clone(), self.spec.clone(), timing);
        bench.room = self.room;
        bench
    }
}

fn outcome(answer: Answer, function: Function) -> Outcome {
    let fault = || Fault::new("fixture.later", "in a while");
    match (answer, function) {
        (Answer::Good, Function::Apply) | (Answer::Nonsense, Function::Revert | Function::Observe) => {
            applied()
        }
        (Answer::Good | Answer::Accept, Function::Revert) | (Answer::Nonsense, Function::Apply) => reverted(),
        (Answer::Good, Function::Observe) => present(),
        (Answer::Accept, Function::Apply) => accepted(),
        (Answer::Accept, Function::Observe) => unknown(),
        (Answer::Reject, Function::Observe) => absent(),
        (Answer::Broken, Function::Observe) => failed(),
        (Answer::Retry, _) => retry(),
        (Answer::RetryAfter(after_ms), _) => Outcome::Retry { fault: fault(), after_ms: Some(after_ms) },
        (Answer::Reject, _) => reject(),
        (Answer::Broken, _) => broken(),
    }
}

/// Asks one thing of the job. What is refused must change nothing.
fn give(bench: &mut Bench, input: &Input) {
    let before = bench.job.status.sequence;
    let is_taken = match input {
        Input::Time(by) => {
            bench.pass(seconds(*by));
            true
        }
        Input::Finish(..) | Input::FinishStale | Input::Undo | Input::Noise => {
            return give_call(bench, input);
        }
        Input::Proceed => bench.decide(|d| d.proceed(W1)).is_ok(),
        Input::Claim => bench.decide(|d| d.claim(W1)).is_ok(),
        Input::Wake => {
            bench.decide(|d| d.wake());
            true
        }
        Input::LoseClaim => bench.decide(|d| d.lose_claim(W1)).is_ok(),
        Input::GiveUp => bench.decide(|d| d.give_up(W1)).is_ok(),
        Input::Quarantine => bench.decide(|d| d.quarantine("looks odd".into())).is_ok(),
        Input::Release => bench.decide(|d| d.release()).is_ok(),
        Input::Refuse => bench.decide(|d| d.refuse(Cause::Permission { message: "no".into() })).is_ok(),
        Input::Cancel(mode) => bench.decide(|d| d.cancel(*mode, "enough".into())).is_ok(),
        Input::Suspend => bench.decide(|d| d.suspend()).is_ok(),
        Input::Resume => bench.decide(|d| d.resume()).is_ok(),
        Input::Retry => bench.decide(|d| d.retry("again".into())).is_ok(),
        Input::Revert => bench.decide(|d| d.revert("undo it".into())).is_ok(),
        Input::Resolve(task, how) => {
            let task = task.get(&RESOLVED);
            bench.decide(|d| d.resolve(task, &[], *how, "seen to".into())).is_ok()
        }
        Input::Reschedule(at) => bench.decide(|d| d.reschedule(midnight() + seconds(*at))).is_ok(),
        Input::Answer(task, is_approved) => {
            let verdict =
                Verdict { is_approved: *is_approved, principal: "ann".into(), comment: String::new() };
            bench.decide(|d| d.answer(TASKS[task.index(TASKS.len())], &[], verdict)).is_ok()
        }
        Input::Event(id) => {
            let event = event("done", "/elsewhere", &id.to_string());
            bench.decide(|d| d.deliver(&event))
        }
        Input::Prioritise(priority) => bench.decide(|d| d.prioritise(*priority)).is_ok(),
    };
    assert!(is_taken || bench.job.status.sequence == before, "what is refused changes nothing");
}

fn give_call(bench: &mut Bench, input: &Input) {
    let calls: Vec<_> = bench.job.in_flight().map(CallName::of).collect();
    let Some(mut call) = calls.first().cloned() else { return };
    match input {
        Input::Finish(answer, which) => {
            let call = which.get(&calls).clone();
            let outcome = outcome(*answer, call.function);
            bench.finish_with(&call, outcome).expect("it is under way");
        }
        Input::Undo => bench.decide(|d| d.record_undo(&call, payload("undo"))).expect("it is under way"),
        Input::Noise => {
            let line = Line { at: bench.now, source: "stdout".into(), text: "hello".into() };
            let noise = |d: &mut crate::decide::Decision<'_>| {
                d.record_noise(&call, vec![line], Some((f32::NAN, String::new())))
            };
            bench.decide(noise).expect("it is under way");
        }
        _ => {
            call.attempt += 1;
            bench.decide_nothing(|d| d.finish(&call, applied())).expect_err("there is no such call");
        }
    }
}

/// From wherever it stands, everything going well from here on, the job comes to an end.
fn settle(bench: &mut Bench) {
    for _ in 0..200 {
        match bench.job.status.state {
            JobState::Quarantined => bench.decide(|d| d.release()).expect("it is quarantined"),
            JobState::Suspended => bench.decide(|d| d.resume()).expect("it is suspended"),
            state if state.is_ended() => return,
            _ => {
                bench.run();
            }
        }
    }
    panic!("it does not end: {}", bench.trace());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn x01_x02_whatever_is_asked_the_laws_hold_and_the_job_ends(
        start in start(),
        inputs in prop::collection::vec(input(), 0..60),
    ) {
        let mut bench = start.bench();
        inputs.iter().for_each(|input| give(&mut bench, input));
        settle(&mut bench);
    }
}
