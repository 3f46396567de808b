//! The frontier of a job: which of its tasks can be called next, which are, and which stand in the way.
//!
//! It follows from the plan and the instances, and could be made anew from them at any time; it is kept, entry by entry,
//! so that a decision costs as much in a flow of ten thousand tasks as in one of ten. Each iteration of a section that
//! is under way is a *frame*, with a direction of its own: while a job goes forward, a scope in it goes back to be tried
//! again. Going back it is the same with every edge turned round.
//!
//! Invariant: a frontier that was kept equals one that is made anew.

mod frame;
mod own_revert;
mod queue;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::call::Direction;
use crate::plan::Plan;
use frame::Frame;
pub use frame::{FrameName, Seat, Stand};
use queue::Queue;
pub use view::View;

/// How far a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Elements {
    /// The first that was not begun.
    next: u32,
    live: u32,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontier {
    frames: BTreeMap<FrameName, Frame>,
    queue: Queue,
    calling: BTreeSet<Seat>,
    failed: BTreeSet<Seat>,
    /// Scopes of which everything inside is done, and that nobody was told of yet.
    ended: BTreeSet<Seat>,
    /// Frames of scopes that failed and are tried again when nothing in them runs any more.
    turning: BTreeSet<FrameName>,
    elements: BTreeMap<Seat, Elements>,
    /// Tasks that have failed, whatever else became of them since.
    faulty: BTreeSet<Seat>,
}

impl Frontier {
    /// The frontier of a job that goes in this direction, as it follows from its instances.
    pub fn of(view: &View<'_>, direction: Direction) -> Self {
        let mut frontier = Self {
            frames: BTreeMap::new(),
            queue: Queue::default(),
            calling: BTreeSet::new(),
            failed: BTreeSet::new(),
            ended: BTreeSet::new(),
            turning: BTreeSet::new(),
            elements: BTreeMap::new(),
            faulty: view.faulty().collect(),
        };
        frontier.open(view, FrameName::outermost(), direction);
        frontier
    }

    /// Something became of a task or scope: it stands as its instances say now.
    pub fn settle(&mut self, view: &View<'_>, seat: &Seat) {
        if view.is_faulty(seat) {
            self.faulty.insert(seat.clone());
        } else {
            self.faulty.remove(seat);
        }
        let Some(direction) = self.frames.get(&FrameName::of(view.plan, seat)).map(|f| f.direction) else {
            // It is not under way, as what is skipped with a scope.
            return;
        };
        self.place(view, seat, view.stand(direction, seat));
    }

    /// Going back, for whoever asks in which order: it is undone.
    pub fn put_done(&mut self, view: &View<'_>, seat: &Seat) {
        self.place(view, seat, Stand::Done);
    }

    fn place(&mut self, view: &View<'_>, seat: &Seat, stand: Stand) {
        let name = FrameName::of(view.plan, seat);
        let point = view.plan.seat(seat.node).1 as usize;
        let Some(frame) = self.frames.get_mut(&name) else { return };
        let before = std::mem::replace(&mut frame.stands[point], stand);
        // The same word says of a scope that another iteration has begun.
        if before == stand && !view.plan.is_scope(seat.node) {
            return;
        }
        debug_assert!(before != Stand::Done || stand == Stand::Done, "{seat:?} was done and is {stand:?}");
        let direction = frame.direction;
        self.take_out(view, seat, before, direction);
        if stand != Stand::Done {
            return self.put_in(view, seat);
        }
        if before == Stand::Done {
            return;
        }
        let frame = self.frames.get_mut(&name).expect("it was there");
        frame.left -= 1;
        let is_closed = frame.left == 0;
        for point in frame.pass(view.plan.section(name.section), vec![point as u32]) {
            let node = view.plan.section(name.section).nodes[point as usize];
            self.put_in(view, &Seat { node, path: name.path.clone() });
        }
        if is_closed {
            self.close(view, &name);
        }
    }

    /// Adds a frame where something is left to do in it; whether there is.
    fn open(&mut self, view: &View<'_>, name: FrameName, direction: Direction) -> bool {
        let section = view.plan.section(name.section);
        let seat = |node: u32| Seat { node, path: name.path.clone() };
        let stands = section.nodes.iter().map(|node| view.stand(direction, &seat(*node))).collect();
        let mut frame = Frame::of(section, direction, stands);
        frame.is_failing = self.frames.get(&name.around(view.plan)).is_some_and(|around| around.is_failing);
        if frame.left == 0 && section.scope.is_some() {
            return false;
        }
        self.frames.insert(name.clone(), frame);
        for node in &section.nodes {
            self.put_in(view, &seat(*node));
        }
        true
    }

