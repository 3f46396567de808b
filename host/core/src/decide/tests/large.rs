//! Flows as large as they may be, driven without a witness. What a task costs in them is printed by the example
//! `flow_cost`; here nothing is timed.

use std::sync::Arc;

use super::bench::{W1, applied, reverted, spec};
use super::shape::{Shape, flow_of, nested, own_revert, t};
use crate::arguments::TASKS_MAX;
use crate::call::Direction;
use crate::decide::Decision;
use crate::decide::create::{Timing, create};
use crate::decide::outcome::CallName;
use crate::entry::Actor;
use crate::flow::{Flow, Node, Pattern};
use crate::job::{Job, JobState};
use crate::phase::Phase;

use Pattern::{Graph, Linear, Unordered};

fn tasks() -> impl Iterator<Item = Node> {
    (0..TASKS_MAX).map(|n| t(&format!("t{n}")))
}

fn run(job: &mut Job) -> usize {
    let decide = |job: &mut Job, what: &mut dyn FnMut(&mut Decision<'_>)| {
        let now = job.spec.created;
        what(&mut Decision::new(job, now, Actor::Host(W1)).with_room(16));
    };
    let mut calls = 0;
    decide(job, &mut |decision| decision.claim(W1).expect("it is ready"));
    while job.status.state.is_claimed() {
        let ended: Vec<_> = job.in_flight().take(8).map(CallName::of).collect();
        calls += ended.len();
        let outcome = |direction| if direction == Direction::Apply { applied() } else { reverted() };
        let ended: Vec<_> =
            ended.into_iter().map(|call| (call.clone(), outcome(call.function.direction()))).collect();
        decide(job, &mut |decision| decision.finish_all(&ended).expect("they are under way"));
    }
    calls
}

fn there_and_back(flow: Flow) {
    there_and_back_in(flow, TASKS_MAX);
}

/// Undone by so many calls.
fn there_and_back_in(flow: Flow, reverts: usize) {
    let actor = Actor::Principal("local".to_owned());
    let (mut job, _) = create(Arc::new(spec()), Arc::new(flow), Timing::default(), actor.clone());
    assert_eq!((run(&mut job), job.status.state), (TASKS_MAX, JobState::Succeeded));
    let now = job.spec.created;
    Decision::new(&mut job, now, actor).revert("undo".to_owned()).expect("it succeeded");
    assert_eq!((run(&mut job), job.status.state), (reverts, JobState::Reverted));
}

#[test]
fn ten_thousand_tasks_in_a_row_side_by_side_and_in_layers_are_applied_and_undone() {
    there_and_back(flow_of(Linear, tasks()));
    there_and_back(flow_of(Unordered, tasks()));
    let mut tasks = tasks();
    let layers: Vec<_> = (0..100)
        .map(|layer| nested(&format!("layer{layer}"), Unordered, tasks.by_ref().take(TASKS_MAX / 100)))
        .collect();
    there_and_back(flow_of(Linear, layers));
    let needing = (0..TASKS_MAX).map(|n| match n.checked_sub(100) {
        Some(before) => t(&format!("t{n}")).needs(&[&format!("t{before}")]),
        None => t(&format!("t{n}")),
    });
    there_and_back(flow_of(Graph, needing));
    let phases = self::tasks().zip([Phase::Acquire, Phase::Reserve, Phase::Configure].into_iter().cycle());
    there_and_back(flow_of(Graph, phases.map(|(task, phase)| task.phase(phase))));
}

#[test]
fn ten_thousand_tasks_are_undone_by_one_call() {
    let mut flow = flow_of(Unordered, tasks());
    flow.revert = Some(own_revert());
    there_and_back_in(flow, 1);
}
