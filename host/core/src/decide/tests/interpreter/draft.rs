//! Random flows, with as much as their definition allows of what is wished for.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use crate::decide::tests::shape::{Shape, flow_of, nested, own_revert, t};
use crate::expression::names_of;
use crate::flow::{Flow, Input, Inputs, Nested, Node, Pattern, RetryPolicy, Task};
use crate::own_revert::OwnRevert;
use crate::phase::Phase;
use crate::plan::{OUTERMOST, Plan, Provider};
use crate::scope::{Backoff, Map, Repeat, Scope, ScopeRetry, SkipDepth, Strategy as Tries, When};

const TASKS_MAX: usize = 12;
const FLOWS_MAX: usize = 5;
/// Calls of a task that say `retry` before it fails for good.
pub const ATTEMPTS_MAX: u32 = 3;
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
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![1 => Just(Pattern::Linear), 1 => Just(Pattern::Unordered), 3 => Just(Pattern::Graph)]
}

fn list() -> impl Strategy<Value = Input> {
    let values = prop_oneof![9 => prop::collection::vec(0..3, 1..4), 1 => Just(Vec::new())];
    values.prop_map(|values| Input::Literal(json!(values)))
}

fn scope() -> impl Strategy<Value = Scope> {
    let name = || "x".to_owned();
    let tries = prop_oneof![
        5 => (0_u32..4).prop_map(Tries::Times),
        3 => list().prop_map(move |over| Tries::ForEach { over, name: name() }),
        1 => Just(Tries::AlwaysRevert),
        1 => Just(Tries::AlwaysRevertAll),
    ];
    let except =
        prop::sample::select(vec!["fixture.broken", "fixture.reject", "host.rounds", "host.expression"]);
    let except = prop::option::weighted(0.2, except);
    let retry =
        (tries, except, prop::bool::weighted(0.1)).prop_map(|(strategy, except, revert_all)| ScopeRetry {
            strategy,
            backoff: Backoff::default(),
            except: except.into_iter().map(str::to_owned).collect(),
            revert_all,
        });
    let until = prop_oneof![Just("round == 2"), Just("round >= go"), Just("false"), Just("round > 2")];
    let repeat = (until, 1_u32..4).prop_map(|(until, rounds_max)| Repeat {
        until: until.to_owned(),
        rounds_max,
        backoff: Backoff::default(),
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
    ];
    (any::<Index>(), any::<Index>(), what).prop_map(|(who, on, what)| Wish { who, on, what })
}

pub fn draft() -> impl Strategy<Value = Draft> {
    let tasks = prop::collection::vec((-1_i32..2, any::<Index>()), 1..=TASKS_MAX);
    let flows = prop::collection::vec(flow_draft(0.7), 0..=FLOWS_MAX);
    let wishes = prop::collection::vec(wish(), 0..18);
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
        let at_once =
            RetryPolicy { attempts_max: ATTEMPTS_MAX, pause_ms: 0, pause_ms_max: 0, factor_percent: 100 };
        let revert = revert.get_or_insert_with(|| OwnRevert { retry: at_once, ..own_revert() });
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
        let at_once =
            RetryPolicy { attempts_max: ATTEMPTS_MAX, pause_ms: 0, pause_ms_max: 0, factor_percent: 100 };
        let node =
            t(&format!("t{index}")).priority(priority).provides(&format!("of{index}")).retried(at_once);
        let Node::Task(mut task) = node else { panic!("it is a task") };
        task.provides.insert(format!("number{index}"), "/n".to_owned());
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
                What::Scope(_) | What::OwnRevert(_) => {}
            }
        }
        Node::Task(task)
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

/// As validation sees it, plugins and schemas apart.
pub fn is_valid(flow: &Flow) -> bool {
    let plan = Plan::of(flow);
    plan.cycles().is_empty()
        && flow.scope.as_ref().is_none_or(|scope| is_valid_scope(&plan, OUTERMOST, scope))
        && is_valid_own_revert(&plan, OUTERMOST, flow.revert.as_ref(), flow.scope.as_ref())
        && has_valid_phases(flow.pattern, &flow.nodes)
        && flow.nodes.iter().all(|node| is_valid_node(&plan, node))
}

fn is_valid_own_revert(plan: &Plan, flow: &str, revert: Option<&OwnRevert>, scope: Option<&Scope>) -> bool {
    let Some(revert) = revert else { return true };
    let is_valid = |input: &Input| match input {
        Input::Output { task, .. } => {
            plan.index(task).is_some_and(|task| plan.holds(flow, task))
                || plan.relation(flow, task).is_allowed()
        }
        Input::From(name) => is_provided(&plan.provider_at_end(flow, name)),
        Input::Literal(_) | Input::Argument(_) | Input::Optional(_) => true,
    };
    scope.is_none() && revert.inputs.values().all(is_valid)
}

