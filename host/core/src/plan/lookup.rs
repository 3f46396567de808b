//! Lookup: who provides a name to a task that asks for it.
//!
//! From the inside out, level by level, the first that has the name decides. In a linear flow it is the nearest member
//! before; in a graph the one other member that has it; members of an unordered flow see nothing of each other. A
//! nested flow shows outside what the tasks in it provide: a linear one the last, a graph and an unordered one all. The
//! value that a flow runs for is seen by its members, and hidden by a member that provides the same name.

use super::outline::{Level, Member, Outline, Spot};
use crate::flow::Pattern;

/// Candidates that are named where there are too many.
const SEVERAL_MAX: usize = 3;

/// Who provides a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    Nobody,
    /// The number of the task.
    Task(u32),
    /// The number of the flow that runs for a value of that name.
    Scope(u32),
    /// Nothing says which of them, of whom some are named.
    Several(Vec<String>),
}

impl Outline {
    /// The nearest visible provider.
    pub(super) fn nearest(&self, reader: Member, name: &str) -> Provider {
        let mut spot = self.spot(reader);
        while let Some(at) = spot {
            let level = self.at(at.level);
            match self.beside(level, at, name) {
                Provider::Nobody if level.variable.as_deref() == Some(name) => {
                    return Provider::Scope(at.level);
                }
                Provider::Nobody => spot = level.spot,
                found => return found,
            }
        }
        Provider::Nobody
    }

    /// The provider that is visible when all of a flow is applied.
    pub(super) fn nearest_at_end(&self, flow: u32, name: &str) -> Provider {
        match self.inside(Member::Flow(flow), name) {
            Provider::Nobody if self.at(flow).variable.as_deref() == Some(name) => Provider::Scope(flow),
            Provider::Nobody => self.nearest(Member::Flow(flow), name),
            found => found,
        }
    }

    /// What a member of a flow sees of the others.
    fn beside(&self, level: &Level, at: Spot, name: &str) -> Provider {
        let positions = level.provided.get(name).map_or(&[][..], Vec::as_slice);
        match level.pattern {
            Pattern::Unordered => Provider::Nobody,
            Pattern::Linear => {
                let before = positions.partition_point(|position| *position < at.position);
                before.checked_sub(1).map_or(Provider::Nobody, |last| {
                    self.inside(level.members[positions[last] as usize], name)
                })
            }
            Pattern::Graph => {
                let others = positions.iter().filter(|position| **position != at.position);
                self.one_of(level, others, name)
            }
        }
    }

    /// What a member shows outside.
    fn inside(&self, member: Member, name: &str) -> Provider {
        let level = match member {
            Member::Task(task) => return Provider::Task(task),
            Member::Flow(level) => self.at(level),
        };
        let positions = level.provided.get(name).map_or(&[][..], Vec::as_slice);
        match (level.pattern, positions.last()) {
            (Pattern::Linear, Some(last)) => self.inside(level.members[*last as usize], name),
            _ => self.one_of(level, positions.iter(), name),
        }
    }

    fn one_of<'a>(&self, level: &Level, positions: impl Iterator<Item = &'a u32>, name: &str) -> Provider {
        let found: Vec<_> =
            positions.take(SEVERAL_MAX).map(|position| level.members[*position as usize]).collect();
        match found.as_slice() {
            [] => Provider::Nobody,
            [one] => self.inside(*one, name),
            several => {
                let mut names = Vec::new();
                for member in several {
                    match self.inside(*member, name) {
                        Provider::Task(task) => names.push(self.task_name(task).to_owned()),
                        Provider::Several(more) => names.extend(more),
                        Provider::Scope(_) | Provider::Nobody => {}
                    }
                }
                names.truncate(SEVERAL_MAX);
                Provider::Several(names)
            }
        }
    }
}
