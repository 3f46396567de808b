//! The outline of a flow: its levels, who stands where in them, and what may depend on what.

use std::collections::{BTreeMap, HashMap};

use crate::flow::{Flow, Node, Pattern};

/// A task or a flow of a flow, by its number. The outermost flow has number 0.
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
    needs: Vec<String>,
    /// Name -> positions of the members in which it is provided, ascending.
    pub provided: HashMap<String, Vec<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outlined {
    name: String,
    spot: Spot,
    priority: i32,
    needs: Vec<String>,
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
        outline.level(String::new(), flow.pattern, &[], None, &flow.nodes);
        for (index, task) in (0_u32..).zip(flow.tasks()) {
            let own = (!task.provides.contains_key(&task.name)).then_some(&task.name);
            for name in task.provides.keys().chain(own) {
                outline.provide(index, name);
            }
        }
        outline
    }

    fn level<P>(
        &mut self,
        name: String,
        pattern: Pattern,
        needs: &[String],
        spot: Option<Spot>,
        nodes: &[Node<P>],
    ) -> u32 {
        let number = self.levels.len() as u32;
        let level = Level {
            pattern,
            members: Vec::new(),
            spot,
            name,
            needs: needs.to_vec(),
            provided: HashMap::new(),
        };
        self.levels.push(level);
        for (position, node) in (0_u32..).zip(nodes) {
            let spot = Spot { level: number, position };
            let member = match node {
                Node::Task(task) => {
                    self.tasks.push(Outlined {
                        name: task.name.clone(),
                        spot,
                        priority: task.priority,
                        needs: task.needs.clone(),
                    });
                    Member::Task(self.tasks.len() as u32 - 1)
                }
                Node::Flow(nested) => {
                    let name = nested.name.clone();
                    Member::Flow(self.level(name, nested.pattern, &nested.needs, Some(spot), &nested.nodes))
                }
            };
            self.names.entry(node.name().to_owned()).or_insert(member);
            self.levels[number as usize].members.push(member);
        }
        number
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

    pub fn point_count(&self) -> usize {
        self.tasks.len() + 2 * self.levels.len()
    }

    pub fn is_task(&self, point: u32) -> bool {
        (point as usize) < self.tasks.len()
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

    /// The point that is passed when a member begins.
    pub fn begin(&self, member: Member) -> u32 {
        match member {
            Member::Task(task) => task,
            Member::Flow(level) => self.tasks.len() as u32 + 2 * level,
        }
    }

    /// The point that is passed when all of a member is applied.
    pub fn end(&self, member: Member) -> u32 {
        match member {
            Member::Task(task) => task,
            Member::Flow(level) => self.tasks.len() as u32 + 2 * level + 1,
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

    /// The names of what the points belong to, each once where it follows itself.
    pub fn names_of(&self, points: &[u32]) -> Vec<String> {
        let name = |point: &u32| match (*point as usize).checked_sub(self.tasks.len()) {
            None => self.tasks[*point as usize].name.clone(),
            Some(rest) => self.levels[rest / 2].name.clone(),
        };
        let mut names: Vec<String> = points.iter().map(name).filter(|name| !name.is_empty()).collect();
        names.dedup();
        if names.len() > 1 && names.first() == names.last() {
            names.pop();
        }
        names
    }

    pub fn task_place(&self, task: u32) -> Vec<u32> {
        let mut place: Vec<u32> = self.way_out(Member::Task(task)).map(|spot| spot.position).collect();
        place.reverse();
        place
    }

    /// Where a member stands, then where what holds it stands, to the outermost level.
    fn way_out(&self, member: Member) -> impl Iterator<Item = Spot> {
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
