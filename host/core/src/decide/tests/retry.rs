//! Retries of a call: counted, bounded, and durable.

use super::bench::{Bench, W1, broken, flow, retry, seconds, spec};
use crate::call::{Direction, Outcome, Prior};
use crate::decide::create::Timing;
use crate::decide::outcome::RETRY_AFTER_MAX;
use crate::fault::Fault;
use crate::flow::RetryPolicy;
use crate::instance::Failed;
use crate::job::JobState;

const APPLY: Direction = Direction::Apply;
const REVERT: Direction = Direction::Revert;

fn with(policy: RetryPolicy) -> Bench {
    Bench::of_flow(flow(&["a"], &policy), spec(), Timing::default())
}

fn after(after_ms: u64) -> Outcome {
    Outcome::Retry { fault: Fault::new("busy", "busy"), after_ms: Some(after_ms) }
}

/// Finishes the call under way, and gives the milliseconds until the next.
fn pause(bench: &mut Bench) -> i64 {
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Waiting);
    let alarm = bench.job.status.alarm().expect("it waits");
    let pause = (alarm - bench.now).num_milliseconds();
    bench.now = alarm;
    bench.decide(|d| d.wake());
    bench.claim();
    pause
}

#[test]
fn a_call_is_made_again_after_growing_pauses_until_its_attempts_are_used_up() {
    let policy = RetryPolicy { attempts_max: 5, pause_ms: 1_000, pause_ms_max: 3_000, factor_percent: 200 };
    let mut bench = with(policy).script("a", APPLY, &vec![retry(); 5]);
    bench.claim();
    for longest in [1_000, 2_000, 3_000, 3_000] {
        let pause = pause(&mut bench);
        assert!((longest * 4 / 5..=longest).contains(&pause), "{pause} of {longest}");
    }
    bench.finish();
    assert_eq!(bench.job.current("a").and_then(|a| a.failed), Some(Failed::RetriesUsedUp));
    assert_eq!(bench.run(), JobState::Reverted, "its effects may exist");
    let applies: Vec<_> = bench.made.iter().filter(|made| made.function == APPLY.into()).collect();
    let attempts: Vec<_> = applies.iter().map(|made| made.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
    assert!(applies.iter().all(|made| made.key == applies[0].key));
    assert!(applies[1..].iter().all(|made| made.prior == Prior::Failed));
}

#[test]
fn a_waiting_job_holds_no_claim_and_is_not_woken_early() {
    let mut bench = with(RetryPolicy::default()).script("a", APPLY, &[after(30_000)]);
    bench.claim();
    bench.finish();
    assert_eq!((bench.job.status.state, bench.job.status.claim), (JobState::Waiting, None));
    assert_eq!(bench.job.status.alarm(), Some(bench.now + seconds(30)));
    bench.pass(seconds(29));
    bench.decide_nothing(|d| d.wake());
    bench.pass(seconds(1));
    bench.decide(|d| d.wake());
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "a:applying a:backoff a:applying a:applied");
    assert_eq!(bench.job.status.epoch, 2);
}

#[test]
fn a_retry_at_once_is_still_counted() {
    let mut bench = with(RetryPolicy::default()).script("a", APPLY, &vec![after(0); 10]);
    bench.claim();
    for _ in 0..5 {
        bench.finish();
    }
    assert_eq!(bench.job.status.state, JobState::Reverting);
}

#[test]
fn no_pause_is_longer_than_a_day() {
    let endless = RetryPolicy {
        attempts_max: u32::MAX,
        pause_ms: u64::MAX,
        pause_ms_max: u64::MAX,
        factor_percent: u32::MAX,
    };
    let mut bench =
        with(endless).script("a", APPLY, &[after(u64::MAX), after(i64::MAX as u64), retry(), retry()]);
    bench.claim();
    for _ in 0..4 {
        let pause = pause(&mut bench);
        assert!(pause > 0 && pause <= RETRY_AFTER_MAX.num_milliseconds(), "{pause}");
    }
}

#[test]
fn a_policy_of_one_attempt_retries_nothing() {
    for attempts_max in [0, 1] {
        let policy = RetryPolicy { attempts_max, ..RetryPolicy::default() };
        let mut bench = with(policy).script("a", APPLY, &[retry()]).script("a", REVERT, &[retry()]);
        assert_eq!(bench.run(), JobState::Failed);
        assert_eq!(bench.trace(), "a:applying a:apply_failed a:reverting a:revert_failed");
    }
}

#[test]
fn a_lost_host_does_not_use_up_the_retries_of_a_task() {
    let policy = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
    let mut bench = with(policy).script("a", APPLY, &[retry()]);
    bench.claim();
    bench.crash();
    bench.crash();
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.job.current("a").map(|a| (a.attempt, a.retries)), Some((4, 1)));
}

#[test]
fn a_revert_is_retried_too_under_its_own_key_and_count() {
    let mut bench = with(RetryPolicy::default()).script("a", APPLY, &[retry(), broken()]).script(
        "a",
        REVERT,
        &[retry(), retry()],
    );
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(
        bench.trace(),
        "a:applying a:backoff a:applying a:apply_failed a:reverting a:revert_backoff a:reverting \
         a:revert_backoff a:reverting a:reverted"
    );
    let reverts: Vec<_> = bench.made.iter().filter(|made| made.function == REVERT.into()).collect();
    let told: Vec<_> = reverts.iter().map(|made| (made.attempt, made.prior)).collect();
    assert_eq!(told, [(1, Prior::None), (2, Prior::Failed), (3, Prior::Failed)]);
    assert!(reverts.iter().all(|made| made.key == reverts[0].key && made.key != bench.made[0].key));
}

#[test]
fn an_operators_retry_gives_a_task_its_retries_anew() {
    let policy = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
    let spec = crate::job::JobSpec { never_revert: true, ..spec() };
    let mut bench =
        Bench::of_flow(flow(&["a"], &policy), spec, Timing::default()).script("a", APPLY, &vec![retry(); 3]);
    assert_eq!(bench.run(), JobState::Failed);
    bench.decide(|d| d.retry("again".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.job.current("a").map(|a| a.attempt), Some(4), "attempts are never reset");
}

#[test]
fn unwinding_does_not_wait_for_a_retry() {
    let mut bench = with(RetryPolicy::default()).script("a", APPLY, &[after(3_600_000)]);
    bench.claim();
    bench.finish();
    bench.decide(|d| d.cancel(crate::job::CancelMode::Revert, "enough".into())).expect("it waits");
    bench.decide(|d| d.claim(W1)).expect("it is on the board");
    assert_eq!(bench.trace(), "a:applying a:backoff a:reverting");
}
