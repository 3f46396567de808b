//! Submissions: jobs as clients ask for them.

use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::time::{instant, millis};
use super::{checked, given, grants, json, work};
use crate::engine::EngineError;
use crate::engine::submit::Submission;

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
