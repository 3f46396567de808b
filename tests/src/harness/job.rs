//! Jobs in tests: submitting, waiting, reading.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tonic::Status;
use windlass_proto::v1;
use windlass_proto::v1::watch_job_response::Event;

use super::TestHost;
use crate::work::{duration, flow, json_of, timestamp};

/// Longer than anything takes, so that a test that hangs says where.
const PATIENCE: Duration = Duration::from_secs(60);

impl TestHost {
    /// A job with the ledger granted, as yet of no work.
    pub fn spec(&self, work: v1::Work) -> v1::JobSpec {
        v1::JobSpec { work: Some(work), grants: Some(self.grants()), ..v1::JobSpec::default() }
    }

    /// Submits work; its id.
    pub async fn submit(&self, work: v1::Work) -> String {
        self.submit_spec(self.spec(work)).await
    }

    /// Submits work with arguments; its id.
    pub async fn submit_with(&self, work: v1::Work, arguments: Value) -> String {
        let arguments_json = arguments.to_string();
        self.submit_spec(v1::JobSpec { arguments_json, ..self.spec(work) }).await
    }

    pub async fn submit_spec(&self, spec: v1::JobSpec) -> String {
        self.try_submit(spec).await.expect("the job is accepted").id
    }

    pub async fn try_submit(&self, spec: v1::JobSpec) -> Result<v1::Job, Status> {
        let request = v1::SubmitJobRequest { job: Some(Box::new(spec)), ..v1::SubmitJobRequest::default() };
        Ok(*self.jobs().submit(request).await?.into_inner().job.expect("a submission answers a job"))
    }

    /// The job, once it has ended.
    pub async fn wait(&self, job: &str) -> v1::Job {
        let request = v1::WaitJobRequest { job: job.to_owned(), timeout: Some(duration(PATIENCE)) };
        let answer = self.jobs().wait(request).await.expect("the job can be waited for").into_inner();
        if !answer.done {
            panic!("job {job} does not end:\n{}", self.story(job).await);
        }
        answer.job.expect("a wait answers the job")
    }

    /// Submits work, and waits for its end.
    pub async fn run(&self, work: v1::Work) -> v1::Job {
        let id = self.submit(work).await;
        self.wait(&id).await
    }

    pub async fn run_with(&self, work: v1::Work, arguments: Value) -> v1::Job {
        let id = self.submit_with(work, arguments).await;
        self.wait(&id).await
    }

    pub async fn run_spec(&self, spec: v1::JobSpec) -> v1::Job {
        let id = self.submit_spec(spec).await;
        self.wait(&id).await
    }

    pub async fn job(&self, job: &str) -> v1::Job {
        self.get(job).await.job.expect("an answer has the job")
    }

    pub async fn state(&self, job: &str) -> v1::JobState {
        self.job(job).await.state()
    }

    pub async fn get(&self, job: &str) -> v1::GetJobResponse {
        let answer = self.jobs().get(v1::GetJobRequest { job: job.to_owned() }).await;
        answer.expect("the job is there").into_inner()
    }

    /// The latest instance of a task.
    pub async fn task(&self, job: &str, task: &str) -> v1::TaskInstance {
        let tasks = self.get(job).await.tasks;
        let named =
            |instance: &v1::TaskInstance| instance.name.as_ref().is_some_and(|name| name.task == task);
        tasks.into_iter().rfind(named).unwrap_or_else(|| panic!("job {job} has no task {task}"))
    }

    /// The job that a node is, as soon as that is made.
    pub async fn child(&self, job: &str, task: &str) -> String {
        self.until(job, "task.child_ordered", task).await;
        let child = self.task(job, task).await.child_job;
        self.until_holds(&format!("job {child} is not made"), async || {
            self.jobs().get(v1::GetJobRequest { job: child.clone() }).await.is_ok()
        })
        .await;
        child
    }

    /// What a job provides under a name.
    pub async fn output(&self, job: &str, name: &str) -> Value {
        let request = v1::GetJobOutputRequest { job: job.to_owned(), name: name.to_owned() };
        let outputs =
            self.jobs().get_output(request).await.expect("the output is there").into_inner().outputs;
        json_of(&outputs[name])
    }

    /// Every entry of a job.
    pub async fn entries(&self, job: &str) -> Vec<v1::Entry> {
        let mut entries: Vec<v1::Entry> = Vec::new();
        loop {
            let request = v1::ListEntriesRequest {
                job: job.to_owned(),
                after_sequence: entries.last().map_or(0, |entry| entry.sequence),
                ..v1::ListEntriesRequest::default()
            };
            let page = self.logbook().list(request).await.expect("the logbook can be read").into_inner();
            if page.entries.is_empty() {
                return entries;
            }
            entries.extend(page.entries);
        }
    }

    /// Changes of task states, such as `a:applying a:applied`.
    pub async fn trace(&self, job: &str) -> String {
        let entries = self.entries(job).await;
        let changes =
            entries.iter().filter(|entry| entry.kind.starts_with("task.") && !entry.state_after.is_empty());
        changes.map(|entry| format!("{}:{}", entry.task, entry.state_after)).collect::<Vec<_>>().join(" ")
    }

    /// The kinds of a job's entries, in order.
    pub async fn kinds(&self, job: &str) -> Vec<String> {
        self.entries(job).await.into_iter().map(|entry| entry.kind).collect()
    }

