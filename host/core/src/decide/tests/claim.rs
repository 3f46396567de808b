//! Who may run a job, and what becomes of one whose hosts die.

use super::bench::{Bench, W1, W2, accepted, applied, seconds, spec};
use super::shape::{Shape, flow_of, sleep, t};
use crate::call::{Direction, Function, Observation, Outcome, Prior};
use crate::decide::CLAIMS_LOST_MAX;
use crate::decide::Rejected;
use crate::decide::create::Timing;
use crate::flow::{InDoubt, Pattern};
use crate::job::{CancelMode, Claim, JobState};

#[test]
fn j01_a_claim_shows_its_holder_and_epoch() {
    let mut bench = Bench::of(&["a"]);
    assert_eq!(bench.job.status.claim, None);
    bench.claim();
    assert_eq!(bench.job.status.claim, Some(Claim { host: W1, epoch: 1 }));
    assert_eq!(bench.job.status.state, JobState::Running);
}

#[test]
fn j02_j03_a_claimed_job_is_claimed_by_nobody_else_nor_again() {
    let mut bench = Bench::of(&["a"]);
    bench.claim();
    for host in [W2, W1] {
        let refused = bench.decide_nothing(|d| d.claim(host));
        assert_eq!(refused, Err(Rejected::Claimed { job: bench.job.id(), host: W1 }));
    }
}

#[test]
fn j04_what_was_finished_is_not_finished_again() {
    let mut bench = Bench::of(&["a"]);
    bench.claim();
    let call = bench.make();
    bench.finish_with(&call, applied()).expect("it is under way");
    assert_eq!(bench.job.status.state, JobState::Succeeded);
    let again = bench.decide_nothing(|d| d.finish(&call, applied()));
    assert_eq!(again.expect_err("it is over").to_string(), "attempt 1 of a is not under way any more");
}

#[test]
fn j05_another_host_neither_finishes_nor_gives_up_a_job() {
    let mut bench = Bench::of(&["a"]);
    bench.claim();
    let stale = bench.call();
    bench.decide(|d| d.lose_claim(W1)).expect("it holds it");
    bench.decide(|d| d.claim(W2)).expect("it is on the board");
    let not_claimed = Err(Rejected::NotClaimed { job: bench.job.id(), host: W1 });
    assert_eq!(bench.decide_nothing(|d| d.give_up(W1)), not_claimed);
    assert_eq!(bench.decide_nothing(|d| d.lose_claim(W1)), not_claimed);
    bench.decide_nothing(|d| d.finish(&stale, applied())).expect_err("it is another attempt now");
    assert_eq!(bench.job.status.claim, Some(Claim { host: W2, epoch: 2 }));
}

#[test]
fn j06_a_job_that_is_given_up_can_be_claimed_at_once() {
    let mut bench = Bench::of(&["a"]);
    assert!(bench.decide_nothing(|d| d.give_up(W1)).is_err(), "nobody claims it");
    bench.claim();
    bench.decide(|d| d.give_up(W1)).expect("it holds it");
    assert_eq!((bench.job.status.state, bench.job.status.claim), (JobState::Ready, None));
    bench.decide(|d| d.claim(W2)).expect("it is on the board");
    bench.make();
    assert_eq!((bench.made[0].attempt, bench.made[0].prior), (2, Prior::Interrupted));
    assert_eq!(bench.job.status.epoch, 2);
}

#[test]
fn j15_a_job_that_keeps_killing_its_hosts_is_quarantined_and_can_be_released() {
    let mut bench = Bench::of(&["a", "b"]);
    bench.claim();
    bench.finish();
    for lost in 1..=CLAIMS_LOST_MAX {
        bench.crash();
        assert_eq!((bench.job.status.state, bench.job.status.claims_lost), (JobState::Running, lost));
    }
    bench.decide(|d| d.lose_claim(W1)).expect("it holds it");
    assert_eq!((bench.job.status.state, bench.job.status.claim), (JobState::Quarantined, None));
    assert!(bench.refused(|d| d.claim(W1)).contains("it is quarantined"));
    assert_eq!(bench.job.instances.len(), 2, "it can still be inspected");

    bench.decide(|d| d.release()).expect("it is quarantined");
    assert_eq!((bench.job.status.state, bench.job.status.claims_lost), (JobState::Ready, 0));
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.made.iter().filter(|made| made.task == "a").count(), 1);
}

