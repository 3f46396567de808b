//! Sections: the parts of a flow that run again as a whole, each with a graph of its own.
//!
//! The outermost section is the flow; every nested flow with a scope or a condition is the inside of a *scope*, which is
//! one node of the section around it. Whatever depends on something in a scope depends on the scope, and whatever in it
//! depends on something outside makes the whole scope wait: it begins when all that it needs is there, and nobody
//! outside goes on with what it might still undo.

use std::collections::BTreeSet;

use super::outline::{Member, Outline};
use crate::call::Direction;

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
    /// Each time that it runs is an iteration; otherwise it runs once, if at all.
    pub iterates: bool,
    /// How many numbers the iteration of its instances has.
    pub depth: usize,
    /// Sections around it.
    nesting: usize,
    /// Point -> node: tasks and scopes. The other points are beginnings and ends of plain flows.
    pub nodes: Vec<u32>,
    /// By point: what is passed before it, and what after it.
    pub(super) before: Vec<Vec<u32>>,
    pub(super) after: Vec<Vec<u32>>,
    /// By point beyond the nodes: the flow whose beginning or end it is.
    levels: Vec<u32>,
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
        };
        sections.flow(outline, 0, 0);
        sections.sections[0].last = sections.sections.len() as u32 - 1;
        for section in &mut sections.sections {
            let points = section.nodes.len() + section.levels.len();
            section.before = vec![Vec::new(); points];
            section.after = vec![Vec::new(); points];
        }
        for (level, _) in outline.levels().filter(|(level, _)| sections.scopes[*level as usize].is_none()) {
            let (begin, end) = &mut sections.flows[level as usize];
            let nodes = sections.sections[begin.section as usize].nodes.len() as u32;
            begin.point += nodes;
            end.point += nodes;
        }
        sections
    }

    fn flow(&mut self, outline: &Outline, level: u32, section: u32) {
        let is_scope = outline.at(level).is_scope;
        let section = if is_scope {
            self.scope(level, section, outline.at(level).iterates)
        } else {
            let levels = &mut self.sections[section as usize].levels;
            let point = levels.len() as u32;
            levels.extend([level, level]);
            self.flows[level as usize] = (Spot { section, point }, Spot { section, point: point + 1 });
            section
        };
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
            iterates: false,
            depth: 0,
            nesting: 0,
            nodes: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            levels: Vec::new(),
        }
    }

    /// The flow whose beginning or end the point is.
    pub(super) fn level(&self, point: u32) -> u32 {
        self.levels[point as usize - self.nodes.len()]
    }
}
