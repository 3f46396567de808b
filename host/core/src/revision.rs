//! Flows under names, in immutable revisions.
//!
//! Invariants:
//! - A revision never changes, and pins its plugins: what it runs is the same for ever.
//! - The numbers of a name's revisions rise by one, and none is used again, also after the flow was deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::arguments::{Schemas, check_description, check_labels, check_name, check_text, validate_flow};
use crate::decide::scope::ROUND;
use crate::expression::names_of;
use crate::flow::{Flow, Input, Inputs, Node, PluginPin, Task};
use crate::id::FlowId;
use crate::own_revert::OwnRevert;
use crate::problem::Problems;
use crate::schedule::whole_milliseconds;
use crate::scope::{Scope, Strategy};
use crate::wait::{EVENT, Until};

/// Revisions that one name has at once. Whoever needs more makes flows by program, and submits them as they are.
pub const REVISIONS_MAX: u32 = 10_000;

/// A name, and which revisions stand under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFlow {
    /// Follows from the name.
    pub id: FlowId,
    pub name: String,
    /// Who made the first of the revisions.
    pub owner: String,
    /// The revisions that there are, from the first to the last.
    pub first: u32,
    pub latest: u32,
    /// From 1; rises with every revision, and when the flow is deleted.
    pub generation: u64,
    pub created: DateTime<Utc>,
    pub updated: DateTime<Utc>,
    /// There are no revisions any more; the numbers go on behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<DateTime<Utc>>,
}

/// One revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowRevision {
    pub id: FlowId,
    pub name: String,
    /// From 1.
    pub revision: u32,
    pub flow: Flow,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who made it.
    pub principal: String,
    pub created: DateTime<Utc>,
}

/// Names a revision, such as `backup@3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RevisionName {
    pub name: String,
    pub revision: u32,
}

impl fmt::Display for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.revision)
    }
}

/// A revision as somebody asks for it, its plugins pinned.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionSpec {
    pub name: String,
    pub flow: Flow,
    pub description: String,
    pub labels: BTreeMap<String, String>,
    pub principal: String,
}

/// Why a name gets no further revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevisionRefused {
    #[error("flow {name:?} has {REVISIONS_MAX} revisions, the most it can have: go on under another name")]
    Full { name: String },
}

impl RevisionSpec {
    /// Everything that is wrong with it, where `lookup` finds the schemas of a plugin that new work may use.
    pub fn check(&self, lookup: &dyn Fn(&PluginPin) -> Option<Arc<Schemas>>) -> Problems {
        let mut problems = Problems::default();
        check_name(&mut problems, "name", &self.name);
        check_description(&mut problems, "description", &self.description);
        check_labels(&mut problems, "labels", self.labels.iter());
        check_text(&mut problems, "principal", &self.principal);
        problems.0.extend(check_without_arguments(&self.flow, lookup).0);
        problems
    }

    fn revision(&self, revision: u32, now: DateTime<Utc>) -> FlowRevision {
        FlowRevision {
            id: FlowId::of_name(&self.name),
            name: self.name.clone(),
            revision,
            flow: self.flow.clone(),
            description: self.description.clone(),
            labels: self.labels.clone(),
            principal: self.principal.clone(),
            created: now,
        }
    }
}

impl FlowRevision {
    pub fn name(&self) -> RevisionName {
        RevisionName { name: self.name.clone(), revision: self.revision }
    }

    /// Whether it is what is asked for: then there is nothing to be made.
    pub fn is_as(&self, spec: &RevisionSpec) -> bool {
        self.flow == spec.flow && self.description == spec.description && self.labels == spec.labels
    }
}

impl NamedFlow {
    /// The first revision of a name.
    pub fn create(spec: &RevisionSpec, now: DateTime<Utc>) -> (Self, FlowRevision) {
        let now = whole_milliseconds(now);
        let named = Self {
            id: FlowId::of_name(&spec.name),
            name: spec.name.clone(),
            owner: spec.principal.clone(),
            first: 1,
            latest: 1,
            generation: 1,
            created: now,
            updated: now,
            deleted: None,
        };
        (named, spec.revision(1, now))
    }

    /// The next revision. That of a deleted flow begins it anew, and whoever asks for it owns it.
    pub fn revise(
        &self,
        spec: &RevisionSpec,
        now: DateTime<Utc>,
    ) -> Result<(Self, FlowRevision), RevisionRefused> {
        let full = || RevisionRefused::Full { name: self.name.clone() };
        let now = whole_milliseconds(now);
        let latest = self.latest.checked_add(1).ok_or_else(full)?;
        let mut named =
            Self { latest, generation: self.generation + 1, updated: now, deleted: None, ..self.clone() };
        if self.deleted.is_some() {
            (named.owner, named.first, named.created) = (spec.principal.clone(), latest, now);
        }
        if named.count() > REVISIONS_MAX {
            return Err(full());
        }
        Ok((named, spec.revision(latest, now)))
    }

