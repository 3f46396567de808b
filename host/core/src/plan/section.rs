//! Sections: the parts of a flow that run again as a whole, each with a graph of its own.
//!
//! The outermost section is the flow; every flow with a scope, a condition or a revert of its own is the inside of a
//! *scope*, which is one node of the section around it. Whatever depends on something in a scope depends on the scope, and whatever in it
//! depends on something outside makes the whole scope wait: it begins when all that it needs is there, and nobody
//! outside goes on with what it might still undo.

use std::collections::BTreeSet;

use super::outline::{Member, Outline};
use crate::call::Direction;
use crate::phase::Phase;

/// A place in the graph of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub section: u32,
    pub point: u32,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The node that it is the inside of; none for the outermost.
    pub scope: Option<u32>,
    /// The flow that it is the inside of.
    pub(super) flow: u32,
    /// The last section within it; those between are within it as well.
    pub last: u32,
    /// The node of the call that undoes it as a whole. It is in no order with the others: they never go back.
    pub own_revert: Option<u32>,
    /// Each time that it runs is an iteration; otherwise it runs once, if at all.
    pub iterates: bool,
    /// How many numbers the iteration of its instances has.
    pub depth: usize,
    /// Sections around it.
    nesting: usize,
    /// Point -> node: tasks, scopes, and its own revert. The other points are beginnings and ends of plain flows, and
    /// what is between the phases of a flow.
    pub nodes: Vec<u32>,
    /// By point: what is passed before it, and what after it.
    pub(super) before: Vec<Vec<u32>>,
    pub(super) after: Vec<Vec<u32>>,
    /// By point beyond the nodes.
    bounds: Vec<Bound>,
}

/// What a point stands for that is no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// The beginning or the end of a flow.
    Flow(u32),
    /// What is between the members of a flow that are in an earlier phase and those that are in this one.
    Phase(Phase),
}

impl Section {
    /// What is passed before a point, going in this direction.
    pub fn waits_for(&self, direction: Direction, point: u32) -> &[u32] {
        match direction {
            Direction::Apply => &self.before[point as usize],
            Direction::Revert => &self.after[point as usize],
        }
    }

    /// What is passed after a point, going in this direction.
    pub fn lets_go(&self, direction: Direction, point: u32) -> &[u32] {
        self.waits_for(direction.opposite(), point)
    }

    pub fn point_count(&self) -> usize {
        self.before.len()
    }

    pub(super) fn is_node(&self, point: u32) -> bool {
        (point as usize) < self.nodes.len()
    }
}

/// All sections of a flow, and where in them everything is.
pub(super) struct Sections {
    pub sections: Vec<Section>,
    /// By node.
    pub spots: Vec<Spot>,
    /// By flow: where it begins and where it ends, in the section around it where it is a scope.
    flows: Vec<(Spot, Spot)>,
    /// By flow: the node that it is, where it is a scope.
    pub scopes: Vec<Option<u32>>,
    /// By flow: the points before each of its phases but the first.
    phases: Vec<Vec<Spot>>,
}

impl Sections {
    /// The sections of a flow, without edges.
    pub fn of(outline: &Outline) -> Self {
        let nowhere = Spot { section: 0, point: 0 };
        let flows = outline.levels().count();
        let mut sections = Self {
            sections: vec![Section::new(None)],
            spots: vec![nowhere; outline.task_count()],
            flows: vec![(nowhere, nowhere); flows],
            scopes: vec![None; flows],
            phases: vec![Vec::new(); flows],
        };
        sections.flow(outline, 0, 0);
        sections.sections[0].last = sections.sections.len() as u32 - 1;
        sections.own_reverts(outline);
        for section in &mut sections.sections {
            let points = section.nodes.len() + section.bounds.len();
            section.before = vec![Vec::new(); points];
            section.after = vec![Vec::new(); points];
        }
        sections.put_bounds_after_nodes(outline);
        sections
    }

    /// They are numbered after all tasks and scopes.
    fn own_reverts(&mut self, outline: &Outline) {
        for section in 1..self.sections.len() as u32 {
            if outline.at(self.sections[section as usize].flow).has_own_revert {
                let node = self.spots.len() as u32;
                let spot = self.seat(section, node);
                self.spots.push(spot);
                self.sections[section as usize].own_revert = Some(node);
            }
        }
    }

