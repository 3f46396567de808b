//! The interpreter, being told what came of calls.

use super::draft::ATTEMPTS_MAX;
use super::frame::Frame;
use super::told::{End, Mark, Moment, Seat, Told};
use super::walk::{Interpreter, Request, pause};
use crate::call::{Observation, Outcome};
use crate::decide::tests::model;
use crate::fault::Fault;
use crate::flow::{InDoubt, Leaf, RetryPolicy, Task};
use crate::payload::Payload;

/// What an observer says that does not settle how what it looks at stands.
struct Unsettled {
    /// When to look again, in milliseconds, where the plugin says so.
    after: Option<Moment>,
}

impl Interpreter {
    pub fn task(&self, task: usize) -> &Task {
        match self.flow.leaves().nth(task) {
            Some(Leaf::Task(task)) => task,
            _ => panic!("it is no task"),
        }
    }

    fn pauses(&self, called: usize) -> (Moment, Moment, u32) {
        let RetryPolicy { pause_ms, pause_ms_max, factor_percent, .. } = match self.names.flow_of(called) {
            Some(flow) => &model::own_revert(&self.flow, flow).0.retry,
            None => &self.task(called).retry,
        };
        (*pause_ms, *pause_ms_max, *factor_percent)
    }

    /// A call has ended.
    pub fn finish(&mut self, seat: &Seat, outcome: &Outcome) {
        let (now, number, retry) = (self.now, self.number, self.pauses(seat.0));
        match self.told[seat].mark {
            Mark::Applying => {
                let ready_by = now + self.task(seat.0).observe.deadline_ms;
                let told = self.told.get_mut(seat).expect("it is under way");
                told.applied(outcome, (now, ready_by), retry);
            }
            Mark::Looking => self.looked(seat, outcome),
            _ => self.told.get_mut(seat).expect("it is under way").undone(outcome, now, retry),
        }
        let told = self.told.get_mut(seat).expect("it is under way");
        told.run = number;
        if told.mark == Mark::Undone && self.names.flow_of(seat.0).is_some() {
            self.undone_by(seat);
        }
        self.go_on();
    }

    /// Something was made durable to be undone by.
    pub fn leave_undo(&mut self, seat: &Seat, undo: &Payload) {
        let told = self.told.get_mut(seat).expect("it is under way");
        told.undo.extend(undo.value());
    }

    /// The host is gone: nobody knows what came of its calls. A look is only lost.
    pub fn crash(&mut self) {
        for seat in self.calling() {
            let told = self.told.get_mut(&seat).expect("it is under way");
            (told.mark, told.next) = match told.mark {
                Mark::Applying => (Mark::Doubt, None),
                Mark::Looking => (Mark::Elsewhere, Some(self.now)),
                _ => (Mark::UndoAgain, Some(self.now)),
            };
        }
        self.go_on();
    }

    fn looked(&mut self, seat: &Seat, outcome: &Outcome) {
        let now = self.now;
        let (in_doubt, observe) = (self.task(seat.0).in_doubt, self.task(seat.0).observe.clone());
        let told = self.told.get_mut(seat).expect("it is under way");
        let unsettled = match outcome {
            Outcome::Observed(Observation::Present { output }) => return told.give(output),
            Outcome::Observed(Observation::Absent { fault }) => return told.absent(fault.as_ref(), now),
            Outcome::Observed(Observation::Unknown { after_ms }) | Outcome::Retry { after_ms, .. } => {
                Unsettled { after: *after_ms }
            }
            _ => Unsettled { after: None },
        };
        let policy = (observe.pause_ms, observe.pause_ms_max, observe.factor_percent);
        match told.ready_by {
            Some(ready_by) if ready_by > now => {
                let after = unsettled.after.unwrap_or_else(|| pause(policy, told.looks - 1));
                told.next = Some((now + after).min(ready_by));
                told.mark = Mark::Elsewhere;
            }
            Some(_) if in_doubt == InDoubt::Revert => told.fail("host.late", false, now),
            Some(_) if in_doubt == InDoubt::Reapply && told.retries + 1 >= ATTEMPTS_MAX => {
                told.fail("host.late", false, now);
            }
            Some(_) if in_doubt == InDoubt::Reapply => {
                told.retries += 1;
                told.mark = Mark::Doubt;
            }
            // A person is to look: at what is late, or at a doubt that looking did not settle.
            _ => {
                // Counted among the retries, as what is late is.
                told.retries += u32::from(told.ready_by.is_some());
                told.mark = Mark::Doubt;
                told.is_held = true;
                let tree = self.tree.clone();
                if self.may_begin(&Frame::outermost(&tree)) {
                    self.request = Some(Request::Suspend);
                }
            }
        }
    }
}

