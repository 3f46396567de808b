//! A job that is replayed entry by entry, beside what is told of it.
//!
//! Invariant: what is told is believed only where the entries make the same of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_core::entry::Entry;
use windlass_core::flow::Flow;
use windlass_core::instance::{InstanceName, TaskInstance};
use windlass_core::job::{Job, JobSpec, JobStatus};

pub(in crate::store) struct Replay {
    /// What the entries made of it so far.
    pub job: Job,
    told: JobStatus,
    instances: BTreeMap<InstanceName, TaskInstance>,
    /// After an entry that is not possible, what follows says nothing.
    is_illegal: bool,
}

impl Replay {
    pub fn begin(spec: Arc<JobSpec>, flow: Arc<Flow>, told: JobStatus) -> Self {
        let job = Job::replay(spec, flow, &[]).expect("no entry is illegal where there is none");
        Self { job, told, instances: BTreeMap::new(), is_illegal: false }
    }

    /// Told of one of its instances.
    pub fn instance(&mut self, instance: TaskInstance) {
        self.instances.insert(instance.name.clone(), instance);
    }

    /// Takes its next entry; says what is wrong with it.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), String> {
        if self.is_illegal {
            return Ok(());
        }
        self.job.record(entry).map_err(|illegal| {
            self.is_illegal = true;
            illegal.to_string()
        })
    }

    /// Every difference between what its entries make of it and what was told.
    pub fn differences(&self) -> Vec<String> {
        if self.is_illegal {
            return Vec::new();
        }
        let mut found = Vec::new();
        let (made, told) = (&self.job.status, &self.told);
        if made.sequence == 0 {
            return vec!["it has no entries".to_owned()];
        }
        if made.sequence != told.sequence {
            found.push(format!("it has {} entries, and its status is of {}", made.sequence, told.sequence));
        } else if made != told {
            found.push(format!(
                "its entries make it {}, its status tells of {}: {}",
                made.state.word(),
                told.state.word(),
                first_difference(made, told)
            ));
        }
        for (name, instance) in &self.job.instances {
            match self.instances.get(name) {
                None => found.push(format!("its entries tell of {name}, which is missing")),
                Some(told) if !instance.is_told_by(told) => {
                    found.push(format!(
                        "its entries make another {name}: {}",
                        first_difference(instance, told)
                    ));
                }
                Some(_) => {}
            }
        }
        let unknown = self.instances.keys().filter(|name| !self.job.instances.contains_key(name));
        found.extend(unknown.map(|name| match self.job.plan.knows(&name.task) {
            true => format!("no entry tells of {name}, and it is there"),
            false => format!("{name} is there, of a task that its flow does not have"),
        }));
        found
    }
}

/// The first field that differs, by its name and both values, as the canonical form has them.
fn first_difference<T: serde::Serialize>(made: &T, told: &T) -> String {
    let value = |of: &T| serde_json::to_value(of).unwrap_or_default();
    let (made, told) = (value(made), value(told));
    let fields = made.as_object().into_iter().flatten();
    let differs = fields.map(|(name, value)| (name, value, &told[name])).find(|(_, made, told)| made != told);
    differs.map_or_else(
        || "in a field that is not written down".to_owned(),
        |(name, made, told)| format!("{name} is {made}, and {told} is told"),
    )
}
