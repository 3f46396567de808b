//! P08: the tables of the design, written down a second time, against those that the code has.

use super::bench::{Bench, W1, applied, midnight, payload};
use crate::call::{Direction, Outcome, Prior};
use crate::entry::{Actor, Entry, Fact};
use crate::fault::Fault;
use crate::instance::{Failed, InstanceName, TaskState};
use crate::job::{CancelMode, Cause, Claim, JobState};
use crate::record::may_become;
use crate::record::own_revert::may_become as own_revert_may_become;
use crate::record::table::happens_in;
use crate::record::task::may_become as task_may_become;

use JobState::{
    Cancelled, Dropped, Failed as JobFailed, Quarantined, Ready, Reverted, Reverting, Running, Scheduled,
    Succeeded, Superseded, Suspended, Suspending, Waiting,
};

/// Section 4 of the design.
const JOB: &[(JobState, &[JobState])] = &[
    (Scheduled, &[Ready, Dropped, JobFailed, Cancelled, Superseded]),
    (Ready, &[Running, Reverting, Quarantined, Scheduled, Dropped, Cancelled, Superseded, JobFailed]),
    (Waiting, &[Ready, JobFailed, Cancelled]),
    (Running, &[Succeeded, Waiting, Reverting, Suspending, Ready, Quarantined, JobFailed, Cancelled]),
    (Reverting, &[Reverted, JobFailed, Suspending, Waiting, Quarantined, Ready]),
    (Suspending, &[Suspended, Succeeded, Reverted, JobFailed, Ready]),
    (Suspended, &[Ready, Cancelled, JobFailed]),
    (Quarantined, &[Ready, Cancelled, JobFailed]),
    (Succeeded, &[Ready]),
    (JobFailed, &[Ready]),
];

/// What the code allows beyond that.
const BEYOND: &[(JobState, JobState)] = &[
    // Moved from one time to another.
    (Scheduled, Scheduled),
    // A suspension that outlived its host: the claim shows it, and nothing is called.
    (Ready, Suspending),
    // What nobody runs is suspended at once.
    (Ready, Suspended),
    (Waiting, Suspended),
    // A cancel outranks the suspension that was asked for.
    (Suspending, Running),
    (Suspending, Reverting),
    // By an operator, as from every other claimed state.
    (Suspending, Quarantined),
];

#[test]
fn p08_the_states_of_a_job_follow_each_other_as_designed() {
    for from in JobState::ALL {
        for to in JobState::ALL {
            let is_designed = JOB.iter().any(|(state, next)| *state == from && next.contains(&to));
            let is_beyond = BEYOND.contains(&(from, to));
            assert!(!(is_designed && is_beyond));
            assert_eq!(may_become(from, to), is_designed || is_beyond, "{} -> {}", from.word(), to.word());
        }
    }
}

#[test]
fn p08_the_states_of_a_task_follow_each_other_as_designed() {
    use TaskState::{
        Accepted, Applied, ApplyFailed, Applying, Backoff, InDoubt, Observing, Pending, RevertFailed,
        Reverted, Reverting, Skipped, SkippedRevert, Waiting,
    };
    let design: &[(TaskState, &[TaskState])] = &[
        // Beyond the design: a condition that cannot be evaluated fails the task before any call.
        (Pending, &[Applying, Skipped, ApplyFailed]),
        (Skipped, &[]),
        (Applying, &[Applied, Observing, Backoff, ApplyFailed, InDoubt]),
        // Beyond the design: each look is an entry of its own, and an absent one in doubt is applied again as after a
        // pause.
        (Observing, &[Applied, ApplyFailed, InDoubt, Reverting, Observing, Backoff]),
        (Waiting, &[]),
        (Backoff, &[Applying, ApplyFailed, Reverting]),
        // Beyond the design: undone on its own account, it has failed first.
        (InDoubt, &[Reverting, Applying, Observing, ApplyFailed]),
        (ApplyFailed, &[Reverting, Reverted, Applying]),
        (Applied, &[Reverting]),
        (Reverting, &[Reverted, RevertFailed, Reverting]),
        (RevertFailed, &[Reverting, Accepted, SkippedRevert]),
        (Reverted, &[]),
        (Accepted, &[]),
        (SkippedRevert, &[]),
    ];
    for (from, next) in design {
        for (to, _) in design {
            assert_eq!(task_may_become(*from, *to), next.contains(to), "{} -> {}", from.word(), to.word());
        }
    }
}

