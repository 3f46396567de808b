//! What operators do about failures: V13, V14, retry, resolve, and the key of a re-apply.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1::{JobState, Resolution, TaskState};
use windlass_tests::harness::{TestHost, code};
use windlass_tests::work::{Shape as _, flow, instance, literal, resolve, task};

/// `a`, a task that cannot be undone, and a failure that happens once.
async fn stuck(host: &TestHost) -> String {
    let work = flow([task("a", "ok"), task("n", "nasty"), task("f", "fail_n").with("n", literal(json!(1)))]);
    let job = host.run(work).await;
    assert_eq!(job.state(), JobState::Failed);
    job.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v13_a_reverted_job_runs_again_as_a_new_one() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "ok"), task("fail", "fail")])).await.id;
    assert_eq!(code(host.retry(&job).await), Code::FailedPrecondition);
    let again = host.rerun(&job).await.unwrap().id;
    assert_ne!(again, job);
    let ended = host.wait(&again).await;
    assert_eq!(ended.state(), JobState::Reverted);
    assert_eq!(ended.origin.unwrap().rerun_of, job);
    assert_eq!(host.trace(&again).await, host.trace(&job).await);
    let keys = |job: &str| host.ledger_of(job).into_iter().map(|line| line.key).collect::<Vec<_>>();
    assert!(keys(&job).iter().all(|key| !keys(&again).contains(key)));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v14_a_retry_of_a_succeeded_job_does_nothing_and_a_rerun_everything() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "ok"), task("b", "ok")])).await;
    assert_eq!(host.retry(&job.id).await.unwrap().sequence, job.sequence);
    assert_eq!(host.calls(&job.id), "apply a, apply b");
    let again = host.rerun(&job.id).await.unwrap().id;
    assert_eq!(host.wait(&again).await.state(), JobState::Succeeded);
    assert_eq!(host.calls(&again), "apply a, apply b");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v14_a_rerun_takes_arguments_grants_and_labels_along() {
    let host = TestHost::start().await;
    let mut spec = host.spec(flow([task("e", "echo").with("x", windlass_tests::work::argument("x"))]));
    spec.arguments_json = "{\"x\": 5}".to_owned();
    spec.labels = [("team".to_owned(), "red".to_owned())].into();
    spec.priority = 3;
    let job = host.run_spec(spec).await;
    let again = host.rerun(&job.id).await.unwrap();
    assert_eq!((again.labels, again.priority, again.grants), (job.labels, job.priority, job.grants));
    host.wait(&again.id).await;
    assert_eq!(host.output(&again.id, "e").await, json!({ "x": 5 }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skipped_revert_lets_unwinding_go_on_and_stays_in_the_residue() {
    let host = TestHost::start().await;
    for (resolution, state) in
        [(Resolution::Skip, TaskState::SkippedRevert), (Resolution::Accept, TaskState::Accepted)]
    {
        let job = stuck(&host).await;
        assert_eq!(code(host.jobs().resolve(resolve(&job, "a", resolution)).await), Code::FailedPrecondition);
        host.jobs().resolve(resolve(&job, "n", resolution)).await.unwrap();
        let ended = host.wait(&job).await;
        assert_eq!((ended.state(), ended.residue), (JobState::Failed, vec![instance("n")]));
        assert_eq!(host.task(&job, "n").await.state(), state);
        assert_eq!(host.calls(&job), "apply a, apply n, apply f, revert f, revert n, revert a");
        assert_eq!(code(host.jobs().resolve(resolve(&job, "n", resolution)).await), Code::FailedPrecondition);
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_revert_is_called_again_under_the_same_key() {
    let host = TestHost::start().await;
    let job = stuck(&host).await;
    host.jobs().resolve(resolve(&job, "n", Resolution::Retry)).await.unwrap();
    assert_eq!(host.wait(&job).await.state(), JobState::Failed);
    host.retry(&job).await.unwrap();
    assert_eq!(host.wait(&job).await.state(), JobState::Failed);
    let reverts: Vec<_> = host.ledger_of(&job).into_iter().filter(|line| line.call() == "revert n").collect();
    assert_eq!(reverts.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(reverts.iter().all(|call| call.key == reverts[0].key));
    assert_eq!(host.job(&job).await.runs.len(), 3);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reapply_after_a_revert_has_a_new_key() {
    let host = TestHost::start().await;
    let job = stuck(&host).await;
    host.jobs().resolve(resolve(&job, "n", Resolution::Accept)).await.unwrap();
    host.wait(&job).await;
    host.retry(&job).await.unwrap();
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{}", host.story(&job).await);
    let applies: Vec<_> = host.ledger_of(&job).into_iter().filter(|line| line.kind == "apply").collect();
    for task in ["a", "f"] {
        let of_task: Vec<_> = applies.iter().filter(|line| line.task == task).collect();
        let [first, second] = of_task[..] else { panic!("{task} was applied {} times", of_task.len()) };
        assert_ne!(first.key, second.key);
        assert_eq!(
            (second.iteration.as_slice(), second.attempt, second.prior.as_str()),
            ([1].as_slice(), 1, "none")
        );
    }
    host.finish().await;
}
