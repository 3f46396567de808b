//! Tasks that are accepted, and finish elsewhere: observed until they are there, are not, or are late; through crashes.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use windlass_proto::v1;
use windlass_proto::v1::{CancelMode, InDoubt, JobState, TaskState};
use windlass_tests::harness::{HostOptions, TestHost};
use windlass_tests::ledger::LedgerLine;
use windlass_tests::plugins::{fixtures, with_manifest};
use windlass_tests::work::{Shape as _, duration, flow, instant, json_of, literal, named, remote, task};

/// How long what is accepted has where a test wants it to be late.
const DEADLINE: Duration = Duration::from_secs(600);

/// The remote `r`, with that deadline.
fn pressed() -> v1::Task {
    let observe = v1::ObservePolicy { deadline: Some(duration(DEADLINE)), ..v1::ObservePolicy::default() };
    v1::Task { observe: Some(observe), ..remote("r") }
}

/// A job of `a` and the remote `r`, which was looked at once, in vain.
async fn looked_at(host: &TestHost, r: v1::Task) -> String {
    let job = host.submit(flow([task("a", "ok"), r])).await;
    host.until(&job, "job.waiting", "").await;
    assert_eq!(host.calls(&job), "apply a, apply r, observe r");
    job
}

/// Moves the clock to where the task is looked at next.
async fn look_again(host: &TestHost, job: &str) {
    let next = instant(host.task(job, "r").await.next_try_time.as_ref()).expect("it is looked at again");
    host.clock.set(next);
}

/// Moves the clock to where it is late.
async fn miss_deadline(host: &TestHost, job: &str) {
    let deadline = instant(host.task(job, "r").await.observe_deadline.as_ref()).expect("it has one");
    assert_eq!(deadline, host.now() + TimeDelta::seconds(600));
    host.clock.set(deadline);
}

