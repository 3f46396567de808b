//! Submissions: jobs as clients ask for them.

use std::time::Duration;

use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::time::{instant, millis};
use super::{checked, given, grants, json, work};
use crate::engine::EngineError;
use crate::engine::submit::Submission;

/// How long the answer waits for the end of the job; none where it does not.
pub fn wait(request: &v1::SubmitJobRequest) -> Result<Option<Duration>, EngineError> {
    let mut problems = Problems::default();
    let wait = millis(&mut problems, "wait", request.wait.as_ref()).filter(|wait| *wait > 0);
    if wait.is_some() && request.dry_run {
        problems.add("wait", "is not for a dry run, which makes no job to wait for");
    }
    checked(problems, wait.map(Duration::from_millis))
}

/// `request` as `principal` makes it.
pub fn submission(request: v1::SubmitJobRequest, principal: String) -> Result<Submission, EngineError> {
    let mut problems = Problems::default();
    let Some(job) = request.job else {
        return Err(EngineError::invalid("job", "is not given: say what is to be done"));
    };
    let (flow, reference) = work::flow(&mut problems, "job.work", job.work);
    let submission = Submission {
        principal,
        request_id: given(&request.request_id),
        job_type: job.r#type,
        labels: job.labels,
        flow: Some(flow),
        reference,
        flow_revision: None,
        arguments: json::object(&mut problems, "job.arguments_json", &job.arguments_json),
        grants: grants::grants(&mut problems, "job.grants", job.grants),
        timeout_ms: millis(&mut problems, "job.timeout", job.timeout.as_ref()),
        execute_at: instant(&mut problems, "job.execute_time", job.execute_time.as_ref()),
        priority: job.priority,
        never_revert: job.never_revert,
        rerun_of: None,
    };
    checked(problems, submission)
}