#[test]
fn p08_an_own_revert_goes_through_the_states_of_a_task_that_is_undone_and_never_applies() {
    use TaskState::{
        Accepted, Applied, ApplyFailed, Applying, Backoff, InDoubt, Pending, RevertFailed, Reverted,
        Reverting, Skipped, SkippedRevert,
    };
    let never: [TaskState; 6] = [Skipped, Applying, Backoff, InDoubt, ApplyFailed, Applied];
    let back: [TaskState; 5] = [Reverting, Reverted, RevertFailed, Accepted, SkippedRevert];
    for from in back.into_iter().chain([Pending]) {
        for to in never.into_iter().chain([Pending]) {
            assert!(!own_revert_may_become(from, to), "{} -> {}", from.word(), to.word());
        }
        for to in back {
            let is_task_like = task_may_become(from, to) || (from, to) == (Pending, Reverting);
            assert_eq!(own_revert_may_become(from, to), is_task_like, "{} -> {}", from.word(), to.word());
        }
    }
    assert!(never.into_iter().all(|from| back.iter().all(|to| !own_revert_may_become(from, *to))));
}

/// Every fact that changes a job, and the states that it may lead to.
fn job_facts() -> Vec<(Fact, Vec<JobState>)> {
    let reason = || "why not".to_owned();
    let cancelled = || Cause::Cancelled { reason: reason() };
    let mut facts = vec![
        (Fact::Triggered, vec![Ready]),
        (Fact::Rescheduled { execute_at: midnight(), due: midnight() }, vec![Scheduled]),
        (Fact::Claimed { host: W1, epoch: 2 }, vec![Running, Reverting, Suspending]),
        (Fact::ClaimLost { host: W1, in_flight: true }, vec![Ready]),
        (Fact::GivenUp { host: W1 }, vec![Ready]),
        (Fact::Waiting { until: midnight() }, vec![Waiting]),
        (Fact::Woken, vec![Ready]),
        (Fact::Unwinding { cause: cancelled() }, vec![Ready, Reverting, Suspending]),
        (Fact::SuspendRequested, vec![Suspending]),
        (Fact::Suspended, vec![Suspended]),
        (Fact::Resumed, vec![Ready]),
        (Fact::Released, vec![Ready]),
        (Fact::Quarantined { reason: reason() }, vec![Quarantined]),
        (Fact::Reopened { direction: Direction::Revert, reason: reason() }, vec![Ready]),
    ];
    for state in JobState::ALL.into_iter().filter(|state| state.is_ended()) {
        facts.push((Fact::Ended { state, cause: Some(cancelled()), residue: Vec::new() }, vec![state]));
    }
    facts
}

