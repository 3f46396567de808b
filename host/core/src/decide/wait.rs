//! Waits: when they begin, when they are over, and what answers them.
//!
//! An answer is recorded where the job stands, whoever has it; what follows from it is decided with a claim, as is
//! everything else.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::call::Direction;
use crate::decide::outcome::milliseconds;
use crate::decide::{Decision, Rejected, child};
use crate::entry::Fact;
use crate::event::CloudEvent;
use crate::expression::Expression;
use crate::fault::{Fault, HOST_NO_ANSWER, HOST_REFUSED, HOST_TIME};
use crate::flow::Input;
use crate::frontier::{FrameName, Seat};
use crate::instance::{Failed, InstanceName, TaskInstance, TaskState};
use crate::job::{Job, JobState};
use crate::payload::Payload;
use crate::wait::{Answer, Approval, EVENT, EventWait, Until, WAIT_MS_MAX};

/// What somebody says who was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub is_approved: bool,
    pub principal: String,
    pub comment: String,
}

impl Decision<'_> {
    /// Begins a wait whose turn it is, or ends one that is over.
    pub(super) fn go_on_waiting(&mut self, seat: &Seat) {
        let fact = match self.job.child(self.job.plan.name(seat.node)) {
            Some(child) => child::fact(self.job, child, seat, self.now()),
            None => wait_fact(self.job, seat, self.now()),
        };
        self.record(fact);
    }

    /// Answers an approval that is waited for. Its name, or its iteration, may be empty where only one is. The same answer
    /// again changes nothing.
    pub fn answer(&mut self, task: &str, iteration: &[u32], verdict: Verdict) -> Result<(), Rejected> {
        let Some(instance) = self.asked(task, iteration)? else {
            return self.answered_before(task, iteration, &verdict);
        };
        let (task, attempt) = (instance.name.clone(), instance.attempt);
        let approval = approval_of(self.job, &task.task);
        let principals = approval.map_or(&[][..], |approval| &approval.principals);
        if !principals.is_empty() && !principals.contains(&verdict.principal) {
            let (principal, principals) = (verdict.principal, principals.join(", "));
            let (job, task) = (self.job.id(), task.to_string());
            return Err(Rejected::NotAsked { job, task, principal, principals });
        }
        let Verdict { is_approved, principal, comment } = verdict;
        self.answer_with(task, attempt, Answer::Decided { is_approved, principal, comment });
        self.wake_answered();
        Ok(())
    }

    /// The approval that is meant and has no answer; none where it had one.
    fn asked(&self, task: &str, iteration: &[u32]) -> Result<Option<&TaskInstance>, Rejected> {
        let job = self.job.id();
        let waits: Vec<_> = approvals(self.job).filter(|i| i.is_open_for_answer()).collect();
        let is_meant = |name: &InstanceName| is_meant(name, task, iteration);
        let meant: Vec<_> = waits.iter().filter(|instance| is_meant(&instance.name)).collect();
        if self.job.status.state.is_ended() {
            return Err(self.refused("answer an approval of", "it has ended"));
        }
        if self.is_undoing() && !meant.is_empty() {
            return Err(self.refused("answer an approval of", "it is being undone"));
        }
        match meant.as_slice() {
            [one] => Ok(Some(one)),
            [] if approvals(self.job).any(|i| is_meant(&i.name) && i.answer.is_some()) => Ok(None),
            [] => {
                let waiting = waits.iter().map(|instance| instance.name.to_string()).collect();
                Err(Rejected::NoApproval { job, task: task.to_owned(), waiting })
            }
            several => {
                let names = several.iter().map(|instance| instance.name.to_string()).collect();
                Err(Rejected::SeveralApprovals { job, names })
            }
        }
    }

    fn answered_before(&self, task: &str, iteration: &[u32], verdict: &Verdict) -> Result<(), Rejected> {
        let is_meant = |name: &InstanceName| is_meant(name, task, iteration);
        let answered = approvals(self.job).filter(|instance| is_meant(&instance.name)).last();
        match answered.and_then(|instance| instance.answer.as_ref()) {
            Some(Answer::Decided { is_approved, .. }) if *is_approved == verdict.is_approved => Ok(()),
            Some(Answer::Decided { is_approved, principal, .. }) => Err(Rejected::Answered {
                job: self.job.id(),
                task: task.to_owned(),
                principal: principal.clone(),
                answer: if *is_approved { "yes" } else { "no" },
            }),
            Some(Answer::Event(_) | Answer::Child(_)) | None => {
                let job = self.job.id();
                Err(Rejected::NoApproval { job, task: task.to_owned(), waiting: Vec::new() })
            }
        }
    }

    /// Gives an event to every wait that it is meant for; false where it is meant for none, or was given before.
    pub fn deliver(&mut self, event: &CloudEvent) -> bool {
        let is_same = |answer: &Answer| matches!(answer, Answer::Event(known) if known.dedupe_key() == event.dedupe_key());
        let is_known = self.job.task_instances().any(|i| i.answer.as_ref().is_some_and(is_same));
        if self.job.status.state.is_ended() || self.is_undoing() || is_known {
            return false;
        }
        let meant = self.job.task_instances().filter(|instance| is_meant_for(self.job, instance, event));
        let meant: Vec<_> = meant.map(|instance| (instance.name.clone(), instance.attempt)).collect();
        let is_any = !meant.is_empty();
        for (task, attempt) in meant {
            self.answer_with(task, attempt, Answer::Event(event.clone()));
        }
        if is_any {
            self.wake_answered();
        }
        is_any
    }

    /// Nothing that it waited for is of use to it any more.
    fn is_undoing(&self) -> bool {
        self.job.status.direction == Direction::Revert
    }

    pub(super) fn answer_with(&mut self, task: InstanceName, attempt: u32, answer: Answer) {
        self.record(Fact::TaskAnswered { task, attempt, answer });
    }

    /// A job that waits, and has an answer to go on with, goes to the board.
    pub(super) fn wake_answered(&mut self) {
        if self.job.status.state == JobState::Waiting && self.job.frontier.next(self.now()).is_some() {
            self.record(Fact::Woken);
        }
    }
}

