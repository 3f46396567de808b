//! How the own revert of a flow stands, and what it stands for.
//!
//! Invariant: while a flow with a revert of its own goes back, no task in it does: what is in it is said to be undone,
//! or to be let be, together with its own revert.

use super::frame::{Seat, Stand};
use super::view::View;
use crate::instance::{TaskInstance, TaskState};

impl<'a> View<'a> {
    pub(super) fn own_revert_stand(&self, seat: &Seat) -> Stand {
        let current = self.current(seat);
        let if_needed = || if self.is_needed(seat) { Stand::Open } else { Stand::Done };
        let Some(instance) = current else { return if_needed() };
        match instance.state {
            TaskState::Reverting => instance.next_try.map_or(Stand::Calling, Stand::Sleeping),
            TaskState::RevertFailed if self.is_of_this_run(instance) => Stand::Failed,
            // An operator opened another run to try it again, or what it undid was done anew.
            TaskState::RevertFailed
            | TaskState::Reverted
            | TaskState::Accepted
            | TaskState::SkippedRevert
            | TaskState::Pending => if_needed(),
            TaskState::Skipped
            | TaskState::Applying
            | TaskState::Observing
            | TaskState::Waiting
            | TaskState::Backoff
            | TaskState::InDoubt
            | TaskState::ApplyFailed
            | TaskState::Applied => unreachable!("an own revert never applies"),
        }
    }

    /// Something in its flow has effects that nobody let be.
    fn is_needed(&self, own_revert: &Seat) -> bool {
        self.inside(own_revert).any(TaskInstance::is_to_be_undone)
    }

    /// An own revert was begun and did not succeed, and something is left to be undone by it.
    pub fn is_half_undone(&self, own_revert: &Seat) -> bool {
        let state = self.current(own_revert).map(|instance| instance.state);
        matches!(state, Some(TaskState::Reverting | TaskState::RevertFailed)) && self.is_needed(own_revert)
    }

    /// Every task, scope and own revert in the flow of an own revert, in all their iterations, without itself; in the
    /// order of definition.
    pub fn inside(&self, own_revert: &Seat) -> impl Iterator<Item = &'a TaskInstance> + use<'a> {
        let view = *self;
        let own_revert = own_revert.clone();
        let first = self.plan.seat(own_revert.node).0;
        let sections = first..=self.plan.section(first).last;
        let mut nodes: Vec<u32> = sections.flat_map(|s| self.plan.section(s).nodes.iter().copied()).collect();
        nodes.sort_unstable();
        nodes.retain(|node| *node != own_revert.node);
        nodes
            .into_iter()
            .flat_map(move |node| view.instances_at(&Seat { node, path: own_revert.path.clone() }))
    }

    /// What an own revert undoes, against the order in which it was begun: all tasks that have effects nobody let be,
    /// and own reverts within that came to no end.
    pub fn undone_with(&self, own_revert: &Seat) -> Vec<&'a TaskInstance> {
        let is_open = |instance: &&TaskInstance| {
            let is_half = matches!(instance.state, TaskState::Reverting | TaskState::RevertFailed);
            instance.is_to_be_undone() || is_half && !instance.is_scope()
        };
        let mut undone: Vec<_> = self.inside(own_revert).filter(is_open).collect();
        // By the clock first, as an older version of the host kept no more. Stable: the rest is in the order of definition.
        undone.sort_by_key(|instance| (instance.started.or(instance.revert_started), instance.begun));
        undone.reverse();
        undone
    }

    /// The latest instances of the own reverts of the flows around a task, scope or own revert.
    pub fn own_reverts_around(&self, seat: &Seat) -> impl Iterator<Item = &'a TaskInstance> {
        let around = self.plan.own_reverts_around(seat.node);
        around.filter_map(|node| {
            let depth = self.plan.section(self.plan.seat(node).0).depth;
            self.current(&Seat { node, path: seat.path.get(..depth)?.to_vec() })
        })
    }
}
