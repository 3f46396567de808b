//! The outline of a flow: its levels, who stands where in them, and what may depend on what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::flow::{Flow, Node, Pattern};
use crate::own_revert;
use crate::phase::Phase;
use crate::scope::Scope;

/// What the outermost flow is called where it is a scope, or has a revert of its own.
pub const OUTERMOST: &str = "flow";

/// A task (or wait, which stands in the same order) or a flow of a flow, by its number. The outermost flow has number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Task(u32),
    Flow(u32),
}

/// Where a task or nested flow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// The flow that it is in.
    pub level: u32,
    /// Its place among the members of that.
    pub position: u32,
}

/// One flow, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Level {
    pub pattern: Pattern,
    pub members: Vec<Member>,
    /// None for the outermost flow.
    pub spot: Option<Spot>,
    name: String,
    /// What its own revert is called, which is no member of it.
    own_revert_name: String,
    needs: Vec<String>,
    phase: Option<Phase>,
    /// It has a condition or a revert of its own, or runs again: it is the inside of a section of its own.
    pub is_scope: bool,
    pub iterates: bool,
    /// It is undone as a whole.
    pub has_own_revert: bool,
    /// The name by which its members see the value that it runs for.
    pub variable: Option<String>,
    /// Name -> positions of the members in which it is provided, ascending.
    pub provided: HashMap<String, Vec<u32>>,
}

/// A flow as it is written, whatever it is nested in.
struct Written<'a, P> {
    name: &'a str,
    pattern: Pattern,
    needs: &'a [String],
    phase: Option<Phase>,
    scope: Option<&'a Scope>,
    is_conditional: bool,
    has_own_revert: bool,
    nodes: &'a [Node<P>],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outlined {
    name: String,
    spot: Spot,
    priority: i32,
    needs: Vec<String>,
    phase: Option<Phase>,
    is_wait: bool,
}

/// See the module. Of nodes with the same name only the first can be found by it; validation tells of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline {
    tasks: Vec<Outlined>,
    levels: Vec<Level>,
    names: HashMap<String, Member>,
}

/// How one node of a flow stands to another that it wants to come after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// Their patterns leave it open, or say so anyway.
    Allowed,
    /// In a linear flow the other comes later.
    Later,
    /// They are in different members of an unordered flow: its name, empty for the outermost.
    Unordered(String),
    /// One is the other, or is in it.
    Within,
    Unknown,
}

impl Relation {
    pub fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }
}

impl Outline {
    pub fn of<P>(flow: &Flow<P>) -> Self {
        let mut outline = Self { tasks: Vec::new(), levels: Vec::new(), names: HashMap::new() };
        let outermost = Written {
            // Only a scope is spoken of by its name.
            name: if flow.scope.is_some() || flow.revert.is_some() { OUTERMOST } else { "" },
            pattern: flow.pattern,
            needs: &[],
            phase: None,
            scope: flow.scope.as_ref(),
            is_conditional: false,
            has_own_revert: flow.revert.is_some(),
            nodes: &flow.nodes,
        };
        outline.level(&outermost, None);
        for (index, leaf) in (0_u32..).zip(flow.leaves()) {
            let own = (!leaf.provides().contains_key(leaf.name())).then_some(leaf.name());
            for name in leaf.provides().keys().map(String::as_str).chain(own) {
                outline.provide(index, name);
            }
        }
        outline
    }

    fn level<P>(&mut self, written: &Written<'_, P>, spot: Option<Spot>) -> u32 {
        let number = self.levels.len() as u32;
        let level = Level {
            pattern: written.pattern,
            members: Vec::new(),
            spot,
            name: written.name.to_owned(),
            own_revert_name: own_revert::name_of(written.name),
            needs: written.needs.to_vec(),
            phase: written.phase,
            is_scope: written.scope.is_some() || written.is_conditional || written.has_own_revert,
            iterates: written.scope.is_some(),
            // Of a flow that runs again each iteration is undone for itself; validation refuses both together.
            has_own_revert: written.has_own_revert && written.scope.is_none(),
            variable: written.scope.and_then(Scope::variable).map(str::to_owned),
            provided: HashMap::new(),
        };
        self.levels.push(level);
        for (position, node) in (0_u32..).zip(written.nodes) {
            let spot = Spot { level: number, position };
            let member = match node {
                Node::Task(task) => self.task(Outlined {
                    name: task.name.clone(),
                    spot,
                    priority: task.priority,
                    needs: task.needs.clone(),
                    phase: task.phase,
                    is_wait: false,
                }),
                Node::Wait(wait) => self.task(Outlined {
                    name: wait.name.clone(),
                    spot,
                    priority: 0,
                    needs: wait.needs.clone(),
                    phase: None,
                    is_wait: true,
                }),
                Node::Flow(nested) => {
                    let written = Written {
                        name: &nested.name,
                        pattern: nested.pattern,
                        needs: &nested.needs,
                        phase: nested.phase,
                        scope: nested.scope.as_ref(),
                        is_conditional: nested.when.is_some(),
                        has_own_revert: nested.revert.is_some(),
                        nodes: &nested.nodes,
                    };
                    Member::Flow(self.level(&written, Some(spot)))
                }
            };
            self.names.entry(node.name().to_owned()).or_insert(member);
            self.levels[number as usize].members.push(member);
        }
        number
    }

