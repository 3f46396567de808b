//! When a job runs, and in which order its tasks do.

use super::bench::{Bench, W1, midnight, of_operation, seconds, spec};
use crate::call::Direction;
use crate::decide::create::{Timing, create_dropped};
use crate::entry::Actor;
use crate::job::{CancelMode, Cause, JobSpec, JobState};

fn later(at: i64) -> Timing {
    Timing { execute_at: Some(midnight() + seconds(at)), priority: 0 }
}

#[test]
fn f01_an_empty_flow_succeeds_without_a_task() {
    let mut bench = Bench::of(&[]);
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "");
    assert_eq!(bench.states(), ["created", "triggered", "claimed", "ended"]);
}

#[test]
fn f02_tasks_of_a_linear_flow_run_one_after_the_other() {
    let mut bench = Bench::of(&["b", "a"]);
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "b:applying b:applied a:applying a:applied");
    assert_eq!(bench.job.status.cause, None);
}

#[test]
fn n_tasks_take_n_plus_one_decisions() {
    let mut bench = Bench::of(&["a", "b", "c"]);
    bench.claim();
    for _ in 0..3 {
        assert!(bench.job.status.state.is_claimed());
        bench.finish();
    }
    assert_eq!(bench.job.status.state, JobState::Succeeded);
}

#[test]
fn c01_nothing_runs_before_execute_at() {
    let mut bench = Bench::with(&["a"], spec(), later(60));
    assert_eq!(bench.job.status.state, JobState::Scheduled);
    assert_eq!(bench.job.status.alarm(), Some(midnight() + seconds(60)));
    bench.pass(seconds(59));
    bench.decide_nothing(|d| d.wake());
    assert!(bench.refused(|d| d.claim(W1)).contains("only a ready job can be claimed"));
    bench.pass(seconds(1));
    bench.decide(|d| d.wake());
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "a:applying a:applied");
}

#[test]
fn c02_execute_at_can_be_moved_until_the_job_starts() {
    let at = |at| midnight() + seconds(at);
    let mut bench = Bench::with(&["a"], spec(), later(60));
    bench.decide(|d| d.reschedule(at(90))).expect("it waits");
    bench.pass(seconds(60));
    bench.decide_nothing(|d| d.wake());
    bench.decide(|d| d.reschedule(at(70))).expect("it waits");
    assert_eq!(bench.job.status.due, at(70));
    bench.decide_nothing(|d| d.reschedule(at(70))).expect("it is so already");
    bench.decide(|d| d.reschedule(at(50))).expect("it waits");
    assert_eq!(bench.job.status.state, JobState::Ready, "that time has passed");
    bench.decide(|d| d.reschedule(at(65))).expect("it is on the board, and not started");
    assert_eq!((bench.job.status.state, bench.job.status.triggered), (JobState::Scheduled, None));
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.job.status.run().started, Some(at(65)));
    assert_eq!(bench.made.len(), 1);
    assert!(bench.refused(|d| d.reschedule(at(100))).contains("until the job starts"));
}

#[test]
fn c03_a_scheduled_job_that_is_cancelled_never_runs() {
    for mode in [CancelMode::Revert, CancelMode::Leave] {
        let mut bench = Bench::with(&["a"], spec(), later(60));
        bench.decide(|d| d.cancel(mode, "not needed".into())).expect("it waits");
        assert_eq!(bench.job.status.state, JobState::Cancelled);
        assert_eq!(bench.job.status.cause, Some(Cause::Cancelled { reason: "not needed".into() }));
        assert_eq!(bench.job.status.alarm(), None);
        bench.pass(seconds(120));
        bench.decide_nothing(|d| d.wake());
        assert_eq!(bench.states(), ["created", "ended"]);
    }
}

#[test]
fn c08_each_time_is_set_once_by_the_phase_that_owns_it() {
    let at = |at| Some(midnight() + seconds(at));
    let mut bench = Bench::with(&["a"], spec(), later(10));
    bench.pass(seconds(20));
    bench.decide(|d| d.wake());
    assert_eq!(bench.job.status.triggered, at(20));
    bench.pass(seconds(10));
    bench.claim();
    assert_eq!(bench.job.status.run().started, at(30));
    bench.pass(seconds(5));
    bench.crash();
    bench.pass(seconds(5));
    bench.finish();
    let status = &bench.job.status;
    assert_eq!((status.due, status.triggered), (midnight() + seconds(10), at(20)));
    assert_eq!((status.run().started, status.run().ended), (at(30), at(40)));
    bench.pass(seconds(5));
    bench.decide(|d| d.revert("undo it".into())).expect("it has ended");
    bench.run();
    let status = &bench.job.status;
    assert_eq!(status.triggered, at(20));
    assert_eq!((status.runs[0].started, status.runs[0].ended), (at(30), at(40)));
    assert_eq!((status.runs[1].started, status.runs[1].ended), (at(45), at(45)));
}