fn has_valid_phases(pattern: Pattern, nodes: &[Node]) -> bool {
    let phases: Vec<_> = nodes.iter().filter_map(Node::phase).collect();
    match pattern {
        Pattern::Graph => true,
        Pattern::Linear => phases.is_sorted(),
        Pattern::Unordered => phases.is_empty(),
    }
}

fn is_valid_node(plan: &Plan, node: &Node) -> bool {
    let is_known = |name: &String| name == ARGUMENT || is_provided(&plan.provider(node.name(), name));
    let needs = node.needs().iter();
    let is_like_any = needs.clone().all(|on| plan.relation(node.name(), on).is_allowed())
        && node.when().is_none_or(|when| names_of(&when.condition).iter().all(is_known));
    is_like_any
        && match node {
            Node::Task(task) => {
                let named = match &task.inputs {
                    Inputs::Arguments => None,
                    Inputs::Named(inputs) => Some(inputs),
                };
                let inputs = named.into_iter().chain(&task.revert_inputs).flat_map(|inputs| inputs.values());
                inputs.into_iter().all(|input| is_valid_input(plan, &task.name, input))
            }
            Node::Wait(_) => panic!("random flows have no waits"),
            Node::Flow(nested) => {
                let scope = nested.scope.as_ref();
                scope.is_none_or(|scope| is_valid_scope(plan, &nested.name, scope))
                    && is_valid_own_revert(plan, &nested.name, nested.revert.as_ref(), scope)
                    && has_valid_phases(nested.pattern, &nested.nodes)
                    && nested.nodes.iter().all(|node| is_valid_node(plan, node))
            }
        }
}

fn is_valid_scope(plan: &Plan, name: &str, scope: &Scope) -> bool {
    let is_known = |read: &String| {
        ["round", ARGUMENT].contains(&read.as_str()) || is_provided(&plan.provider_at_end(name, read))
    };
    scope.over().is_none_or(|over| is_valid_input(plan, name, over))
        && match scope {
            Scope::Repeat(repeat) => names_of(&repeat.until).iter().all(is_known),
            Scope::Retry(_) | Scope::Map(_) => true,
        }
}

fn is_valid_input(plan: &Plan, reader: &str, input: &Input) -> bool {
    match input {
        Input::Output { task, .. } => plan.relation(reader, task).is_allowed(),
        Input::From(name) => is_provided(&plan.provider(reader, name)),
        Input::Literal(_) | Input::Argument(_) | Input::Optional(_) => true,
    }
}

fn is_provided(provider: &Provider) -> bool {
    matches!(provider, Provider::Task(_) | Provider::Scope(_))
}

/// A flow on a few lines, for whoever reads of a failure.
pub fn in_short(flow: &Flow) -> String {
    let nodes: String = flow.nodes.iter().map(|node| node_in_short(node, 1)).collect();
    let most = flow.parallel_max.map_or(String::new(), |most| format!(" at most {most}"));
    let revert = undo_in_short(flow.revert.as_ref());
    format!("{}{}{most}{revert}:{nodes}", flow.pattern.word(), scope_in_short(flow.scope.as_ref()))
}

fn undo_in_short(revert: Option<&OwnRevert>) -> String {
    revert.map_or(String::new(), |revert| format!(" reverts {:?}", revert.inputs.values()))
}

fn node_in_short(node: &Node, depth: usize) -> String {
    let when =
        node.when().map_or(String::new(), |w| format!(" when {:?} skips {}", w.condition, w.skips.word()));
    let needs = if node.needs().is_empty() { String::new() } else { format!(" needs {:?}", node.needs()) };
    let (rest, nodes) = match node {
        Node::Task(task) => {
            let inputs = match &task.inputs {
                Inputs::Arguments => String::new(),
                Inputs::Named(inputs) => format!(" takes {:?}", inputs.values()),
            };
            let back =
                task.revert_inputs.as_ref().map_or(String::new(), |i| format!(" back {:?}", i.values()));
            (format!(" priority {}{inputs}{back}", task.priority), String::new())
        }
        Node::Wait(_) => panic!("random flows have no waits"),
        Node::Flow(nested) => {
            let nodes = nested.nodes.iter().map(|node| node_in_short(node, depth + 1)).collect();
            let revert = undo_in_short(nested.revert.as_ref());
            (format!(" {}{}{revert}:", nested.pattern.word(), scope_in_short(nested.scope.as_ref())), nodes)
        }
    };
    let phase = node.phase().map_or(String::new(), |phase| format!(" in {}", phase.word()));
    format!("\n{}{}{phase}{needs}{when}{rest}{nodes}", "    ".repeat(depth), node.name())
}

fn scope_in_short(scope: Option<&Scope>) -> String {
    scope.map_or(String::new(), |scope| format!(" {scope:?}"))
}
