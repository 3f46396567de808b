//! The proof: what was counted is read back, so that no figure is of work that was not done.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use windlass_proto::v1;
use windlass_tests::work::json_of;

use crate::client::Client;
use crate::drive::{Until, drive};

/// The largest page of a list.
const PAGE_SIZE: i32 = 1_000;
/// Jobs that are looked at task by task.
const SAMPLES: usize = 20;
/// Jobs that are read at once.
const READ_AT_ONCE: usize = 8;

/// Every one of these jobs is listed in this state. Newest first: it stops where all were seen.
pub async fn all_in_state(client: &Client, ids: &[String], state: v1::JobState) -> Result<()> {
    let mut missing: HashSet<&str> = ids.iter().map(String::as_str).collect();
    ensure!(missing.len() == ids.len(), "two submissions got the same job");
    let mut request = v1::ListJobsRequest {
        page_size: PAGE_SIZE,
        states: vec![state.into()],
        ..v1::ListJobsRequest::default()
    };
    while !missing.is_empty() {
        let page = client.jobs(0).list(request.clone()).await?.into_inner();
        for job in &page.jobs {
            missing.remove(job.id.as_str());
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let example = missing.iter().next();
    ensure!(
        example.is_none(),
        "{} of {} jobs are lost: they were told of as {state:?}, and are not listed so; {example:?} is one",
        missing.len(),
        ids.len()
    );
    Ok(())
}

/// A sample of these jobs, task by task: so many tasks, all in this state, and what they gave is what they were given.
pub async fn tasks(client: &Client, ids: &[String], count: usize, state: v1::TaskState) -> Result<()> {
    let step = (ids.len() / SAMPLES).max(1);
    for id in ids.iter().step_by(step) {
        let found = client.get(0, id).await?;
        ensure!(found.tasks.len() == count, "job {id} has {} tasks, not {count}", found.tasks.len());
        for task in &found.tasks {
            let name = task.name.as_ref().map(|name| name.task.as_str());
            ensure!(task.state() == state, "task {name:?} of job {id} is {:?}, not {state:?}", task.state());
            // A single action is given what its job was given, and gives it back.
            if let (1, Some(output)) = (count, &task.output) {
                let job = found.job.as_ref().context("an answer has the job")?;
                let given: serde_json::Value = serde_json::from_str(&job.arguments_json)?;
                ensure!(json_of(output) == given, "job {id} gave something else than it was given");
            }
        }
    }
    Ok(())
}

/// What the only task of each job gave.
pub async fn outputs(client: &Client, ids: &[String]) -> Result<Vec<serde_json::Value>> {
    let read = drive(READ_AT_ONCE, Until::Count(ids.len()), |number, lane| async move {
        let found = client.get(lane, &ids[number]).await?;
        let output = found.tasks.first().and_then(|task| task.output.as_ref());
        Ok(json_of(output.with_context(|| format!("job {} gave nothing", ids[number]))?))
    });
    Ok(read.await?.done.into_iter().map(|done| done.gave).collect())
}
