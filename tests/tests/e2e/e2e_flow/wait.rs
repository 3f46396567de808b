//! Sleeps and approvals, over gRPC and by the binary.

use chrono::TimeDelta;
use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, TaskState};
use windlass_tests::harness::{TestHost, code, field_paths};
use windlass_tests::work::{duration, flow, gate, pattern, task};

fn wait(name: &str, wait: v1::task::Wait) -> v1::Task {
    v1::Task { name: name.to_owned(), wait: Some(wait), ..v1::Task::default() }
}

fn sleep(name: &str, seconds: u64) -> v1::Task {
    let passed = duration(std::time::Duration::from_secs(seconds));
    wait(name, v1::task::Wait::Sleep(v1::Sleep { until: Some(v1::sleep::Until::Duration(passed)) }))
}

fn approval(name: &str, principals: &[&str]) -> v1::Task {
    let approval = v1::Approval {
        message: "publish it?".to_owned(),
        principals: principals.iter().map(|principal| (*principal).to_owned()).collect(),
        timeout: Some(duration(std::time::Duration::from_secs(3_600))),
    };
    wait(name, v1::task::Wait::Approval(approval))
}

fn answer(job: &str, task: &str, approved: bool) -> v1::AnswerJobRequest {
    let task = v1::TaskInstanceName { task: task.to_owned(), iteration: Vec::new() };
    let comment = "seen".to_owned();
    v1::AnswerJobRequest { job: job.to_owned(), task: Some(task), approved, comment, etag: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleep_holds_no_claim_and_survives_a_host_that_is_killed() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), sleep("pause", 7_200), task("z", "ok")])).await;
    host.until_state(&job, JobState::Waiting).await;
    assert_eq!(host.job(&job).await.host, "");
    let pause = host.task(&job, "pause").await;
    assert_eq!(
        (pause.state(), pause.wait.as_str(), pause.plugin_digest.as_str()),
        (TaskState::Waiting, "sleep", "")
    );
    host.advance(TimeDelta::seconds(7_199));
    host.crash().await;
    assert_eq!(host.state(&job).await, JobState::Waiting);
    assert_eq!(host.calls(&job), "apply a");
    host.advance(TimeDelta::seconds(1));
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), ended.task_done_count), (JobState::Succeeded, 3));
    assert_eq!(host.calls(&job), "apply a, apply z");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_goes_on_with_a_yes_and_is_undone_with_a_no() {
    let host = TestHost::start().await;
    for (approved, end, calls) in
        [(true, JobState::Succeeded, "apply a, apply z"), (false, JobState::Reverted, "apply a, revert a")]
    {
        let job = host.submit(flow([task("a", "ok"), approval("release", &[]), task("z", "ok")])).await;
        host.until_state(&job, JobState::Waiting).await;
        host.jobs().answer(answer(&job, "release", approved)).await.expect("it is asked");
        let ended = host.wait(&job).await;
        assert_eq!(ended.state(), end, "{}", host.story(&job).await);
        assert_eq!(host.calls(&job), calls);
        let answered = host.until(&job, "task.answered", "release").await;
        assert_eq!(answered.reason, "seen");
        if approved {
            let told = host.output(&job, "release").await;
            assert_eq!(told["approved"], json!(true), "{told}");
        } else {
            let fault = ended.cause.and_then(|cause| cause.fault).expect("it was refused");
            assert_eq!(fault.class, "host.refused");
        }
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answering_in_time_undoes_the_job_also_after_a_restart() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), approval("release", &[])])).await;
    host.until_state(&job, JobState::Waiting).await;
    host.restart().await;
    host.advance(TimeDelta::seconds(3_600));
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted);
    assert_eq!(ended.cause.and_then(|cause| cause.fault).expect("nobody answered").class, "host.no_answer");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_by_the_wrong_one_or_to_nothing_is_refused_and_loses_nothing() {
    let host = TestHost::start().await;
    let job = host.submit(flow([approval("release", &["ann", "bob"])])).await;
    host.until_state(&job, JobState::Waiting).await;
    let before = host.job(&job).await.sequence;
    assert_eq!(code(host.jobs().answer(answer(&job, "release", true)).await), Code::FailedPrecondition);
    assert_eq!(code(host.jobs().answer(answer(&job, "other", true)).await), Code::FailedPrecondition);
    assert_eq!(host.job(&job).await.sequence, before);
    host.cancel(&job, v1::CancelMode::Revert).await.expect("it waits");
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_wrong_with_a_wait_is_told_before_anything_runs() {
    let host = TestHost::start().await;
    let event = v1::WaitEvent { r#match: "event.data.".to_owned(), ..v1::WaitEvent::default() };
    let work = pattern(
        v1::Pattern::Graph,
        [
            sleep("never", 400 * 86_400),
            wait("when", v1::task::Wait::Sleep(v1::Sleep::default())),
            wait("image", v1::task::Wait::WaitEvent(event)),
            wait("release", v1::task::Wait::Approval(v1::Approval::default())),
            v1::Task { plugin: "fixtures".to_owned(), ..sleep("both", 1) },
        ],
    );
    let refused = host.try_submit(host.spec(work)).await.expect_err("it is refused");
    let mut paths = field_paths(&refused);
    paths.sort();
    assert_eq!(
        paths,
        ["job.work.flow.tasks[1].sleep", "job.work.flow.tasks[4].plugin"],
        "what has no form comes first"
    );
    let event = v1::WaitEvent { r#match: "event.data.".to_owned(), ..v1::WaitEvent::default() };
    let work = pattern(
        v1::Pattern::Graph,
        [
            sleep("never", 400 * 86_400),
            wait("image", v1::task::Wait::WaitEvent(event)),
            wait("release", v1::task::Wait::Approval(v1::Approval::default())),
        ],
    );
    let refused = host.try_submit(host.spec(work)).await.expect_err("it is refused");
    let mut paths = field_paths(&refused);
    paths.sort();
    assert_eq!(
        paths,
        [
            "job.work.flow.tasks[0].sleep",
            "job.work.flow.tasks[1].wait_event.match",
            "job.work.flow.tasks[1].wait_event.type",
            "job.work.flow.tasks[2].approval.message",
        ]
    );
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_is_answered_while_the_job_is_suspended_counts_when_it_is_resumed() {
    let host = TestHost::start().await;
    let job = host.submit(pattern(v1::Pattern::Unordered, [approval("release", &[]), gate("g")])).await;
    host.until_called(&job, "apply g").await;
    host.suspend(&job).await.expect("it runs");
    host.jobs().answer(answer(&job, "release", true)).await.expect("it is asked");
    host.open_gate("g");
    host.until_state(&job, JobState::Suspended).await;
    host.resume(&job).await.expect("it is suspended");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    host.finish().await;
}
