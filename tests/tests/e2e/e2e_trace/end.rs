//! The end of a job: all that must not depend on how many slots its host has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use windlass_proto::v1;
use windlass_proto::v1::{CauseKind, JobState, TaskState};
use windlass_tests::harness::TestHost;
use windlass_tests::ledger::LedgerLine;
use windlass_tests::work::json_of;

/// See the module. Instances are named as in the ledger, such as `f#2`.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub state: JobState,
    pub cause: Option<Cause>,
    pub residue: BTreeSet<String>,
    pub tasks: BTreeMap<String, Instance>,
    /// What became of each flow that runs again or under a condition, such as `applying reverting applying applied`.
    pub scopes: BTreeMap<String, String>,
    /// What each call was told, by `apply f#2` and the like, in the order of its attempts.
    pub calls: BTreeMap<String, Vec<Told>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    pub kind: CauseKind,
    /// Of a job that failed by a task.
    pub task: String,
    pub class: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    pub state: TaskState,
    pub scope_attempt: u32,
    pub output: Option<Value>,
    pub revert_output: Option<Value>,
    pub apply_class: Option<String>,
    pub revert_class: Option<String>,
    pub skipped_by: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub attempt: u32,
    pub scope_attempt: u32,
    pub prior: String,
    pub input: Value,
    pub evidence: Value,
    pub failures: Value,
}

/// What is the same even where a failure keeps something from beginning that began with more slots.
#[derive(Debug, PartialEq)]
pub struct Remains<'a> {
    state: JobState,
    cause: &'a Option<Cause>,
    residue: &'a BTreeSet<String>,
    effects: BTreeMap<&'a str, &'a Instance>,
}

impl End {
    pub async fn of(host: &TestHost, job: &str) -> Self {
        let answer = host.get(job).await;
        let found = answer.job.expect("an answer has the job");
        let mut scopes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in host.entries(job).await {
            if let Some(state) = entry.kind.strip_prefix("scope.") {
                scopes.entry(instance_of(&entry)).or_default().push(state.to_owned());
            }
        }
        let mut calls: BTreeMap<String, Vec<Told>> = BTreeMap::new();
        for line in host.ledger_of(job) {
            calls.entry(line.call()).or_default().push(Told::of(line));
        }
        let named = |name: &Option<v1::TaskInstanceName>| name.as_ref().map(written).unwrap_or_default();
        Self {
            state: found.state(),
            residue: found.residue.iter().map(written).collect(),
            cause: found.cause.map(|cause| Cause {
                kind: cause.kind(),
                task: named(&cause.task),
                class: cause.fault.map(|fault| fault.class).unwrap_or_default(),
            }),
            tasks: answer.tasks.iter().map(|task| (named(&task.name), Instance::of(task))).collect(),
            scopes: scopes.into_iter().map(|(name, states)| (name, states.join(" "))).collect(),
            calls,
        }
    }

    pub fn remains(&self) -> Remains<'_> {
        use TaskState::{Pending, Reverted, Skipped};
        let tasks = self.tasks.iter().map(|(name, task)| (name.as_str(), task));
        Remains {
            state: self.state,
            cause: &self.cause,
            residue: &self.residue,
            effects: tasks.filter(|(_, task)| !matches!(task.state, Pending | Reverted | Skipped)).collect(),
        }
    }

    /// The same but for what reverts were told of the failures of the job so far.
    pub fn without_failures(&self) -> Self {
        let mut end = self.clone();
        end.calls.values_mut().flatten().for_each(|told| told.failures = Value::Null);
        end
    }

    #[track_caller]
    pub fn task(&self, name: &str) -> &Instance {
        self.tasks.get(name).unwrap_or_else(|| panic!("there is no {name} in {:#?}", self.tasks))
    }

    /// What the only attempt of a call was told.
    #[track_caller]
    pub fn told(&self, call: &str) -> &Told {
        match self.calls.get(call).map(Vec::as_slice) {
            Some([told]) => told,
            other => panic!("there is not one {call}: {other:#?}"),
        }
    }

    #[track_caller]
    pub fn assert_failed_by(&self, task: &str, class: &str) {
        let (task, class) = (task.to_owned(), class.to_owned());
        assert_eq!(self.cause, Some(Cause { kind: CauseKind::TaskFailed, task, class }));
    }

    #[track_caller]
    pub fn assert_residue(&self, names: &[&str]) {
        assert_eq!(self.residue, names.iter().map(|name| (*name).to_owned()).collect());
    }
}

impl Instance {
    fn of(task: &v1::TaskInstance) -> Self {
        let class = |fault: &Option<v1::Fault>| fault.as_ref().map(|fault| fault.class.clone());
        Self {
            state: task.state(),
            scope_attempt: task.scope_attempt,
            output: task.output.as_ref().map(json_of),
            revert_output: task.revert_output.as_ref().map(json_of),
            apply_class: class(&task.apply_fault),
            revert_class: class(&task.revert_fault),
            skipped_by: task.skipped_by.clone(),
        }
    }
}

impl Told {
    fn of(line: LedgerLine) -> Self {
        let LedgerLine { attempt, scope_attempt, prior, input, evidence, failures, .. } = line;
        Self { attempt, scope_attempt, prior, input, evidence, failures }
    }
}

/// The instance that an entry is about, such as `f#2`.
pub fn instance_of(entry: &v1::Entry) -> String {
    written(&v1::TaskInstanceName { task: entry.task.clone(), iteration: entry.iteration.clone() })
}

fn written(name: &v1::TaskInstanceName) -> String {
    let iteration: String = name.iteration.iter().map(|number| format!("#{number}")).collect();
    format!("{}{iteration}", name.task)
}