    fn put_in(&mut self, view: &View<'_>, seat: &Seat) {
        let frame = &self.frames[&FrameName::of(view.plan, seat)];
        let point = view.plan.seat(seat.node).1 as usize;
        let (stand, direction) = (frame.stands[point], frame.direction);
        let is_free = frame.unmet[point] == 0;
        let is_open = is_free && !frame.is_failing;
        match stand {
            Stand::Open if is_free && direction == Direction::Revert && view.plan.is_scope(seat.node) => {
                self.go_back(view, seat);
            }
            Stand::Open if is_open => self.queue.add(view.plan, seat, direction, None),
            Stand::Sleeping(until) if is_open => self.queue.add(view.plan, seat, direction, Some(until)),
            Stand::Calling => {
                self.calling.insert(seat.clone());
            }
            Stand::Failed => {
                self.failed.insert(seat.clone());
                if direction == Direction::Apply {
                    self.fail(view, seat);
                }
            }
            Stand::Within => self.enter(view, seat),
            Stand::Open | Stand::Sleeping(_) | Stand::Done => {}
        }
    }

    fn take_out(&mut self, view: &View<'_>, seat: &Seat, stand: Stand, direction: Direction) {
        match stand {
            Stand::Open => self.queue.remove(view.plan, seat, direction, None),
            Stand::Sleeping(until) => self.queue.remove(view.plan, seat, direction, Some(until)),
            Stand::Calling => drop(self.calling.remove(seat)),
            Stand::Failed => drop(self.failed.remove(seat)),
            Stand::Done | Stand::Within => {}
        }
        if let Some(section) = view.plan.inside(seat.node) {
            self.leave(view.plan, seat, section);
        }
    }

    /// Takes everything away that is inside a scope.
    fn leave(&mut self, plan: &Plan, seat: &Seat, section: u32) {
        self.ended.remove(seat);
        self.elements.remove(seat);
        let inside = FrameName { section, path: seat.path.clone() };
        let frames = self.frames_in(plan, &inside);
        if frames.is_empty() {
            return;
        }
        frames.iter().for_each(|name| drop(self.frames.remove(name)));
        self.queue.retain(|seat| !inside.holds(plan, seat));
        for seats in [&mut self.calling, &mut self.failed, &mut self.ended] {
            seats.retain(|seat| !inside.holds(plan, seat));
        }
        self.elements.retain(|seat, _| !inside.holds(plan, seat));
        self.turning.retain(|name| !inside.holds_frame(plan, name));
    }

    /// The frame and those within it.
    fn frames_in(&self, plan: &Plan, outer: &FrameName) -> Vec<FrameName> {
        let mut found = Vec::new();
        for section in outer.section..=plan.section(outer.section).last {
            let first = FrameName { section, path: outer.path.clone() };
            let frames = self.frames.range(first..).map(|(name, _)| name);
            let is_within = |name: &&FrameName| name.section == section && name.path.starts_with(&outer.path);
            found.extend(frames.take_while(is_within).cloned());
        }
        found
    }

    /// Opens what is under way inside a scope that goes forward, or back to be tried again.
    fn enter(&mut self, view: &View<'_>, seat: &Seat) {
        let scope = view.scope(seat);
        let is_open = if scope.is_map && !scope.is_turned {
            self.elements.insert(seat.clone(), Elements { next: 0, live: 0 });
            self.open_elements(view, seat);
            return;
        } else {
            let direction = if scope.is_turned { Direction::Revert } else { Direction::Apply };
            self.open(view, scope.frame(view.plan, seat, scope.iteration), direction)
        };
        if !is_open {
            self.ended.insert(seat.clone());
        }
    }

    /// Opens what of a scope is undone next, now that nothing after it is in the way.
    fn go_back(&mut self, view: &View<'_>, seat: &Seat) {
        let scope = view.scope(seat);
        if !scope.is_map {
            return self.go_back_from(view, seat, scope.iteration);
        }
        self.elements.insert(seat.clone(), Elements { next: 0, live: 0 });
        self.open_elements(view, seat);
    }

    /// The last iteration in which something is left to be undone, of those up to this one.
    fn go_back_from(&mut self, view: &View<'_>, seat: &Seat, last: u32) {
        let scope = view.scope(seat);
        let iterations = if scope.iterates { 1..=last } else { 1..=last.min(1) };
        for iteration in iterations.rev() {
            if self.open(view, scope.frame(view.plan, seat, iteration), Direction::Revert) {
                return;
            }
        }
        self.ended.insert(seat.clone());
    }

