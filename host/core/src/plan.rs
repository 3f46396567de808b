//! Plans: what follows from a flow's definition for the order of its tasks, and who provides what to whom.
//!
//! A plan is made once for a flow and never changes. It is a graph of *points* for each *section*: one for each task and
//! each scope, and two for each other flow, its beginning and its end, so that a hundred tasks after a hundred others
//! take two hundred edges and not ten thousand. An edge says that one point is passed before the other.
//!
//! Tasks, scopes and own reverts are *nodes*, numbered together: tasks first, in the order of definition, own reverts
//! last.
//!
//! Invariant: a plan depends on the flow alone, never on the arguments of a job. Every edge is one that the definition
//! allows; what it asks for and does not allow makes no edge and is a problem that validation tells. A valid flow's
//! points have no cycle.

mod cycle;
mod lookup;
mod outline;
mod read;
mod section;

use std::collections::BTreeSet;

use crate::flow::{Flow, Pattern};
use crate::frontier::Seat;
use crate::instance::InstanceName;
use crate::own_revert;
use crate::phase::Phase;
use crate::scope::SkipDepth;

pub use lookup::Provider;
use outline::{Member, Outline};
pub use outline::{OUTERMOST, Relation};
use read::Read;
pub(crate) use section::Section;
use section::{Bound, Sections, Spot};

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct Plan {
    outline: Outline,
    sections: Vec<Section>,
    /// By node: where it is.
    spots: Vec<Spot>,
    /// By flow: the node that it is, where it is a scope.
    scopes: Vec<Option<u32>>,
    /// Names of the tasks and nested flows on each cycle. Empty for a valid flow.
    cycles: Vec<Vec<String>>,
}

impl Plan {
    pub fn of<P>(flow: &Flow<P>) -> Self {
        let outline = Outline::of(flow);
        let mut sections = Sections::of(&outline);
        let mut edges = Edges { outline: &outline, sections: &sections, pairs: BTreeSet::new() };
        edges.patterns();
        edges.needs();
        edges.phases();
        read::each(flow, &mut |member, read| edges.data(member, &read));
        let pairs = std::mem::take(&mut edges.pairs);
        sections.connect(pairs);
        let Sections { sections, spots, scopes, .. } = sections;
        let mut plan = Self { outline, sections, spots, scopes, cycles: Vec::new() };
        plan.cycles = plan.find_cycles();
        plan
    }

    fn find_cycles(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for section in &self.sections {
            for cycle in cycle::cycles(&section.before, &section.after) {
                let names = cycle.iter().map(|point| self.name_of_point(section, *point).to_owned());
                let mut names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
                names.dedup();
                if names.len() > 1 && names.first() == names.last() {
                    names.pop();
                }
                found.push(names);
            }
        }
        found.truncate(cycle::CYCLES_MAX);
        found
    }

    fn name_of_point(&self, section: &Section, point: u32) -> &str {
        match section.nodes.get(point as usize) {
            Some(node) => self.name(*node),
            None => match section.bound(point) {
                Bound::Flow(flow) => self.outline.level_name(flow),
                Bound::Phase(Phase::Reserve) => "(phase reserve)",
                Bound::Phase(Phase::Configure) => "(phase configure)",
                Bound::Phase(Phase::Acquire) => "(phase acquire)",
            },
        }
    }

    pub fn task_count(&self) -> usize {
        self.outline.task_count()
    }

    /// The number of a task in the order of definition.
    pub fn index(&self, task: &str) -> Option<u32> {
        match self.outline.member(task)? {
            Member::Task(index) => Some(index),
            Member::Flow(_) => None,
        }
    }

    /// The number of a task, scope or own revert.
    pub fn node(&self, name: &str) -> Option<u32> {
        match self.outline.member(name) {
            Some(Member::Task(index)) => Some(index),
            Some(Member::Flow(flow)) => self.scopes[flow as usize],
            None if name == OUTERMOST => self.scopes[0],
            None => self.own_revert(name.strip_suffix(own_revert::SUFFIX)?),
        }
    }

    /// The number of the own revert of a flow.
    fn own_revert(&self, flow: &str) -> Option<u32> {
        let flow = match self.outline.member(flow) {
            Some(Member::Flow(flow)) => flow,
            None if flow == OUTERMOST => 0,
            Some(Member::Task(_)) | None => return None,
        };
        self.section(self.inside(self.scopes[flow as usize]?)?).own_revert
    }

