//! Waits and pauses among tasks, with one slot and with sixteen: what waits keeps nothing else from going on.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::task::Wait;
use windlass_proto::v1::{JobState, Pattern, SkipDepth};
use windlass_tests::harness::event;
use windlass_tests::work::{
    Shape as _, duration, flow, literal, map, nested, output, own_revert, pattern, remote, task, times,
};

use super::play::{Stage, play};

use JobState::{Reverted, Succeeded, Waiting};
use Pattern::{Linear, Unordered};

const HOUR: Duration = Duration::from_secs(3_600);

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn wait(name: &str, wait: Wait) -> v1::Task {
    v1::Task { name: name.to_owned(), wait: Some(wait), ..v1::Task::default() }
}

fn sleep(name: &str) -> v1::Task {
    wait(name, Wait::Sleep(v1::Sleep { until: Some(v1::sleep::Until::Duration(duration(HOUR))) }))
}

fn approval(name: &str) -> v1::Task {
    wait(name, Wait::Approval(v1::Approval { message: "go on?".to_owned(), ..v1::Approval::default() }))
}

fn wait_event(name: &str) -> v1::Task {
    let wanted = v1::WaitEvent { r#type: "go".to_owned(), ..v1::WaitEvent::default() };
    wait(name, Wait::WaitEvent(wanted))
}

impl Stage {
    async fn until_waiting(&self) {
        self.host.until_state(&self.job, Waiting).await;
    }

    /// Longer than any wait here, and any pause.
    fn let_time_pass(&self) {
        self.host.advance(TimeDelta::hours(2));
    }

    async fn answer(&self, task: &str, iteration: &[u32], approved: bool) {
        let name = v1::TaskInstanceName { task: task.to_owned(), iteration: iteration.to_vec() };
        let request =
            v1::AnswerJobRequest { job: self.job.clone(), task: Some(name), approved, ..Default::default() };
        self.host.jobs().answer(request).await.expect("it is asked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_what_sleeps_holds_up_no_other_component() {
    let left = nested("left", Linear, [sleep("pause"), ok("after")]);
    let right = nested("right", Linear, [ok("p"), ok("q")]);
    let work = pattern(Unordered, [left, right]);
    let trace = "{ pause:waiting pause:applied after | p q }";
    play(work, "pause:waiting p q pause:applied after")
        .with_sixteen(trace)
        .directed(Succeeded, async |stage| {
            stage.until("task.applied", "q").await;
            stage.until_waiting().await;
            stage.let_time_pass();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v10_a_failure_beside_waits_undoes_all_and_waits_for_nothing_more() {
    let sides = [wait_event("event"), approval("yes"), sleep("pause"), task("f", "fail")];
    let work = flow([ok("a"), nested("sides", Unordered, sides), ok("never")]);
    // What waits has nothing to undo: that is an entry, without a call.
    let one = "a event:waiting yes:waiting pause:waiting f! \
               f:reverting pause:reverted yes:reverted event:reverted f:reverted -a";
    let sixteen = "a { event:waiting | yes:waiting | pause:waiting | f! } \
                   { -f | pause:reverted | yes:reverted | event:reverted } -a";
    let end = play(work, one).with_sixteen(sixteen);
    end.ends(Reverted).await.assert_failed_by("f", "fixture.fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_a_scope_asks_anew_and_the_last_one_undoes_the_job() {
    let scope = nested("s", Linear, [ok("b"), approval("yes")]).scope(times(2));
    let no = |n: u32| {
        format!("b#{n} yes#{n}:waiting yes#{n}:answered yes#{n}:apply_failed yes#{n}:reverted -b#{n}")
    };
    let trace = format!("a {} {} -a", no(1), no(2));
    let end = play(flow([ok("a"), scope]), &trace)
        .directed(Reverted, async |stage| {
            for number in [1, 2] {
                stage
                    .host
                    .until_holds("nobody is asked", async || {
                        stage.host.calls(&stage.job).contains(&format!("apply b#{number}"))
                            && stage.host.state(&stage.job).await == Waiting
                    })
                    .await;
                stage.answer("yes", &[number], false).await;
            }
        })
        .await;
    end.assert_failed_by("yes#2", "host.refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_goes_to_every_element_of_a_map_that_waits_and_what_it_gives_is_read() {
    let read = task("read", "echo").with("got", output("go", "/data"));
    let each = nested("m", Linear, [wait_event("go"), read]).scope(map(literal(json!([1, 2])), 0));
    let one = "go#0:waiting go#1:waiting go#0:answered go#1:answered go#0:applied go#1:applied read#0 read#1";
    let sixteen =
        "{ go#0:waiting go#0:answered go#0:applied read#0 | go#1:waiting go#1:answered go#1:applied read#1 }";
    let end = play(flow([each]), one)
        .with_sixteen(sixteen)
        .directed(Succeeded, async |stage| {
            stage.until_waiting().await;
            stage.host.publish(vec![event("/tests", "1", "go", &json!(5))]).await.expect("it is an event");
        })
        .await;
    assert_eq!(end.told("apply read#1").input, json!({ "got": 5 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_left_out_by_its_condition_and_what_reads_it_with_it() {
    let pause = sleep("pause").when("false", SkipDepth::All);
    let work = flow([nested("n", Linear, [ok("a"), pause, ok("b")]).scope(times(1)), ok("z")]);
    play(work, "a#1 ~pause#1 ~b#1 z").ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_in_a_flow_that_is_undone_as_a_whole_is_undone_with_it() {
    let machine = nested("m", Linear, [ok("b"), sleep("pause"), ok("c")]);
    let machine = machine.reverts(own_revert("echo", &[]));
    // Where the wait stands among what is undone does not matter: it has nothing to undo.
    let trace = "b pause:waiting pause:applied c bad! -bad \
                 { m.revert:reverting c:reverted b:reverted m.revert:reverted | pause:reverted }";
    play(flow([machine, task("bad", "fail")]), trace)
        .directed(Reverted, async |stage| {
            stage.until_waiting().await;
            stage.host.restart().await;
            stage.let_time_pass();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_before_another_try_outlives_a_host_and_holds_up_nothing_beside_it() {
    let f = task("f", "fail_retry").with("n", literal(json!(1))).retried(3, HOUR);
    let left = nested("left", Linear, [f, ok("after")]);
    let right = nested("right", Linear, [ok("p"), ok("q")]);
    play(pattern(Unordered, [left, right]), "f:applying f:backoff p q f after")
        .with_sixteen("{ f:applying f:backoff f after | p q }")
        .directed(Succeeded, async |stage| {
            stage.until("task.applied", "q").await;
            stage.until_waiting().await;
            stage.host.crash().await;
            stage.let_time_pass();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_elsewhere_is_looked_at_while_others_go_on_and_called_off_after_a_failure() {
    let says = json!([{ "present": { "serial": "M-7" } }]);
    let ready = remote("r").with("says", literal(says));
    let read = task("read", "echo").with("serial", output("r", "/serial"));
    let trace = "r:applying r:under_way r:observing r:applied read";
    let end = play(flow([ready, read]), trace).ends(Succeeded).await;
    assert_eq!(end.told("apply read").input, json!({ "serial": "M-7" }));
    // Nobody waits for it once something else has failed.
    let late = remote("r").with("observe_after_ms", literal(json!(3_600_000)));
    let sides = nested("sides", Unordered, [late, task("f", "fail")]);
    let play = play(flow([ok("a"), sides]), "a r:applying r:under_way f! -f -r -a")
        .with_sixteen("a { r:applying r:under_way | f! } { -f | -r } -a");
    let end = play.ends(Reverted).await;
    assert_eq!(end.told("revert r").evidence["end"], json!({ "accepted": { "attempt": 1, "name": "r" } }));
}
