//! Accepted, not ready yet: what goes on elsewhere is looked at until it is present, absent or late.

use super::bench::{
    Bench, absent, accepted, broken, failed, payload, present, retry, seconds, spec, unknown,
};
use super::shape::{flow_of, t, task};
use crate::call::{Direction, End, Function, Observation, Outcome, Prior};
use crate::decide::create::Timing;
use crate::fault::{Fault, HOST_ABSENT, HOST_LATE};
use crate::flow::{Flow, InDoubt, Node, Pattern};
use crate::instance::{Failed, TaskState};
use crate::job::{CancelMode, JobState};

const OBSERVE: Function = Function::Observe;
const APPLY: Direction = Direction::Apply;

fn of(in_doubt: InDoubt) -> Bench {
    let mut machine = task("machine");
    machine.in_doubt = in_doubt;
    machine.observe.deadline_ms = 60_000;
    machine.retry.attempts_max = 2;
    bench(flow_of(Pattern::Linear, [t("before"), Node::Task(machine), t("after")]))
}

fn bench(flow: Flow) -> Bench {
    Bench::of_flow(flow, spec(), Timing::default()).script("machine", APPLY, &[accepted(), accepted()])
}

fn calls(bench: &Bench) -> Vec<(&str, Function, u32)> {
    bench.made.iter().map(|made| (made.task.as_str(), made.function, made.attempt)).collect()
}

fn end(bench: &Bench, task: &str) -> End {
    let mut made = bench.made.iter().rev().filter(|made| made.task == task);
    made.find_map(|made| made.evidence.clone()).expect("it has evidence").end
}

#[test]
fn what_is_accepted_is_looked_at_until_it_is_present_and_holds_no_claim_meanwhile() {
    let mut bench = of(InDoubt::Reapply).script("machine", OBSERVE, &[unknown(), retry(), present()]);
    bench.claim();
    bench.finish();
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Waiting);
    assert_eq!(bench.job.status.alarm(), Some(bench.now + seconds(10)));
    assert_eq!(bench.run(), JobState::Succeeded);
    assert!(bench.trace().contains(
        "machine:applying machine:under_way machine:observing machine:not_ready machine:observing machine:not_ready \
         machine:observing machine:applied after:applying"
    ));
    let machine = bench.job.current("machine").expect("it was begun");
    assert_eq!((machine.attempt, machine.observations), (1, 3));
    assert_eq!(machine.output, Some(payload("observed")));
    let keys: Vec<_> =
        bench.made.iter().filter(|made| made.task == "machine").map(|made| &made.key).collect();
    assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "an observation is about the same apply");
    assert_eq!(end(&bench, "machine"), End::Accepted(payload("handle")));
}

#[test]
fn what_is_absent_has_failed_and_is_undone_with_its_handle() {
    let mut bench = of(InDoubt::Reapply).script("machine", OBSERVE, &[unknown(), absent()]);
    assert_eq!(bench.run(), JobState::Reverted);
    let fault = Fault::new(HOST_ABSENT, "the plugin's observer finds nothing");
    assert_eq!(end(&bench, "machine"), End::Failed { fault, handle: Some(payload("handle")) });
    assert!(bench.trace().ends_with("before:reverting before:reverted"), "{}", bench.trace());
}

#[test]
fn the_plugins_own_words_say_why_it_is_absent() {
    let fault = Fault::new("provider.quota", "no quota left");
    let gone = Outcome::Observed(Observation::Absent { fault: Some(fault.clone()) });
    let mut bench = of(InDoubt::Reapply).script("machine", OBSERVE, &[gone]);
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(end(&bench, "machine"), End::Failed { fault, handle: Some(payload("handle")) });
}

#[test]
fn what_has_failed_elsewhere_is_not_begun_anew_be_it_accepted_or_in_doubt() {
    let Outcome::Observed(Observation::Failed { fault }) = failed() else { unreachable!() };
    let mut accepted = of(InDoubt::Reapply).script("machine", OBSERVE, &[unknown(), failed()]);
    assert_eq!(accepted.run(), JobState::Reverted);
    assert_eq!(
        end(&accepted, "machine"),
        End::Failed { fault: fault.clone(), handle: Some(payload("handle")) }
    );

    let mut in_doubt = lost(InDoubt::Observe).script("machine", OBSERVE, &[failed()]);
    assert_eq!(in_doubt.run(), JobState::Reverted);
    let of_machine: Vec<_> = calls(&in_doubt).into_iter().filter(|(task, ..)| *task == "machine").collect();
    assert_eq!(of_machine, [("machine", OBSERVE, 1), ("machine", Function::Revert, 1)]);
    assert_eq!(end(&in_doubt, "machine"), End::Failed { fault: fault.clone(), handle: None });
    for bench in [accepted, in_doubt] {
        let machine = bench.job.current("machine").expect("it was begun");
        assert_eq!((machine.attempt, machine.failed), (1, Some(Failed::Broken)));
        let told: Vec<_> = bench.job.failures().into_iter().map(|(name, fault)| (name.task, fault)).collect();
        assert_eq!(told, [("machine".to_owned(), fault.clone())]);
    }
}

