//! The logbook end to end: P05, P07, P08, lists and tails.

use std::time::Duration;

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_proto::v1::watch_job_response::Event;
use windlass_tests::harness::{TestHost, code};
use windlass_tests::work::{Shape as _, action, flow, gate, literal, task, timestamp};

fn watch(job: &str, from_sequence: u64) -> v1::WatchJobRequest {
    v1::WatchJobRequest { job: job.to_owned(), from_sequence }
}

/// The progress that a watch shows of a job that reports these values.
async fn shown(host: &TestHost, values: serde_json::Value) -> (String, Vec<f32>) {
    let execute_at = host.now() + chrono::TimeDelta::minutes(1);
    let work = flow([task("p", "progress").with("values", literal(values))]);
    let job =
        host.submit_spec(v1::JobSpec { execute_time: Some(timestamp(execute_at)), ..host.spec(work) }).await;
    let mut messages = host.jobs().watch(watch(&job, 1)).await.unwrap().into_inner();
    host.clock.set(execute_at);
    let mut fractions = Vec::new();
    while let Some(message) = messages.message().await.unwrap() {
        if let Some(Event::Progress(update)) = message.event {
            fractions.push(update.progress.unwrap().fraction);
        }
    }
    (job, fractions)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p05_a_watch_shows_each_progress_and_the_last_is_kept() {
    let mut host = TestHost::start().await;
    let (job, fractions) = shown(&host, json!([0.2, 0.5, 0.8])).await;
    assert_eq!(fractions, [0.0, 0.2, 0.5, 0.8, 1.0]);
    assert_eq!(host.task(&job, "p").await.progress.unwrap().fraction, 0.8);
    assert_eq!(host.task(&job, "p").await.progress.unwrap().message, "value 3 of 3");
    host.restart().await;
    assert_eq!(host.task(&job, "p").await.progress.unwrap().fraction, 0.8);

    let (job, fractions) = shown(&host, json!([-3.0, 0.5, 7.0])).await;
    assert!(fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)), "{fractions:?}");
    assert!(fractions.starts_with(&[0.0]) && fractions.ends_with(&[1.0]), "{fractions:?}");
    assert_eq!(host.task(&job, "p").await.progress.unwrap().fraction, 1.0);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p07_a_watch_is_resumed_without_gap_or_duplicate() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([gate("a"), gate("b"), task("c", "ok")])).await;
    let mut seen = Vec::new();
    for gate in ["a", "b", ""] {
        let mut messages = host.jobs().watch(watch(&job, seen.len() as u64 + 1)).await.unwrap().into_inner();
        let first = messages.message().await.unwrap().unwrap().event;
        assert!(matches!(first, Some(Event::Job(_))), "a watch begins with the job as it is");
        let mut last = None;
        while let Some(message) = messages.message().await.unwrap() {
            match message.event.unwrap() {
                Event::Entry(entry) => {
                    let is_enough = entry.kind == "task.applying" && entry.task == gate;
                    seen.push(entry.sequence);
                    if is_enough {
                        break;
                    }
                }
                Event::Job(job) => last = Some(job),
                Event::Progress(_) | Event::Heartbeat(_) => {}
            }
        }
        if gate.is_empty() {
            assert_eq!(last.unwrap().state(), JobState::Succeeded, "a watch ends with the job as it ended");
        } else {
            drop(messages);
            host.until_called(&job, &format!("apply {gate}")).await;
            host.open_gate(gate);
        }
    }
    let all: Vec<_> = host.entries(&job).await.iter().map(|entry| entry.sequence).collect();
    assert_eq!(seen, all);
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());

    host.restart().await;
    let last = all.len() as u64;
    let mut late = host.jobs().watch(watch(&job, last)).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(message) = late.message().await.unwrap() {
        if let Some(Event::Entry(entry)) = message.event {
            entries.push(entry.sequence);
        }
    }
    assert_eq!(entries, [last]);
    assert_eq!(code(host.jobs().watch(watch(&job, last + 2)).await), Code::OutOfRange);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p07_a_watch_ends_with_unavailable_when_the_host_stops() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([gate("g")])).await;
    host.until_called(&job, "apply g").await;
    let mut messages = host.jobs().watch(watch(&job, 1)).await.unwrap().into_inner();
    host.open_gate("g");
    host.stop().await;
    let ended = loop {
        match messages.message().await {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(status) => break Some(status.code()),
        }
    };
    // Told that the host stops, unless the job ended before.
    assert!(matches!(ended, None | Some(Code::Unavailable)), "{ended:?}");
    host.restart().await;
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p08_requests_that_the_table_does_not_have_are_refused_and_change_nothing() {
    let host = TestHost::start().await;
    let succeeded = host.run(action("ok")).await;
    let reverted = host.run(action("fail")).await;
    let failed = host.run(action("nasty_fail")).await;
    for job in [&succeeded, &reverted, &failed] {
        assert_eq!(code(host.suspend(&job.id).await), Code::FailedPrecondition);
        assert_eq!(code(host.resume(&job.id).await), Code::FailedPrecondition);
        let release = v1::ReleaseJobRequest { job: job.id.clone(), etag: String::new() };
        assert_eq!(code(host.jobs().release(release).await), Code::FailedPrecondition);
        assert_eq!(code(host.cancel(&job.id, v1::CancelMode::Leave).await), Code::FailedPrecondition);
        assert_eq!(host.job(&job.id).await.sequence, job.sequence);
    }
    assert_eq!(code(host.retry(&reverted.id).await), Code::FailedPrecondition);
    // What asks for the state that is there already changes nothing, and succeeds.
    assert_eq!(host.retry(&succeeded.id).await.unwrap().sequence, succeeded.sequence);
    assert_eq!(host.revert(&reverted.id).await.unwrap().job.unwrap().sequence, reverted.sequence);
    let cancelled = host.cancel(&reverted.id, v1::CancelMode::Revert).await.unwrap();
    assert_eq!(cancelled.sequence, reverted.sequence);
    let stale = v1::RevertJobRequest {
        job: succeeded.id.clone(),
        etag: "1".to_owned(),
        ..v1::RevertJobRequest::default()
    };
    let refused = host.jobs().revert(stale).await.unwrap_err();
    assert!(matches!(refused.code(), Code::Aborted | Code::InvalidArgument), "{refused}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_says_who_when_what_and_why() {
    let host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), gate("g")])).await;
    host.until_called(&job, "apply g").await;
    host.cancel(&job, v1::CancelMode::Revert).await.unwrap();
    host.open_gate("g");
    host.wait(&job).await;
    let entries = host.entries(&job).await;
    let of =
        |kind: &str| entries.iter().find(|entry| entry.kind == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert_eq!(of("job.created").actor, "principal:local");
    assert!(of("job.claimed").actor.starts_with("host:"));
    let cancel = of("job.cancel_requested");
    assert_eq!((cancel.actor.as_str(), cancel.reason.as_str()), ("principal:local", "as asked"));
    assert_eq!((of("job.created").epoch, of("task.applied").epoch, of("task.applied").attempt), (0, 1, 1));
    assert_eq!(
        (of("job.ended").state_after.as_str(), of("job.ended").reason.as_str()),
        ("reverted", "as asked")
    );
    assert!(entries.iter().all(|entry| entry.job == job && entry.time == Some(timestamp(host.now()))));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_listed_by_kind_in_pages_of_one_job_and_across_jobs() {
    let host = TestHost::start().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(host.run(flow([task("a", "ok"), task("b", "ok")])).await.id);
    }
    let mut request = v1::ListEntriesRequest {
        page_size: 2,
        kinds: vec!["task.applied".to_owned(), "job.e".to_owned(), "job.ended".to_owned()],
        ..v1::ListEntriesRequest::default()
    };
    let mut all: Vec<v1::Entry> = Vec::new();
    loop {
        let page = host.logbook().list(request.clone()).await.unwrap().into_inner();
        assert!(page.entries.len() <= 2);
        all.extend(page.entries);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    for job in &jobs {
        let of_job: Vec<_> = all.iter().filter(|entry| entry.job == *job).collect();
        assert_eq!(
            of_job.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(),
            ["task.applied", "task.applied", "job.ended"]
        );
        assert!(of_job.is_sorted_by_key(|entry| entry.sequence));
    }
    assert_eq!(all.len(), 9);
    let tasks = v1::ListEntriesRequest {
        job: jobs[0].clone(),
        kinds: vec!["task.".to_owned()],
        ..v1::ListEntriesRequest::default()
    };
    assert_eq!(host.logbook().list(tasks).await.unwrap().into_inner().entries.len(), 4);
    let unknown =
        v1::ListEntriesRequest { job: uuid::Uuid::now_v7().to_string(), ..v1::ListEntriesRequest::default() };
    assert_eq!(code(host.logbook().list(unknown).await), Code::NotFound);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_shows_what_is_written_from_now_on_and_is_resumed_by_its_cursor() {
    let mut host = TestHost::start().await;
    let before = host.run(action("ok")).await.id;
    let kinds = vec!["job.ended".to_owned()];
    let request = v1::TailEntriesRequest { cursor: String::new(), kinds: kinds.clone() };
    let mut tail = host.logbook().tail(request).await.unwrap().into_inner();
    // It begins when it is there: what it answers first is where it stands.
    let first = host.run(action("ok")).await.id;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    while seen.is_empty() {
        let answer = tail.message().await.unwrap().unwrap();
        seen.extend(answer.entries.into_iter().map(|entry| entry.job));
        cursor = answer.cursor;
    }
    drop(tail);
    let second = host.run(action("ok")).await.id;
    host.restart().await;
    let third = host.run(action("fail")).await.id;
    let mut tail = host.logbook().tail(v1::TailEntriesRequest { cursor, kinds }).await.unwrap().into_inner();
    while seen.len() < 3 {
        let message =
            tokio::time::timeout(Duration::from_secs(30), tail.message()).await.expect("the tail goes on");
        seen.extend(message.unwrap().unwrap().entries.into_iter().map(|entry| entry.job));
    }
    assert_eq!(seen, [first, second, third]);
    assert!(!seen.contains(&before));
    let foreign = v1::TailEntriesRequest { cursor: "nonsense".to_owned(), kinds: Vec::new() };
    assert_eq!(code(host.logbook().tail(foreign).await), Code::InvalidArgument);
    host.finish().await;
}
