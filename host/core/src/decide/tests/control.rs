//! What operators ask, wherever the job stands.

use super::bench::{Bench, W1, broken};
use super::place::{PLACES, end, place};
use crate::call::Direction;
use crate::job::{CancelMode, Cause, JobState};

#[test]
fn s01_a_suspended_job_lets_its_task_finish_and_resumes_with_the_next() {
    let mut bench = Bench::of(&["a", "b", "c"]);
    bench.run_until("b:applying");
    bench.decide(|d| d.suspend()).expect("it runs");
    assert_eq!(bench.job.status.state, JobState::Suspending);
    bench.finish();
    assert_eq!((bench.job.status.state, bench.job.status.claim), (JobState::Suspended, None));
    assert_eq!(bench.trace(), "a:applying a:applied b:applying b:applied");
    assert!(bench.job.current("c").is_none());
    bench.decide(|d| d.resume()).expect("it is suspended");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "a:applying a:applied b:applying b:applied c:applying c:applied");
}

#[test]
fn s02_a_job_that_is_suspended_while_it_unwinds_goes_on_unwinding() {
    let mut bench = Bench::of(&["a", "b", "fail"]).script("fail", Direction::Apply, &[broken()]);
    bench.run_until("b:reverting");
    bench.decide(|d| d.suspend()).expect("it reverts");
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Suspended);
    assert!(bench.trace().ends_with("b:reverting b:reverted"));
    bench.decide(|d| d.resume()).expect("it is suspended");
    bench.claim();
    assert_eq!(bench.job.status.state, JobState::Reverting);
    assert_eq!(bench.run(), JobState::Reverted);
    assert!(bench.trace().ends_with("b:reverting b:reverted a:reverting a:reverted"));
    let Some(Cause::Task { task, .. }) = &bench.job.status.cause else { panic!("a task failed") };
    assert_eq!(task.to_string(), "fail");
}

#[test]
fn s03_suspending_during_the_last_task_changes_nothing_about_its_success() {
    let mut bench = Bench::of(&["a"]);
    bench.claim();
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Succeeded);
}

#[test]
fn a_task_that_fails_while_suspending_is_undone_after_the_resumption() {
    let mut bench = Bench::of(&["a"]).script("a", Direction::Apply, &[broken()]);
    bench.claim();
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.finish();
    assert_eq!(
        (bench.job.status.state, bench.job.status.direction),
        (JobState::Suspended, Direction::Revert)
    );
    bench.decide(|d| d.resume()).expect("it is suspended");
    assert_eq!(bench.run(), JobState::Reverted);
}

/// What a request leads to: at once, and when the job has gone on until it rests.
type Answer = Option<(JobState, JobState)>;

fn after_cancel(place: &str, mode: CancelMode) -> Answer {
    use JobState::{Cancelled, Failed, Ready, Reverted, Reverting, Running, Waiting};
    let is_revert = mode == CancelMode::Revert;
    let pair = |revert, leave| Some(if is_revert { revert } else { leave });
    match place {
        "scheduled" | "ready, fresh" | "suspended, fresh" | "quarantined, fresh" => {
            Some((Cancelled, Cancelled))
        }
        "ready, its host lost" | "ready, unwinding" | "waiting" => pair((Ready, Reverted), (Failed, Failed)),
        "suspended" | "suspended, unwinding" => pair((Ready, Reverted), (Failed, Failed)),
        "quarantined" | "quarantined, unwinding" => pair((Ready, Reverted), (Failed, Failed)),
        "waiting, unwinding" => pair((Waiting, Reverted), (Failed, Failed)),
        "running" | "suspending" => pair((Running, Reverted), (Running, Failed)),
        "suspending, unwinding" => pair((Reverting, Reverted), (Reverting, Failed)),
        "reverting" if is_revert => Some((Reverting, Reverted)),
        "reverted" if is_revert => Some((Reverted, Reverted)),
        "reverting" | "reverted" | "succeeded" | "failed" | "ended, never run" => None,
        other => unreachable!("{other}"),
    }
}