    /// The flow has a task, scope or own revert of that name.
    pub fn knows(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// How many numbers the iteration of a task or scope has for the scopes around it.
    pub fn depth(&self, name: &str) -> usize {
        self.node(name).map_or(0, |node| self.section(self.seat(node).0).depth)
    }

    /// The name of the task, scope or own revert with that number.
    pub fn name(&self, node: u32) -> &str {
        match self.inside(node) {
            Some(section) => self.outline.level_name(self.section(section).flow),
            None if self.is_task(node) => self.outline.task_name(node),
            None => self.outline.own_revert_name(self.section(self.seat(node).0).flow),
        }
    }

    pub(crate) fn is_task(&self, node: u32) -> bool {
        (node as usize) < self.task_count()
    }

    /// Going forward a call is made for it: it is no scope and no wait.
    pub(crate) fn takes_call(&self, node: u32) -> bool {
        self.is_task(node) && !self.outline.is_wait(node)
    }

    /// The section that is the inside of a scope; none for what is called.
    pub(crate) fn inside(&self, node: u32) -> Option<u32> {
        let section = (node + 1).checked_sub(self.task_count() as u32);
        section.filter(|section| (1..self.sections.len() as u32).contains(section))
    }

    pub(crate) fn is_scope(&self, node: u32) -> bool {
        self.inside(node).is_some()
    }

    pub(crate) fn is_own_revert(&self, node: u32) -> bool {
        self.sections[self.seat(node).0 as usize].own_revert == Some(node)
    }

    /// The own revert of the flow that the node is a member of stands for undoing it.
    pub(crate) fn is_undone_as_a_whole(&self, node: u32) -> bool {
        self.sections[self.seat(node).0 as usize].own_revert.is_some_and(|own_revert| own_revert != node)
    }

    /// The own reverts, that of a flow before those in it.
    pub(crate) fn own_reverts(&self) -> impl Iterator<Item = u32> {
        self.sections.iter().filter_map(|section| section.own_revert)
    }

    /// The own reverts of the flows around a node, that of the innermost first; without itself.
    pub(crate) fn own_reverts_around(&self, node: u32) -> impl Iterator<Item = u32> {
        let around = |section: &u32| Some(self.seat(self.section(*section).scope?).0);
        let sections = std::iter::successors(Some(self.seat(node).0), around);
        let own_reverts = sections.filter_map(|section| self.section(section).own_revert);
        own_reverts.filter(move |own_revert| *own_revert != node)
    }

    /// The name of the flow that a section is the inside of.
    pub(crate) fn flow_of(&self, section: u32) -> &str {
        self.outline.level_name(self.section(section).flow)
    }

    /// The node is in the section, or in one within it.
    pub(crate) fn is_within(&self, section: u32, node: u32) -> bool {
        (section..=self.section(section).last).contains(&self.seat(node).0)
    }

    pub(crate) fn section(&self, section: u32) -> &Section {
        &self.sections[section as usize]
    }

    /// The section that a task or scope is a node of, and its point there.
    pub(crate) fn seat(&self, node: u32) -> (u32, u32) {
        let spot = self.spots[node as usize];
        (spot.section, spot.point)
    }

    /// Where an instance is; none for one that the flow has no place for.
    pub(crate) fn seat_of(&self, name: &InstanceName) -> Option<Seat> {
        let node = self.node(&name.task)?;
        let depth = self.section(self.seat(node).0).depth;
        let path = name.iteration.get(..depth)?.to_vec();
        Some(Seat { node, path })
    }

    /// The scope nodes around a node, the outermost first.
    pub(crate) fn scopes_around(&self, node: u32) -> Vec<u32> {
        let mut around = Vec::new();
        let mut section = self.seat(node).0;
        while let Some(scope) = self.section(section).scope {
            around.push(scope);
            section = self.seat(scope).0;
        }
        around.reverse();
        around
    }

    /// The scopes, each after those around it.
    pub(crate) fn scopes_in_order(&self) -> Vec<u32> {
        self.sections.iter().filter_map(|section| section.scope).collect()
    }

    pub(crate) fn priority(&self, node: u32) -> i32 {
        if self.is_task(node) { self.outline.priority(node) } else { 0 }
    }

    /// Where in the definition the task or scope is, from the outermost level on; empty for the outermost flow.
    pub(crate) fn place(&self, node: u32) -> Vec<u32> {
        self.outline.place(self.member_of(node))
    }

    /// That of an own revert is its flow.
    fn member_of(&self, node: u32) -> Member {
        match self.inside(node) {
            Some(section) => Member::Flow(self.section(section).flow),
            None if self.is_task(node) => Member::Task(node),
            None => Member::Flow(self.section(self.seat(node).0).flow),
        }
    }

    /// The tasks and scopes that are applied before this one begins and reverted after it, as far as nothing lies
    /// between, in the same section.
    pub fn predecessors(&self, name: &str) -> Vec<&str> {
        let node = self.node(name);
        node.map_or(Vec::new(), |node| self.names_of(self.neighbours(node, |section| &section.before)))
    }

    /// The tasks and scopes that begin after this one is applied, as far as nothing lies between, in the same section.
    pub fn successors(&self, name: &str) -> Vec<&str> {
        let node = self.node(name);
        node.map_or(Vec::new(), |node| self.names_of(self.neighbours(node, |section| &section.after)))
    }

    fn names_of(&self, nodes: BTreeSet<u32>) -> Vec<&str> {
        nodes.into_iter().map(|node| self.name(node)).collect()
    }

    fn neighbours(&self, node: u32, edges: impl Fn(&Section) -> &Vec<Vec<u32>>) -> BTreeSet<u32> {
        let (section, point) = self.seat(node);
        let section = self.section(section);
        let edges = edges(section);
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = edges[point as usize].clone();
        while let Some(point) = open.pop() {
            if section.is_node(point) {
                found.insert(point);
            } else if seen.insert(point) {
                open.extend(&edges[point as usize]);
            }
        }
        // A flow's end comes after all of its members, and an edge may be asked for that says no more than others.
        let mut further = BTreeSet::new();
        open.extend(found.iter().flat_map(|point| &edges[*point as usize]));
        while let Some(point) = open.pop() {
            if further.insert(point) {
                open.extend(&edges[point as usize]);
            }
        }
        found.difference(&further).map(|point| section.nodes[*point as usize]).collect()
    }

    /// What is left out with a node whose condition does not hold, itself first; each in the section that it is a node
    /// of.
    pub(crate) fn skipped(&self, node: u32, depth: SkipDepth) -> Vec<u32> {
        let mut skipped = BTreeSet::new();
        match depth {
            SkipDepth::Task => {}
            SkipDepth::Neighbours => skipped.extend(self.neighbours(node, |section| &section.after)),
            SkipDepth::Flow => {
                let flow = self.outline.spot(self.member_of(node)).map(|spot| spot.level);
                let is_inside = |other: &u32| {
                    self.outline.way_out(self.member_of(*other)).any(|spot| Some(spot.level) == flow)
                };
                skipped.extend(self.all_after(node).into_iter().filter(is_inside));
            }
            SkipDepth::All => {
                skipped.extend(self.all_after(node));
                let mut section = self.section(self.seat(node).0);
                // A flow that has a condition and runs once is no bound.
                while let Some(scope) = section.scope.filter(|_| !section.iterates) {
                    skipped.extend(self.all_after(scope));
                    section = self.section(self.seat(scope).0);
                }
            }
        }
        [node].into_iter().chain(skipped).collect()
    }

    fn all_after(&self, node: u32) -> BTreeSet<u32> {
        let (section, point) = self.seat(node);
        let section = self.section(section);
        let mut seen = BTreeSet::new();
        let mut open = section.after[point as usize].clone();
        while let Some(point) = open.pop() {
            if seen.insert(point) {
                open.extend(&section.after[point as usize]);
            }
        }
        let nodes = seen.into_iter().filter(|point| section.is_node(*point));
        nodes.map(|point| section.nodes[point as usize]).collect()
    }

    /// Names of the tasks and nested flows on each cycle: what can never run. Empty for a valid flow.
    pub fn cycles(&self) -> &[Vec<String>] {
        &self.cycles
    }

    /// The nearest visible provider of a name, for a task or nested flow that looks for it. A scope is given by its
    /// node.
    pub fn provider(&self, reader: &str, name: &str) -> Provider {
        let member = match self.outline.member(reader) {
            None if reader == OUTERMOST => Some(Member::Flow(0)),
            member => member,
        };
        member.map_or(Provider::Nobody, |reader| self.by_node(self.outline.nearest(reader, name)))
    }

    /// The provider of a name that is visible when all of a scope is applied.
    pub(crate) fn provider_at_end(&self, scope: &str, name: &str) -> Provider {
        let flow = match self.outline.member(scope) {
            Some(Member::Flow(flow)) => flow,
            None if scope == OUTERMOST => 0,
            Some(Member::Task(_)) | None => return Provider::Nobody,
        };
        self.by_node(self.outline.nearest_at_end(flow, name))
    }

    fn by_node(&self, provider: Provider) -> Provider {
        match provider {
            Provider::Scope(flow) => self.scopes[flow as usize].map_or(Provider::Nobody, Provider::Scope),
            provider => provider,
        }
    }

    /// A task is in a flow, at any depth.
    pub(crate) fn holds(&self, flow: &str, task: u32) -> bool {
        match self.outline.member(flow) {
            Some(Member::Flow(flow)) => {
                self.outline.way_out(Member::Task(task)).any(|spot| spot.level == flow)
            }
            Some(Member::Task(_)) => false,
            None => flow == OUTERMOST,
        }
    }

    /// How a node may depend on another.
    pub fn relation(&self, node: &str, on: &str) -> Relation {
        self.outline.relation(node, on)
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plan({} tasks, {} sections)", self.task_count(), self.sections.len())
    }
}

struct Edges<'a> {
    outline: &'a Outline,
    sections: &'a Sections,
    pairs: BTreeSet<(Spot, Spot)>,
}

