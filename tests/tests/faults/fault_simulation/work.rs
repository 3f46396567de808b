//! Work: flows of random tasks and child jobs, and how each attempt of them ends.

use std::collections::BTreeMap;

use windlass_core::call::{Call, Function, Observation, Outcome};
use windlass_core::child::Child;
use windlass_core::fault::Fault;
use windlass_core::flow::{Flow, InDoubt, Inputs, Node, Pattern, RetryPolicy, Task};
use windlass_core::payload::Payload;
use windlass_core::wait::{Until, Wait};
use windlass_tests::scripted::{self, ACTION, Answer, PLUGIN};

use super::random::Random;
use super::wait::wait;

/// How many of the nodes that are no job wait.
const WAITS_PERCENT: u64 = 25;
pub const TASKS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Of child jobs.
const CHILD_TASKS: [&str; 2] = ["x", "y"];
/// The label by which the script knows a job whose id is another in every run. A child has that of its parent.
pub const NUMBER: &str = "number";
const HOUR_MS: u64 = 3_600_000;
/// Longer than the simulation takes: its end is not that of patience.
const LONG_MS: u64 = 300 * 24 * HOUR_MS;

/// A flow in either pattern, some nodes of which may be jobs, or wait.
pub fn flow(random: &mut Random) -> Flow<String> {
    let count = random.below(TASKS.len() as u64 + 1) as usize;
    let doubts = [InDoubt::Reapply, InDoubt::Observe, InDoubt::Revert, InDoubt::Hold];
    let in_doubt = random.pick(&doubts).expect("there are some");
    let attempts_max = 1 + random.below(3) as u32;
    let mut nodes = Vec::new();
    for name in &TASKS[..count] {
        let child = random.chance(25).then(|| child(random, attempts_max, in_doubt));
        nodes.push(match child {
            Some(child) => job(name, child),
            None if random.chance(WAITS_PERCENT) => Node::Wait(wait(name, random)),
            None => Node::Task(task(name, attempts_max, in_doubt)),
        });
    }
    let pattern = if random.chance(40) { Pattern::Unordered } else { Pattern::Linear };
    Flow { pattern, nodes, ..Flow::linear([]) }
}

fn child(random: &mut Random, attempts_max: u32, in_doubt: InDoubt) -> Child<String> {
    let count = 1 + random.below(CHILD_TASKS.len() as u64) as usize;
    let tasks = CHILD_TASKS[..count].iter().map(|name| task(name, attempts_max, in_doubt));
    let timeout_ms = if random.chance(20) { 1 + random.below(4 * HOUR_MS) } else { LONG_MS };
    let priority = random.chance(30).then(|| random.below(3) as i32 - 1);
    let flow = Box::new(Flow::linear(tasks));
    Child { flow, flow_revision: None, inputs: BTreeMap::new(), priority, timeout_ms }
}

fn job(name: &str, child: Child<String>) -> Node<String> {
    let (name, until) = (name.to_owned(), Until::Child(child));
    Node::Wait(Wait { name, until, provides: BTreeMap::new(), needs: Vec::new(), when: None })
}

fn task(name: &str, attempts_max: u32, in_doubt: InDoubt) -> Task<String> {
    Task {
        name: name.to_owned(),
        plugin: PLUGIN.to_owned(),
        action: ACTION.to_owned(),
        inputs: Inputs::Arguments,
        revert_inputs: None,
        provides: BTreeMap::new(),
        needs: Vec::new(),
        priority: 0,
        timeout_ms: None,
        retry: RetryPolicy { attempts_max, ..RetryPolicy::default() },
        when: None,
        memory_bytes_max: None,
        in_doubt,
        observe: Default::default(),
        phase: None,
    }
}

/// What this attempt comes to, in every run of the seed.
pub fn answer(seed: u64, call: &Call) -> Answer {
    let number =
        call.attributes.iter().find(|(name, _)| name == NUMBER).map_or("", |(_, value)| value.as_str());
    let function = scripted::word(call.function);
    let iteration = format!("{:?}", call.iteration);
    let (seed, attempt) = (seed.to_be_bytes(), call.attempt.to_be_bytes());
    let parts: [&[u8]; 6] =
        [&seed, number.as_bytes(), call.task.as_bytes(), function.as_bytes(), iteration.as_bytes(), &attempt];
    let mut random = Random::of_parts(&parts);
    let fault = || Fault::new("script.chance", "chance says so");
    let outcome = match random.below(100) {
        0..12 => {
            let after_ms = random.chance(50).then(|| random.below(3_600_000));
            Outcome::Retry { fault: fault(), after_ms }
        }
        12..18 => Outcome::Reject { fault: fault() },
        18..26 => Outcome::Broken { fault: fault() },
        26..38 if call.function == Function::Apply => {
            let handle = Payload::json(&serde_json::json!({ "attempt": call.attempt }));
            let observe_after_ms = random.chance(80).then(|| random.below(3_600_000));
            Outcome::Accepted { handle, undo: None, observe_after_ms }
        }
        26..32 if call.function == Function::Observe => {
            Outcome::Observed(Observation::Absent { fault: random.chance(50).then(fault) })
        }
        32..34 if call.function == Function::Observe => {
            Outcome::Observed(Observation::Failed { fault: fault() })
        }
        34..60 if call.function == Function::Observe => {
            let after_ms = random.chance(80).then(|| random.below(7_200_000));
            Outcome::Observed(Observation::Unknown { after_ms })
        }
        _ => Answer::good(call.function),
    };
    let mut answer = Answer::held(outcome);
    if call.function == Function::Apply && random.chance(30) {
        let record = |n: u64| Payload::json(&serde_json::json!({ "attempt": call.attempt, "record": n }));
        answer.undo = (0..=random.below(2)).map(record).collect();
    }
    answer
}
