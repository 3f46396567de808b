//! Random flows, with as much as their definition allows of what is wished for.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::valid::is_valid;
use crate::decide::tests::bench::midnight;
use crate::decide::tests::shape::{Shape, flow_of, nested, own_revert, t};
use crate::flow::{Flow, InDoubt, Input, Inputs, Nested, Node, ObservePolicy, Pattern, RetryPolicy, Task};
use crate::own_revert::OwnRevert;
use crate::phase::Phase;
use crate::scope::{Backoff, Map, Repeat, Scope, ScopeRetry, SkipDepth, Strategy as Tries, When};
use crate::wait::{Approval, EventWait, Until, Wait};

const TASKS_MAX: usize = 12;
const FLOWS_MAX: usize = 5;
/// Calls of a task that say `retry` before it fails for good.
pub const ATTEMPTS_MAX: u32 = 3;
const AT_ONCE: Pause = (0, 0, 100);
/// Within so many milliseconds what is accepted is to be ready, unless a task says otherwise.
const OBSERVE_MS: u64 = 12;
/// Kinds of waits.
const WAITS: usize = 11;
/// The argument that every job has, with the value 1.
pub const ARGUMENT: &str = "go";

/// What a random flow is made of.
#[derive(Debug, Clone)]
pub struct Draft {
    outermost: FlowDraft,
    flows: Vec<FlowDraft>,
    /// Priority, and the flow that it is in.
    tasks: Vec<(i32, Index)>,
    wishes: Vec<Wish>,
    parallel_max: Option<u32>,
}

#[derive(Debug, Clone)]
struct FlowDraft {
    /// The flow that it is in, and where there.
    around: Index,
    at: Index,
    pattern: Pattern,
    scope: Option<Scope>,
}

/// Something more about a task or flow, and maybe another.
#[derive(Debug, Clone)]
struct Wish {
    who: Index,
    on: Index,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Need,
    Take,
    TakeBack,
    TakeValue,
    When(usize, SkipDepth),
    /// What it runs for, or until when, depends on a task.
    Scope(bool),
    /// It is undone as a whole, by what something gives: of what kind, and whether it may be missing.
    OwnRevert(usize),
    Phase(Phase),
    /// It waits, in the place of an action: of what kind, and for so many milliseconds.
    Wait(usize, u64),
    /// The pauses between its calls.
    Pause(Pause),
    InDoubt(InDoubt),
    /// What it accepted is to be ready within so many milliseconds, and is looked at after such pauses.
    Observe(u64, Pause),
}

/// The first, the longest, and by how many percent each is of the one before. So short that no draw shortens them.
type Pause = (u64, u64, u32);

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![1 => Just(Pattern::Linear), 1 => Just(Pattern::Unordered), 3 => Just(Pattern::Graph)]
}

fn list() -> impl Strategy<Value = Input> {
    let values = prop_oneof![9 => prop::collection::vec(0..3, 1..4), 1 => Just(Vec::new())];
    values.prop_map(|values| Input::Literal(json!(values)))
}

fn pause() -> impl Strategy<Value = Pause> {
    (1_u64..4, 2_u64..10, prop::sample::select(vec![100_u32, 150, 200]))
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let pause = prop::option::weighted(0.4, pause());
    pause.prop_map(|pause| match pause {
        None => Backoff::default(),
        Some((pause_ms, pause_ms_max, factor_percent)) => Backoff { pause_ms, pause_ms_max, factor_percent },
    })
}

