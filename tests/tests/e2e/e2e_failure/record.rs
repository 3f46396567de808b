//! What is kept of a failure: P01, P02, P04, P09, and outputs of any size (P11).

use chrono::TimeDelta;
use serde_json::{Value, json};
use windlass_proto::v1;
use windlass_proto::v1::{JobState, TaskState};
use windlass_tests::harness::{HostOptions, TestHost};
use windlass_tests::work::{Shape as _, action, flow, gate, instance, instant, json_of, literal, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p01_p02_a_failure_survives_a_restart_whole_and_in_any_script() {
    let mut host = TestHost::start().await;
    let detail = json!({ "größe": [1, { "τύπος": "π" }], "null": null, "big": 9_007_199_254_740_993_u64 });
    let fail = task("fail", "fail")
        .with("class", literal(json!("example.net.timeout")))
        .with("message", literal(json!("Zeitüberschreitung \u{1F980} 時間切れ \"quoted\"\n\tsecond line")))
        .with("causes", literal(json!(["連接失敗", "ECONNREFUSED", ""])))
        .with("detail", literal(detail.clone()));
    let job = host.run(flow([fail])).await;
    let before = host.task(&job.id, "fail").await.apply_fault.unwrap();
    assert_eq!(before.class, "example.net.timeout");
    assert_eq!(before.causes, ["連接失敗", "ECONNREFUSED", ""]);
    assert_eq!(json_of(before.detail.as_ref().unwrap()), detail);
    let cause = host.job(&job.id).await.cause.unwrap();
    assert_eq!((cause.task, cause.fault), (Some(instance("fail")), Some(before.clone())));

    host.restart().await;
    assert_eq!(host.task(&job.id, "fail").await.apply_fault, Some(before.clone()));
    assert_eq!(host.job(&job.id).await.cause.unwrap().fault, Some(before));
    let entry =
        host.entries(&job.id).await.into_iter().find(|entry| entry.kind == "task.apply_failed").unwrap();
    let data: Value = serde_json::from_str(&entry.data_json).unwrap();
    assert_eq!(data["fault"]["causes"], json!(["連接失敗", "ECONNREFUSED", ""]));
    assert_eq!(data["fault"]["detail"]["value"], detail);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p04_the_failure_stays_readable_when_it_was_reverted() {
    let host = TestHost::start().await;
    let job = host.run(action("fail")).await;
    let task = host.task(&job.id, "fail").await;
    assert_eq!(task.state(), TaskState::Reverted);
    assert_eq!(task.apply_fault.unwrap().class, "fixture.fail");
    assert_eq!(task.revert_fault, None);
    host.finish().await;
}

fn lasting(from: &Option<prost_types::Timestamp>, to: &Option<prost_types::Timestamp>) -> Option<TimeDelta> {
    Some(instant(to.as_ref())? - instant(from.as_ref())?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p09_durations_are_kept_of_tasks_and_jobs_failed_and_reverted_ones_too() {
    let host = TestHost::start().await;
    let a = gate("a").with("revert_name", literal(json!("a-back")));
    let job = host.submit(flow([a, task("f", "fail")])).await;
    host.until_called(&job, "apply a").await;
    host.advance(TimeDelta::seconds(3));
    host.open_gate("a");
    host.until_called(&job, "revert a").await;
    host.advance(TimeDelta::seconds(4));
    host.open_gate("a-back");
    let ended = host.wait(&job).await;
    assert_eq!(lasting(&ended.start_time, &ended.end_time), Some(TimeDelta::seconds(7)));
    let run = &ended.runs[0];
    assert_eq!(lasting(&run.start_time, &run.end_time), Some(TimeDelta::seconds(7)));
    let a = host.task(&job, "a").await;
    assert_eq!(lasting(&a.apply_start_time, &a.apply_end_time), Some(TimeDelta::seconds(3)));
    assert_eq!(lasting(&a.revert_start_time, &a.revert_end_time), Some(TimeDelta::seconds(4)));
    let f = host.task(&job, "f").await;
    assert_eq!(lasting(&f.apply_start_time, &f.apply_end_time), Some(TimeDelta::zero()));
    assert_eq!(lasting(&f.revert_start_time, &f.revert_end_time), Some(TimeDelta::zero()));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_an_output_is_kept_whole_or_refused_by_its_size() {
    let mut host = TestHost::start().await;
    let exact = host.run_with(action("big"), json!({ "bytes": 1 << 20 })).await;
    assert_eq!(exact.state(), JobState::Succeeded, "{}", host.story(&exact.id).await);
    host.restart().await;
    let whole = host.output(&exact.id, "big").await;
    assert_eq!(whole.as_str().unwrap().len(), (1 << 20) - 2);

    for bytes in [(1 << 20) + 1, 10 << 20] {
        let job = host.run_with(action("big"), json!({ "bytes": bytes })).await;
        assert_eq!(job.state(), JobState::Reverted);
        let task = host.task(&job.id, "big").await;
        let fault = task.apply_fault.unwrap();
        assert_eq!(fault.class, "host.output");
        assert!(fault.message.contains("too large"), "{}", fault.message);
        assert_eq!(task.output, None);
        assert_eq!(host.calls(&job.id), "apply big, revert big");
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_many_large_outputs_of_one_job_are_each_kept() {
    let host =
        TestHost::start_with(HostOptions { output_bytes_max: 1 << 20, ..HostOptions::default() }).await;
    let big = |name: &str| task(name, "big").with("bytes", literal(json!(1 << 20)));
    let job = host.run(flow([big("a"), big("b"), big("c"), big("d"), task("e", "ok")])).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(host.output(&job.id, name).await.as_str().unwrap().len(), (1 << 20) - 2);
    }
    // Together they are more than one answer shows.
    let whole = v1::GetJobOutputRequest { job: job.id.clone(), name: String::new() };
    let refused = host.jobs().get_output(whole).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert_eq!(host.get(&job.id).await.tasks[0].output, None);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_arguments_beyond_the_bound_are_refused_at_admission() {
    let host = TestHost::start().await;
    let arguments_json = json!({ "x": "x".repeat(1 << 20) }).to_string();
    let refused =
        host.try_submit(v1::JobSpec { arguments_json, ..host.spec(action("echo")) }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("1048576"), "{refused}");
    host.finish().await;
}