#[test]
fn a_job_is_cancelled_wherever_it_stands() {
    for name in PLACES {
        for mode in [CancelMode::Revert, CancelMode::Leave] {
            let mut bench = place(name);
            let cancel = |d: &mut crate::decide::Decision<'_>| d.cancel(mode, "enough".into());
            let Some((at_once, at_rest)) = after_cancel(name, mode) else {
                assert!(bench.refused(cancel).starts_with("cannot cancel job"), "{name} {mode:?}");
                continue;
            };
            bench.decide(cancel).expect(name);
            assert_eq!(bench.job.status.state, at_once, "{name} {mode:?}");
            assert_eq!(bench.run(), at_rest, "{name} {mode:?}");
            let is_residue = at_rest == JobState::Failed;
            assert_eq!(!bench.residue().is_empty(), is_residue, "{name} {mode:?}");
            if !name.contains("unwinding") && !name.starts_with("revert") {
                assert_eq!(
                    bench.job.status.cause,
                    Some(Cause::Cancelled { reason: "enough".into() }),
                    "{name}"
                );
            }
        }
    }
    let mut bench = end(Bench::of(&["a"]), JobState::Cancelled);
    for mode in [CancelMode::Revert, CancelMode::Leave] {
        bench.decide_nothing(|d| d.cancel(mode, "again".into())).expect("it is so already");
    }
    let mut bench = end(Bench::of(&["a"]), JobState::Superseded);
    bench.refused(|d| d.cancel(CancelMode::Leave, "enough".into()));
}

#[test]
fn leaving_names_what_remains() {
    let mut bench = place("running");
    bench.decide(|d| d.cancel(CancelMode::Leave, "enough".into())).expect("it runs");
    bench.run();
    assert_eq!(bench.residue(), ["a", "b"]);
    // Also where the call fails for good after the cancel was asked for.
    let mut bench = Bench::of(&["a"]).script("a", Direction::Apply, &[broken()]);
    bench.claim();
    bench.decide(|d| d.cancel(CancelMode::Leave, "enough".into())).expect("it runs");
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(
        (bench.residue(), bench.trace()),
        (vec!["a".to_owned()], "a:applying a:apply_failed".to_owned())
    );
    assert_eq!(bench.job.status.cause, Some(Cause::Cancelled { reason: "enough".into() }));
    // And nothing remains of a lone reject.
    let mut bench = Bench::of(&["a"]).script("a", Direction::Apply, &[super::bench::reject()]);
    bench.claim();
    bench.decide(|d| d.cancel(CancelMode::Leave, "enough".into())).expect("it runs");
    assert_eq!(bench.run(), JobState::Cancelled);
}

#[test]
fn the_latest_cancel_counts() {
    let mut bench = place("running");
    bench.decide(|d| d.cancel(CancelMode::Leave, "leave it".into())).expect("it runs");
    bench.decide_nothing(|d| d.cancel(CancelMode::Leave, "leave it".into())).expect("it is so already");
    bench.decide(|d| d.cancel(CancelMode::Revert, "undo it".into())).expect("it runs");
    assert_eq!(bench.run(), JobState::Reverted);

    // While unwinding, a cancel with revert takes away whatever would stop that.
    let mut bench = place("suspending, unwinding");
    bench.decide(|d| d.cancel(CancelMode::Leave, "leave it".into())).expect("it is suspending");
    bench.decide(|d| d.cancel(CancelMode::Revert, "undo it".into())).expect("it reverts");
    bench.decide(|d| d.suspend()).expect("no cancel is pending");
    bench.decide(|d| d.lose_claim(W1)).expect("it is claimed");
    bench.decide(|d| d.cancel(CancelMode::Revert, "undo it".into())).expect("it is on the board");
    assert_eq!(bench.run(), JobState::Reverted);

    let mut bench = place("suspending");
    bench.decide(|d| d.lose_claim(W1)).expect("it is claimed");
    bench.decide(|d| d.cancel(CancelMode::Revert, "undo it".into())).expect("it is on the board");
    assert_eq!(bench.run(), JobState::Reverted, "the suspension was asked for before");
}

