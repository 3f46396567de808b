//! Families: a job that is a node of another is made once for each attempt of it, and a parent says of its child jobs
//! only what they say themselves.

use std::collections::{BTreeMap, HashMap, HashSet};

use windlass_core::child::Order;
use windlass_core::entry::{Entry, Fact};
use windlass_core::id::JobId;
use windlass_core::instance::{InstanceName, TaskInstance, TaskState};
use windlass_core::job::{Job, JobState};

/// Of all jobs, with their entries.
pub(super) fn check(jobs: &[(Job, Vec<Entry>)]) -> Vec<String> {
    let by_id: HashMap<JobId, &Job> = jobs.iter().map(|(job, _)| (job.id(), job)).collect();
    let mut problems = Vec::new();
    let mut ordered: HashMap<JobId, HashSet<JobId>> = HashMap::new();
    for (job, entries) in jobs {
        let (children, found) = orders(entries);
        problems.extend(found.into_iter().map(|problem| format!("job {}: {problem}", job.id())));
        ordered.insert(job.id(), children);
    }
    for (job, _) in jobs {
        let parent = job.parent().filter(|parent| by_id.contains_key(&parent.job));
        if parent.is_some_and(|parent| !ordered[&parent.job].contains(&job.id())) {
            problems.push(format!("job {} is a child that its parent never ordered", job.id()));
        }
        for instance in job.instances.values() {
            let child = instance.child.as_ref().and_then(|link| by_id.get(&link.job));
            let wrong = child.and_then(|child| disagreement(job, instance, child));
            problems.extend(wrong.map(|wrong| format!("job {}: {} {wrong}", job.id(), instance.name)));
        }
    }
    problems
}

/// The child jobs that were to be made, one for each attempt.
fn orders(entries: &[Entry]) -> (HashSet<JobId>, Vec<String>) {
    let (mut made, mut problems) = (BTreeMap::<(InstanceName, u32), JobId>::new(), Vec::new());
    let mut children = HashSet::new();
    for entry in entries {
        let Fact::ChildOrdered { task, attempt, child, order: Order::Start, .. } = &entry.fact else {
            continue;
        };
        if made.insert((task.clone(), *attempt), *child).is_some() {
            problems
                .push(format!("entry {} makes another job for attempt {attempt} of {task}", entry.sequence));
        }
        if !children.insert(*child) {
            problems.push(format!("entry {} orders job {child} for another attempt", entry.sequence));
        }
    }
    (children, problems)
}

/// What a parent says of a child that the child does not say.
fn disagreement(parent: &Job, instance: &TaskInstance, child: &Job) -> Option<String> {
    let is_of_it = child.parent().is_some_and(|of| of.job == parent.id() && of.task == instance.name);
    if !is_of_it {
        return Some(format!("is job {}, which is another's", child.id()));
    }
    let has_effects = child.instances.values().any(TaskInstance::has_effects);
    let (state, id) = (child.status.state, child.id());
    match instance.state {
        TaskState::Applied if state != JobState::Succeeded => {
            Some(format!("is applied, and job {id} is {}", state.word()))
        }
        TaskState::Reverted if has_effects => Some(format!("is reverted, and job {id} has effects")),
        // One without effects was undone without asking it, whatever it ended as.
        TaskState::Reverted if !state.is_ended() => {
            Some(format!("is reverted, and job {id} is {}", state.word()))
        }
        _ => None,
    }
}