#[test]
fn p08_every_fact_about_a_job_is_legal_by_the_tables_or_refused() {
    for state in JobState::ALL {
        for (fact, leads_to) in job_facts() {
            let mut job = Bench::of(&["a"]).job;
            job.status.state = state;
            job.status.epoch = 1;
            job.status.claim = state.is_claimed().then_some(Claim { host: W1, epoch: 1 });
            let before = job.clone();
            let entry = Entry {
                sequence: job.status.sequence + 1,
                at: midnight(),
                epoch: 1,
                actor: Actor::Host(W1),
                fact: fact.clone(),
            };
            let is_taken = job.record(&entry).is_ok();
            let (from, to) = (state, job.status.state);
            if is_taken {
                assert!(leads_to.contains(&to), "{} in {} -> {}", fact.kind(), from.word(), to.word());
                assert!(from == to || may_become(from, to), "{} -> {}", from.word(), to.word());
                assert_eq!(job.status.claim.is_some(), to.is_claimed(), "{} in {}", fact.kind(), from.word());
            } else {
                assert_eq!(job.status.state, before.status.state, "what is refused changes no state");
            }
            let is_expected =
                happens_in(&fact, state) && leads_to.iter().any(|to| *to == state || may_become(state, *to));
            assert_eq!(is_taken, is_expected, "{} in {}", fact.kind(), state.word());
        }
    }
}

fn task_facts() -> Vec<(Fact, TaskState, &'static [JobState])> {
    let task = || InstanceName { task: "a".into(), iteration: Vec::new() };
    let (fault, prior, reason) = (|| Fault::new("odd", "odd"), Prior::None, || "why not".to_owned());
    let (forward, back): (&[JobState], &[JobState]) = (&[Running, Suspending], &[Reverting, Suspending]);
    let (attempt, next_try, output) = (1, midnight(), payload("output"));
    vec![
        (Fact::TaskApplying { task: task(), attempt, prior }, TaskState::Applying, &[Running]),
        (Fact::TaskApplied { task: task(), attempt, output, undo: None }, TaskState::Applied, forward),
        (Fact::TaskBackoff { task: task(), attempt, fault: fault(), next_try }, TaskState::Backoff, forward),
        (
            Fact::TaskApplyFailed { task: task(), attempt, fault: fault(), how: Failed::Broken },
            TaskState::ApplyFailed,
            forward,
        ),
        (Fact::TaskInDoubt { task: task(), attempt }, TaskState::InDoubt, forward),
        (Fact::TaskReverting { task: task(), attempt, prior }, TaskState::Reverting, &[Reverting]),
        (Fact::TaskRevertInterrupted { task: task(), attempt }, TaskState::Reverting, back),
        (
            Fact::TaskRevertBackoff { task: task(), attempt, fault: fault(), next_try },
            TaskState::Reverting,
            back,
        ),
        (Fact::TaskReverted { task: task(), attempt, output: None }, TaskState::Reverted, back),
        (Fact::TaskRevertFailed { task: task(), attempt, fault: fault() }, TaskState::RevertFailed, back),
        (Fact::TaskSkipped { task: task(), by: reason() }, TaskState::Skipped, &[Running]),
        (Fact::TaskRevertAccepted { task: task(), reason: reason() }, TaskState::Accepted, &[JobFailed]),
        (Fact::TaskRevertSkipped { task: task(), reason: reason() }, TaskState::SkippedRevert, &[JobFailed]),
    ]
}

