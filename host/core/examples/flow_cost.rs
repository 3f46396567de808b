//! What a task costs in decisions, by the shape of its flow: `cargo run --release -p windlass-core --example flow_cost`.
//!
//! Prints the time per task to apply and to undo chains, wide flows and layers, and how each compares to the cheapest of
//! those with 400 tasks or fewer. It may not grow with the flow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_core::call::{Function, Outcome};
use windlass_core::decide::Decision;
use windlass_core::decide::create::{Timing, create};
use windlass_core::decide::outcome::CallName;
use windlass_core::entry::Actor;
use windlass_core::flow::Flow;
use windlass_core::id::HostId;
use windlass_core::job::{Job, JobSpec, JobState};
use windlass_core::payload::Payload;

const HOST: HostId = HostId(uuid::Uuid::from_u128(1));
/// Calls of the job at once, as a host would allow.
const ROOM: usize = 16;

fn main() {
    let shapes = [
        ("chain of 400", chain(400)),
        ("400 side by side", wide(400)),
        ("10 layers of 10", layers(10, 10)),
        ("chain of 10,000", chain(10_000)),
        ("10,000 side by side", wide(10_000)),
        ("100 layers of 100", layers(100, 100)),
    ];
    let costs: Vec<_> = shapes.iter().map(|(name, text)| (*name, cost(text))).collect();
    let least = costs[..3].iter().map(|(_, cost)| *cost).min().unwrap_or_default();
    for (name, cost) in &costs {
        println!("{name:<22} {cost:>10.2?} per task, {:.2} of the cheapest", ratio(*cost, least));
    }
}

fn ratio(cost: Duration, least: Duration) -> f64 {
    cost.as_secs_f64() / least.as_secs_f64()
}

fn task(name: &str, needs: &[String]) -> String {
    let pin = "\"plugin\":{\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\
               \"name\":\"p\",\"version\":\"1.0.0\"}";
    format!("{{\"name\":\"{name}\",{pin},\"action\":\"act\",\"inputs\":\"arguments\",\"needs\":{needs:?}}}")
}

fn flow(pattern: &str, tasks: impl Iterator<Item = String>) -> String {
    format!("{{\"pattern\":\"{pattern}\",\"tasks\":[{}]}}", tasks.collect::<Vec<_>>().join(","))
}

fn chain(count: usize) -> String {
    flow("linear", (0..count).map(|n| task(&format!("t{n}"), &[])))
}

fn wide(count: usize) -> String {
    flow("unordered", (0..count).map(|n| task(&format!("t{n}"), &[])))
}

/// Every task of a layer needs every one of the layer before.
fn layers(count: usize, width: usize) -> String {
    let tasks = (0..count).flat_map(|layer| (0..width).map(move |n| (layer, n)));
    let tasks = tasks.map(|(layer, n)| {
        let before = layer.checked_sub(1);
        let needs: Vec<_> =
            before.into_iter().flat_map(|before| (0..width).map(move |n| format!("t{before}-{n}"))).collect();
        task(&format!("t{layer}-{n}"), &needs)
    });
    flow("graph", tasks)
}

/// The time per task of a job that is applied and then undone; the best of a few.
fn cost(flow: &str) -> Duration {
    let flow: Arc<Flow> = Arc::new(serde_json::from_str(flow).expect("it is a flow"));
    let tasks = flow.tasks().count() as u32;
    let spec: JobSpec = serde_json::from_value(serde_json::json!({
        "id": uuid::Uuid::from_u128(7), "owner": "o", "principal": "p", "flow": flow.digest(), "origin": "submitted",
        "created": "2026-11-21T00:00:00Z",
    }))
    .expect("it is a spec");
    let spec = Arc::new(spec);
    let once = || {
        let actor = Actor::Principal("p".to_owned());
        let (mut job, _) = create(spec.clone(), flow.clone(), Timing::default(), actor);
        let begun = Instant::now();
        run(&mut job);
        assert_eq!(job.status.state, JobState::Succeeded);
        decide(&mut job, |decision| decision.revert("undo".to_owned()).expect("it succeeded"));
        run(&mut job);
        assert_eq!(job.status.state, JobState::Reverted);
        begun.elapsed() / tasks
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

fn decide(job: &mut Job, what: impl FnOnce(&mut Decision<'_>)) {
    let (now, calls) = (job.spec.created, job.in_flight_count());
    let mut decision = Decision::new(job, now, Actor::Host(HOST)).with_room(ROOM.saturating_sub(calls) + 1);
    what(&mut decision);
}

fn run(job: &mut Job) {
    decide(job, |decision| decision.claim(HOST).expect("it is ready"));
    while let Some((call, outcome)) = next(job) {
        decide(job, |decision| decision.finish(&call, outcome).expect("it is under way"));
    }
}

/// The first call that is under way, and that it went well.
fn next(job: &Job) -> Option<(CallName, Outcome)> {
    let instance = job.in_flight().next()?;
    let call = CallName::of(instance);
    let outcome = match call.function {
        Function::Revert => Outcome::Reverted { output: None },
        Function::Apply | Function::Observe => {
            Outcome::Applied { output: Payload::json(&serde_json::Value::Null), undo: None }
        }
    };
    Some((call, outcome))
}