#[test]
fn j15_only_claims_lost_in_a_row_with_a_call_in_flight_count() {
    let mut bench = Bench::of(&["a", "b"]);
    bench.claim();
    (0..CLAIMS_LOST_MAX).for_each(|_| bench.crash());
    bench.finish();
    assert_eq!(bench.job.status.claims_lost, 0, "there was an outcome");
    for _ in 0..3 * CLAIMS_LOST_MAX {
        bench.decide(|d| d.give_up(W1)).expect("it holds it");
        bench.claim();
    }
    assert_eq!(bench.job.status.claims_lost, 0, "giving up never counts");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn j15_an_operator_takes_a_running_job_off_the_board() {
    let mut bench = Bench::of(&["a"]);
    bench.claim();
    let stale = bench.call();
    bench.decide(|d| d.quarantine("it looks odd".into())).expect("it runs");
    assert_eq!((bench.job.status.state, bench.job.status.claim), (JobState::Quarantined, None));
    bench.decide_nothing(|d| d.finish(&stale, applied())).expect_err("its claim is gone");
    bench.decide(|d| d.release()).expect("it is quarantined");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.made[0].prior, Prior::Interrupted);
}

#[test]
fn what_was_asked_of_a_job_outlives_its_host() {
    let mut bench = Bench::of(&["a", "b"]);
    bench.claim();
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.decide(|d| d.lose_claim(W1)).expect("it holds it");
    bench.claim();
    assert_eq!(bench.job.status.state, JobState::Suspended, "the next host obeys it");
    assert_eq!(bench.trace(), "a:applying a:in_doubt");

    let mut bench = Bench::of(&["a", "b"]);
    bench.claim();
    bench.decide(|d| d.cancel(CancelMode::Revert, "enough".into())).expect("it runs");
    bench.decide(|d| d.lose_claim(W1)).expect("it holds it");
    assert!(bench.refused(|d| d.suspend()).contains("being cancelled"), "or the cancel would be forgotten");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.trace(), "a:applying a:in_doubt a:reverting a:reverted");
}

#[test]
fn a_resumed_job_is_not_suspended_by_what_was_asked_before() {
    let mut bench = Bench::of(&["a"]);
    bench.claim();
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.decide(|d| d.lose_claim(W1)).expect("it holds it");
    bench.decide(|d| d.resume()).expect("it is on the board");
    assert_eq!(bench.run(), JobState::Succeeded);
}

/// A job whose only task was accepted, and is being looked at.
fn looking() -> Bench {
    let mut bench = Bench::of(&["a"]).script("a", Direction::Apply, &[accepted()]);
    bench.claim();
    bench.finish();
    bench.pass(seconds(10));
    bench.decide(|d| d.wake());
    bench.claim();
    assert_eq!(bench.call().function, Function::Observe);
    bench
}

#[test]
fn a_job_that_kills_every_host_that_looks_at_it_is_quarantined() {
    let mut bench = looking();
    for lost in 1..=CLAIMS_LOST_MAX {
        bench.crash();
        assert_eq!(bench.job.status.claims_lost, lost, "a look that was lost is no outcome");
    }
    bench.crash();
    assert_eq!(bench.job.status.state, JobState::Quarantined);
}

#[test]
fn a_look_that_says_not_yet_makes_up_for_the_hosts_lost_before_however_soon_it_wants_the_next() {
    let mut bench = looking();
    bench.crash();
    let call = bench.make();
    let at_once = Outcome::Observed(Observation::Unknown { after_ms: Some(0) });
    bench.finish_with(&call, at_once).expect("it is under way");
    assert_eq!(bench.job.status.claims_lost, 0);
}

#[test]
fn what_ends_without_a_call_does_not_make_up_for_a_host_that_was_lost() {
    let flow = flow_of(Pattern::Unordered, [sleep("pause", 1), t("a"), t("b").in_doubt(InDoubt::Revert)]);
    let mut bench = Bench::of_flow(flow, spec(), Timing::default());
    bench.claim();
    bench.pass(seconds(1));
    // The next host says that the sleep is over, and that b has failed.
    bench.crash();
    assert!(bench.trace().ends_with("pause:applied a:applying b:apply_failed"), "{}", bench.trace());
    assert_eq!(bench.job.status.claims_lost, 1);
}