impl Told {
    fn give(&mut self, output: &Payload) {
        self.output = output.value();
        self.end = End::Applied(output.value().expect("it is JSON"));
        self.mark = Mark::Applied;
    }

    /// It is applied, once more or for the first time: nobody knows how that ends.
    pub fn apply_again(&mut self) {
        if matches!(self.mark, Mark::Failed(_)) {
            self.retries = 0;
        }
        self.calls += 1;
        self.is_held = false;
        self.ready_by = None;
        self.handle = None;
        self.end = End::Interrupted;
    }

    fn applied(
        &mut self,
        outcome: &Outcome,
        (now, ready_by): (Moment, Moment),
        retry: (Moment, Moment, u32),
    ) {
        match outcome {
            Outcome::Applied { output, undo } => {
                self.undo.extend(undo.iter().filter_map(Payload::value));
                self.give(output);
            }
            Outcome::Accepted { handle, undo, observe_after_ms } => {
                self.undo.extend(undo.iter().filter_map(Payload::value));
                self.handle = handle.value();
                self.end = End::Accepted(handle.value().expect("it is JSON"));
                self.ready_by = Some(ready_by);
                let after_ms = observe_after_ms.expect("every plugin here says when");
                self.next = Some((now + after_ms).min(ready_by));
                self.mark = Mark::Elsewhere;
            }
            Outcome::Retry { fault, after_ms } if self.retries + 1 < ATTEMPTS_MAX => {
                self.next = Some(now + after_ms.unwrap_or_else(|| pause(retry, self.retries)));
                self.again(fault);
            }
            Outcome::Reject { fault } => {
                self.fail(&fault.class, self.calls == 1 && self.undo.is_empty(), now);
            }
            Outcome::Retry { fault, .. } | Outcome::Broken { fault } => self.fail(&fault.class, false, now),
            Outcome::Reverted { .. } | Outcome::Observed(_) => panic!("that is no answer to an apply"),
        }
    }

    fn again(&mut self, fault: &Fault) {
        self.retries += 1;
        self.end = End::Failed(fault.class.clone(), None);
        self.mark = Mark::Again;
    }

    /// What was accepted has failed; what was in doubt was never done, and is applied again at once.
    fn absent(&mut self, fault: Option<&Fault>, now: Moment) {
        let nothing = Fault::new("host.absent", "");
        let fault = fault.unwrap_or(&nothing);
        if self.ready_by.is_some() || self.retries + 1 >= ATTEMPTS_MAX {
            self.fail(&fault.class, false, now);
        } else {
            self.next = Some(now);
            self.again(fault);
        }
    }

    fn undone(&mut self, outcome: &Outcome, now: Moment, retry: (Moment, Moment, u32)) {
        self.mark = match outcome {
            Outcome::Reverted { .. } => Mark::Undone,
            Outcome::Retry { after_ms, .. } if self.undo_retries + 1 < ATTEMPTS_MAX => {
                self.next = Some(now + after_ms.unwrap_or_else(|| pause(retry, self.undo_retries)));
                self.undo_retries += 1;
                Mark::UndoAgain
            }
            _ => Mark::Stuck,
        };
    }
}