    /// What remains of it: its name and its last number.
    pub fn delete(&self, now: DateTime<Utc>) -> Self {
        let now = whole_milliseconds(now);
        Self { generation: self.generation + 1, updated: now, deleted: Some(now), ..self.clone() }
    }

    /// How many revisions there are.
    pub fn count(&self) -> u32 {
        if self.deleted.is_some() { 0 } else { self.latest - self.first + 1 }
    }

    /// Whether there is a revision of this number.
    pub fn has(&self, revision: u32) -> bool {
        self.deleted.is_none() && (self.first..=self.latest).contains(&revision)
    }
}

/// Everything that is wrong with a flow whatever arguments it is given. A name that no task provides is taken for an
/// argument, and awaited.
pub fn check_without_arguments(flow: &Flow, lookup: &dyn Fn(&PluginPin) -> Option<Arc<Schemas>>) -> Problems {
    let awaited: Vec<String> = awaited(flow).into_iter().collect();
    let awaited: Vec<&str> = awaited.iter().map(String::as_str).collect();
    validate_flow(flow, &Map::new(), &awaited, lookup)
}

/// The arguments that a flow asks for and has no default of.
fn awaited(flow: &Flow) -> BTreeSet<String> {
    let mut asked = Asked::default();
    asked.scope(flow.scope.as_ref());
    asked.own_revert(flow.revert.as_ref());
    asked.nodes(&flow.nodes);
    let provided =
        flow.leaves().flat_map(|leaf| leaf.provides().keys().map(String::as_str).chain([leaf.name()]));
    let given: BTreeSet<&str> =
        provided.chain(flow.defaults.keys().map(String::as_str)).chain(asked.given).collect();
    asked.arguments.retain(|name| !flow.defaults.contains_key(name));
    asked.names.retain(|name| !given.contains(name.as_str()));
    asked.arguments.into_iter().chain(asked.names).collect()
}

