//! Submission: C06, C11, batches, and what is refused with every problem at once.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_proto::v1::submit_job_result::Outcome;
use windlass_tests::harness::{TestHost, as_principal, code, field_paths};
use windlass_tests::work::{Shape as _, action, action_of, argument, flow, literal, task};

fn request(spec: v1::JobSpec, request_id: &str) -> v1::SubmitJobRequest {
    let request_id = request_id.to_owned();
    v1::SubmitJobRequest { job: Some(Box::new(spec)), request_id, ..v1::SubmitJobRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c06_a_dry_run_tells_and_stores_nothing() {
    let host = TestHost::start().await;
    let sound = v1::SubmitJobRequest { dry_run: true, ..request(host.spec(action("ok")), "r") };
    let told = host.jobs().submit(sound).await.unwrap().into_inner();
    let job = told.job.unwrap();
    assert_eq!((job.id.as_str(), told.known), ("", false));
    let Some(v1::work::Kind::Action(pinned)) = job.work.unwrap().kind else {
        panic!("an action was submitted")
    };
    assert_eq!(pinned.digest, windlass_tests::harness::digest_text(windlass_tests::plugins::fixtures()));

    let broken = v1::JobSpec { arguments_json: "{\"x\": \"one\"}".to_owned(), ..host.spec(action("sum")) };
    let broken = v1::SubmitJobRequest { dry_run: true, ..request(broken, "") };
    let refused = host.jobs().submit(broken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(field_paths(&refused).len() >= 2, "x is no number and y is missing: {refused}");

    assert_eq!(host.list(v1::ListJobsRequest::default()).await, []);
    // The request id was not taken either.
    let real = host.jobs().submit(request(host.spec(action("ok")), "r")).await.unwrap().into_inner();
    assert!(!real.known);
    host.wait(&real.job.unwrap().id).await;
    assert_eq!(host.ledger().len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_a_repeated_request_gives_the_same_job_and_one_run() {
    let mut host = TestHost::start().await;
    let submit = || request(host.spec(action("ok")), "again");
    let first = host.jobs().submit(submit()).await.unwrap().into_inner();
    let id = first.job.unwrap().id;
    assert!(!first.known);
    for _ in 0..3 {
        let again = host.jobs().submit(submit()).await.unwrap().into_inner();
        assert_eq!((again.job.unwrap().id, again.known), (id.clone(), true));
    }
    host.wait(&id).await;
    host.restart().await;
    let again = host.jobs().submit(request(host.spec(action("ok")), "again")).await.unwrap().into_inner();
    assert_eq!((again.job.unwrap().id, again.known), (id.clone(), true));
    assert_eq!(host.calls(&id), "apply ok");
    // Another principal's request is another request.
    let other = as_principal("ann", request(host.spec(action("ok")), "again"));
    let other = host.jobs().submit(other).await.unwrap().into_inner();
    assert!(!other.known);
    let other = other.job.unwrap().id;
    assert_ne!(other, id);
    host.until_called(&other, "apply ok").await;
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_requests_at_the_same_time_make_one_job() {
    let host = TestHost::start().await;
    let mut submissions = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut jobs, submit) = (host.jobs(), request(host.spec(action("ok")), "at once"));
        submissions.spawn(async move { jobs.submit(submit).await.unwrap().into_inner() });
    }
    let answers = submissions.join_all().await;
    let ids: std::collections::HashSet<_> = answers.iter().map(|a| a.job.clone().unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| !answer.known).count(), 1);
    host.wait(ids.iter().next().unwrap()).await;
    assert_eq!(host.ledger().len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_of_a_batch_does_not_hurt_its_neighbours() {
    let host = TestHost::start().await;
    let requests = vec![
        request(host.spec(action("ok")), ""),
        request(host.spec(action("no-such-action")), ""),
        request(v1::JobSpec { arguments_json: "[]".to_owned(), ..host.spec(action("ok")) }, ""),
        request(host.spec(action_of("no-such-plugin", "ok")), ""),
        request(host.spec(action("echo")), ""),
    ];
    let batch = v1::SubmitJobBatchRequest { requests, view: v1::JobView::Full.into() };
    let results = host.jobs().submit_batch(batch).await.unwrap().into_inner().results;
    assert_eq!(results.len(), 5);
    let mut jobs = Vec::new();
    for (index, result) in results.into_iter().enumerate() {
        match result.outcome.unwrap() {
            Outcome::Submitted(submitted) => jobs.push((index, submitted.job.unwrap().id)),
            Outcome::Refused(refused) => {
                assert_eq!(refused.code, i32::from(Code::InvalidArgument), "{refused:?}");
                assert!(!refused.violations.is_empty(), "{refused:?}");
            }
        }
    }
    assert_eq!(jobs.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 4]);
    for (_, job) in &jobs {
        assert_eq!(host.wait(job).await.state(), JobState::Succeeded);
    }
    assert_eq!(host.list(v1::ListJobsRequest::default()).await.len(), 2);
    let empty = v1::SubmitJobBatchRequest::default();
    assert_eq!(code(host.jobs().submit_batch(empty).await), Code::InvalidArgument);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_a_request_that_is_twice_in_a_batch_makes_one_job_and_results_keep_their_places() {
    const JOBS: usize = 300;
    let host = TestHost::start().await;
    // Of each three, the second repeats the first, and the third cannot be taken.
    let requests = (0..JOBS).map(|n| match n % 3 {
        2 => request(host.spec(action("no-such-action")), &format!("refused-{n}")),
        _ => request(host.spec(action("ok")), &(n / 3).to_string()),
    });
    let batch = v1::SubmitJobBatchRequest { requests: requests.collect(), view: v1::JobView::Id.into() };
    let mut firsts = Vec::new();
    for round in 0..2 {
        let results = host.jobs().submit_batch(batch.clone()).await.unwrap().into_inner().results;
        assert_eq!(results.len(), JOBS);
        for (triple, jobs) in results.chunks(3).enumerate() {
            let [
                Some(Outcome::Submitted(one)),
                Some(Outcome::Submitted(other)),
                Some(Outcome::Refused(refused)),
            ] = [0, 1, 2].map(|place| jobs[place].outcome.clone())
            else {
                panic!("round {round}: {jobs:?}")
            };
            assert_eq!(refused.code, i32::from(Code::InvalidArgument));
            let ids = [&one, &other].map(|told| told.job.clone().unwrap().id);
            assert_eq!(ids[0], ids[1]);
            match round {
                0 => {
                    assert!(one.known != other.known, "one of them made it");
                    firsts.push(ids[0].clone());
                }
                _ => assert!(one.known && other.known && ids[0] == firsts[triple]),
            }
        }
    }
    for job in &firsts {
        assert_eq!(host.wait(job).await.state(), JobState::Succeeded);
        assert_eq!(host.calls(job), "apply ok");
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_tells_as_much_of_its_jobs_as_is_asked() {
    let host = TestHost::start().await;
    let told = async |view: i32| {
        let requests = vec![request(host.spec(action("ok")), "")];
        let batch = v1::SubmitJobBatchRequest { requests, view };
        let results = host.jobs().submit_batch(batch).await?.into_inner().results;
        let Some(Outcome::Submitted(submitted)) = results[0].outcome.clone() else { panic!("{results:?}") };
        Ok::<_, tonic::Status>(submitted.job.unwrap())
    };
    let full = told(v1::JobView::Unspecified.into()).await.unwrap();
    assert!(full.work.is_some() && full.create_time.is_some());
    let named = told(v1::JobView::Id.into()).await.unwrap();
    let known = v1::Job { state: named.state, ..v1::Job::default() };
    assert_eq!(v1::Job { id: String::new(), etag: String::new(), sequence: 0, ..*named.clone() }, known);
    assert!(!named.id.is_empty() && !named.etag.is_empty() && named.sequence > 0);
    assert_eq!(host.wait(&named.id).await.state(), JobState::Succeeded);
    assert_eq!(told(99).await.unwrap_err().code(), Code::InvalidArgument);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_of_a_submission_is_listed_at_once() {
    let host = TestHost::start().await;
    let work = flow([
        task("a", "sum").with("x", literal(json!("one"))),
        task("b", "ok").with("value", argument("nowhere")),
        task("a", "ok"),
        task("c", "no-such-action"),
    ]);
    let refused = host.try_submit(v1::JobSpec { priority: 5_000, ..host.spec(work) }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let fields = field_paths(&refused);
    for expected in [
        "job.priority",
        "job.work.flow.tasks[0]",
        "job.work.flow.tasks[1].inputs.value",
        "job.work.flow.tasks[2].name",
        "job.work.flow.tasks[3]",
    ] {
        assert!(fields.iter().any(|field| field.starts_with(expected)), "{expected} is not among {fields:?}");
    }
    assert_eq!(host.list(v1::ListJobsRequest::default()).await, []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_job_is_refused() {
    let host = TestHost::start().await;
    let not_json = v1::JobSpec { arguments_json: "{".to_owned(), ..host.spec(action("ok")) };
    assert_eq!(code(host.try_submit(not_json).await), Code::InvalidArgument);
    let no_work = v1::JobSpec { work: None, ..host.spec(action("ok")) };
    assert_eq!(code(host.try_submit(no_work).await), Code::InvalidArgument);
    assert_eq!(code(host.jobs().submit(v1::SubmitJobRequest::default()).await), Code::InvalidArgument);
    let unknown = v1::GetJobRequest { job: uuid::Uuid::now_v7().to_string() };
    assert_eq!(code(host.jobs().get(unknown).await), Code::NotFound);
    assert_eq!(code(host.jobs().get(v1::GetJobRequest { job: "x".to_owned() }).await), Code::InvalidArgument);
    host.finish().await;
}
