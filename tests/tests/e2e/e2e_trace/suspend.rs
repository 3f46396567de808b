//! Suspensions and lost hosts: S01, S02, S03, S06, S16.

use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{CancelMode, Direction, JobState, Pattern, TaskState};
use windlass_tests::harness::HostOptions;
use windlass_tests::work::{Shape as _, flow, gate, literal, nested, pattern, task, times};

use super::play::{Stage, play};

use JobState::{Failed, Reverted, Succeeded, Suspended};
use Pattern::{Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn fail_n(name: &str, count: u32) -> v1::Task {
    task(name, "fail_n").with("n", literal(count.into()))
}

/// A gate both ways: the way back is that of `NAME-back`.
fn gates(name: &str) -> v1::Task {
    gate(name).with("revert_name", literal(format!("{name}-back").into()))
}

impl Stage {
    async fn suspend(&self) {
        self.host.suspend(&self.job).await.expect("it runs");
    }

    async fn until_suspended(&self) {
        self.host.until_state(&self.job, Suspended).await;
    }

    async fn resume(&self) {
        self.host.resume(&self.job).await.expect("it is suspended");
    }

    fn open(&self, gates: &[&str]) {
        gates.iter().for_each(|gate| self.host.open_gate(gate));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s01_a_suspension_lets_the_running_task_finish_and_a_resumed_job_does_the_rest() {
    play(flow([ok("a"), gate("b"), ok("c")]), "a b c")
        .directed(Succeeded, async |stage| {
            stage.until_called("apply b").await;
            stage.suspend().await;
            stage.open(&["b"]);
            stage.until_suspended().await;
            assert_eq!(stage.host.calls(&stage.job), "apply a, apply b");
            stage.host.restart().await;
            assert_eq!(stage.host.task(&stage.job, "c").await.state(), TaskState::Pending);
            stage.resume().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s01_a_suspension_lets_all_running_tasks_finish_and_begins_none_beside_them() {
    let left = nested("left", Linear, [gate("a"), ok("a2")]);
    let right = nested("right", Linear, [gate("b"), ok("b2")]);
    let work = flow([nested("both", Unordered, [left, right]), ok("c")]);
    play(work, "{ a a2 | b b2 } c")
        .directed(Succeeded, async |stage| {
            stage.until_called("apply a").await;
            if stage.is_wide {
                stage.until_called("apply b").await;
            }
            stage.suspend().await;
            stage.open(&["a", "b"]);
            stage.until_suspended().await;
            let calls = stage.host.ledger_of(&stage.job).len();
            assert_eq!(calls, if stage.is_wide { 2 } else { 1 }, "{}", stage.host.calls(&stage.job));
            stage.resume().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_a_job_that_is_suspended_while_it_unwinds_undoes_the_rest_and_keeps_its_cause() {
    let play = play(flow([ok("a"), gates("b"), task("fail", "fail")]), "a b fail! -fail -b -a");
    let end = play
        .directed(Reverted, async |stage| {
            stage.open(&["b"]);
            stage.until_called("revert b").await;
            stage.suspend().await;
            stage.open(&["b-back"]);
            stage.until_suspended().await;
            assert_eq!(stage.host.job(&stage.job).await.direction(), Direction::Revert);
            assert!(stage.host.calls(&stage.job).ends_with("revert fail, revert b"));
            stage.host.restart().await;
            stage.resume().await;
        })
        .await;
    end.assert_failed_by("fail", "fixture.fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_a_suspension_lets_all_running_reverts_finish() {
    let both = nested("both", Unordered, [gates("b"), gates("c")]);
    let trace = "a { b | c } fail! -fail { -c | -b } -a";
    play(flow([ok("a"), both, task("fail", "fail")]), trace)
        .directed(Reverted, async |stage| {
            stage.open(&["b", "c"]);
            stage.until_called("revert c").await;
            if stage.is_wide {
                stage.until_called("revert b").await;
            }
            stage.suspend().await;
            stage.open(&["b-back", "c-back"]);
            stage.until_suspended().await;
            assert_eq!(stage.host.calls(&stage.job).contains("revert b"), stage.is_wide);
            assert!(!stage.host.calls(&stage.job).contains("revert a"));
            stage.resume().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s03_a_suspension_asked_for_during_the_last_task_leaves_nothing_to_suspend() {
    let last = nested("n", Linear, [nested("s", Linear, [gate("b")]).scope(times(2))]);
    play(flow([ok("a"), last]), "a b#1")
        .directed(Succeeded, async |stage| {
            stage.until_called("apply b#1").await;
            stage.suspend().await;
            stage.open(&["b"]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s03_a_suspension_during_the_last_tasks_side_by_side_leaves_nothing_where_all_of_them_run() {
    let play = play(pattern(Unordered, [gate("a"), gate("b")]), "{ a | b }");
    play.directed(Succeeded, async |stage| {
        stage.until_called("apply a").await;
        if stage.is_wide {
            stage.until_called("apply b").await;
        }
        stage.suspend().await;
        stage.open(&["a", "b"]);
        if !stage.is_wide {
            // With one slot b is still to be done.
            stage.until_suspended().await;
            stage.resume().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_a_job_whose_grant_was_taken_away_is_not_resumed_and_nothing_runs() {
    let play = play(flow([ok("g"), ok("z")]), "g z");
    play.directed(Succeeded, async |stage| {
        stage.host.wait(&stage.job).await;
        let allow = |options: &mut HostOptions| options.read_only_directories = vec!["extra".to_owned()];
        std::fs::create_dir_all(stage.host.path().join("extra")).expect("a directory below the test's");
        stage.host.restart_with(allow).await;
        let mut spec = stage.host.spec(flow([gate("g"), ok("z")]));
        let grants = spec.grants.as_mut().expect("it has some");
        grants.directories.push(stage.host.grant("extra", "/extra", v1::Access::ReadOnly));
        stage.job = stage.host.submit_spec(spec).await;
        stage.until_called("apply g").await;
        stage.suspend().await;
        stage.open(&["g"]);
        stage.until_suspended().await;
        stage.host.restart_with(|options| options.read_only_directories.clear()).await;
        let refused = stage.host.resume(&stage.job).await.expect_err("its grant is not allowed any more");
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(stage.host.calls(&stage.job), "apply g");
        stage.host.restart_with(allow).await;
        stage.resume().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_a_host_that_dies_while_a_scope_is_undone_leaves_a_scope_that_goes_on_counting() {
    let scope = nested("s", Linear, [gates("a"), fail_n("f", 1), ok("z")]).scope(times(3));
    let trace = "first a#1 f#1! -f#1 a#1:reverting a#1:revert_interrupted -a#1 a#2 f#2 z#2";
    let end = play(flow([ok("first"), scope]), trace)
        .directed(Succeeded, async |stage| {
            stage.open(&["a"]);
            stage.until_called("revert a#1").await;
            stage.host.crash().await;
            stage.open(&["a-back"]);
        })
        .await;
    assert_eq!(end.told("apply a#2").scope_attempt, 2);
    assert_eq!(end.scopes["s"], "applying reverting applying applied");
    let reverts: Vec<_> = end.calls["revert a#1"].iter().map(|told| told.prior.as_str()).collect();
    assert_eq!(reverts, ["none", "interrupted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_a_job_that_is_suspended_between_two_tries_goes_on_with_the_next() {
    let scope = nested("s", Linear, [gates("a"), fail_n("f", 2)]).scope(times(3));
    let trace = "a#1 f#1! -f#1 -a#1 a#2 f#2! -f#2 -a#2 a#3 f#3";
    let end = play(flow([scope]), trace)
        .directed(Succeeded, async |stage| {
            stage.open(&["a"]);
            stage.until_called("revert a#1").await;
            stage.suspend().await;
            stage.open(&["a-back"]);
            stage.until_suspended().await;
            assert!(!stage.host.calls(&stage.job).contains("#2"));
            stage.host.restart().await;
            stage.resume().await;
        })
        .await;
    assert_eq!(end.told("apply f#3").scope_attempt, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_undoes_or_leaves_what_was_done_when_the_running_tasks_have_finished() {
    let work = || flow([nested("both", Unordered, [gate("a"), gate("b")]), ok("c")]);
    let cancel = async |stage: &mut Stage, mode| {
        stage.until_called("apply a").await;
        if stage.is_wide {
            stage.until_called("apply b").await;
        }
        stage.host.cancel(&stage.job, mode).await.expect("it runs");
        stage.open(&["a", "b"]);
    };
    let undone = play(work(), "a -a").with_sixteen("{ a | b } { -b | -a }");
    undone.directed(Reverted, async |stage| cancel(stage, CancelMode::Revert).await).await;
    // What is left is what ran, which hangs on the slots; with the same calls it is the same.
    let left = play(flow([ok("first"), gate("a"), ok("c")]), "first a");
    let end = left
        .directed(Failed, async |stage| {
            stage.until_called("apply a").await;
            stage.host.cancel(&stage.job, CancelMode::Leave).await.expect("it runs");
            stage.open(&["a"]);
        })
        .await;
    end.assert_residue(&["a", "first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_of_a_suspended_job_undoes_what_was_done() {
    let play = play(flow([ok("a"), gate("b"), ok("never")]), "a b -b -a");
    play.directed(Reverted, async |stage| {
        stage.until_called("apply b").await;
        stage.suspend().await;
        stage.open(&["b"]);
        stage.until_suspended().await;
        stage.host.cancel(&stage.job, CancelMode::Revert).await.expect("it is suspended");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_amid_all_calls_makes_each_again_under_its_key() {
    let both = nested("both", Unordered, [gate("a"), gate("b")]);
    let one = "a:applying a:in_doubt a b c";
    let sixteen = "{ a:applying a:in_doubt a | b:applying b:in_doubt b } c";
    let play = play(flow([both, ok("c")]), one).with_sixteen(sixteen);
    play.directed(Succeeded, async |stage| {
        stage.until_called("apply a").await;
        if stage.is_wide {
            stage.until_called("apply b").await;
        }
        stage.host.crash().await;
        stage.open(&["a", "b"]);
    })
    .await;
}