    fn task(&mut self, task: Outlined) -> Member {
        self.tasks.push(task);
        Member::Task(self.tasks.len() as u32 - 1)
    }

    /// In every level around it, the member that holds the task provides the name.
    fn provide(&mut self, task: u32, name: &str) {
        let mut spot = Some(self.tasks[task as usize].spot);
        while let Some(at) = spot {
            let level = &mut self.levels[at.level as usize];
            let positions = level.provided.entry(name.to_owned()).or_default();
            if positions.last() != Some(&at.position) {
                positions.push(at.position);
            }
            spot = level.spot;
        }
    }

    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    pub fn member(&self, name: &str) -> Option<Member> {
        self.names.get(name).copied()
    }

    pub fn task_name(&self, task: u32) -> &str {
        &self.tasks[task as usize].name
    }

    pub fn priority(&self, task: u32) -> i32 {
        self.tasks[task as usize].priority
    }

    pub fn is_wait(&self, task: u32) -> bool {
        self.tasks[task as usize].is_wait
    }

    pub fn phase(&self, member: Member) -> Option<Phase> {
        match member {
            Member::Task(task) => self.tasks[task as usize].phase,
            Member::Flow(flow) => self.levels[flow as usize].phase,
        }
    }

    /// The phases that order the members of a flow, the earliest first.
    pub fn phases(&self, level: u32) -> BTreeSet<Phase> {
        let level = self.at(level);
        let members = level.members.iter().filter(|_| level.pattern == Pattern::Graph);
        members.filter_map(|member| self.phase(*member)).collect()
    }

    pub fn levels(&self) -> impl Iterator<Item = (u32, &Level)> {
        (0_u32..).zip(&self.levels)
    }

    pub fn at(&self, level: u32) -> &Level {
        &self.levels[level as usize]
    }

    /// None for the outermost flow.
    pub fn spot(&self, member: Member) -> Option<Spot> {
        match member {
            Member::Task(task) => Some(self.tasks[task as usize].spot),
            Member::Flow(level) => self.levels[level as usize].spot,
        }
    }

    /// Whatever needs something: name, member, what it needs.
    pub fn needs(&self) -> impl Iterator<Item = (&str, Member, &[String])> {
        let tasks = (0_u32..).zip(&self.tasks);
        let tasks =
            tasks.map(|(index, task)| (task.name.as_str(), Member::Task(index), task.needs.as_slice()));
        let flows = self.levels().skip(1);
        let flows =
            flows.map(|(index, level)| (level.name.as_str(), Member::Flow(index), level.needs.as_slice()));
        tasks.chain(flows)
    }

    pub fn level_name(&self, level: u32) -> &str {
        &self.levels[level as usize].name
    }

    pub fn own_revert_name(&self, level: u32) -> &str {
        &self.levels[level as usize].own_revert_name
    }

    pub fn place(&self, member: Member) -> Vec<u32> {
        let mut place: Vec<u32> = self.way_out(member).map(|spot| spot.position).collect();
        place.reverse();
        place
    }

    pub fn name(&self, member: Member) -> &str {
        match member {
            Member::Task(task) => self.task_name(task),
            Member::Flow(flow) => self.level_name(flow),
        }
    }

    /// Where a member stands, then where what holds it stands, to the outermost level.
    pub fn way_out(&self, member: Member) -> impl Iterator<Item = Spot> {
        std::iter::successors(self.spot(member), |spot| self.levels[spot.level as usize].spot)
    }

    /// How a node stands to another that it wants to come after: the innermost flow that holds both decides.
    pub fn relation(&self, node: &str, on: &str) -> Relation {
        let (Some(node), Some(on)) = (self.member(node), self.member(on)) else { return Relation::Unknown };
        let (one, other) = (self.way_out(node), self.way_out(on));
        let other: BTreeMap<u32, u32> = other.map(|spot| (spot.level, spot.position)).collect();
        let shared = one.into_iter().find_map(|spot| {
            let position = other.get(&spot.level)?;
            Some((&self.levels[spot.level as usize], spot.position, *position))
        });
        match shared {
            None => Relation::Within,
            Some((_, position, of_other)) if position == of_other => Relation::Within,
            Some((level, position, of_other)) => match level.pattern {
                Pattern::Unordered => Relation::Unordered(level.name.clone()),
                Pattern::Linear if of_other > position => Relation::Later,
                Pattern::Linear | Pattern::Graph => Relation::Allowed,
            },
        }
    }
}
