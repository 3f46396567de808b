//! A bench that drives one job: a scripted executor in the place of plugins, a clock that tests move.
//!
//! Every decision taken on it is checked against the laws that hold for every job.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, json};
use uuid::Uuid;

use super::law::Witness;
use super::shape::task;
use crate::call::{Evidence, Function, Grants, Observation, Outcome, Prior};
use crate::decide::child::Birth;
use crate::decide::create::{Timing, create, create_child};
use crate::decide::outcome::{CallName, StaleCall};
use crate::decide::{Decision, Rejected};
use crate::entry::{Actor, Entry, Fact};
use crate::fault::Fault;
use crate::flow::{Flow, RetryPolicy, Task};
use crate::id::{Digest, HostId, JobId, OperationId, TriggerId};
use crate::instance::InstanceName;
use crate::job::{Job, JobSpec, JobState, Origin};
use crate::payload::Payload;

pub const W1: HostId = HostId(Uuid::from_u128(1));
pub const W2: HostId = HostId(Uuid::from_u128(2));

/// 2026-11-21 00:00:00 UTC.
pub fn midnight() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_219_200, 0).expect("a valid time")
}

pub fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

pub fn flow(tasks: &[&str], retry: &RetryPolicy) -> Flow {
    Flow::linear(tasks.iter().map(|name| Task { retry: retry.clone(), ..task(name) }))
}

pub fn spec() -> JobSpec {
    JobSpec {
        id: JobId(Uuid::from_u128(77)),
        owner: "operations".to_owned(),
        principal: "local".to_owned(),
        job_type: String::new(),
        labels: BTreeMap::new(),
        flow: Digest::of(b"flow"),
        flow_revision: None,
        arguments: Map::new(),
        grants: Grants::default(),
        timeout_ms: None,
        origin: Origin::Submitted,
        rerun_of: None,
        never_revert: false,
        created: midnight(),
    }
}

/// A job of an operation, whose window is `window_ms`.
pub fn of_operation(nominal: DateTime<Utc>, window_ms: u64) -> Origin {
    let occurrence = crate::occurrence::Occurrence {
        trigger: TriggerId(Uuid::from_u128(8)),
        generation: 1,
        nominal,
        origin: crate::occurrence::Origin::Schedule,
    };
    Origin::Operation { operation: OperationId(Uuid::from_u128(9)), occurrence, window_ms }
}

pub fn payload(text: &str) -> Payload {
    Payload::json(&json!(text))
}

pub fn applied() -> Outcome {
    Outcome::Applied { output: payload("output"), undo: None }
}

pub fn reverted() -> Outcome {
    Outcome::Reverted { output: None }
}

/// An apply that goes on elsewhere, to be looked at in ten seconds.
pub fn accepted() -> Outcome {
    Outcome::Accepted { handle: payload("handle"), undo: None, observe_after_ms: Some(10_000) }
}

pub fn present() -> Outcome {
    Outcome::Observed(Observation::Present { output: payload("observed") })
}

pub fn absent() -> Outcome {
    Outcome::Observed(Observation::Absent { fault: None })
}

/// It was begun, and has failed for good.
pub fn failed() -> Outcome {
    Outcome::Observed(Observation::Failed { fault: Fault::new("fixture.failed", "it burned down") })
}

pub fn unknown() -> Outcome {
    Outcome::Observed(Observation::Unknown { after_ms: None })
}

pub fn retry() -> Outcome {
    Outcome::Retry { fault: Fault::new("fixture.retry", "not now"), after_ms: None }
}

pub fn reject() -> Outcome {
    Outcome::Reject { fault: Fault::new("fixture.reject", "not like that") }
}

pub fn broken() -> Outcome {
    let causes = vec!["the disk is full".to_owned()];
    Outcome::Broken { fault: Fault { causes, ..Fault::new("fixture.broken", "it broke") } }
}

/// A call that the scripted executor made.
#[derive(Debug, Clone)]
pub struct Made {
    pub task: String,
    pub function: Function,
    pub attempt: u32,
    pub prior: Prior,
    pub key: String,
    pub evidence: Option<Evidence>,
    pub failures: Vec<(InstanceName, Fault)>,
}