    fn put_bounds_after_nodes(&mut self, outline: &Outline) {
        let Self { sections, flows, scopes, phases, .. } = self;
        let nodes_of = |spot: &Spot| sections[spot.section as usize].nodes.len() as u32;
        for (level, _) in outline.levels() {
            let level = level as usize;
            for spot in &mut phases[level] {
                spot.point += nodes_of(spot);
            }
            if scopes[level].is_none() {
                let (begin, end) = &mut flows[level];
                begin.point += nodes_of(begin);
                end.point += nodes_of(end);
            }
        }
    }

    fn flow(&mut self, outline: &Outline, level: u32, section: u32) {
        let is_scope = outline.at(level).is_scope;
        let section = if is_scope {
            self.scope(level, section, outline.at(level).iterates)
        } else {
            let begin = self.bound(section, Bound::Flow(level));
            let end = self.bound(section, Bound::Flow(level));
            self.flows[level as usize] = (begin, end);
            section
        };
        let phases = outline.phases(level).into_iter().skip(1);
        self.phases[level as usize] = phases.map(|phase| self.bound(section, Bound::Phase(phase))).collect();
        for member in &outline.at(level).members {
            match member {
                Member::Task(task) => self.spots[*task as usize] = self.seat(section, *task),
                Member::Flow(flow) => self.flow(outline, *flow, section),
            }
        }
        if is_scope {
            self.sections[section as usize].last = self.sections.len() as u32 - 1;
        }
    }

    /// A scope in a section; returns the section that is its inside.
    fn scope(&mut self, level: u32, section: u32, iterates: bool) -> u32 {
        let node = self.spots.len() as u32;
        let spot = self.seat(section, node);
        self.spots.push(spot);
        self.flows[level as usize] = (spot, spot);
        self.scopes[level as usize] = Some(node);
        let around = &self.sections[section as usize];
        let inside = Section {
            flow: level,
            iterates,
            depth: around.depth + usize::from(iterates),
            nesting: around.nesting + 1,
            ..Section::new(Some(node))
        };
        self.sections.push(inside);
        self.sections.len() as u32 - 1
    }

    fn seat(&mut self, section: u32, node: u32) -> Spot {
        let nodes = &mut self.sections[section as usize].nodes;
        nodes.push(node);
        Spot { section, point: nodes.len() as u32 - 1 }
    }

    fn bound(&mut self, section: u32, bound: Bound) -> Spot {
        let bounds = &mut self.sections[section as usize].bounds;
        bounds.push(bound);
        Spot { section, point: bounds.len() as u32 - 1 }
    }

    /// What is between the phases of a flow.
    pub fn between_phases(&self, flow: u32) -> &[Spot] {
        &self.phases[flow as usize]
    }

    pub fn begin(&self, member: Member) -> Spot {
        match member {
            Member::Task(task) => self.spots[task as usize],
            Member::Flow(flow) => self.flows[flow as usize].0,
        }
    }

    pub fn end(&self, member: Member) -> Spot {
        match member {
            Member::Task(task) => self.spots[task as usize],
            Member::Flow(flow) => self.flows[flow as usize].1,
        }
    }

    /// Makes the edges: each between what stands for its two ends in the innermost section that holds both.
    pub fn connect(&mut self, edges: BTreeSet<(Spot, Spot)>) {
        let mut lifted = BTreeSet::new();
        for (mut from, mut to) in edges {
            while from.section != to.section {
                if self.sections[from.section as usize].nesting >= self.sections[to.section as usize].nesting
                {
                    from = self.around(from.section);
                } else {
                    to = self.around(to.section);
                }
            }
            // What is within one scope is in order there.
            if from != to {
                lifted.insert((from.section, from.point, to.point));
            }
        }
        for (section, from, to) in lifted {
            let section = &mut self.sections[section as usize];
            section.after[from as usize].push(to);
            section.before[to as usize].push(from);
        }
    }

    fn around(&self, section: u32) -> Spot {
        let scope = self.sections[section as usize].scope.expect("the outermost section holds all others");
        self.spots[scope as usize]
    }
}

impl Section {
    fn new(scope: Option<u32>) -> Self {
        Self {
            scope,
            flow: 0,
            last: 0,
            own_revert: None,
            iterates: false,
            depth: 0,
            nesting: 0,
            nodes: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            bounds: Vec::new(),
        }
    }

    pub(super) fn bound(&self, point: u32) -> Bound {
        self.bounds[point as usize - self.nodes.len()]
    }
}