fn scope() -> impl Strategy<Value = Scope> {
    let name = || "x".to_owned();
    let tries = prop_oneof![
        5 => (0_u32..4).prop_map(Tries::Times),
        3 => list().prop_map(move |over| Tries::ForEach { over, name: name() }),
        1 => Just(Tries::AlwaysRevert),
        1 => Just(Tries::AlwaysRevertAll),
    ];
    let except = prop::sample::select(vec![
        "fixture.broken",
        "fixture.reject",
        "host.rounds",
        "host.refused",
        "host.late",
    ]);
    let except = prop::option::weighted(0.2, except);
    let retry = (tries, except, prop::bool::weighted(0.1), backoff()).prop_map(
        |(strategy, except, revert_all, backoff)| ScopeRetry {
            strategy,
            backoff,
            except: except.into_iter().map(str::to_owned).collect(),
            revert_all,
        },
    );
    let until = prop_oneof![Just("round == 2"), Just("round >= go"), Just("false"), Just("round > 2")];
    let repeat = (until, 1_u32..4, backoff()).prop_map(|(until, rounds_max, backoff)| Repeat {
        until: until.to_owned(),
        rounds_max,
        backoff,
    });
    let map = (list(), prop::option::of(1_u32..3));
    let map = map.prop_map(move |(over, parallel_max)| Map { over, name: name(), parallel_max });
    prop_oneof![
        6 => retry.prop_map(Scope::Retry),
        2 => repeat.prop_map(Scope::Repeat),
        2 => map.prop_map(Scope::Map),
    ]
}

fn flow_draft(scoped: f64) -> impl Strategy<Value = FlowDraft> {
    (any::<Index>(), any::<Index>(), pattern(), prop::option::weighted(scoped, scope()))
        .prop_map(|(around, at, pattern, scope)| FlowDraft { around, at, pattern, scope })
}

fn wish() -> impl Strategy<Value = Wish> {
    let skips = prop_oneof![
        Just(SkipDepth::Task),
        Just(SkipDepth::Neighbours),
        Just(SkipDepth::Flow),
        Just(SkipDepth::All)
    ];
    let what = prop_oneof![
        4 => Just(What::Need),
        3 => Just(What::Take),
        2 => Just(What::TakeBack),
        2 => Just(What::TakeValue),
        6 => (0_usize..7, skips).prop_map(|(condition, skips)| What::When(condition, skips)),
        3 => prop::bool::weighted(0.1).prop_map(What::Scope),
        5 => (0_usize..4).prop_map(What::OwnRevert),
        3 => prop::sample::select(vec![Phase::Reserve, Phase::Configure, Phase::Acquire]).prop_map(What::Phase),
        6 => (0_usize..WAITS, 1_u64..30).prop_map(|(kind, ms)| What::Wait(kind, ms)),
        4 => pause().prop_map(What::Pause),
        6 => in_doubt().prop_map(What::InDoubt),
        3 => (1_u64..20, pause()).prop_map(|(deadline, pause)| What::Observe(deadline, pause)),
    ];
    (any::<Index>(), any::<Index>(), what).prop_map(|(who, on, what)| Wish { who, on, what })
}

fn in_doubt() -> impl Strategy<Value = InDoubt> {
    prop::sample::select(vec![InDoubt::Observe, InDoubt::Revert, InDoubt::Hold])
}

pub fn draft() -> impl Strategy<Value = Draft> {
    let tasks = prop::collection::vec((-1_i32..2, any::<Index>()), 1..=TASKS_MAX);
    let flows = prop::collection::vec(flow_draft(0.7), 0..=FLOWS_MAX);
    let wishes = prop::collection::vec(wish(), 0..28);
    let parallel_max = prop::option::weighted(0.2, 1_u32..4);
    (flow_draft(0.2), flows, tasks, wishes, parallel_max).prop_map(
        |(outermost, flows, tasks, wishes, parallel_max)| Draft {
            outermost,
            flows,
            tasks,
            wishes,
            parallel_max,
        },
    )
}

impl Draft {
    /// The flow, with as many of its wishes as are allowed, in the order in which they were drawn.
    pub fn flow(&self) -> Flow {
        let mut taken = Vec::new();
        let mut flow = self.build(&taken);
        for wish in &self.wishes {
            taken.push(wish);
            let built = self.build(&taken);
            if is_valid(&built) {
                flow = built;
            } else {
                taken.pop();
            }
        }
        flow
    }

    fn build(&self, wishes: &[&Wish]) -> Flow {
        let mut flow = flow_of(self.outermost.pattern, self.nodes(0, wishes));
        flow.scope.clone_from(&self.outermost.scope);
        flow.parallel_max = self.parallel_max;
        for wish in wishes.iter().filter(|wish| self.who(wish) == self.tasks.len() + self.flows.len()) {
            self.undo(&mut flow.revert, wish);
        }
        flow
    }

