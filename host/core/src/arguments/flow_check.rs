//! Validation of flows: everything that is wrong, told before anything runs.
//!
//! What an input's value will be is known where it is a literal, an argument or a default; then the action's schema
//! judges it. What another task will provide, and what the event will be, is only checked for having a place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::flow_shape::{self, TASKS_MAX, refused};
use super::name::check_name;
use super::schema::{Schema, Schemas};
use crate::flow::{Flow, InDoubt, Input, Inputs, Node, ObservePolicy, PluginPin, Task};
use crate::own_revert::Called;
use crate::plan::{OUTERMOST, Plan, Provider, Relation};
use crate::problem::Problems;
use crate::wait::WAIT_MS_MAX;

/// Inputs, and provided names, of one task.
const BINDINGS_MAX: usize = 128;
/// Calls of one task under one key; at the longest pause that is more than four months.
pub const ATTEMPTS_MAX: u32 = 1_000;
/// The longest pause between two calls: a day.
pub const PAUSE_MS_MAX: u64 = 24 * 3_600 * 1_000;
/// The steepest growth of pauses, in percent: tenfold each time.
pub const FACTOR_PERCENT_MAX: u32 = 1_000;
/// The longest that one call may take: a day. What takes longer is under way elsewhere.
pub const CALL_TIMEOUT_MS_MAX: u64 = 24 * 3_600 * 1_000;
/// The least memory that a component can do anything with: a page of WebAssembly.
const MEMORY_BYTES_MIN: u64 = 64 * 1_024;
/// Bytes of a JSON pointer.
const POINTER_BYTES_MAX: usize = 1_024;

/// The schemas of a plugin that new jobs may use.
pub(super) type Lookup<'a> = &'a dyn Fn(&PluginPin) -> Option<Arc<Schemas>>;