    /// Opens elements of a map as long as there is room for them.
    fn open_elements(&mut self, view: &View<'_>, seat: &Seat) {
        let scope = view.scope(seat);
        let direction = self.frames[&FrameName::of(view.plan, seat)].direction;
        let live_max = if direction == Direction::Revert { u32::MAX } else { scope.live_max };
        let Elements { mut next, mut live } = self.elements[seat];
        while next < scope.bound && live < live_max {
            live += u32::from(self.open(view, scope.frame(view.plan, seat, next), direction));
            next += 1;
        }
        self.elements.insert(seat.clone(), Elements { next, live });
        if live == 0 {
            self.ended.insert(seat.clone());
        }
    }

    /// Nothing is left to do in a frame.
    fn close(&mut self, view: &View<'_>, name: &FrameName) {
        let Some(seat) = name.scope(view.plan) else { return };
        let frame = self.frames.remove(name).expect("it was there");
        let scope = view.scope(&seat);
        if scope.is_map {
            let elements = self.elements.get_mut(&seat).expect("it is under way");
            elements.live -= 1;
            self.open_elements(view, &seat);
        } else if frame.direction == Direction::Apply || scope.is_turned && !self.is_going_back(view, &seat) {
            self.ended.insert(seat);
        } else {
            let iteration = name.path.last().copied().filter(|_| scope.iterates).unwrap_or(1);
            self.go_back_from(view, &seat, iteration - 1);
        }
    }

    /// The frame that holds it goes back.
    pub fn is_going_back(&self, view: &View<'_>, seat: &Seat) -> bool {
        let frame = self.frames.get(&FrameName::of(view.plan, seat));
        frame.is_some_and(|frame| frame.direction == Direction::Revert)
    }

    /// Nothing begins any more in the frames that a failure reaches.
    fn fail(&mut self, view: &View<'_>, seat: &Seat) {
        let (outermost, is_turning) = view.reach(seat);
        let is_failing = self.frames.get(&outermost).is_none_or(|frame| frame.is_failing);
        if is_failing {
            return;
        }
        let frames = self.frames_in(view.plan, &outermost);
        for name in &frames {
            self.frames.get_mut(name).expect("it is there").is_failing = true;
            self.turning.remove(name);
        }
        self.queue.retain(|seat| !outermost.holds(view.plan, seat));
        if is_turning {
            self.turning.insert(outermost);
        }
    }
}

/// What is asked of it.
impl Frontier {
    /// The task or scope to go on with: what has to be undone before it can be tried again comes first, and one whose
    /// pause is over goes on before another begins.
    pub fn next(&self, now: DateTime<Utc>) -> Option<Seat> {
        self.queue.next(now)
    }

    /// How many tasks could be called now, had the host room for all.
    pub fn callable_count(&self, now: DateTime<Utc>) -> usize {
        self.queue.count(now)
    }

    /// When the next pause is over.
    pub fn wake(&self) -> Option<DateTime<Utc>> {
        self.queue.wake()
    }

    /// Whether the task or scope may go on in this direction: it wants to, and nothing is before it.
    pub fn may_go_on(&self, plan: &Plan, seat: &Seat, direction: Direction) -> bool {
        let Some(frame) = self.frames.get(&FrameName::of(plan, seat)) else { return false };
        let point = plan.seat(seat.node).1 as usize;
        frame.direction == direction
            && !frame.is_failing
            && frame.unmet[point] == 0
            && matches!(frame.stands[point], Stand::Open | Stand::Sleeping(_))
    }

    pub fn calling(&self) -> impl ExactSizeIterator<Item = &Seat> {
        self.calling.iter()
    }

    pub fn failed(&self) -> impl Iterator<Item = &Seat> {
        self.failed.iter()
    }

    pub fn faulty(&self) -> impl Iterator<Item = &Seat> {
        self.faulty.iter()
    }

    pub fn ended(&self) -> impl Iterator<Item = &Seat> {
        self.ended.iter()
    }

    /// The scopes that are tried again, of which nothing runs any more.
    pub fn turning<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a FrameName> {
        let is_quiet = |name: &&FrameName| !self.calling.iter().any(|seat| name.holds(plan, seat));
        self.turning.iter().filter(is_quiet)
    }

    /// Nothing in the frame can go on.
    pub fn is_stuck(&self, plan: &Plan, name: &FrameName) -> bool {
        let mut seats = self.calling.iter().chain(&self.ended);
        !seats.any(|seat| name.holds(plan, seat)) && !self.queue.any(|seat| name.holds(plan, seat))
    }

    /// A failure reaches the whole job, or this frame.
    pub fn is_failing(&self, name: &FrameName) -> bool {
        self.frames.get(name).is_some_and(|frame| frame.is_failing)
    }

    /// Nothing is left to do in this direction.
    pub fn is_done(&self) -> bool {
        self.frames[&FrameName::outermost()].left == 0
    }
}