#[test]
fn what_says_no_time_to_look_at_it_is_looked_at_after_the_tasks_own_pause() {
    let whenever = Outcome::Accepted { handle: payload("handle"), undo: None, observe_after_ms: None };
    let mut machine = task("machine");
    machine.observe.pause_ms = 5_000;
    let flow = flow_of(Pattern::Linear, [Node::Task(machine)]);
    let mut bench = Bench::of_flow(flow, spec(), Timing::default()).script("machine", APPLY, &[whenever]);
    bench.claim();
    bench.finish();
    let alarm = bench.job.status.alarm().expect("it waits");
    // Up to a fifth shorter, as every pause.
    assert!((bench.now + seconds(4)..=bench.now + seconds(5)).contains(&alarm), "{alarm}");
}

/// Looks that never say more than that it is not ready.
fn never() -> Vec<Outcome> {
    std::iter::repeat_n(unknown(), 100).collect()
}

#[test]
fn what_is_late_is_applied_again_under_the_same_key_as_often_as_its_retries_allow() {
    let mut bench = of(InDoubt::Reapply).script("machine", OBSERVE, &never());
    assert_eq!(bench.run(), JobState::Reverted);
    let applies: Vec<_> = bench.made.iter().filter(|made| made.function == Function::Apply).collect();
    let applies: Vec<_> = applies.iter().filter(|made| made.task == "machine").collect();
    assert_eq!(applies.len(), 2);
    assert_eq!(applies[0].key, applies[1].key);
    assert_eq!((applies[1].attempt, applies[1].prior), (2, Prior::Interrupted));
    let End::Failed { fault, .. } = end(&bench, "machine") else { panic!("it failed") };
    assert_eq!(fault.class, HOST_LATE);
}