#[test]
fn leaving_the_last_revert_ends_reverted() {
    let mut bench = Bench::of(&["a"]).script("a", Direction::Apply, &[broken()]);
    bench.run_until("a:reverting");
    bench.decide(|d| d.suspend()).expect("it reverts");
    bench.decide(|d| d.cancel(CancelMode::Leave, "leave it".into())).expect("it is suspending");
    assert_eq!(bench.run(), JobState::Reverted, "nothing is left to leave");
}

#[test]
fn p08_what_is_asked_is_done_or_so_already_or_refused() {
    // suspend, resume, release, quarantine, retry, revert: done, so already, or refused.
    let expected = |name: &str| match name {
        "scheduled" | "ended, never run" => "rrrrrr",
        "ready, fresh" | "ready, its host lost" => "dssdrr",
        "ready, unwinding" => "dssdrs",
        "waiting" => "dsrrrr",
        "waiting, unwinding" => "dsrrrs",
        "running" => "dsrdrr",
        "reverting" => "dsrdrs",
        "suspending" | "suspending, unwinding" => "srrdrr",
        "suspended" | "suspended, fresh" | "suspended, unwinding" => "sdrrrr",
        "quarantined" | "quarantined, fresh" | "quarantined, unwinding" => "rrdsrr",
        "succeeded" => "rrrrsd",
        "reverted" => "rrrrrs",
        "failed" => "rrrrdd",
        other => unreachable!("{other}"),
    };
    type Ask = fn(&mut crate::decide::Decision<'_>) -> Result<(), crate::decide::Rejected>;
    let asks: [Ask; 6] = [
        |d| d.suspend(),
        |d| d.resume(),
        |d| d.release(),
        |d| d.quarantine("it looks odd".into()),
        |d| d.retry("again".into()),
        |d| d.revert("undo it".into()),
    ];
    for name in PLACES {
        let answer = |ask: &Ask| {
            let mut bench = place(name);
            let before = bench.entries.len();
            let answer = bench.decide(ask);
            match (answer, bench.entries.len() > before) {
                (Ok(()), true) => 'd',
                (Ok(()), false) => 's',
                (Err(_), false) => 'r',
                (Err(error), true) => panic!("refused, and done: {error}"),
            }
        };
        assert_eq!(asks.iter().map(answer).collect::<String>(), expected(name), "{name}");
    }
}

#[test]
fn p08_priority_and_time_are_edited_where_they_still_matter() {
    for name in PLACES {
        let mut bench = place(name);
        let is_over = bench.job.status.state.is_ended();
        assert_eq!(bench.decide(|d| d.prioritise(7)).is_ok(), !is_over, "{name}");
        if !is_over {
            bench.decide_nothing(|d| d.prioritise(7)).expect("it is so already");
            assert_eq!(bench.job.status.priority, 7);
        }
        let at = bench.now + super::bench::seconds(600);
        let is_unstarted = ["scheduled", "ready, fresh"].contains(&name);
        assert_eq!(bench.decide(|d| d.reschedule(at)).is_ok(), is_unstarted, "{name}");
    }
}

#[test]
fn a_succeeded_job_is_reverted_on_request() {
    let mut bench = place("succeeded");
    bench.decide(|d| d.revert("not wanted".into())).expect("it succeeded");
    bench.decide_nothing(|d| d.revert("not wanted".into())).expect("it is so already");
    assert_eq!(bench.run(), JobState::Reverted);
    assert!(bench.trace().ends_with("b:reverting b:reverted a:reverting a:reverted"));
    assert_eq!(bench.job.status.cause, Some(Cause::Requested { reason: "not wanted".into() }));
    assert_eq!(bench.job.status.runs.len(), 2);
}