#[test]
fn p08_every_fact_about_a_task_is_legal_by_the_tables_or_refused() {
    use TaskState as T;
    let states = [
        T::Pending,
        T::Skipped,
        T::Applying,
        T::Backoff,
        T::InDoubt,
        T::ApplyFailed,
        T::Applied,
        T::Reverting,
        T::Reverted,
        T::RevertFailed,
        T::Accepted,
        T::SkippedRevert,
    ];
    for job_state in JobState::ALL {
        for task_state in states {
            for (fact, leads_to, happens) in task_facts() {
                let mut job = Bench::of(&["a"]).job;
                let name = fact.task().expect("it is about a task").clone();
                let mut instance =
                    crate::instance::TaskInstance::pending(name.clone(), Some(crate::id::Digest::of(b"")));
                instance.state = task_state;
                instance.attempt = u32::from(!matches!(task_state, T::Pending | T::Skipped));
                // It waits for its next attempt: a call under way is never begun again.
                instance.next_try = (task_state == T::Reverting).then(midnight);
                // Of an earlier run, so that an operator's retry is possible.
                instance.run = 0;
                job.instances.insert(name.clone(), instance);
                job.status.state = job_state;
                let is_back = fact.kind().starts_with("task.revert");
                if job_state == Reverting || job_state == Suspending && is_back {
                    job.status.direction = Direction::Revert;
                }
                job.frontier = job.frontier_anew();
                let (sequence, kind) = (job.status.sequence + 1, fact.kind());
                let entry = Entry { sequence, at: midnight(), epoch: 1, actor: Actor::Host(W1), fact };
                let is_begun = leads_to != T::ApplyFailed || task_state != T::Pending;
                // The task is in no scope, and so goes back with its job only.
                let is_expected =
                    happens.contains(&job_state) && task_may_become(task_state, leads_to) && is_begun;
                assert_eq!(
                    job.record(&entry).is_ok(),
                    is_expected,
                    "{kind}: job {}, task {}",
                    job_state.word(),
                    task_state.word()
                );
                let state = if is_expected { leads_to } else { task_state };
                assert_eq!(job.instances[&name].state, state);
            }
        }
    }
}

#[test]
fn a_logbook_that_was_tampered_with_is_not_replayed() {
    let mut bench = Bench::of(&["a", "b"]);
    bench.run();
    let (spec, flow, entries) = (&bench.job.spec, &bench.job.flow, &bench.entries);
    let replay = |entries: &[Entry]| crate::job::Job::replay(spec.clone(), flow.clone(), entries);
    assert_eq!(replay(entries).as_ref(), Ok(&bench.job));
    for gone in 0..entries.len() - 1 {
        let mut entries = entries.clone();
        entries.remove(gone);
        let error = replay(&entries).expect_err("one is missing");
        assert!(error.to_string().starts_with("entry "), "{error}");
        entries.iter_mut().zip(1..).for_each(|(entry, sequence)| entry.sequence = sequence);
        replay(&entries).expect_err("the rest does not follow");
    }
    let mut strange = entries.clone();
    if let Fact::TaskApplying { task, .. } = &mut strange[3].fact {
        task.task = "unheard-of".into();
    }
    assert!(
        replay(&strange).expect_err("there is no such task").to_string().contains("no task \"unheard-of\"")
    );
}

#[test]
fn a_guest_cannot_report_progress_that_is_none() {
    for (reported, kept) in [(-1.0, 0.0), (0.5, 0.5), (7.0, 1.0), (f32::NAN, 0.0), (f32::INFINITY, 1.0)] {
        let mut bench = Bench::of(&["a"]);
        bench.claim();
        let call = bench.call();
        let progress = Some((reported, "going on".to_owned()));
        bench.decide(|d| d.record_noise(&call, Vec::new(), progress)).expect("it is under way");
        assert_eq!(bench.job.current("a").and_then(|a| a.progress.clone()), Some((kept, "going on".into())));
        bench.finish_with(&call, applied()).expect("it is under way");
        assert_eq!(bench.job.current("a").and_then(|a| a.progress.clone()).map(|p| p.0), Some(kept));
    }
}

#[test]
fn every_outcome_can_be_written_and_read() {
    for outcome in [
        applied(),
        Outcome::Reverted { output: Some(payload("output")) },
        Outcome::Retry { fault: Fault::new("a", "ü"), after_ms: Some(1) },
        Outcome::Broken { fault: Fault { detail: Some(payload("detail")), ..Fault::new("a", "ü") } },
    ] {
        let stored = rmp_serde::to_vec_named(&outcome).expect("it can be written");
        assert_eq!(rmp_serde::from_slice::<Outcome>(&stored).expect("it can be read"), outcome);
    }
    let mode = rmp_serde::to_vec_named(&CancelMode::Leave).expect("it can be written");
    assert_eq!(rmp_serde::from_slice::<CancelMode>(&mode).expect("it can be read"), CancelMode::Leave);
}