pub struct Bench {
    pub job: Job,
    pub entries: Vec<Entry>,
    pub now: DateTime<Utc>,
    pub made: Vec<Made>,
    /// Calls that each decision may begin.
    pub room: usize,
    scripts: BTreeMap<(String, Function), VecDeque<Outcome>>,
    witness: Witness,
}

impl Bench {
    pub fn of(tasks: &[&str]) -> Self {
        Self::with(tasks, spec(), Timing::default())
    }

    pub fn with(tasks: &[&str], spec: JobSpec, timing: Timing) -> Self {
        Self::of_flow(flow(tasks, &RetryPolicy::default()), spec, timing)
    }

    pub fn of_flow(flow: Flow, spec: JobSpec, timing: Timing) -> Self {
        let now = spec.created;
        let (spec, flow) = (Arc::new(spec), Arc::new(flow));
        let (job, entries) = create(spec, flow, timing, Actor::Principal("local".to_owned()));
        let mut witness = Witness::new(&job);
        witness.see(&job, &entries);
        Self { job, entries, now, made: Vec::new(), room: usize::MAX, scripts: BTreeMap::new(), witness }
    }

    /// A job that another one ordered.
    pub fn of_child(birth: Birth<'_>, number: u32) -> Self {
        let now = birth.spec.created;
        let (job, entries) = create_child(birth, number, Actor::Host(W1));
        let mut witness = Witness::new(&job);
        witness.see(&job, &entries);
        Self { job, entries, now, made: Vec::new(), room: usize::MAX, scripts: BTreeMap::new(), witness }
    }

    /// What the next calls of a task answer; when the script ends, they succeed.
    pub fn script(mut self, task: &str, function: impl Into<Function>, outcomes: &[Outcome]) -> Self {
        self.set_script(task, function, outcomes);
        self
    }

    pub fn set_script(&mut self, task: &str, function: impl Into<Function>, outcomes: &[Outcome]) {
        self.scripts.insert((task.to_owned(), function.into()), outcomes.iter().cloned().collect());
    }