fn call(calls: &[LedgerLine], call: &str) -> LedgerLine {
    let found = calls.iter().rfind(|line| line.call() == call);
    found.unwrap_or_else(|| panic!("{call} was not made: {calls:#?}")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_is_observed_until_it_is_present_and_holds_nothing_meanwhile() {
    let host = TestHost::start_with(HostOptions { slots: 1, ..HostOptions::default() }).await;
    let work = flow([
        remote("r").with("observe_after_ms", literal(json!(5_000))).provides("serial", "/serial"),
        task("e", "echo").with("got", named("serial")),
    ]);
    let job = host.submit(work).await;
    host.until(&job, "job.waiting", "").await;
    let accepted = host.task(&job, "r").await;
    assert_eq!(accepted.state(), TaskState::Observing);
    assert_eq!(json_of(accepted.handle.as_ref().expect("it has one")), json!({ "name": "r", "attempt": 1 }));
    assert_eq!(instant(accepted.next_try_time.as_ref()), Some(host.now() + TimeDelta::seconds(5)));
    // The one slot is free for others.
    assert_eq!(host.run(flow([task("b", "ok")])).await.state(), JobState::Succeeded);

    look_again(&host, &job).await;
    host.until(&job, "task.not_ready", "r").await;
    host.until_state(&job, JobState::Waiting).await;
    host.say_of_remote("r", &json!({ "present": { "serial": "M-7" } }));
    look_again(&host, &job).await;
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply r, observe r, observe r, apply e");
    assert_eq!(host.output(&job, "e").await, json!({ "got": "M-7" }));
    assert_eq!(host.task(&job, "r").await.observation_count, 2);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observation_is_told_of_the_apply_that_it_looks_at_and_writes_nothing() {
    let host = TestHost::start().await;
    host.say_of_remote("r", &json!("probes"));
    let r = remote("r").with("undo", literal(json!(["mine"]))).with("note", literal(json!("kept")));
    let job = host.run(flow([r])).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let calls = host.ledger_of(&job.id);
    let (apply, observe) = (call(&calls, "apply r"), call(&calls, "observe r"));
    assert_eq!((&observe.key, &observe.input), (&apply.key, &apply.input));
    assert_eq!((observe.attempt, observe.fence), (1, apply.fence));
    let handle = json!({ "name": "r", "attempt": 1 });
    let told = json!({ "end": { "accepted": handle }, "undo": ["mine"], "undo_of": ["r 1"] });
    assert_eq!(observe.evidence, told);
    let refused = json!("the host refused the record: it is not allowed here");
    let expected = json!({ "undo_ahead": refused, "note": refused, "recalled": "kept" });
    assert_eq!(host.output(&job.id, "r").await, expected);
    let progress = host.entries(&job.id).await.into_iter().any(|entry| entry.kind == "task.progressed");
    assert!(progress, "it may say how far it is");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_turns_out_absent_has_failed_and_is_undone_with_its_handle() {
    let host = TestHost::start().await;
    let job = looked_at(&host, remote("r")).await;
    host.say_of_remote("r", &json!({ "absent": "there are no more of this size" }));
    look_again(&host, &job).await;
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted, "{}", host.story(&job).await);
    let fault = ended.cause.unwrap().fault.unwrap();
    assert_eq!(
        (fault.class.as_str(), fault.message.as_str()),
        ("fixture.remote", "there are no more of this size")
    );
    assert_eq!(host.calls(&job), "apply a, apply r, observe r, observe r, revert r, revert a");
    let revert = call(&host.ledger_of(&job), "revert r");
    assert_eq!(revert.evidence["end"]["handle"], json!({ "name": "r", "attempt": 1 }));
    assert_eq!(revert.evidence["end"]["failed"]["class"], "fixture.remote");
    assert!(!host.has_remote("r"), "it was called off");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_failed_elsewhere_is_undone_and_not_begun_anew_be_it_accepted_or_in_doubt() {
    let failed = json!({ "failed": "the house burned down" });
    let host = TestHost::start().await;
    let job = looked_at(&host, remote("r")).await;
    host.say_of_remote("r", &failed);
    look_again(&host, &job).await;
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(ended.cause.unwrap().fault.unwrap().message, "the house burned down");
    assert_eq!(host.calls(&job), "apply a, apply r, observe r, observe r, revert r, revert a");
    let revert = call(&host.ledger_of(&job), "revert r");
    assert_eq!(revert.evidence["end"]["failed"]["class"], "fixture.remote");
    assert_eq!(revert.evidence["end"]["handle"], json!({ "name": "r", "attempt": 1 }));
    host.finish().await;

    let (host, job) = lost(failed, true).await;
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply a, apply r, observe r, revert r, revert a");
    let revert = call(&host.ledger_of(&job), "revert r");
    assert_eq!(revert.evidence["end"]["failed"]["class"], "fixture.remote");
    assert!(!host.has_remote("r"), "it was called off");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_says_no_time_to_look_at_it_is_looked_at_after_the_tasks_own_pause() {
    let host = TestHost::start().await;
    let pause = duration(Duration::from_secs(300));
    let observe = v1::ObservePolicy { backoff_initial: Some(pause), ..v1::ObservePolicy::default() };
    let r = remote("r").with("observe_after_ms", literal(json!(null)));
    let job = host.submit(flow([v1::Task { observe: Some(observe), ..r }])).await;
    host.until_state(&job, JobState::Waiting).await;
    let next = instant(host.task(&job, "r").await.next_try_time.as_ref()).expect("it is looked at");
    // Up to a fifth shorter, as every pause.
    assert!((240..=300).contains(&(next - host.now()).num_seconds()), "{next}");
    host.say_of_remote("r", &json!({ "present": null }));
    look_again(&host, &job).await;
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply r, observe r");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absence_without_a_reason_has_the_hosts_fault() {
    let host = TestHost::start().await;
    host.say_of_remote("r", &json!({ "absent": null }));
    let job = host.run(flow([remote("r")])).await;
    assert_eq!(job.state(), JobState::Reverted);
    assert_eq!(job.cause.unwrap().fault.unwrap().class, "host.absent");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_says_when_it_wants_to_be_asked_again_and_its_faults_say_nothing_of_the_task() {
    let host = TestHost::start().await;
    host.say_of_remote("r", &json!({ "unknown": 90_000 }));
    let job = looked_at(&host, remote("r")).await;
    let next = instant(host.task(&job, "r").await.next_try_time.as_ref());
    assert_eq!(next, Some(host.now() + TimeDelta::seconds(90)));
    let failing = ["fault", "panic"].map(|how| json!({ "fails": how }));
    let drifted = json!({ "drifted": "it has another address" });
    for (looks, said) in (2..).zip(failing.into_iter().chain([drifted])) {
        host.say_of_remote("r", &said);
        look_again(&host, &job).await;
        host.until_holds(&format!("{said} is not looked at"), async || {
            let r = host.task(&job, "r").await;
            (r.observation_count, r.state()) == (looks, TaskState::Observing) && r.next_try_time.is_some()
        })
        .await;
        host.until_state(&job, JobState::Waiting).await;
    }
    host.say_of_remote("r", &json!({ "present": null }));
    look_again(&host, &job).await;
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_applied_again_as_often_as_a_task_may_be_and_has_failed_then() {
    let host = TestHost::start().await;
    let job = looked_at(&host, pressed().retried(2, Duration::from_secs(1))).await;
    miss_deadline(&host, &job).await;
    host.until_attempt(&job, "r", 2).await;
    host.until_holds("it is looked at anew", async || host.task(&job, "r").await.observation_count == 3)
        .await;
    host.until_state(&job, JobState::Waiting).await;
    let calls = host.ledger_of(&job);
    let again = call(&calls, "apply r");
    assert_eq!((again.attempt, again.prior.as_str()), (2, "interrupted"));
    miss_deadline(&host, &job).await;
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(ended.cause.unwrap().fault.unwrap().class, "host.late");
    let revert = call(&host.ledger_of(&job), "revert r");
    assert_eq!(revert.evidence["end"]["handle"], json!({ "name": "r", "attempt": 2 }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_undone_or_left_to_a_person_as_its_policy_says() {
    let host = TestHost::start().await;
    let late = async |in_doubt: InDoubt| {
        let job = looked_at(&host, v1::Task { in_doubt: in_doubt.into(), ..pressed() }).await;
        miss_deadline(&host, &job).await;
        job
    };
    let job = late(InDoubt::Revert).await;
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(ended.cause.unwrap().fault.unwrap().class, "host.late");
    for in_doubt in [InDoubt::Hold, InDoubt::Observe] {
        let job = late(in_doubt).await;
        host.until_state(&job, JobState::Suspended).await;
        assert_eq!(host.task(&job, "r").await.state(), TaskState::InDoubt);
        host.cancel(&job, CancelMode::Revert).await.expect("a person has looked");
        assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", host.story(&job).await);
        assert!(!host.has_remote("r"), "it was called off");
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observing_goes_on_through_restarts_and_nothing_is_applied_twice() {
    let mut host = TestHost::start().await;
    let job = looked_at(&host, remote("r")).await;
    let waiting = host.task(&job, "r").await;
    host.restart().await;
    assert_eq!(host.task(&job, "r").await, waiting);
    host.crash().await;
    assert_eq!(host.task(&job, "r").await, waiting);
    let next = instant(waiting.next_try_time.as_ref()).expect("it is looked at again");
    host.settle_at(next - TimeDelta::milliseconds(1)).await;
    assert_eq!(host.task(&job, "r").await.observation_count, 1, "not before its time");
    host.say_of_remote("r", &json!({ "present": null }));
    host.clock.set(next);
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply a, apply r, observe r, observe r");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_in_an_observation_leaves_no_doubt_and_the_next_one_looks_again() {
    let mut host = TestHost::start().await;
    host.say_of_remote("r", &json!({ "present": null }));
    let r = remote("r").with("observe_gate", literal(json!("look")));
    let job = host.submit(flow([r])).await;
    host.until_called(&job, "observe r").await;
    host.crash().await;
    host.open_gate("look");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply r, observe r, observe r");
    let looks: Vec<_> = host.ledger_of(&job).iter().map(|line| (line.attempt, line.prior.clone())).collect();
    assert_eq!(looks[1..].iter().map(|look| look.0).collect::<Vec<_>>(), [1, 2]);
    assert!(host.kinds(&job).await.iter().all(|kind| kind != "task.in_doubt"), "{}", host.story(&job).await);
    host.finish().await;
}

/// A job whose host died in the middle of the apply of the remote `r`, and that observes what is in doubt. Of `r` is said
/// what is given, and it is there, or is not.
async fn lost(said: Value, is_there: bool) -> (TestHost, String) {
    let mut host = TestHost::start().await;
    host.say_of_remote("r", &said);
    let r = remote("r").with("gate", literal(json!("r")));
    let r = v1::Task { in_doubt: InDoubt::Observe.into(), ..r };
    let job = host.submit(flow([task("a", "ok"), r])).await;
    host.until_called(&job, "apply r").await;
    host.until_holds("it is not begun", async || host.has_remote("r")).await;
    if !is_there {
        host.forget_remote("r");
    }
    host.crash().await;
    host.open_gate("r");
    (host, job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_doubt_and_present_is_applied_without_a_second_call() {
    let (host, job) = lost(json!({ "present": { "serial": "M-7" } }), true).await;
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply a, apply r, observe r");
    let observe = call(&host.ledger_of(&job), "observe r");
    assert_eq!((&observe.evidence["end"], observe.prior.as_str()), (&json!("interrupted"), "interrupted"));
    assert_eq!(host.output(&job, "r").await, json!({ "serial": "M-7" }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_doubt_and_absent_is_applied_again_under_the_same_key() {
    let (host, job) = lost(json!({ "present": null }), false).await;
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply a, apply r, observe r, apply r, observe r");
    let keys: Vec<_> =
        host.ledger_of(&job).into_iter().filter(|line| line.task == "r").map(|line| line.key).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(host.task(&job, "r").await.apply_attempt, 2);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_doubt_and_cannot_be_told_is_left_to_a_person() {
    for said in [json!({ "unknown": null }), json!({ "drifted": null }), json!({ "fails": "fault" })] {
        let (host, job) = lost(said, true).await;
        host.until_state(&job, JobState::Suspended).await;
        assert_eq!(host.task(&job, "r").await.state(), TaskState::InDoubt);
        assert_eq!(host.calls(&job), "apply a, apply r, observe r");
        // Who resumes it has looked: it is applied again.
        host.say_of_remote("r", &json!({ "present": null }));
        host.resume(&job).await.expect("it is suspended");
        assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
        assert_eq!(host.calls(&job), "apply a, apply r, observe r, apply r, observe r");
        host.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_while_it_is_observed_calls_it_off_by_its_handle() {
    let host = TestHost::start().await;
    let job = looked_at(&host, remote("r")).await;
    host.cancel(&job, CancelMode::Revert).await.expect("it waits");
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply a, apply r, observe r, revert r, revert a");
    let revert = call(&host.ledger_of(&job), "revert r");
    assert_eq!(revert.evidence["end"], json!({ "accepted": { "name": "r", "attempt": 1 } }));
    assert!(!host.has_remote("r"));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_leaves_what_is_observed_names_it_as_residue() {
    let host = TestHost::start().await;
    let job = looked_at(&host, remote("r")).await;
    host.cancel(&job, CancelMode::Leave).await.expect("it waits");
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Failed, "{}", host.story(&job).await);
    let residue: Vec<_> = ended.residue.iter().map(|name| name.task.as_str()).collect();
    assert_eq!(residue, ["a", "r"]);
    assert!(host.has_remote("r"));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_answer_of_an_action_that_is_not_observed_is_broken() {
    let host = TestHost::bare().await;
    let silent = with_manifest(fixtures(), |manifest| {
        for action in manifest["actions"].as_array_mut().expect("a manifest has actions") {
            action.as_object_mut().expect("an action is an object").remove("observed");
        }
    });
    let uploaded = host.upload(&silent).await.plugin;
    assert!(uploaded.actions.iter().all(|action| !action.observed));
    let job = host.run(flow([remote("r")])).await;
    assert_eq!(job.state(), JobState::Reverted, "{}", host.story(&job.id).await);
    let fault = job.cause.unwrap().fault.unwrap();
    assert_eq!(fault.class, "host.output");
    assert!(fault.message.contains("say `observed: true`"), "{}", fault.message);
    assert_eq!(host.calls(&job.id), "apply r, revert r");
    host.finish().await;
}