#[test]
fn c08_a_clock_that_goes_back_keeps_times_in_order() {
    let mut bench = Bench::of(&["a", "b"]);
    bench.pass(seconds(100));
    bench.claim();
    bench.pass(seconds(-86_400));
    bench.run();
    let last = bench.entries.last().expect("there are entries");
    assert_eq!(last.at, midnight() + seconds(100));
    assert_eq!(bench.job.status.run().ended, Some(last.at));
}

#[test]
fn c14_a_job_that_would_start_after_its_window_is_dropped() {
    let nominal = midnight() - seconds(5);
    for (wait, end) in [(600, JobState::Succeeded), (601, JobState::Dropped)] {
        let spec = JobSpec { origin: of_operation(nominal, 600_000), ..spec() };
        let mut bench = Bench::with(&["a"], spec, Timing::default());
        // The window of what was recorded late counts from then.
        assert_eq!(bench.job.status.due, midnight());
        bench.pass(seconds(wait));
        assert_eq!(bench.run(), end);
        assert_eq!(bench.made.is_empty(), end == JobState::Dropped);
        if end == JobState::Dropped {
            assert_eq!(bench.job.status.cause, Some(Cause::Window));
            assert_eq!(bench.job.status.run().started, None);
            assert!(bench.refused(|d| d.retry("again".into())).contains("rerun it"));
        }
    }
}

#[test]
fn c14_a_job_that_started_in_its_window_is_not_dropped_later() {
    let spec = JobSpec { origin: of_operation(midnight(), 1_000), ..spec() };
    let mut bench = Bench::with(&["a"], spec, Timing::default());
    bench.claim();
    bench.decide(|d| d.lose_claim(W1)).expect("it is claimed");
    bench.pass(seconds(3_600));
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn a_job_that_may_not_run_is_recorded_as_ended() {
    let (spec, flow) = (std::sync::Arc::new(spec()), Bench::of(&["a"]).job.flow);
    let actor = Actor::Principal("local".into());
    for (cause, state) in [
        (Cause::Window, JobState::Dropped),
        (Cause::Overlap, JobState::Dropped),
        (Cause::NoMatch { message: "no plugin".into() }, JobState::Failed),
    ] {
        let (job, entries) = create_dropped(spec.clone(), flow.clone(), cause.clone(), actor.clone());
        assert_eq!((job.status.state, job.status.cause.as_ref()), (state, Some(&cause)));
        assert_eq!(entries.len(), 2);
    }
}

#[test]
fn j17_what_cannot_run_fails_before_any_apply_and_only_then() {
    let mut bench = Bench::of(&["a"]);
    let invalid = Cause::Invalid { message: "the argument \"source\" is missing".into() };
    bench.decide(|d| d.refuse(invalid.clone())).expect("it never started");
    assert_eq!((bench.job.status.state, &bench.job.status.cause), (JobState::Failed, &Some(invalid.clone())));
    assert_eq!(bench.residue(), [""; 0]);
    assert!(bench.refused(|d| d.retry("again".into())).contains("it never started; rerun it"));

    let mut bench = Bench::of(&["a"]);
    bench.claim();
    assert!(bench.refused(|d| d.refuse(invalid.clone())).contains("it was started before"));
}

#[test]
fn what_a_job_is_told_of_its_key_depends_on_job_task_iteration_and_direction() {
    use crate::id::JobId;
    use crate::instance::InstanceName;
    let name =
        |task: &str, iteration: &[u32]| InstanceName { task: task.into(), iteration: iteration.into() };
    let job = |n| JobId(uuid::Uuid::from_u128(n));
    let keys = [
        name("a", &[]).key(job(1), Direction::Apply),
        name("a", &[]).key(job(1), Direction::Revert),
        name("a", &[1]).key(job(1), Direction::Apply),
        name("a", &[1, 1]).key(job(1), Direction::Apply),
        name("ab", &[]).key(job(1), Direction::Apply),
        name("a", &[]).key(job(2), Direction::Apply),
    ];
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert!(keys.iter().all(|key| key.len() == 32));
}
