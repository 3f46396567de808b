//! What makes flows run again, and the conditions under which nodes run: everything that is wrong with them.

use serde_json::Value;

use super::flow_check::{Check, FACTOR_PERCENT_MAX, PAUSE_MS_MAX, Sight, bound};
use super::flow_shape::{ELEMENTS_MAX, Placed};
use super::name::check_name;
use crate::decide::scope::ROUND;
use crate::expression::Expression;
use crate::flow::{Flow, Input, PluginPin};
use crate::plan::{OUTERMOST, Provider};
use crate::scope::{Backoff, Repeat, Scope, ScopeRetry, Strategy};

/// Tries of one scope in one series.
pub const TIMES_MAX: u32 = 1_000;
/// Rounds of one scope in one series.
pub const ROUNDS_MAX: u32 = 10_000;
/// Classes of faults after which a scope is not tried again.
const EXCEPT_MAX: usize = 64;

impl Check<'_> {
    /// What makes the outermost flow run again.
    pub fn outermost(&mut self, flow: &Flow) {
        let is_named = flow.scope.is_some() || flow.revert.is_some();
        if is_named && self.plan.relation(OUTERMOST, OUTERMOST) != crate::plan::Relation::Unknown {
            let why = if flow.scope.is_some() { "runs again" } else { "has a revert of its own" };
            let message = format!("{OUTERMOST:?} is the name of the outermost flow, as it {why}: rename it");
            self.problems.add("flow.tasks", message);
        }
        self.scope("flow", OUTERMOST, flow.scope.as_ref());
    }

    pub fn scope(&mut self, path: &str, name: &str, scope: Option<&Scope>) {
        match scope {
            None => {}
            Some(Scope::Retry(retry)) => self.retry(&format!("{path}.retry"), name, retry),
            Some(Scope::Repeat(repeat)) => self.repeat(&format!("{path}.repeat"), name, repeat),
            Some(Scope::Map(map)) => {
                let path = format!("{path}.map");
                self.list(&path, name, &map.over, &map.name);
                if let Some(most) = map.parallel_max {
                    bound(
                        &mut self.problems,
                        &format!("{path}.parallel_max"),
                        most.into(),
                        1,
                        ELEMENTS_MAX as u64,
                    );
                }
            }
        }
    }

    fn retry(&mut self, path: &str, name: &str, retry: &ScopeRetry) {
        match &retry.strategy {
            Strategy::Times(times) => {
                bound(&mut self.problems, &format!("{path}.times"), (*times).into(), 0, TIMES_MAX.into());
            }
            Strategy::ForEach { over, name: variable } => {
                self.list(&format!("{path}.for_each"), name, over, variable);
            }
            Strategy::AlwaysRevert | Strategy::AlwaysRevertAll => {}
        }
        self.backoff(path, &retry.backoff);
        if retry.except.len() > EXCEPT_MAX {
            let message = format!("are {}: at most {EXCEPT_MAX}", retry.except.len());
            self.problems.add(format!("{path}.except"), message);
        }
        for (index, class) in retry.except.iter().enumerate() {
            super::name::check_text(&mut self.problems, &format!("{path}.except[{index}]"), class);
        }
    }

    fn repeat(&mut self, path: &str, name: &str, repeat: &Repeat) {
        bound(
            &mut self.problems,
            &format!("{path}.rounds_max"),
            repeat.rounds_max.into(),
            1,
            ROUNDS_MAX.into(),
        );
        self.backoff(path, &repeat.backoff);
        let path = format!("{path}.until");
        self.expression(&path, &repeat.until, &|check, read| {
            read == ROUND
                || check.argument(read).is_some()
                || matches!(check.plan.provider_at_end(name, read), Provider::Task(_) | Provider::Scope(_))
        });
    }

    fn backoff(&mut self, path: &str, backoff: &Backoff) {
        if backoff.pause_ms == 0 {
            return;
        }
        let mut bound = |field: &str, value: u64, from: u64, to: u64| {
            bound(&mut self.problems, &format!("{path}.{field}"), value, from, to);
        };
        bound("pause_ms", backoff.pause_ms, 0, PAUSE_MS_MAX);
        bound("pause_ms_max", backoff.pause_ms_max, backoff.pause_ms.min(PAUSE_MS_MAX), PAUSE_MS_MAX);
        bound("factor_percent", backoff.factor_percent.into(), 100, FACTOR_PERCENT_MAX.into());
    }

    /// Where the list comes from, and the name of its values.
    fn list(&mut self, path: &str, scope: &str, over: &Input, variable: &str) {
        check_name(&mut self.problems, &format!("{path}.name"), variable);
        if self.argument(variable).is_some() {
            let message = format!(
                "{variable:?} is an argument as well, which would hide the values: give them a name of their own"
            );
            self.problems.add(format!("{path}.name"), message);
        }
        let path = format!("{path}.over");
        match self.sight(scope, over) {
            Sight::Known(Value::Array(list)) if list.len() > ELEMENTS_MAX => {
                self.problems.add(path, format!("has {} values: at most {ELEMENTS_MAX}", list.len()));
            }
            Sight::Known(Value::Array(_)) | Sight::Awaited => {}
            Sight::Known(_) => self.problems.add(path, "is no list: give a JSON array"),
            Sight::Absent => self.problems.add(path, "is given by nobody: an optional name may be missing"),
            Sight::Missing(reason) => {
                self.problems.add(path, format!("flow {scope:?} has no provider for its list: {reason}"));
            }
        }
    }

    /// Under which condition a node runs.
    pub fn condition(&mut self, placed: &Placed<'_, PluginPin>) {
        let Some(when) = placed.node.when() else { return };
        let node = placed.node.name();
        self.expression(&format!("{}.when", placed.path), &when.condition, &|check, read| {
            matches!(check.sight(node, &Input::Optional(read.to_owned())), Sight::Known(_) | Sight::Awaited)
        });
    }

    pub(super) fn expression(&mut self, path: &str, source: &str, is_given: &dyn Fn(&Self, &str) -> bool) {
        let expression = match Expression::parse(source) {
            Ok(expression) => expression,
            Err(error) => return self.problems.add(path, format!("{source:?} {error}")),
        };
        // What may be missing, as an argument that not every job has, is asked for with has(names.x).
        let is_missing = |name: &&str| !expression.tests(name) && !is_given(self, name);
        let missing: Vec<_> = expression.names().filter(is_missing).collect();
        for name in missing {
            let message = format!(
                "{source:?} reads {name:?}, which is neither an argument, nor a default, nor provided by a task that is \
                 visible here; where it may be missing, ask for it with has(names.{name})"
            );
            self.problems.add(path, message);
        }
    }

    /// Whose condition leaves a task out and not its reader.
    pub fn left_out_alone(&self, reader: &str, of: &str) -> Option<String> {
        let (reader, of) = (self.plan.node(reader)?, self.plan.node(of)?);
        let around = |node: u32| [node].into_iter().chain(self.plan.scopes_around(node));
        let readers: Vec<u32> = around(reader).collect();
        // The conditions of the task, and of what holds it and not its reader.
        let own = around(of).filter(|node| !readers.contains(node));
        own.filter_map(|node| Some((node, self.when_of(node)?))).find_map(|(node, skips)| {
            let skipped = self.plan.skipped(node, skips);
            let is_left_out = readers.iter().any(|reader| skipped.contains(reader));
            (!is_left_out).then(|| self.plan.name(node).to_owned())
        })
    }

    fn when_of(&self, node: u32) -> Option<crate::scope::SkipDepth> {
        let place = self.plan.place(node);
        self.flow.node_at(&place)?.when().map(|when| when.skips)
    }
}