fn is_meant(name: &InstanceName, task: &str, iteration: &[u32]) -> bool {
    (task.is_empty() || name.task == task) && (iteration.is_empty() || name.iteration == iteration)
}

fn approvals(job: &Job) -> impl Iterator<Item = &TaskInstance> {
    job.task_instances()
        .filter(|instance| instance.is_wait && approval_of(job, &instance.name.task).is_some())
}

fn approval_of<'job>(job: &'job Job, task: &str) -> Option<&'job Approval> {
    match &job.wait(task)?.until {
        Until::Approval(approval) => Some(approval),
        Until::Passed { .. } | Until::Time(_) | Until::Event(_) | Until::Child(_) => None,
    }
}

/// The event that a wait waits for.
pub(crate) fn event_of<'job>(job: &'job Job, task: &str) -> Option<&'job EventWait> {
    match &job.wait(task)?.until {
        Until::Event(event) => Some(event),
        Until::Passed { .. } | Until::Time(_) | Until::Approval(_) | Until::Child(_) => None,
    }
}

/// Whether the instance waits for this event. A condition that cannot be evaluated on it, as it reads what the event
/// does not have, does not hold.
fn is_meant_for(job: &Job, instance: &TaskInstance, event: &CloudEvent) -> bool {
    if !instance.is_open_for_answer() {
        return false;
    }
    let Some(wait) = event_of(job, &instance.name.task).filter(|wait| wait.matches(event)) else {
        return false;
    };
    let Some(condition) = &wait.condition else { return true };
    let Some(seat) = job.plan.seat_of(&instance.name) else { return false };
    let frame = FrameName::of(&job.plan, &seat);
    let value = |name: &str| match name {
        EVENT => Some(event.to_json()),
        name => job.lookup(&instance.name.task, &frame, name),
    };
    let verdict = Expression::parse(condition).and_then(|condition| condition.holds(value));
    verdict.unwrap_or(false)
}