impl Edges<'_> {
    /// What the patterns say.
    fn patterns(&mut self) {
        let (outline, sections) = (self.outline, self.sections);
        for (flow, level) in outline.levels() {
            let (begin, end) = (sections.begin(Member::Flow(flow)), sections.end(Member::Flow(flow)));
            if level.members.is_empty() {
                self.pairs.insert((begin, end));
            }
            let mut last = begin;
            for member in &level.members {
                self.pairs.insert((last, sections.begin(*member)));
                match level.pattern {
                    Pattern::Linear => last = sections.end(*member),
                    Pattern::Unordered | Pattern::Graph => {
                        self.pairs.insert((sections.end(*member), end));
                    }
                }
            }
            if level.pattern == Pattern::Linear && !level.members.is_empty() {
                self.pairs.insert((last, end));
            }
        }
    }

    /// What is said in as many words.
    fn needs(&mut self) {
        for (name, member, needs) in self.outline.needs() {
            for needed in needs {
                if self.outline.relation(name, needed).is_allowed()
                    && let Some(other) = self.outline.member(needed)
                {
                    self.pairs.insert((self.sections.end(other), self.sections.begin(member)));
                }
            }
        }
    }

    /// What the phases say: the members in one are applied before what is between it and the next, and the members in
    /// that begin after it.
    fn phases(&mut self) {
        let (outline, sections) = (self.outline, self.sections);
        for (flow, level) in outline.levels() {
            let between = sections.between_phases(flow);
            if between.is_empty() {
                continue;
            }
            let phases: Vec<Phase> = outline.phases(flow).into_iter().collect();
            for member in &level.members {
                let Some(phase) = outline.phase(*member) else { continue };
                let at = phases.binary_search(&phase).expect("a phase of a member is one of its flow");
                let begins_after = at.checked_sub(1).map(|before| (between[before], sections.begin(*member)));
                let ends_before = between.get(at).map(|after| (sections.end(*member), *after));
                self.pairs.extend(begins_after.into_iter().chain(ends_before));
            }
        }
    }

    /// What follows from what a node reads: in its inputs, of revert as well (it wants them when it undoes the task,
    /// and what they come from is undone later than that), in its condition, and in what makes it run again.
    fn data(&mut self, reader: Member, read: &Read<'_>) {
        let provider = match read {
            Read::Output(of) => {
                let is_allowed = self.outline.relation(self.outline.name(reader), of).is_allowed();
                self.outline.member(of).filter(|member| is_allowed && matches!(member, Member::Task(_)))
            }
            Read::Name(name) => task_of(self.outline.nearest(reader, name)),
            Read::AtEnd(name) => match reader {
                Member::Flow(flow) => task_of(self.outline.nearest_at_end(flow, name)),
                Member::Task(_) => None,
            },
        };
        if let Some(provider) = provider {
            self.pairs.insert((self.sections.end(provider), self.sections.begin(reader)));
        }
    }
}

fn task_of(provider: Provider) -> Option<Member> {
    match provider {
        Provider::Task(provider) => Some(Member::Task(provider)),
        Provider::Scope(_) | Provider::Nobody | Provider::Several(_) => None,
    }
}

#[cfg(test)]
mod tests;
