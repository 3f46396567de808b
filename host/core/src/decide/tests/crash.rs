//! Hosts that are lost, at every point where they can be.

use super::bench::{Bench, W1, broken, payload, retry};
use crate::call::{Direction, End, Prior};
use crate::decide::control::Resolution;
use crate::instance::TaskState;
use crate::job::JobState;

const TASKS: [&str; 3] = ["a", "b", "c"];

fn failing() -> Bench {
    Bench::of(&TASKS).script("c", Direction::Apply, &[broken()])
}

/// Runs the job with its host lost in the `at`-th call; before or after the plugin had its effect.
fn run_with_a_crash(mut bench: Bench, at: usize) -> (Bench, bool) {
    bench.claim();
    for _ in 0..at {
        bench.finish();
        if bench.job.status.state.is_ended() {
            return (bench, false);
        }
    }
    let stale = bench.make();
    bench.crash();
    bench
        .decide_nothing(|d| d.finish(&stale, super::bench::applied()))
        .expect_err("the lost host is too late");
    bench.run();
    (bench, true)
}

#[test]
fn s07_a_call_that_was_cut_short_is_made_again_under_the_same_key() {
    for (k, task) in TASKS.iter().enumerate() {
        let (bench, _) = run_with_a_crash(Bench::of(&TASKS), k);
        assert_eq!(bench.job.status.state, JobState::Succeeded);
        let calls: Vec<_> = bench.made.iter().map(|made| made.task.as_str()).collect();
        let mut expected = TASKS.to_vec();
        expected.insert(k, task);
        assert_eq!(calls, expected, "only the one in doubt is made again");
        let (first, again) = (&bench.made[k], &bench.made[k + 1]);
        assert_eq!(first.key, again.key);
        assert_eq!((first.attempt, first.prior), (1, Prior::None));
        assert_eq!((again.attempt, again.prior), (2, Prior::Interrupted));
        let whole = TASKS.map(|task| format!("{task}:applying {task}:applied"));
        let doubted = format!("{task}:applying {task}:in_doubt {task}:applying {task}:applied");
        let trace: Vec<_> = (0..3).map(|n| if n == k { &doubted } else { &whole[n] }.as_str()).collect();
        assert_eq!(bench.trace(), trace.join(" "));
    }
}

#[test]
fn a_job_that_unwinds_ends_as_an_uncrashed_one_would_wherever_it_crashes() {
    for at in 0.. {
        let (bench, is_crashed) = run_with_a_crash(failing(), at);
        if !is_crashed {
            assert_eq!(at, 6, "three applies and three reverts");
            break;
        }
        assert_eq!(bench.job.status.state, JobState::Reverted);
        let again = &bench.made[at + 1];
        assert_eq!((again.attempt, again.prior), (2, Prior::Interrupted), "call {at}");
        assert_eq!(again.key, bench.made[at].key);
        assert_eq!(bench.made.len(), 7);
    }
}

#[test]
fn a_crash_while_reverting_never_shows_running() {
    let mut bench = failing();
    bench.run_until("b:reverting");
    for _ in 0..3 {
        bench.decide(|d| d.lose_claim(W1)).expect("it is claimed");
        assert_eq!(
            (bench.job.status.state, bench.job.status.direction),
            (JobState::Ready, Direction::Revert)
        );
        bench.claim();
        assert_eq!(bench.job.status.state, JobState::Reverting);
    }
    assert_eq!(bench.run(), JobState::Reverted);
    assert!(!bench.trace().split("c:apply_failed").nth(1).expect("c failed").contains("applying"));
}

#[test]
fn a_revert_after_two_interrupted_attempts_sees_both_undo_records() {
    let mut bench = Bench::of(&["a"]);
    bench.claim();
    for undo in ["first", "second"] {
        let call = bench.make();
        bench.decide(|d| d.record_undo(&call, payload(undo))).expect("it is under way");
        bench.decide(|d| d.lose_claim(W1)).expect("it is claimed");
        if undo == "first" {
            bench.claim();
        }
    }
    bench.decide(|d| d.cancel(crate::job::CancelMode::Revert, "enough".into())).expect("it is on the board");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.trace(), "a:applying a:in_doubt a:applying a:in_doubt a:reverting a:reverted");
    let evidence = bench.made.last().and_then(|made| made.evidence.clone()).expect("it is a revert");
    assert_eq!(evidence.end, End::Interrupted);
    let told = [(1, "first"), (2, "second")];
    assert_eq!(bench.undo_told(), told.map(|(attempt, undo)| ("a".to_owned(), attempt, payload(undo))));
}

#[test]
fn an_attempt_that_was_cut_short_hides_the_failure_before_it() {
    let mut bench = Bench::of(&["a"]).script("a", Direction::Apply, &[retry()]);
    bench.run_until("a:backoff");
    bench.now = bench.job.status.alarm().expect("it waits");
    bench.decide(|d| d.wake());
    bench.claim();
    bench.decide(|d| d.lose_claim(W1)).expect("it is claimed");
    bench.decide(|d| d.cancel(crate::job::CancelMode::Revert, "enough".into())).expect("it is on the board");
    bench.run();
    let evidence = bench.made.last().and_then(|made| made.evidence.clone()).expect("it is a revert");
    assert_eq!(evidence.end, End::Interrupted, "the failure was that of another attempt");
    assert_eq!(bench.job.failures(), [], "nobody knows whether the latest one failed");
}

#[test]
fn once_interrupted_every_later_attempt_is_told_so() {
    let mut bench = Bench::of(&["a"]).script("a", Direction::Apply, &[retry(), retry()]);
    bench.claim();
    bench.crash();
    bench.run();
    let priors: Vec<_> = bench.made.iter().map(|made| (made.attempt, made.prior)).collect();
    assert_eq!(priors, [(2, Prior::Interrupted), (3, Prior::Interrupted), (4, Prior::Interrupted)]);
}

#[test]
fn an_undo_record_of_a_lost_host_is_refused() {
    let mut bench = Bench::of(&["a"]);
    bench.claim();
    let stale = bench.call();
    bench.crash();
    let refused = bench.decide_nothing(|d| d.record_undo(&stale, payload("late")));
    assert_eq!(refused.expect_err("it is stale").to_string(), "attempt 1 of a is not under way any more");
    assert_eq!(bench.job.status.epoch, 2);
}

#[test]
fn a_revert_that_was_left_half_done_is_finished_before_anything_is_applied() {
    let mut bench = failing().script("b", Direction::Revert, &[retry()]);
    bench.run_until("b:revert_backoff");
    assert_eq!(bench.job.status.state, JobState::Waiting);
    bench.decide(|d| d.cancel(crate::job::CancelMode::Leave, "leave it".into())).expect("it waits");
    assert_eq!(
        (bench.job.status.state, bench.residue()),
        (JobState::Failed, vec!["a".to_owned(), "b".into()])
    );
    assert_eq!(bench.job.current("b").map(|b| b.state), Some(TaskState::Reverting));
    bench.refused(|d| d.resolve("b", &[], Resolution::Accept, "why not".into()));
    bench.decide(|d| d.retry("go on".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Reverted);
    assert!(bench.trace().ends_with("b:revert_backoff b:reverting b:reverted a:reverting a:reverted"));
}
