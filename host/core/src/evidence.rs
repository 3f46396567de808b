//! Evidence: what a revert is told of what it undoes, be that one task or all of a flow.

use serde_json::{Map, Value};

use crate::call::{End, Evidence};
use crate::frontier::{FrameName, Seat};
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::Job;
use crate::payload::Payload;

impl Evidence {
    /// Bytes of all payloads in it.
    pub fn bytes(&self) -> usize {
        let output = match &self.end {
            End::Applied(output) | End::Accepted(output) => output.bytes.len(),
            End::Failed { fault, handle } => {
                let parts = fault.detail.iter().chain(handle);
                parts.map(|payload| payload.bytes.len()).sum()
            }
            End::Interrupted => 0,
        };
        output + self.undo.iter().map(|undo| undo.bytes.len()).sum::<usize>()
    }
}

impl Job {
    /// What the revert of a task or flow is told; none for one that was not begun.
    pub fn evidence(&self, name: &InstanceName) -> Option<Evidence> {
        let instance = self.instances.get(name)?;
        Some(match self.own_revert(name) {
            Some(seat) => Evidence { end: self.end_of_flow(&seat), undo: self.undo_of_flow(&seat, instance) },
            None => instance.evidence(),
        })
    }

    /// Interrupted where anything in it that is left may have had effects nobody recorded; else the first failure; else
    /// what the tasks in it gave, by their names.
    fn end_of_flow(&self, own_revert: &Seat) -> End {
        let view = self.view();
        let is_left =
            |i: &&TaskInstance| i.is_to_be_undone() || i.state == TaskState::ApplyFailed && i.fault.is_some();
        let left: Vec<_> = view.inside(own_revert).filter(is_left).collect();
        let ends =
            left.iter().filter(|instance| !instance.is_scope()).map(|instance| instance.evidence().end);
        if ends.into_iter().any(|end| end == End::Interrupted) {
            return End::Interrupted;
        }
        let failed = left.iter().filter(|instance| instance.output.is_none() || instance.is_scope());
        let failed = failed.filter(|instance| instance.fault.is_some());
        let first = failed.min_by_key(|instance| instance.apply_ended);
        match first.and_then(|instance| instance.fault.clone()) {
            Some(fault) => End::Failed { fault, handle: None },
            None => End::Applied(Payload::json(&Value::Object(self.outputs_of_flow(own_revert)))),
        }
    }

    fn outputs_of_flow(&self, own_revert: &Seat) -> Map<String, Value> {
        let frame = FrameName::of(&self.plan, own_revert);
        let mut outputs = Map::new();
        for (node, leaf) in (0_u32..).zip(self.flow.leaves()) {
            let is_any = || {
                let seat = Seat { node, path: own_revert.path.clone() };
                self.view().instances_at(&seat).any(TaskInstance::is_to_be_undone)
            };
            if self.plan.is_within(frame.section, node) && is_any() {
                let output = self.given(&frame, node, "", TaskInstance::is_to_be_undone);
                outputs.extend(output.map(|output| (leaf.name().to_owned(), output)));
            }
        }
        outputs
    }

    /// In the order in which the tasks were begun, each one's the oldest first; then what the own revert left itself.
    fn undo_of_flow(&self, own_revert: &Seat, instance: &TaskInstance) -> Vec<Payload> {
        let undone = self.view().undone_with(own_revert).into_iter().rev();
        undone.chain([instance]).flat_map(|instance| instance.undo.clone()).collect()
    }
}