    fn undo(&self, revert: &mut Option<OwnRevert>, wish: &Wish) {
        let What::OwnRevert(kind) = &wish.what else { return };
        let policy = if *kind == 0 { retried((2, 9, 200)) } else { retried(AT_ONCE) };
        let revert = revert.get_or_insert_with(|| OwnRevert { retry: policy, ..own_revert() });
        let on = wish.on.index(self.tasks.len());
        let input = match kind {
            0 => return,
            1 => Input::From(format!("of{on}")),
            2 => Input::Optional(format!("number{on}")),
            _ => Input::Output { task: format!("t{on}"), pointer: "/n".to_owned() },
        };
        revert.inputs.insert(format!("i{}", revert.inputs.len()), input);
    }

    /// The nodes of a flow, 0 for the outermost; a flow without tasks is none.
    fn nodes(&self, flow: usize, wishes: &[&Wish]) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (index, (priority, around)) in self.tasks.iter().enumerate() {
            if around.index(self.flows.len() + 1) == flow {
                nodes.push(self.task(index, *priority, wishes));
            }
        }
        for (index, draft) in self.flows.iter().enumerate() {
            if draft.around.index(index + 1) == flow {
                let inside = self.nodes(index + 1, wishes);
                if !inside.is_empty() {
                    let at = draft.at.index(nodes.len() + 1);
                    nodes.insert(at, self.nested(index, inside, wishes));
                }
            }
        }
        nodes
    }

    fn task(&self, index: usize, priority: i32, wishes: &[&Wish]) -> Node {
        let node = t(&format!("t{index}")).priority(priority).provides(&format!("of{index}"));
        let node = node.retried(retried(AT_ONCE));
        let Node::Task(mut task) = node else { panic!("it is a task") };
        task.provides.insert(format!("number{index}"), "/n".to_owned());
        task.observe = observed(OBSERVE_MS, (1, 4, 200));
        let mut until = None;
        for wish in wishes.iter().filter(|wish| self.who(wish) == index) {
            let on = wish.on.index(self.tasks.len());
            match &wish.what {
                What::Need => task.needs.push(self.needed(wish)),
                What::Take => take(&mut task, "a", Input::From(format!("of{on}"))),
                What::TakeValue => take(&mut task, "b", Input::From("x".to_owned())),
                What::TakeBack => {
                    let output = Input::Output { task: format!("t{on}"), pointer: "/n".to_owned() };
                    task.revert_inputs.get_or_insert_default().insert("c".to_owned(), output);
                }
                What::When(kind, skips) => task.when = Some(when(*kind, on, *skips)),
                What::Phase(phase) => task.phase = Some(*phase),
                What::Wait(kind, ms) => until = Some(wait(*kind, *ms, on)),
                What::Pause(pause) => task.retry = retried(*pause),
                What::InDoubt(in_doubt) => task.in_doubt = *in_doubt,
                What::Observe(deadline_ms, pause) => task.observe = observed(*deadline_ms, *pause),
                What::Scope(_) | What::OwnRevert(_) => {}
            }
        }
        let Some(until) = until else { return Node::Task(task) };
        let Task { name, needs, when, .. } = task;
        let number = (format!("number{index}"), "/data/n".to_owned());
        let provides = [(format!("of{index}"), String::new()), number].into_iter().collect();
        Node::Wait(Wait { name, until, provides, needs, when })
    }

    fn nested(&self, index: usize, inside: Vec<Node>, wishes: &[&Wish]) -> Node {
        let draft = &self.flows[index];
        let Node::Flow(nested) = nested(&format!("n{index}"), draft.pattern, inside) else {
            panic!("it is a flow")
        };
        let mut flow = Nested { scope: draft.scope.clone(), ..nested };
        for wish in wishes.iter().filter(|wish| self.who(wish) == self.tasks.len() + index) {
            let on = wish.on.index(self.tasks.len());
            match &wish.what {
                What::Need => flow.needs.push(self.needed(wish)),
                What::When(kind, skips) => flow.when = Some(when(*kind, on, *skips)),
                What::Scope(is_odd) => depend(flow.scope.as_mut(), on, *is_odd),
                What::OwnRevert(_) => self.undo(&mut flow.revert, wish),
                What::Phase(phase) => flow.phase = Some(*phase),
                What::Take | What::TakeBack | What::TakeValue => {}
                What::Wait(..) | What::Pause(_) | What::InDoubt(_) | What::Observe(..) => {}
            }
        }
        Node::Flow(flow)
    }

    fn who(&self, wish: &Wish) -> usize {
        match wish.what {
            // The outermost flow is the last.
            What::OwnRevert(_) => self.tasks.len() + wish.who.index(self.flows.len() + 1),
            _ => wish.who.index(self.tasks.len() + self.flows.len()),
        }
    }

    fn needed(&self, wish: &Wish) -> String {
        let on = wish.on.index(self.tasks.len() + self.flows.len());
        match on.checked_sub(self.tasks.len()) {
            None => format!("t{on}"),
            Some(flow) => format!("n{flow}"),
        }
    }
}