/// What comes next for a wait whose turn it is.
fn wait_fact(job: &Job, seat: &Seat, now: DateTime<Utc>) -> Fact {
    let first = || InstanceName { task: job.plan.name(seat.node).to_owned(), iteration: seat.path.clone() };
    let (task, attempt) = match job.view().current(seat) {
        None => (first(), 1),
        Some(instance) if instance.state == TaskState::Waiting => return over(job, instance, seat, now),
        // An operator's retry after a revert.
        Some(instance) if instance.state == TaskState::Reverted => (instance.name.next(&seat.path), 1),
        Some(instance) => (instance.name.clone(), instance.attempt + 1),
    };
    let until = job.wait(&task.task).map(|wait| match &wait.until {
        Until::Passed { ms } => later(now, *ms),
        // What is no time is told when the wait is over, which is at once.
        Until::Time(input) => moment(job, &task.task, seat, input, now).unwrap_or(now),
        Until::Event(event) => later(now, event.timeout_ms),
        Until::Approval(approval) => later(now, approval.timeout_ms),
        Until::Child(child) => later(now, child.timeout_ms),
    });
    Fact::TaskWaiting { task, attempt, until: until.unwrap_or(now) }
}

pub(super) fn later(now: DateTime<Utc>, ms: u64) -> DateTime<Utc> {
    now.checked_add_signed(milliseconds(ms)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// How a wait ends that has its answer, or whose time has come.
fn over(job: &Job, instance: &TaskInstance, seat: &Seat, now: DateTime<Utc>) -> Fact {
    let (task, attempt) = (instance.name.clone(), instance.attempt);
    let applied = |output: Value| Fact::TaskApplied {
        task: task.clone(),
        attempt,
        output: Payload::json(&output),
        undo: None,
    };
    let failed = |class: &str, message: String| Fact::TaskApplyFailed {
        task: task.clone(),
        attempt,
        fault: Fault::new(class, message),
        how: Failed::Reject,
    };
    match (&instance.answer, job.wait(&task.task).map(|wait| &wait.until)) {
        (Some(Answer::Decided { is_approved: true, principal, comment }), _) => {
            applied(json!({ "approved": true, "principal": principal, "comment": comment }))
        }
        (Some(Answer::Decided { is_approved: false, principal, comment }), _) => {
            let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
            failed(HOST_REFUSED, format!("{principal} said no{comment}"))
        }
        (Some(Answer::Event(event)), _) => applied(event.to_json()),
        (Some(Answer::Child(_)), _) | (_, Some(Until::Child(_))) => {
            unreachable!("{} is a child job, which has facts of its own", instance.name)
        }
        (None, Some(Until::Event(event))) => {
            let seconds = event.timeout_ms / 1_000;
            failed(HOST_NO_ANSWER, format!("no event {} came within {seconds} s", event.type_))
        }
        (None, Some(Until::Approval(approval))) => {
            let seconds = approval.timeout_ms / 1_000;
            failed(HOST_NO_ANSWER, format!("nobody answered within {seconds} s"))
        }
        (None, Some(Until::Time(input))) => {
            let began = instance.started.unwrap_or(now);
            match moment(job, &task.task, seat, input, began) {
                Ok(until) => applied(json!({ "until": until.to_rfc3339() })),
                Err(message) => failed(HOST_TIME, message),
            }
        }
        (None, Some(Until::Passed { .. }) | None) => applied(json!({ "until": now.to_rfc3339() })),
    }
}

/// The time that a sleep lasts until, or why it is none.
fn moment(
    job: &Job,
    task: &str,
    seat: &Seat,
    input: &Input,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, String> {
    let frame = FrameName::of(&job.plan, seat);
    let value = job.resolve(task, &frame, input).ok_or("nothing gives the time that it lasts until")?;
    let until = time_of(&value).ok_or_else(|| {
        let shown = value.to_string();
        format!("{shown} is no time: give text as RFC 3339 writes it, or Unix milliseconds")
    })?;
    if until > later(now, WAIT_MS_MAX) {
        return Err(format!("{until} is more than {} days away", WAIT_MS_MAX / 86_400_000));
    }
    Ok(until)
}

/// A time as JSON may give it.
pub(crate) fn time_of(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()),
        value => DateTime::from_timestamp_millis(value.as_i64()?),
    }
}
