//! Scopes: when they begin, run again, fail and are left out. None of it takes a call.

use serde_json::Value;

use crate::arguments::{ELEMENTS_MAX, INSTANCES_MAX};
use crate::call::Direction;
use crate::decide::Decision;
use crate::decide::outcome::pause;
use crate::entry::Fact;
use crate::expression::Expression;
use crate::fault::{Fault, HOST_EXPRESSION, HOST_INSTANCES, HOST_LIST, HOST_NOTHING_TO_TRY, HOST_ROUNDS};
use crate::frontier::{FrameName, Seat};
use crate::instance::{Failed, InstanceName, ScopeProgress, TaskInstance, TaskState};
use crate::payload::Payload;
use crate::scope::{Backoff, Repeat, Scope, Strategy, When};

impl Decision<'_> {
    /// Records one thing that follows for a scope; false where nothing does. What would make something run again
    /// waits until something may begin.
    pub(super) fn go_on_with_scopes(&mut self, may_begin: bool) -> bool {
        let ended: Vec<_> = self.job.frontier.ended().cloned().collect();
        if ended.iter().any(|seat| self.scope_ended(seat, may_begin)) {
            return true;
        }
        self.give_up_stuck() || may_begin && self.turn_round()
    }

    /// As `go_on_with_scopes`, where no call is made any more: what did nothing is said to be undone.
    pub(super) fn go_on_undone(&mut self) {
        loop {
            if self.go_on_with_scopes(false) {
                continue;
            }
            let Some(seat) = self.job.frontier.next(self.now) else { return };
            let undoable = self.job.view().undoable(&seat);
            let Some(instance) = undoable.filter(|instance| instance.is_undone_at_once()) else { return };
            self.record(Fact::TaskReverted { task: instance.name.clone(), attempt: 0, output: None });
        }
    }

    fn name(&self, seat: &Seat) -> InstanceName {
        InstanceName { task: self.job.plan.name(seat.node).to_owned(), iteration: seat.path.clone() }
    }

    /// All inside a scope is done.
    fn scope_ended(&mut self, seat: &Seat, may_begin: bool) -> bool {
        let scope = self.name(seat);
        let view = self.job.view();
        if self.job.frontier.is_going_back(&view, seat) {
            self.settle_inside(seat);
            self.record(Fact::ScopeReverted { scope });
            return true;
        }
        let may_begin = may_begin && !self.job.frontier.is_failing(&FrameName::of(view.plan, seat));
        let instance = view.current(seat).expect("what has ended has begun");
        let progress = instance.scope.clone().unwrap_or_default();
        let is_turned = instance.state == TaskState::Reverting;
        let again = match view.policy(seat.node).cloned() {
            Some(Scope::Retry(retry)) if is_turned => Some(retry.backoff),
            Some(Scope::Repeat(repeat)) => match self.has_come_true(seat, &repeat, &progress) {
                Ok(true) => None,
                Ok(false) if progress.tries_made() < progress.bound => Some(repeat.backoff),
                Ok(false) => {
                    let message =
                        format!("{:?} does not hold after {} rounds", repeat.until, progress.tries_made());
                    self.fail_scope(seat, Fault::new(HOST_ROUNDS, message), false);
                    return true;
                }
                Err(fault) => {
                    self.fail_scope(seat, fault, false);
                    return true;
                }
            },
            Some(Scope::Retry(_) | Scope::Map(_)) | None => None,
        };
        match again {
            None => self.record(Fact::ScopeApplied { scope, iteration: progress.iteration }),
            Some(_) if !may_begin => return false,
            Some(backoff) if backoff.pause_ms == 0 => self.begin_scope(seat),
            Some(backoff) => {
                let (retries, iteration) = (progress.tries_made() - 1, progress.iteration);
                let next_try = self.now + pause(&policy_of(&backoff), retries, iteration, self.now);
                self.record(Fact::ScopeBackoff { scope, iteration: progress.iteration, next_try });
            }
        }
        true
    }

    fn has_come_true(&self, seat: &Seat, repeat: &Repeat, progress: &ScopeProgress) -> Result<bool, Fault> {
        let scope = self.job.plan.name(seat.node);
        let section = self.job.plan.inside(seat.node).expect("only a scope has an inside");
        let path = seat.path.iter().copied().chain([progress.iteration]).collect();
        let inside = FrameName { section, path };
        let value = |name: &str| match name {
            ROUND => Some(Value::from(progress.tries_made())),
            name => self.job.lookup_at_end(scope, &inside, name),
        };
        let verdict = Expression::parse(&repeat.until).and_then(|until| until.holds(value));
        verdict.map_err(|error| Fault::new(HOST_EXPRESSION, format!("{:?} {error}", repeat.until)))
    }

    /// A scope that goes back to be tried again, and of which something cannot be undone, has failed; and so has the job.
    fn give_up_stuck(&mut self) -> bool {
        if self.job.status.direction == Direction::Revert {
            return false;
        }
        let view = self.job.view();
        let stuck = self.job.frontier.failed().find_map(|seat| {
            let fault = view.current(seat)?.revert_fault.clone()?;
            let mut around = view.scopes_around(seat).into_iter();
            let (scope, number) = around.find(|(scope, _)| {
                view.current(scope).is_some_and(|instance| instance.state == TaskState::Reverting)
            })?;
            let section = view.plan.inside(scope.node)?;
            let path = scope.path.iter().copied().chain([number]).collect();
            let inside = FrameName { section, path };
            let is_stuck =
                !self.job.frontier.is_failing(&inside) && self.job.frontier.is_stuck(view.plan, &inside);
            is_stuck.then_some((scope, fault))
        });
        let Some((scope, fault)) = stuck else { return false };
        self.fail_scope(&scope, fault, true);
        true
    }

    /// A scope in which something failed, and in which nothing runs any more, goes back to be tried again.
    fn turn_round(&mut self) -> bool {
        let Some(frame) = self.job.frontier.turning(&self.job.plan).next().cloned() else { return false };
        let seat = frame.scope(&self.job.plan).expect("the outermost frame is not tried again");
        let fault = self.first_failure(&frame).and_then(|instance| instance.fault.clone());
        let fault = fault.expect("what is tried again has failed");
        self.fail_scopes_in(&frame);
        let iteration = self.iteration(&seat);
        self.record(Fact::ScopeReverting { scope: self.name(&seat), iteration, fault });
        true
    }

    fn iteration(&self, seat: &Seat) -> u32 {
        let instance = self.job.view().current(seat);
        instance.and_then(|instance| instance.scope.as_ref()).map_or(0, |progress| progress.iteration)
    }

    /// The first of the failures that reach a frame, and no further.
    pub(super) fn first_failure(&self, frame: &FrameName) -> Option<&TaskInstance> {
        if !self.job.frontier.is_failing(frame) {
            return None;
        }
        let view = self.job.view();
        let failed = self
            .job
            .frontier
            .failed()
            .filter(|seat| !self.job.frontier.is_going_back(&view, seat) && view.reach(seat).0 == *frame);
        failed.filter_map(|seat| view.current(seat)).min_by_key(|instance| instance.apply_ended)
    }

    /// The scopes within a frame that a failure went through have failed as well, from the inside out.
    pub(super) fn fail_scopes_in(&mut self, frame: &FrameName) {
        loop {
            let view = self.job.view();
            let failing = self.job.frontier.failed().find_map(|seat| {
                if self.job.frontier.is_going_back(&view, seat) || view.reach(seat).0 != *frame {
                    return None;
                }
                let around = FrameName::of(view.plan, seat);
                let scope = around.scope(view.plan).filter(|_| around != *frame)?;
                let instance = view.current(seat)?;
                let reverts_all = instance.scope.as_ref().is_some_and(|progress| progress.reverts_all);
                Some((scope, instance.fault.clone()?, reverts_all))
            });
            let Some((scope, fault, reverts_all)) = failing else { return };
            let reverts_all = reverts_all
                || match view.policy(scope.node) {
                    Some(Scope::Retry(retry)) => {
                        retry.revert_all || retry.strategy == Strategy::AlwaysRevertAll
                    }
                    _ => false,
                };
            self.fail_scope(&scope, fault, reverts_all);
        }
    }

    fn fail_scope(&mut self, seat: &Seat, fault: Fault, reverts_all: bool) {
        let iteration = self.iteration(seat);
        self.record(Fact::ScopeApplyFailed { scope: self.name(seat), iteration, fault, reverts_all });
    }

    /// Begins a scope, or its next iteration.
    pub(super) fn begin_scope(&mut self, seat: &Seat) {
        let instance = self.job.view().current(seat).cloned();
        let made = self.next_progress(seat, instance.as_ref());
        match made.and_then(|progress| self.bounded(seat, progress)) {
            Ok(progress) => self.record(Fact::ScopeApplying { scope: self.name(seat), progress }),
            Err(fault) => self.fail_scope(seat, fault, false),
        }
    }

    fn next_progress(&self, seat: &Seat, instance: Option<&TaskInstance>) -> Result<ScopeProgress, Fault> {
        let policy = self.job.view().policy(seat.node).cloned();
        let begun = instance.and_then(|i| i.scope.clone().filter(|p| p.iteration > 0).map(|p| (i, p)));
        let Some((instance, mut progress)) = begun else {
            return self.first_progress(seat, policy.as_ref(), 1);
        };
        progress.reverts_all = false;
        let has_used_up = instance.fault.as_ref().is_some_and(|fault| fault.class == HOST_ROUNDS);
        match (instance.state, policy) {
            // What was undone is done anew, for an operator, in a series of its own.
            (TaskState::Reverted, Some(policy @ (Scope::Retry(_) | Scope::Repeat(_)))) => {
                self.first_progress(seat, Some(&policy), progress.iteration + 1)
            }
            (TaskState::Reverted, policy) => self.first_progress(seat, policy.as_ref(), 1),
            // One round more, for an operator.
            (TaskState::ApplyFailed, Some(Scope::Repeat(_))) if has_used_up => {
                progress.iteration += 1;
                progress.bound = progress.bound.max(progress.tries_made());
                Ok(progress)
            }
            // An operator's retry goes on where it failed.
            (TaskState::ApplyFailed, _) => Ok(progress),
            (_, policy) => {
                progress.iteration += 1;
                if let Some(over) = policy.as_ref().and_then(Scope::over) {
                    let list = self.list(seat, over)?;
                    let index = progress.iteration.saturating_sub(progress.first) as usize;
                    progress.value = list.get(index).map(Payload::json);
                }
                Ok(progress)
            }
        }
    }

    /// The progress of a series that begins with this iteration.
    fn first_progress(
        &self,
        seat: &Seat,
        policy: Option<&Scope>,
        first: u32,
    ) -> Result<ScopeProgress, Fault> {
        let list = policy.and_then(Scope::over).map(|over| self.list(seat, over)).transpose()?;
        let (bound, value) = match (policy, list) {
            (None, _) => (1, None),
            (Some(Scope::Repeat(repeat)), _) => (repeat.rounds_max, None),
            (Some(Scope::Map(_)), list) => {
                let list = list.unwrap_or_default();
                (list.len() as u32, Some(Payload::json(&Value::Array(list))))
            }
            (Some(Scope::Retry(retry)), list) => match (&retry.strategy, list) {
                (Strategy::ForEach { .. }, Some(list)) if !list.is_empty() => {
                    (list.len() as u32, list.first().map(Payload::json))
                }
                (Strategy::ForEach { .. }, _) => {
                    return Err(Fault::new(
                        HOST_NOTHING_TO_TRY,
                        "nothing to try: the list of values is empty",
                    ));
                }
                (Strategy::Times(times), _) => ((*times).max(1), None),
                (Strategy::AlwaysRevert | Strategy::AlwaysRevertAll, _) => (1, None),
            },
        };
        Ok(ScopeProgress { iteration: first, first, bound, value, reverts_all: false })
    }

    fn list(&self, seat: &Seat, over: &crate::flow::Input) -> Result<Vec<Value>, Fault> {
        let frame = FrameName::of(&self.job.plan, seat);
        let name = self.job.plan.name(seat.node);
        match self.job.resolve(name, &frame, over) {
            Some(Value::Array(list)) if list.len() <= ELEMENTS_MAX => Ok(list),
            Some(Value::Array(list)) => {
                let message =
                    format!("{name} runs for a list of {} values: at most {ELEMENTS_MAX}", list.len());
                Err(Fault::new(HOST_LIST, message))
            }
            Some(_) => Err(Fault::new(HOST_LIST, format!("what {name} runs for is no list"))),
            None => Err(Fault::new(HOST_LIST, format!("nothing gives the list that {name} runs for"))),
        }
    }

    fn bounded(&self, seat: &Seat, progress: ScopeProgress) -> Result<ScopeProgress, Fault> {
        let section = self.job.plan.inside(seat.node).map(|inside| self.job.plan.section(inside));
        let is_map = matches!(self.job.view().policy(seat.node), Some(Scope::Map(_)));
        let elements = if is_map { progress.bound as usize } else { 1 };
        let more = section.map_or(0, |section| section.nodes.len()).saturating_mul(elements);
        if self.job.instances.len().saturating_add(more) <= INSTANCES_MAX {
            return Ok(progress);
        }
        let message = format!("the job would have more than {INSTANCES_MAX} task instances");
        Err(Fault::new(HOST_INSTANCES, message))
    }

    /// Leaves a task or scope out whose condition does not hold; false where it runs.
    pub(super) fn leave_out(&mut self, seat: &Seat) -> bool {
        let view = self.job.view();
        // Its verdict is stored with its first entry; where there was none, an operator's retry asks again.
        let is_open = view.current(seat).is_none_or(TaskInstance::is_undecided);
        let Some(when) = self.condition(seat).filter(|_| is_open) else { return false };
        let name = self.undecided_name(seat);
        let frame = FrameName::of(view.plan, seat);
        let value = |read: &str| self.job.lookup(&name.task, &frame, read);
        match Expression::parse(&when.condition).and_then(|condition| condition.holds(value)) {
            Ok(true) => return false,
            Ok(false) => {
                for node in self.job.plan.skipped(seat.node, when.skips) {
                    self.skip(&Seat { node, path: seat.path.clone() }, &name.task);
                }
            }
            Err(error) => {
                let fault = Fault::new(HOST_EXPRESSION, format!("{:?} {error}", when.condition));
                if self.job.plan.is_task(seat.node) {
                    let how = Failed::Reject;
                    self.record(Fact::TaskApplyFailed { task: name, attempt: 0, fault, how });
                } else {
                    self.fail_scope(seat, fault, false);
                }
            }
        }
        true
    }

    /// The instance that gets a verdict: what was said to be undone has an end of its own.
    fn undecided_name(&self, seat: &Seat) -> InstanceName {
        match self.job.view().current(seat) {
            Some(instance) if instance.state == TaskState::Reverted && !instance.is_scope() => {
                instance.name.next(&seat.path)
            }
            Some(instance) => instance.name.clone(),
            None => self.name(seat),
        }
    }

    fn condition(&self, seat: &Seat) -> Option<When> {
        let place = self.job.plan.place(seat.node);
        self.job.flow.node_at(&place)?.when().cloned()
    }

    /// Leaves out a task, or a scope with all that is in it.
    fn skip(&mut self, seat: &Seat, by: &str) {
        if !self.job.view().current(seat).is_none_or(TaskInstance::is_undecided) {
            return;
        }
        let (name, by) = (self.undecided_name(seat), by.to_owned());
        let Some(inside) = self.job.plan.inside(seat.node) else {
            return self.record(Fact::TaskSkipped { task: name, by });
        };
        self.record(Fact::ScopeSkipped { scope: name, by: by.clone() });
        // A map that never began has no elements.
        if matches!(self.job.view().policy(seat.node), Some(Scope::Map(_))) {
            return;
        }
        let section = self.job.plan.section(inside);
        let path: Vec<_> = seat.path.iter().copied().chain(section.iterates.then_some(1)).collect();
        // An own revert is not left out: it is never in the way of what goes forward.
        let is_member = |node: &u32| !self.job.plan.is_own_revert(*node);
        for node in section.nodes.iter().copied().filter(is_member).collect::<Vec<_>>() {
            self.skip(&Seat { node, path: path.clone() }, &by);
        }
    }
}

/// The name by which the condition of a repeated scope sees how often it ran.
pub const ROUND: &str = "round";

fn policy_of(backoff: &Backoff) -> crate::flow::RetryPolicy {
    crate::flow::RetryPolicy {
        attempts_max: u32::MAX,
        pause_ms: backoff.pause_ms,
        pause_ms_max: backoff.pause_ms_max,
        factor_percent: backoff.factor_percent,
    }
}