/// What a flow asks for by name.
#[derive(Default)]
struct Asked<'a> {
    /// Only an argument can be meant.
    arguments: BTreeSet<String>,
    /// An argument, or what a task provides.
    names: BTreeSet<String>,
    /// The values that scopes give to what is in them.
    given: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    fn nodes(&mut self, nodes: &'a [Node]) {
        for node in nodes {
            self.names.extend(node.when().into_iter().flat_map(|when| names_of(&when.condition)));
            match node {
                Node::Task(task) => self.task(task),
                Node::Wait(wait) => self.wait(&wait.until),
                Node::Flow(nested) => {
                    self.scope(nested.scope.as_ref());
                    self.own_revert(nested.revert.as_ref());
                    self.nodes(&nested.nodes);
                }
            }
        }
    }

    fn task(&mut self, task: &Task) {
        if let Inputs::Named(inputs) = &task.inputs {
            inputs.values().for_each(|input| self.input(input));
        }
        task.revert_inputs.iter().flat_map(BTreeMap::values).for_each(|input| self.input(input));
    }

    fn wait(&mut self, until: &Until) {
        match until {
            Until::Time(time) => self.input(time),
            Until::Event(event) => {
                let names = event.condition.as_deref().map(names_of).into_iter().flatten();
                self.names.extend(names.filter(|name| name != EVENT));
            }
            Until::Child(child) => child.inputs.values().for_each(|input| self.input(input)),
            Until::Passed { .. } | Until::Approval(_) => {}
        }
    }

    fn own_revert(&mut self, revert: Option<&OwnRevert>) {
        revert.into_iter().flat_map(|revert| revert.inputs.values()).for_each(|input| self.input(input));
    }

    fn scope(&mut self, scope: Option<&'a Scope>) {
        match scope {
            None => {}
            Some(Scope::Map(map)) => self.list(&map.over, &map.name),
            Some(Scope::Retry(retry)) => match &retry.strategy {
                Strategy::ForEach { over, name } => self.list(over, name),
                Strategy::Times(_) | Strategy::AlwaysRevert | Strategy::AlwaysRevertAll => {}
            },
            Some(Scope::Repeat(repeat)) => {
                self.names.extend(names_of(&repeat.until).into_iter().filter(|name| name != ROUND));
            }
        }
    }

    fn list(&mut self, over: &Input, name: &'a str) {
        self.input(over);
        self.given.push(name);
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::Argument(name) => self.arguments.insert(name.clone()),
            Input::From(name) | Input::Optional(name) => self.names.insert(name.clone()),
            Input::Literal(_) | Input::Output { .. } => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::shape;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).expect("an instant")
    }

    fn spec(principal: &str) -> RevisionSpec {
        RevisionSpec {
            name: "nightly".to_owned(),
            flow: Flow::linear([]),
            description: String::new(),
            labels: BTreeMap::new(),
            principal: principal.to_owned(),
        }
    }

    #[test]
    fn numbers_rise_by_one_and_are_never_used_again() {
        let (named, first) = NamedFlow::create(&spec("ann"), at(0));
        assert_eq!((named.latest, first.revision, first.name().to_string().as_str()), (1, 1, "nightly@1"));
        let (named, second) = named.revise(&spec("bob"), at(1)).expect("there is room");
        assert_eq!((second.revision, named.owner.as_str(), named.count()), (2, "ann", 2));
        let gone = named.delete(at(2));
        assert_eq!((gone.has(1), gone.has(2), gone.count()), (false, false, 0));
        let (again, third) = gone.revise(&spec("bob"), at(3)).expect("there is room");
        assert_eq!((third.revision, again.owner.as_str(), again.count()), (3, "bob", 1));
        assert_eq!((again.has(2), again.has(3), again.has(4)), (false, true, false));
        assert!(again.generation > gone.generation && gone.generation > named.generation);
        assert_eq!(again.id, FlowId::of_name("nightly"));
    }

    #[test]
    fn a_name_has_a_bounded_number_of_revisions() {
        let (named, _) = NamedFlow::create(&spec("ann"), at(0));
        let full = NamedFlow { latest: REVISIONS_MAX, ..named };
        assert!(matches!(full.revise(&spec("ann"), at(1)), Err(RevisionRefused::Full { .. })));
        let (again, _) = full.delete(at(1)).revise(&spec("ann"), at(2)).expect("there is room again");
        assert_eq!(again.latest, REVISIONS_MAX + 1);
    }

    #[test]
    fn what_is_asked_for_again_is_recognised() {
        let (_, first) = NamedFlow::create(&spec("ann"), at(0));
        assert!(first.is_as(&spec("bob")));
        assert!(!first.is_as(&RevisionSpec { description: "changed".to_owned(), ..spec("ann") }));
    }

    fn task(name: &str, inputs: &[(&str, Input)], provides: &[&str]) -> Task {
        let inputs = inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect();
        let provides = provides.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        Task { inputs: Inputs::Named(inputs), provides, ..shape::task(name) }
    }

    #[test]
    fn what_nobody_provides_is_awaited_as_an_argument() {
        let argument = |name: &str| Input::Argument(name.to_owned());
        let from = |name: &str| Input::From(name.to_owned());
        let first = task("first", &[("a", argument("given")), ("b", argument("held"))], &["made"]);
        let second = task("second", &[("a", from("made")), ("b", from("open")), ("c", from("first"))], &[]);
        let mut flow = Flow::linear([first, second]);
        flow.defaults.insert("held".to_owned(), serde_json::Value::Null);
        let mapped = task("third", &[("at", from("host"))], &[]);
        let when =
            crate::scope::When { condition: "size > 1 && made > 1".to_owned(), skips: Default::default() };
        let (over, name) = (argument("hosts"), "host".to_owned());
        let map = Scope::Map(crate::scope::Map { over, name, parallel_max: None });
        let until = "third.done || round == limit".to_owned();
        let repeat = crate::scope::Repeat { until, rounds_max: 3, backoff: Default::default() };
        let nested = |name: &str, nodes, scope| {
            let (name, pattern, needs) = (name.to_owned(), Default::default(), Vec::new());
            Node::Flow(crate::flow::Nested {
                name,
                pattern,
                nodes,
                needs,
                scope: Some(scope),
                when: None,
                phase: None,
                revert: None,
            })
        };
        let inner = nested("inner", vec![Node::Task(Task { when: Some(when), ..mapped })], map);
        flow.nodes.push(nested("outer", vec![inner], Scope::Repeat(repeat)));
        // What a scope gives is no argument: one of that name would hide it, and is refused.
        let expected = ["given", "hosts", "limit", "open", "size"];
        assert_eq!(awaited(&flow).into_iter().collect::<Vec<_>>(), expected);
    }
}