    pub fn decide<T>(&mut self, decide: impl FnOnce(&mut Decision<'_>) -> T) -> T {
        let mut decision = Decision::new(&mut self.job, self.now, Actor::Host(W1)).with_room(self.room);
        let answer = decide(&mut decision);
        let entries = decision.into_entries();
        self.witness.see(&self.job, &entries);
        self.entries.extend(entries);
        answer
    }

    /// Takes a decision that has to change nothing.
    pub fn decide_nothing<T>(&mut self, decide: impl FnOnce(&mut Decision<'_>) -> T) -> T {
        let before = self.entries.len();
        let answer = self.decide(decide);
        assert_eq!(self.entries.len(), before, "nothing changes");
        answer
    }

    pub fn pass(&mut self, time: TimeDelta) {
        self.now += time;
    }

    pub fn claim(&mut self) {
        self.decide(|d| d.claim(W1)).expect("it can be claimed");
    }

    pub fn call(&self) -> CallName {
        let instance = self.job.in_flight().next().expect("a call is under way");
        CallName::of(instance)
    }

    /// The call of a task that is under way.
    pub fn call_of(&self, task: &str) -> CallName {
        let instance = self.job.in_flight().find(|instance| instance.name.task == task);
        CallName::of(instance.unwrap_or_else(|| panic!("no call of {task} is under way: {}", self.trace())))
    }

    /// The tasks with a call under way, in the order of the flow.
    pub fn calling(&self) -> String {
        let names: Vec<_> = self.job.in_flight().map(|instance| instance.name.to_string()).collect();
        names.join(" ")
    }

    /// Makes the call of a task, and records what its script says.
    pub fn finish_task(&mut self, task: &str) {
        let call = self.call_of(task);
        self.made(&call);
        let outcome = self.scripted(&call);
        self.finish_with(&call, outcome).expect("it is under way");
    }

    /// Makes the call that is under way, without saying what came of it.
    pub fn make(&mut self) -> CallName {
        let call = self.call();
        self.made(&call);
        call
    }

    fn made(&mut self, call: &CallName) {
        let instance = &self.job.instances[&call.task];
        let is_apply = call.function == Function::Apply;
        self.made.push(Made {
            task: call.task.to_string(),
            function: call.function,
            attempt: call.attempt,
            prior: instance.prior,
            key: call.task.key(self.job.id(), call.function.direction()),
            evidence: self.job.evidence(&call.task).filter(|_| !is_apply),
            failures: self.job.failures(),
        });
    }

    fn scripted(&mut self, call: &CallName) -> Outcome {
        let script = self.scripts.get_mut(&(call.task.task.clone(), call.function));
        script.and_then(VecDeque::pop_front).unwrap_or_else(|| match call.function {
            Function::Apply => applied(),
            Function::Revert => reverted(),
            Function::Observe => present(),
        })
    }

    /// Makes the call that is under way, and records what its script says.
    pub fn finish(&mut self) {
        let call = self.make();
        let outcome = self.scripted(&call);
        self.finish_with(&call, outcome).expect("it is under way");
    }

    pub fn finish_with(&mut self, call: &CallName, outcome: Outcome) -> Result<(), StaleCall> {
        self.decide(|d| d.finish(call, outcome))
    }

    /// As `finish_with`, on a host that stops.
    pub fn finish_stopping(&mut self, call: &CallName, outcome: Outcome) {
        let mut decision = Decision::new(&mut self.job, self.now, Actor::Host(W1)).stopping(W1);
        decision.finish(call, outcome).expect("it is under way");
        let entries = decision.into_entries();
        self.witness.see(&self.job, &entries);
        self.entries.extend(entries);
    }

    /// The host is killed. Claims the job again where it is still on the board.
    pub fn crash(&mut self) {
        self.decide(|d| d.lose_claim(W1)).expect("it is claimed");
        if self.job.status.state == JobState::Ready {
            self.claim();
        }
    }

    /// Goes on until the job rests: claims, makes calls, and moves the clock to each alarm.
    pub fn run(&mut self) -> JobState {
        loop {
            match self.job.status.state {
                JobState::Ready => self.claim(),
                JobState::Scheduled | JobState::Waiting => {
                    self.now = self.now.max(self.job.status.alarm().expect("it has an alarm"));
                    self.decide(|d| d.wake());
                }
                state if state.is_claimed() => self.finish(),
                state => return state,
            }
        }
    }

    /// Runs until a task has come to a state; the entry that says so is the last but what follows from it.
    pub fn run_until(&mut self, state: &str) {
        while !self.trace().split(' ').any(|seen| seen == state) {
            match self.job.status.state {
                JobState::Ready => self.claim(),
                _ => self.finish(),
            }
        }
    }

    /// The changes of state of the tasks, as a watch shows them.
    pub fn trace(&self) -> String {
        trace(&self.entries)
    }

    /// The undo records of the latest call, each with who wrote it and in which attempt.
    pub fn undo_told(&self) -> Vec<(String, u32, Payload)> {
        let made = self.made.last().expect("a call was made");
        let evidence = made.evidence.clone().expect("it is no apply");
        evidence
            .undo
            .into_iter()
            .map(|record| (record.task.to_string(), record.attempt, record.undo))
            .collect()
    }

    pub fn states(&self) -> Vec<&'static str> {
        let of_job = self.entries.iter().map(|entry| entry.fact.kind());
        of_job.filter_map(|kind| kind.strip_prefix("job.")).collect()
    }

    pub fn refused(&mut self, decide: impl FnOnce(&mut Decision<'_>) -> Result<(), Rejected>) -> String {
        self.decide_nothing(decide).expect_err("it is refused").to_string()
    }

    pub fn residue(&self) -> Vec<String> {
        self.job.status.residue.iter().map(InstanceName::to_string).collect()
    }
}

pub fn trace(entries: &[Entry]) -> String {
    let change = |entry: &Entry| {
        let is_noise =
            matches!(entry.fact, Fact::UndoRecorded { .. } | Fact::Progressed { .. } | Fact::Printed { .. });
        let state = entry.fact.kind().strip_prefix("task.").filter(|_| !is_noise)?;
        entry.fact.task().map(|task| format!("{task}:{state}"))
    };
    entries.iter().filter_map(change).collect::<Vec<_>>().join(" ")
}
