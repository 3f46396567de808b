//! SIGKILL under load, on a store of a great many finished jobs: what was acknowledged is done, once the host is back.

use anyhow::{Context as _, Result, ensure};
use windlass_proto::v1;
use windlass_tests::work::instant;

use super::Setting;
use super::shape::Shape;
use crate::bulk;
use crate::clock;
use crate::drive::{Until, drive};
use crate::host::Host;
use crate::proof;
use crate::reading::Reading;

const IN_FLIGHT: usize = 64;

pub async fn run(setting: &Setting) -> Result<Vec<Reading>> {
    let site = bulk::site(setting.size.finished, &setting.serve).await?;
    let host = Host::on(site, &setting.serve).await?;
    let client = &host.client;
    // Nobody waits for them: a good part has not begun when the last is acknowledged.
    let submit = |number, lane| client.submit(lane, Shape::One.spec(number));
    let driven = drive(IN_FLIGHT, Until::Count(setting.size.killed), submit).await?;
    let killed = clock::now();
    let site = host.kill().await;
    // Between the two it may have ended jobs yet: what counts is what its successor ended.
    let dead = clock::now();
    let host = Host::on(site, &setting.serve).await?;
    let ids: Vec<String> = driven.done.into_iter().map(|done| done.gave).collect();
    let (client, jobs) = (&host.client, &ids);
    let waited = drive(IN_FLIGHT, Until::Count(ids.len()), |number, lane| async move {
        let job = client.wait(lane, jobs[number].clone()).await?;
        ensure!(job.state() == v1::JobState::Succeeded, "job {} is {:?}", job.id, job.state());
        instant(job.end_time.as_ref()).context("a job that has ended has an end")
    });
    let mut ends: Vec<_> = waited.await?.done.into_iter().map(|done| done.gave).collect();
    proof::all_in_state(client, &ids, v1::JobState::Succeeded).await?;
    proof::tasks(client, &ids, Shape::One.tasks(), Shape::One.task_end()).await?;
    host.terminate().await?;
    ends.retain(|end| *end > dead);
    ends.sort();
    let after = |end: &chrono::DateTime<chrono::Utc>| (*end - killed).as_seconds_f64();
    let first = ends.first().context("every job had ended when the host was killed: nothing was shown")?;
    let last = ends.last().context("there is a first one")?;
    Ok(vec![Reading::new("kill_first_s", after(first)), Reading::new("kill_end_s", after(last))])
}