fn retried((pause_ms, pause_ms_max, factor_percent): Pause) -> RetryPolicy {
    RetryPolicy { attempts_max: ATTEMPTS_MAX, pause_ms, pause_ms_max, factor_percent }
}

fn observed(deadline_ms: u64, (pause_ms, pause_ms_max, factor_percent): Pause) -> ObservePolicy {
    ObservePolicy { deadline_ms, pause_ms, pause_ms_max, factor_percent }
}

/// A wait of some kind, for so long, that may depend on what a task gives.
fn wait(kind: usize, ms: u64, on: usize) -> Until {
    let event = |condition: Option<String>| {
        let type_ = format!("e{}", ms % 2);
        Until::Event(EventWait { type_, source: None, subject: None, condition, timeout_ms: ms })
    };
    let approval = |principals: Vec<String>| {
        Until::Approval(Approval { message: "go on?".to_owned(), principals, timeout_ms: ms })
    };
    let literal = |value: serde_json::Value| Until::Time(Input::Literal(value));
    let at = midnight().timestamp_millis() + ms as i64;
    match kind {
        0 | 1 => Until::Passed { ms },
        2 => literal(json!(at)),
        3 => literal(json!(format!("2026-11-21T00:00:00.{ms:03}Z"))),
        4 => literal(if ms.is_multiple_of(2) { json!("soon") } else { json!(at + 400 * 24 * 3_600_000) }),
        5 => Until::Time(Input::Output { task: format!("t{on}"), pointer: "/n".to_owned() }),
        6 => event(None),
        7 => event(Some("event.data.n > 1".to_owned())),
        8 => event(Some(format!("event.data.n == number{on}"))),
        9 => approval(Vec::new()),
        _ => approval(vec!["ann".to_owned()]),
    }
}

fn take(task: &mut Task, property: &str, input: Input) {
    let mut inputs = match &task.inputs {
        Inputs::Arguments => Default::default(),
        Inputs::Named(inputs) => inputs.clone(),
    };
    inputs.insert(property.to_owned(), input);
    task.inputs = Inputs::Named(inputs);
}

fn when(kind: usize, on: usize, skips: SkipDepth) -> When {
    let condition = match kind {
        0 => format!("{ARGUMENT} == 1"),
        1 => format!("{ARGUMENT} == 2"),
        2 => "x > 0".to_owned(),
        3 => format!("!has(names.of{on}) || size(of{on}) < 2"),
        4 => format!("of{on}.n > 1"),
        5 => format!("has(names.number{on}) && number{on} in [1, 2, 3]"),
        _ => "true".to_owned(),
    };
    When { condition, skips }
}

fn depend(scope: Option<&mut Scope>, on: usize, is_odd: bool) {
    let pointer = if is_odd { "/n" } else { "/l" }.to_owned();
    let output = Input::Output { task: format!("t{on}"), pointer };
    match scope {
        Some(Scope::Retry(ScopeRetry { strategy: Tries::ForEach { over, .. }, .. }))
        | Some(Scope::Map(Map { over, .. })) => *over = output,
        Some(Scope::Repeat(repeat)) => repeat.until = format!("of{on}.n > 1 || round == 3"),
        Some(Scope::Retry(_)) | None => {}
    }
}
