//! Reverts that fail: V07, V12, and where they stop what comes after them on the way back.

use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, Resolution, TaskState};
use windlass_tests::work::{Shape as _, flow, instance, nested, pattern, task, times};

use super::play::{Stage, play};

use JobState::{Failed, Reverted};
use Pattern::{Graph, Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn nasty(name: &str) -> v1::Task {
    task(name, "nasty")
}

async fn resolve(stage: &Stage, task: &str, resolution: Resolution) {
    let request = v1::ResolveJobRequest {
        job: stage.job.clone(),
        task: Some(instance(task)),
        resolution: resolution.into(),
        reason: "seen to".to_owned(),
        etag: String::new(),
    };
    stage.host.jobs().resolve(request).await.expect("its revert has failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v07_a_revert_that_fails_leaves_the_job_failed_with_both_failures() {
    let play = play(flow([nasty("nasty"), task("fail", "fail")]), "nasty fail! -fail -nasty!");
    let end = play.ends(Failed).await;
    end.assert_residue(&["nasty"]);
    end.assert_failed_by("fail", "fixture.fail");
    assert_eq!(end.task("nasty").revert_class.as_deref(), Some("fixture.nasty"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v07_a_revert_that_fails_in_the_middle_keeps_all_before_it() {
    let tasks = [ok("a"), nested("m", Linear, [ok("b"), nasty("n"), ok("c")]), task("fail", "fail")];
    let end = play(flow(tasks), "a b n c fail! -fail -c -n!").ends(Failed).await;
    end.assert_residue(&["a", "b", "n"]);
    assert_eq!(end.task("a").state, TaskState::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v12_a_failed_revert_stops_its_own_path_only() {
    let path = nested("path", Linear, [ok("t2"), task("nasty", "nasty_fail")]);
    let play = play(pattern(Unordered, [ok("t1"), path]), "{ t1 | t2 nasty! } { -nasty! | -t1 }");
    let end = play.ends(Failed).await;
    end.assert_residue(&["nasty", "t2"]);
    assert_eq!(end.task("nasty").revert_class.as_deref(), Some("fixture.nasty"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v12_what_both_sides_stand_on_stays_where_one_of_them_is_stuck() {
    let tasks = [
        ok("alone"),
        ok("root"),
        nested("left", Linear, [ok("l1"), nasty("l2"), ok("l3")]).needs(&["root"]),
        nested("right", Linear, [ok("r1"), ok("r2")]).needs(&["root"]),
        task("join", "fail").needs(&["left", "right"]),
    ];
    let trace = "{ alone | root { l1 l2 l3 | r1 r2 } join! } { -join { -r2 -r1 | -l3 -l2! } | -alone }";
    let play = play(pattern(Graph, tasks), trace);
    let end = play.ends(Failed).await;
    end.assert_residue(&["l1", "l2", "root"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v12_two_paths_that_are_stuck_are_both_in_the_residue() {
    let path = |name: &str| {
        nested(name, Linear, [ok(&format!("{name}1")), nasty(&format!("{name}2")), ok(&format!("{name}3"))])
    };
    let sides = nested("sides", Unordered, [path("l"), path("r"), ok("free")]);
    let trace = "a { l1 l2 l3 | r1 r2 r3 | free } join! -join { -free | -r3 -r2! | -l3 -l2! }";
    let play = play(flow([ok("a"), sides, task("join", "fail")]), trace);
    let end = play.ends(Failed).await;
    end.assert_residue(&["a", "l1", "l2", "r1", "r2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stuck_in_a_scope_fails_the_job_and_no_scope_around_it_tries_again() {
    let inner = nested("inner", Linear, [ok("a"), nasty("n"), task("f", "fail")]).scope(times(3));
    let outer = nested("outer", Linear, [ok("t1"), inner]).scope(times(3));
    let trace = "t0 t1#1 a#1#1 n#1#1 f#1#1! -f#1#1 -n#1#1!";
    let end = play(flow([ok("t0"), outer]), trace).ends(Failed).await;
    end.assert_residue(&["t0", "t1#1", "a#1#1", "n#1#1"]);
    end.assert_failed_by("inner#1", "fixture.nasty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_revert_that_is_let_be_frees_all_before_it_and_stays_in_the_residue() {
    for (resolution, state, entry) in [
        (Resolution::Skip, TaskState::SkippedRevert, "n:skipped_revert"),
        (Resolution::Accept, TaskState::Accepted, "n:accepted"),
    ] {
        let both = nested("both", Unordered, [ok("a"), ok("b")]);
        let trace = format!("{{ a | b }} n fail! -fail -n! {entry} {{ -b | -a }}");
        let play = play(flow([both, nasty("n"), task("fail", "fail")]), &trace);
        let end = play
            .directed(Failed, async |stage| {
                stage.host.wait(&stage.job).await;
                resolve(stage, "n", resolution).await;
            })
            .await;
        end.assert_residue(&["n"]);
        assert_eq!(end.task("n").state, state);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_that_asks_for_another_call_gets_it_before_what_is_before_it() {
    let again = task("n", "revert_fail_n").with("n", windlass_tests::work::literal(2.into()));
    let again = again.retried(5, std::time::Duration::ZERO);
    let trace = "a n fail! -fail n:reverting n:revert_backoff n:reverting n:revert_backoff -n -a";
    let end = play(flow([ok("a"), again, task("fail", "fail")]), trace).ends(Reverted).await;
    let attempts: Vec<_> = end.calls["revert n"].iter().map(|told| told.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
}