    /// What happened to a job, for people who look at a failed test.
    pub async fn story(&self, job: &str) -> String {
        let entries = self.entries(job).await;
        let lines = entries.iter().map(|entry| {
            format!(
                "{:>4} {:24} {:12} {} {}",
                entry.sequence, entry.kind, entry.task, entry.attempt, entry.reason
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Returns at the first entry of this kind; `task` empty for any.
    pub async fn until(&self, job: &str, kind: &str, task: &str) -> v1::Entry {
        let found = self.watch_until(job, |event| match event {
            Event::Entry(entry) if entry.kind == kind && (task.is_empty() || entry.task == task) => {
                Some(entry.clone())
            }
            _ => None,
        });
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Some(entry)) => entry,
            Ok(None) => panic!("job {job} ended without {kind} {task}:\n{}", self.story(job).await),
            Err(_) => panic!("job {job} has no {kind} {task}:\n{}", self.story(job).await),
        }
    }

    /// Returns when the job is in this state.
    pub async fn until_state(&self, job: &str, state: v1::JobState) {
        self.until_holds(&format!("job {job} is not {}", state.as_str_name()), async || {
            self.state(job).await == state
        })
        .await;
    }

    /// Returns when a task has had so many calls of apply.
    pub async fn until_attempt(&self, job: &str, task: &str, attempt: u32) {
        self.until_holds(&format!("job {job} makes no attempt {attempt}"), async || {
            self.task(job, task).await.apply_attempt >= attempt
        })
        .await;
    }

    /// Looks until it is so. For what no stream tells.
    pub async fn until_holds(&self, otherwise: &str, holds: impl AsyncFn() -> bool) {
        let looking = async {
            while !holds().await {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, looking).await.is_err() {
            panic!("{otherwise}");
        }
    }

    /// Moves the clock, and proves that the host has seen to all that is due by then: a job due at that very time ran.
    pub async fn settle_at(&self, at: DateTime<Utc>) {
        let spec = v1::JobSpec { execute_time: Some(timestamp(at)), ..self.spec(flow([])) };
        let probe = self.submit_spec(spec).await;
        self.clock.set(at);
        self.wait(&probe).await;
    }

    /// Watches a job from its first entry on; the first thing found, or none where the watch ends before.
    pub async fn watch_until<T>(&self, job: &str, mut find: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        let request = v1::WatchJobRequest { job: job.to_owned(), from_sequence: 1 };
        let mut watch = self.jobs().watch(request).await.expect("the job can be watched").into_inner();
        while let Some(message) = watch.message().await.expect("the watch goes on") {
            if let Some(found) = message.event.as_ref().and_then(&mut find) {
                return Some(found);
            }
        }
        None
    }

    /// Returns when the fixtures have been called so: the guest itself is running then.
    pub async fn until_called(&self, job: &str, call: &str) {
        let looking = async {
            while !self.ledger_of(job).iter().any(|line| line.call() == call) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, looking).await.is_err() {
            panic!("job {job} does not {call}:\n{}", self.story(job).await);
        }
    }

    pub async fn cancel(&self, job: &str, mode: v1::CancelMode) -> Result<v1::Job, Status> {
        let request = v1::CancelJobRequest {
            job: job.to_owned(),
            mode: mode.into(),
            reason: "as asked".into(),
            etag: String::new(),
        };
        Ok(self.jobs().cancel(request).await?.into_inner())
    }

    pub async fn suspend(&self, job: &str) -> Result<v1::Job, Status> {
        let request = v1::SuspendJobRequest { job: job.to_owned(), etag: String::new() };
        Ok(self.jobs().suspend(request).await?.into_inner())
    }

    pub async fn resume(&self, job: &str) -> Result<v1::Job, Status> {
        let request = v1::ResumeJobRequest { job: job.to_owned(), etag: String::new() };
        Ok(self.jobs().resume(request).await?.into_inner())
    }

    pub async fn retry(&self, job: &str) -> Result<v1::Job, Status> {
        let request =
            v1::RetryJobRequest { job: job.to_owned(), reason: "again".into(), etag: String::new() };
        Ok(self.jobs().retry(request).await?.into_inner())
    }

    pub async fn revert(&self, job: &str) -> Result<v1::RevertJobResponse, Status> {
        let request = v1::RevertJobRequest {
            job: job.to_owned(),
            reason: "undo".into(),
            ..v1::RevertJobRequest::default()
        };
        Ok(self.jobs().revert(request).await?.into_inner())
    }

    pub async fn rerun(&self, job: &str) -> Result<v1::Job, Status> {
        let request = v1::RerunJobRequest { job: job.to_owned(), ..v1::RerunJobRequest::default() };
        Ok(self.jobs().rerun(request).await?.into_inner())
    }

    /// The jobs that a filter shows, newest first.
    pub async fn list(&self, filter: v1::ListJobsRequest) -> Vec<v1::Job> {
        let mut jobs = Vec::new();
        let mut request = filter;
        loop {
            let page = self.jobs().list(request.clone()).await.expect("jobs can be listed").into_inner();
            jobs.extend(page.jobs);
            if page.next_page_token.is_empty() {
                return jobs;
            }
            request.page_token = page.next_page_token;
        }
    }
}
