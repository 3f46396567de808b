//! Evidence: what a revert is told of what it undoes, be that one task or all of a flow.
//!
//! Invariant: what an earlier attempt said is no evidence of a later one.

use serde_json::{Map, Value};

use crate::call::{End, Evidence, UndoRecord};
use crate::fault::Fault;
use crate::frontier::{FrameName, Seat};
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::Job;
use crate::payload::Payload;

impl Evidence {
    /// Bytes of all payloads in it.
    pub fn bytes(&self) -> usize {
        let (payload, fault) = match &self.end {
            End::Applied(payload) | End::Accepted(payload) => (Some(payload), None),
            End::Failed { fault, handle } => (handle.as_ref(), Some(fault)),
            End::Partial { outputs, failure, .. } => (Some(outputs), failure.as_ref()),
            End::Interrupted => (None, None),
        };
        let end = payload.into_iter().chain(fault.and_then(|fault| fault.detail.as_ref()));
        end.chain(self.undo.iter().map(|record| &record.undo)).map(|payload| payload.bytes.len()).sum()
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

    /// Applied where all of the flow is; otherwise what is left in it: the first failure, and whether anything may have had
    /// effects that nobody recorded.
    fn end_of_flow(&self, own_revert: &Seat) -> End {
        let view = self.view();
        let outputs = Payload::json(&Value::Object(self.outputs_of_flow(own_revert)));
        let flow = FrameName::of(&self.plan, own_revert).scope(&self.plan);
        let flow = flow.and_then(|seat| view.current(&seat)).map(|instance| instance.state);
        if flow == Some(TaskState::Applied) {
            return End::Applied(outputs);
        }
        let is_left = |i: &&TaskInstance| i.is_to_be_undone() || i.state == TaskState::ApplyFailed;
        let left: Vec<_> = view.inside(own_revert).filter(is_left).collect();
        let is_interrupted = left.iter().any(|i| i.is_task() && i.evidence().end == End::Interrupted);
        let failed = left.iter().filter_map(|i| Some((i.apply_ended, i.failure()?)));
        let failure = failed.min_by_key(|(ended, _)| *ended).map(|(_, fault)| fault.clone());
        End::Partial { outputs, failure, is_interrupted }
    }

    fn outputs_of_flow(&self, own_revert: &Seat) -> Map<String, Value> {
        let frame = FrameName::of(&self.plan, own_revert);
        let mut outputs = Map::new();
        for (node, leaf) in (0_u32..).zip(self.flow.leaves()) {
            let is_any = || {
                let seat = Seat { node, path: own_revert.path.clone() };
                let mut instances = self.view().instances_at(&seat);
                instances.any(|instance| instance.is_to_be_undone() && instance.output.is_some())
            };
            if self.plan.is_within(frame.section, node) && is_any() {
                let output = self.given(&frame, node, "", TaskInstance::is_to_be_undone);
                outputs.extend(output.map(|output| (leaf.name().to_owned(), output)));
            }
        }
        outputs
    }

    /// In the order in which the tasks were begun, each one's the oldest first; then what the own revert left itself.
    fn undo_of_flow(&self, own_revert: &Seat, instance: &TaskInstance) -> Vec<UndoRecord> {
        let undone = self.view().undone_with(own_revert).into_iter().rev();
        undone.chain([instance]).flat_map(TaskInstance::undo_records).collect()
    }
}

impl TaskInstance {
    /// Why it failed, whatever became of it since; none where a later attempt was begun or did better.
    pub fn failure(&self) -> Option<&Fault> {
        let has_failed = match (self.is_scope(), &self.output) {
            (true, _) => self.state == TaskState::ApplyFailed,
            (false, Some(_)) => false,
            // For good, or for now: then the latest attempt has ended, and was not accepted.
            (false, None) => self.failed.is_some() || self.apply_ended.is_some() && self.handle.is_none(),
        };
        self.fault.as_ref().filter(|_| has_failed)
    }

    /// Each undo record with its attempt, oldest first.
    pub fn undo_records(&self) -> impl Iterator<Item = UndoRecord> {
        let unknown = self.undo.len().saturating_sub(self.undo_attempts.len());
        // A host that did not keep them: where there was one attempt, it wrote them all.
        let attempt = if self.attempt == 1 { 1 } else { 0 };
        let attempts = std::iter::repeat_n(attempt, unknown).chain(self.undo_attempts.iter().copied());
        let records = self.undo.iter().zip(attempts);
        records.map(|(undo, attempt)| UndoRecord { task: self.name.clone(), attempt, undo: undo.clone() })
    }

    pub(crate) fn take_undo(&mut self, attempt: u32, undo: &Payload) {
        self.undo.push(undo.clone());
        self.undo_attempts.push(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(attempts: u32) -> TaskInstance {
        let name = InstanceName { task: "a".to_owned(), iteration: vec![] };
        TaskInstance { attempt: attempts, ..TaskInstance::pending(name, None) }
    }

    fn attempts(instance: &TaskInstance) -> Vec<u32> {
        instance.undo_records().map(|record| record.attempt).collect()
    }

    /// Of three records, as a host left it that kept no attempts.
    fn old_row(made: &TaskInstance) -> TaskInstance {
        let mut row = serde_json::to_value(made).expect("it is written down");
        row.as_object_mut().expect("an instance is an object").remove("undo_attempts").expect("it has some");
        serde_json::from_value(row).expect("it can be read")
    }

    #[test]
    fn a_row_without_attempts_is_read_and_tells_them_where_there_was_one() {
        for (count, told) in [(1, 1), (2, 0)] {
            let mut made = instance(count);
            (0..3).for_each(|_| made.take_undo(1, &Payload::json(&Value::Null)));
            let mut row = old_row(&made);
            assert_eq!(attempts(&row), [told; 3]);
            // What is written from then on is known.
            row.attempt = 7;
            row.take_undo(7, &Payload::json(&Value::Null));
            assert_eq!(attempts(&row), [0, 0, 0, 7]);
        }
    }

    #[test]
    fn entries_agree_with_a_row_that_says_less_of_them_and_with_no_other() {
        let mut made = instance(2);
        (1..=2).for_each(|attempt| made.take_undo(attempt, &Payload::json(&Value::Null)));
        let mut row = old_row(&made);
        assert!(made.is_told_by(&row) && made.is_told_by(&made.clone()));
        for (attempt, is_it) in [(2, true), (1, false)] {
            row.undo_attempts = vec![attempt];
            assert_eq!(made.is_told_by(&row), is_it);
        }
        // Which entry began it is not known of an old row, and of any other it is said.
        made.started = Some(chrono::DateTime::UNIX_EPOCH);
        made.begin_at(true, 4);
        for (begun, is_it) in [(0, true), (4, true), (3, false)] {
            assert_eq!(made.is_told_by(&TaskInstance { begun, ..made.clone() }), is_it);
        }
        row = old_row(&made);
        row.undo_attempts = vec![1, 1, 2];
        assert!(!made.is_told_by(&row), "it says more than there is");
        assert!(!made.is_told_by(&TaskInstance { retries: 1, ..old_row(&made) }));
    }
}