#[test]
fn the_last_look_is_at_the_deadline_and_counts() {
    let mut looks = never();
    looks.truncate(3);
    let mut bench = of(InDoubt::Revert).script("machine", OBSERVE, &looks);
    let drifted = Outcome::Observed(Observation::Drifted { fault: Some(Fault::new("odd", "too small")) });
    bench.claim();
    bench.finish();
    bench.finish();
    let deadline = bench.now + seconds(60);
    while bench.now < deadline {
        let alarm = bench.job.status.alarm().expect("it waits");
        assert!(alarm <= deadline, "it is looked at at its deadline at the latest");
        bench.now = alarm;
        bench.decide(|d| d.wake());
        bench.claim();
        let call = bench.make();
        bench.finish_with(&call, drifted.clone()).expect("it is under way");
    }
    let machine = bench.job.current("machine").expect("it was begun");
    let fault = machine.fault.clone().expect("it failed");
    assert_eq!((fault.class.as_str(), fault.causes), (HOST_LATE, vec!["odd: too small".to_owned()]));
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn what_is_late_holds_its_job_where_the_task_asks_for_that_and_is_applied_again_when_it_is_resumed() {
    for in_doubt in [InDoubt::Hold, InDoubt::Observe] {
        let mut looks = never();
        looks.truncate(10);
        let mut bench = of(in_doubt).script("machine", OBSERVE, &looks);
        assert_eq!(bench.run(), JobState::Suspended, "{}", bench.trace());
        let machine = bench.job.current("machine").expect("it was begun");
        assert_eq!((machine.state, machine.is_held), (TaskState::InDoubt, true));
        bench.decide(|d| d.resume()).expect("it is suspended");
        assert!(matches!(bench.run(), JobState::Succeeded | JobState::Suspended));
        assert_eq!(bench.job.current("machine").map(|machine| machine.attempt), Some(2));
    }
}

#[test]
fn s07_a_host_that_is_lost_while_it_looks_looks_again_and_applies_nothing() {
    let mut bench = of(InDoubt::Reapply);
    bench.claim();
    bench.finish();
    bench.finish();
    bench.pass(seconds(10));
    bench.decide(|d| d.wake());
    bench.claim();
    bench.crash();
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(
        calls(&bench),
        [
            ("before", Function::Apply, 1),
            ("machine", Function::Apply, 1),
            ("machine", OBSERVE, 2),
            ("after", Function::Apply, 1)
        ]
    );
}

/// The host was lost while the machine was applied.
fn lost(in_doubt: InDoubt) -> Bench {
    let mut bench = of(in_doubt);
    bench.claim();
    bench.finish();
    bench.crash();
    bench
}

#[test]
fn what_is_in_doubt_is_looked_at_where_the_task_asks_for_that_and_is_applied_where_it_is_present() {
    let mut bench = lost(InDoubt::Observe);
    assert_eq!(bench.call().function, OBSERVE);
    assert_eq!(bench.run(), JobState::Succeeded);
    let of_machine: Vec<_> = calls(&bench).into_iter().filter(|(task, ..)| *task == "machine").collect();
    assert_eq!(of_machine, [("machine", OBSERVE, 1)], "it is not applied twice");
    assert_eq!(end(&bench, "machine"), End::Interrupted);
}

#[test]
fn what_is_in_doubt_and_absent_is_applied_again() {
    let mut bench = lost(InDoubt::Observe).script("machine", OBSERVE, &[absent(), present()]);
    assert_eq!(bench.run(), JobState::Succeeded);
    let of_machine: Vec<_> = calls(&bench).into_iter().filter(|(task, ..)| *task == "machine").collect();
    assert_eq!(
        of_machine,
        [("machine", OBSERVE, 1), ("machine", Function::Apply, 2), ("machine", OBSERVE, 2)]
    );
}

#[test]
fn what_is_in_doubt_and_cannot_be_told_holds_its_job() {
    for answer in [unknown(), retry(), broken()] {
        let mut bench = lost(InDoubt::Observe).script("machine", OBSERVE, &[answer]);
        assert_eq!(bench.run(), JobState::Suspended, "{}", bench.trace());
        assert!(bench.trace().ends_with("machine:in_doubt machine:held"), "{}", bench.trace());
        bench.decide(|d| d.resume()).expect("it is suspended");
        assert_eq!(bench.run(), JobState::Succeeded);
        assert_eq!(
            bench.job.current("machine").map(|machine| machine.attempt),
            Some(2),
            "a person has looked"
        );
    }
}

#[test]
fn a_host_that_is_lost_while_it_settles_a_doubt_looks_again() {
    let mut bench = lost(InDoubt::Observe);
    bench.crash();
    assert_eq!((bench.call().function, bench.call().attempt), (OBSERVE, 2));
    let call = bench.make();
    bench.finish_with(&call, absent()).expect("it is under way");
    assert_eq!((bench.call().function, bench.call().attempt), (Function::Apply, 2), "it still is a doubt");
}

#[test]
fn a_cancel_while_it_is_looked_at_undoes_it_with_its_handle() {
    let mut bench = of(InDoubt::Hold);
    bench.claim();
    bench.finish();
    bench.finish();
    bench.decide(|d| d.cancel(CancelMode::Revert, "not any more".into())).expect("it waits");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(end(&bench, "machine"), End::Accepted(payload("handle")));
}

#[test]
fn a_cancel_that_comes_while_a_late_one_is_looked_at_is_obeyed_and_nothing_is_suspended() {
    let mut bench = of(InDoubt::Hold);
    bench.claim();
    bench.finish();
    bench.finish();
    bench.pass(seconds(60));
    bench.decide(|d| d.wake());
    bench.claim();
    bench.decide(|d| d.cancel(CancelMode::Revert, "not any more".into())).expect("it runs");
    let call = bench.make();
    bench.finish_with(&call, unknown()).expect("it is under way");
    assert_eq!(bench.run(), JobState::Reverted, "{:?}", bench.states());
}

#[test]
fn v10_a_failure_beside_it_lets_a_look_finish_and_then_undoes_what_was_accepted() {
    let mut machine = task("machine");
    machine.observe.deadline_ms = 60_000;
    let flow = flow_of(Pattern::Unordered, [Node::Task(machine), t("fail")]);
    let mut bench = bench(flow).script("fail", APPLY, &[broken()]);
    bench.claim();
    bench.finish_task("machine");
    bench.pass(seconds(10));
    bench.decide(|d| d.proceed(super::bench::W1)).expect("it is claimed");
    assert_eq!(bench.calling(), "machine fail");
    bench.finish_task("fail");
    bench.finish_task("machine");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(end(&bench, "machine"), End::Applied(payload("observed")));
}