/// The arguments of a job: what was given, and the flow's defaults for the rest.
pub fn effective_arguments(flow: &Flow, given: &Map<String, Value>) -> Map<String, Value> {
    let defaults = flow.defaults.iter().map(|(name, value)| (name.clone(), value.clone()));
    defaults.chain(given.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

/// Every problem of `flow` with these arguments. `awaited` are arguments that will be there when a job is made, such
/// as the event; `lookup` finds the schemas of a plugin that new jobs may use.
pub fn validate_flow(
    flow: &Flow,
    arguments: &Map<String, Value>,
    awaited: &[&str],
    lookup: Lookup<'_>,
) -> Problems {
    validate_planned(flow, None, arguments, awaited, lookup)
}

/// As [`validate_flow`], of a flow whose plan may be known.
pub fn validate_planned(
    flow: &Flow,
    plan: Option<&Arc<Plan>>,
    arguments: &Map<String, Value>,
    awaited: &[&str],
    lookup: Lookup<'_>,
) -> Problems {
    let mut problems = Problems::default();
    let Some(nodes) = flow_shape::nodes(&mut problems, flow) else { return problems };
    for name in flow.defaults.keys() {
        check_name(&mut problems, &format!("flow.defaults.{name}"), name);
    }
    for name in arguments.keys() {
        check_name(&mut problems, &format!("arguments.{name}"), name);
    }
    if let Some(parallel_max) = flow.parallel_max {
        bound(&mut problems, "flow.parallel_max", parallel_max.into(), 1, TASKS_MAX as u64);
    }
    flow_shape::check_duplicates(&mut problems, &nodes);
    let mut check = Check {
        plan: plan.cloned().unwrap_or_else(|| Arc::new(Plan::of(flow))),
        arguments: effective_arguments(flow, arguments),
        awaited: awaited.iter().map(|name| (*name).to_owned()).collect(),
        providers: providers(flow),
        flow,
        problems,
    };
    check.outermost(flow);
    check.own_revert("flow", OUTERMOST, (flow.revert.as_ref(), flow.scope.as_ref()), lookup);
    check.phases("flow", flow.pattern, &flow.nodes);
    check.names_of_own_reverts(flow, &nodes);
    for placed in &nodes {
        flow_shape::check_node(&mut check.problems, &check.plan, placed);
        check.condition(placed);
        match placed.node {
            Node::Task(task) => check.task(&placed.path, task, lookup),
            Node::Wait(wait) => check.wait(&placed.path, wait, lookup),
            Node::Flow(nested) => {
                let (path, scope) = (format!("{}.flow", placed.path), nested.scope.as_ref());
                check.scope(&path, &nested.name, scope);
                check.own_revert(&path, &nested.name, (nested.revert.as_ref(), scope), lookup);
                check.phases(&path, nested.pattern, &nested.nodes);
            }
        }
    }
    flow_shape::check_cycles(&mut check.problems, &check.plan, &nodes);
    check.problems
}

/// Name -> the first two tasks that provide it, wherever they are.
fn providers(flow: &Flow) -> HashMap<&str, Vec<&str>> {
    let mut providers: HashMap<&str, Vec<&str>> = HashMap::new();
    for leaf in flow.leaves() {
        for name in leaf.provides().keys().map(String::as_str).chain([leaf.name()]) {
            let tasks = providers.entry(name).or_default();
            if tasks.len() < 2 && tasks.last() != Some(&leaf.name()) {
                tasks.push(leaf.name());
            }
        }
    }
    providers
}

pub(super) fn bound(problems: &mut Problems, path: &str, value: u64, from: u64, to: u64) {
    bound_at(problems, || path.to_owned(), value, from, to);
}

/// As [`bound`], where a path would be made for every value that is right.
fn bound_at(problems: &mut Problems, path: impl FnOnce() -> String, value: u64, from: u64, to: u64) {
    if !(from..=to).contains(&value) {
        problems.add(path(), format!("{value} is out of bounds: give {from} to {to}"));
    }
}

pub(super) struct Check<'a> {
    pub flow: &'a Flow,
    pub plan: Arc<Plan>,
    arguments: Map<String, Value>,
    awaited: BTreeSet<String>,
    providers: HashMap<&'a str, Vec<&'a str>>,
    pub problems: Problems,
}

/// What is known of a call's input before anything runs.
#[derive(Default)]
pub(super) struct Foreseen {
    pub known: Map<String, Value>,
    pub awaited: BTreeSet<String>,
}

/// What is known of one property.
pub(super) enum Sight {
    Known(Value),
    Awaited,
    Absent,
    /// Nobody gives a value; the reason.
    Missing(String),
}

impl Check<'_> {
    fn task(&mut self, path: &str, task: &Task, lookup: Lookup<'_>) {
        self.bounds(path, Called::Task(task));
        self.provides(path, &task.provides);
        let foreseen = self.foresee(path, task);
        self.call(path, Called::Task(task), foreseen, lookup);
    }

    /// The plugin and action of whatever is called, and what of its inputs their schema refuses.
    pub(super) fn call(
        &mut self,
        path: &str,
        called: Called<'_>,
        foreseen: Vec<(String, Foreseen)>,
        lookup: Lookup<'_>,
    ) {
        let Some(schemas) = lookup(called.plugin()) else {
            let PluginPin { name, version, digest } = called.plugin();
            let message =
                format!("plugin {name} {version} ({digest}) is not there or not active: upload it first");
            return self.problems.add(format!("{path}.plugin"), message);
        };
        let Some(action) = schemas.action(called.action()) else {
            let actions: Vec<_> = schemas.action_names().collect();
            let (plugin, known) = (&called.plugin().name, actions.join(", "));
            let message = format!("plugin {plugin} has no action {:?}: it has {known}", called.action());
            return self.problems.add(format!("{path}.action"), message);
        };
        if let Called::Task(task) = called
            && !action.is_observed
        {
            self.unobserved(path, task);
        }
        for (place, foreseen) in foreseen {
            self.against(&action.input, &place, called.action(), &foreseen);
        }
    }

    /// What a task may not say whose plugin cannot be asked what became of it.
    fn unobserved(&mut self, path: &str, task: &Task) {
        let why = format!("{} of {} is not observed", task.action, task.plugin.name);
        if task.in_doubt == InDoubt::Observe {
            let message = format!("is observe, and {why}: say reapply, revert or hold");
            self.problems.add(format!("{path}.in_doubt"), message);
        }
        if task.observe != ObservePolicy::default() {
            let message = format!("is for what is accepted and finishes elsewhere, and {why}: leave it out");
            self.problems.add(format!("{path}.observe"), message);
        }
    }

    /// What is foreseen of the inputs of apply and of revert, each with its path, as far as they have providers.
    fn foresee(&mut self, path: &str, task: &Task) -> Vec<(String, Foreseen)> {
        let who = format!("task {:?}", task.name);
        let sight = |check: &Self, input: &Input| check.sight(&task.name, input);
        let inputs = match &task.inputs {
            Inputs::Arguments => {
                let foreseen = Foreseen { known: self.arguments.clone(), awaited: self.awaited.clone() };
                Some(("arguments".to_owned(), foreseen))
            }
            Inputs::Named(named) => self.inputs(&who, format!("{path}.inputs"), "input", named, &sight),
        };
        let reverts = task.revert_inputs.as_ref();
        let reverts = reverts.and_then(|named| {
            self.inputs(&who, format!("{path}.revert_inputs"), "revert input", named, &sight)
        });
        inputs.into_iter().chain(reverts).collect()
    }

    pub(super) fn bounds(&mut self, path: &str, called: Called<'_>) {
        let mut bound = |field: &str, value: u64, from: u64, to: u64| {
            bound_at(&mut self.problems, || format!("{path}.{field}"), value, from, to);
        };
        let retry = called.retry();
        bound("retry.attempts_max", retry.attempts_max.into(), 1, ATTEMPTS_MAX.into());
        bound("retry.pause_ms", retry.pause_ms, 0, PAUSE_MS_MAX);
        bound("retry.pause_ms_max", retry.pause_ms_max, retry.pause_ms.min(PAUSE_MS_MAX), PAUSE_MS_MAX);
        bound("retry.factor_percent", retry.factor_percent.into(), 100, FACTOR_PERCENT_MAX.into());
        if let Called::Task(task) = called {
            let observe = &task.observe;
            bound("observe.deadline_ms", observe.deadline_ms, 1, WAIT_MS_MAX);
            bound("observe.pause_ms", observe.pause_ms, 0, PAUSE_MS_MAX);
            bound(
                "observe.pause_ms_max",
                observe.pause_ms_max,
                observe.pause_ms.min(PAUSE_MS_MAX),
                PAUSE_MS_MAX,
            );
            bound("observe.factor_percent", observe.factor_percent.into(), 100, FACTOR_PERCENT_MAX.into());
        }
        if let Some(timeout_ms) = called.timeout_ms() {
            bound("timeout_ms", timeout_ms, 1, CALL_TIMEOUT_MS_MAX);
        }
        if let Some(bytes) = called.memory_bytes_max() {
            bound("memory_bytes_max", bytes, MEMORY_BYTES_MIN, u64::from(u32::MAX));
        }
    }

    pub(super) fn provides(&mut self, path: &str, provides: &BTreeMap<String, String>) {
        if provides.len() > BINDINGS_MAX {
            let count = provides.len();
            self.problems.add(format!("{path}.provides"), format!("are {count}: at most {BINDINGS_MAX}"));
        }
        for (name, pointer) in provides {
            let path = format!("{path}.provides.{name}");
            check_name(&mut self.problems, &path, name);
            if !is_pointer(pointer) {
                self.problems.add(path, malformed(pointer));
            }
        }
    }

    /// What is foreseen of a call's input, and its path; `None` where one of the inputs has no provider: that is told,
    /// and the schema would only tell the same again.
    pub(super) fn inputs(
        &mut self,
        who: &str,
        path: String,
        noun: &str,
        named: &BTreeMap<String, Input>,
        sight: &dyn Fn(&Self, &Input) -> Sight,
    ) -> Option<(String, Foreseen)> {
        if named.len() > BINDINGS_MAX {
            self.problems.add(&path, format!("are {}: at most {BINDINGS_MAX}", named.len()));
        }
        let mut foreseen = Foreseen::default();
        let mut is_complete = true;
        for (name, input) in named {
            match sight(self, input) {
                Sight::Known(value) => {
                    foreseen.known.insert(name.clone(), value);
                }
                Sight::Awaited => {
                    foreseen.awaited.insert(name.clone());
                }
                Sight::Absent => {}
                Sight::Missing(reason) => {
                    let message = format!("{who} has no provider for its {noun} {name:?}: {reason}");
                    self.problems.add(format!("{path}.{name}"), message);
                    is_complete = false;
                }
            }
        }
        is_complete.then_some((path, foreseen))
    }

    /// What a task or nested flow sees of an input.
    pub(super) fn sight(&self, reader: &str, input: &Input) -> Sight {
        match input {
            Input::Literal(value) => Sight::Known(value.clone()),
            Input::Argument(name) => self.argument(name).unwrap_or_else(|| {
                Sight::Missing(format!("no argument and no default is called {name:?}; give one"))
            }),
            Input::Output { task: of, pointer } => self.output(reader, of, pointer),
            Input::From(name) | Input::Optional(name) => {
                let is_optional = matches!(input, Input::Optional(_));
                match (self.argument(name), self.plan.provider(reader, name)) {
                    (Some(sight), _) => sight,
                    (None, Provider::Task(of)) if !is_optional => self.certain(reader, self.plan.name(of)),
                    (None, Provider::Task(_) | Provider::Scope(_)) => Sight::Awaited,
                    (None, Provider::Several(tasks)) => self.several(name, &tasks),
                    (None, Provider::Nobody) if is_optional => Sight::Absent,
                    (None, Provider::Nobody) => Sight::Missing(self.nobody_provides(reader, name)),
                }
            }
        }
    }

    pub(super) fn several(&self, name: &str, tasks: &[String]) -> Sight {
        Sight::Missing(format!(
            "{name:?} is provided by {}, and nothing says which of them is meant; name the task and a pointer into its \
             output",
            tasks.join(", ")
        ))
    }

    fn output(&self, reader: &str, of: &str, pointer: &str) -> Sight {
        match self.plan.relation(reader, of) {
            Relation::Within => Sight::Missing(
                "a task cannot take its own output; revert finds it in its evidence".to_owned(),
            ),
            Relation::Unknown => Sight::Missing(format!("no task is called {of:?}")),
            Relation::Allowed if self.plan.index(of).is_none() => {
                Sight::Missing(format!("{of:?} is a nested flow; name the task in it"))
            }
            Relation::Allowed if !is_pointer(pointer) => Sight::Missing(malformed(pointer)),
            Relation::Allowed => self.certain(reader, of),
            relation @ (Relation::Later | Relation::Unordered(_)) => {
                Sight::Missing(refused(&relation, of).unwrap_or_default())
            }
        }
    }

    /// What another task gives, where that is not left out while its reader runs.
    fn certain(&self, reader: &str, of: &str) -> Sight {
        match self.left_out_alone(reader, of) {
            None => Sight::Awaited,
            Some(by) => Sight::Missing(format!(
                "task {of:?} is left out where the condition of {by:?} does not hold, and this one still runs; take it \
                 by an optional name, or let the condition skip all"
            )),
        }
    }

    pub(super) fn argument(&self, name: &str) -> Option<Sight> {
        // The event replaces what an argument of that name would have been.
        if self.awaited.contains(name) {
            return Some(Sight::Awaited);
        }
        self.arguments.get(name).map(|value| Sight::Known(value.clone()))
    }

    fn nobody_provides(&self, reader: &str, name: &str) -> String {
        let tasks = self.providers.get(name).map_or(&[][..], Vec::as_slice);
        let hint = tasks.iter().find(|other| **other != reader).map(|other| {
            match self.plan.relation(reader, other) {
                Relation::Later => format!("; task {other:?} provides it later: move it before"),
                relation => {
                    let why = refused(&relation, other).unwrap_or_default();
                    format!("; task {other:?} provides it, but {why}")
                }
            }
        });
        let hint = hint.unwrap_or_default();
        format!(
            "{name:?} is neither an argument, nor a default, nor provided by a task that is visible here{hint}"
        )
    }

    fn against(&mut self, schema: &Schema, place: &str, action: &str, foreseen: &Foreseen) {
        if foreseen.awaited.is_empty() {
            let whole = schema.check(&Value::Object(foreseen.known.clone()), place);
            self.problems.0.extend(whole.0);
            return;
        }
        self.problems.0.extend(schema.check_parts(&foreseen.known, &foreseen.awaited, place).0);
        for name in foreseen.awaited.iter().filter(|name| !schema.knows(name)) {
            let message =
                format!("action {action:?} has no property {name:?}: remove it or correct its name");
            self.problems.add(format!("{place}.{name}"), message);
        }
    }
}

pub(super) fn malformed(pointer: &str) -> String {
    format!("{pointer:?} is not a JSON pointer (RFC 6901); use \"\" for the whole or \"/name/0\"")
}

/// RFC 6901: empty, or steps that each begin with `/`, in which `~` is followed by 0 or 1.
pub(super) fn is_pointer(pointer: &str) -> bool {
    let is_escaped = |step: &str| step.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (pointer.is_empty() || pointer.starts_with('/'))
        && pointer.len() <= POINTER_BYTES_MAX
        && is_escaped(pointer)
}
