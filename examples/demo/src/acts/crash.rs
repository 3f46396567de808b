//! A host that is killed in the middle of a run.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tonic::Streaming;
use windlass_proto::v1;
use windlass_proto::v1::watch_job_response::Event;

use super::Play;
use crate::client::{Client, Detail};
use crate::host::Host;
use crate::text;

/// Time to open a watch before the job starts.
const DELAY: Duration = Duration::from_millis(700);
/// A small snapshot may be over before the kill arrives.
const TRIES_MAX: u32 = 6;
const HALF: f32 = 0.5;

/// What was seen when the kill was sent.
enum Seen {
    /// The snapshot's call was under way.
    UnderWay(v1::Progress),
    /// It was over.
    Over,
}

/// Act 6. The job that was killed, and finished.
pub async fn is_killed_and_finishes(play: &mut Play<'_>) -> anyhow::Result<String> {
    play.screen.act(6, "A host that is killed in the middle of a run")?;
    for _ in 0..TRIES_MAX {
        let id = play.submit(None, Some(DELAY)).await?;
        play.screen
            .say(&format!("submitted: a job that starts in {}, and is watched", text::duration(DELAY)))?;
        let watch = watch(play, &id).await?;
        play.log.until(|log| log.jobs.contains_key(&id)).await?;
        let Seen::UnderWay(progress) = progress_of_snapshot(play, watch).await? else {
            let state = play.log.until_ended(&id).await?;
            ensure!(state == "succeeded", "{} should succeed, and is {state}", play.log.name(&id));
            play.screen.say("the snapshot was over before it was seen under way: another one")?;
            continue;
        };
        kill_and_restart(play, &progress).await?;
        let state = play.log.until_ended(&id).await?;
        ensure!(state == "succeeded", "{} should succeed, and is {state}", play.log.name(&id));
        let detail = play.client.job(&id).await?;
        if detail.task("snapshot")?.apply_attempt == 1 {
            play.screen.say("the snapshot's outcome was durable before the kill arrived: another one")?;
            continue;
        }
        check(play, &detail).await?;
        return Ok(id);
    }
    bail!("in {TRIES_MAX} tries no snapshot was under way when the host was killed: give a larger SOURCE")
}

async fn watch(play: &Play<'_>, job: &str) -> anyhow::Result<Streaming<v1::WatchJobResponse>> {
    let request = v1::WatchJobRequest { job: job.to_owned(), from_sequence: 0 };
    Ok(play.client.jobs().watch(request).await.context("the job cannot be watched")?.into_inner())
}

/// Waits until the watch shows that the call of snapshot is under way, and has left something to clean up: where the
/// source is small, the file is empty until the end, and half of the source read must do.
async fn progress_of_snapshot(
    play: &Play<'_>,
    mut watch: Streaming<v1::WatchJobResponse>,
) -> anyhow::Result<Seen> {
    loop {
        let message =
            watch.message().await.context("the watch")?.context("the watch ended before the job")?;
        match message.event {
            Some(Event::Progress(update)) => {
                let is_snapshot = update.task.is_some_and(|task| task.task == "snapshot");
                let progress = update.progress.unwrap_or_default();
                let is_under_way = is_snapshot && progress.fraction > 0.0 && progress.fraction < 1.0;
                if is_under_way
                    && (progress.fraction >= HALF || partial(play).is_ok_and(|(_, size)| size > 0))
                {
                    return Ok(Seen::UnderWay(progress));
                }
            }
            Some(Event::Entry(entry)) if entry.task == "snapshot" && entry.kind == "task.applied" => {
                return Ok(Seen::Over);
            }
            _ => {}
        }
    }
}

async fn kill_and_restart(play: &mut Play<'_>, progress: &v1::Progress) -> anyhow::Result<()> {
    let screen = play.screen;
    // Nothing is printed before the signal is sent: the snapshot does not wait.
    let pid = play.host.pid;
    play.host.kill().await?;
    let percent = f64::from(progress.fraction) * 100.0;
    let at = format!("at {percent:.0} % of the snapshot ({})", progress.message);
    screen.say(&format!("{} to process {pid}, {at}", screen.bad("SIGKILL")))?;
    let (partial, size) = partial(play)?;
    screen.say(&format!("it is gone; {partial} was left, {}", text::bytes(size)))?;

    play.host = Host::start(play.stage).await?;
    let ready_after = text::duration(play.host.ready_after);
    let (url, pid) = (&play.host.url, play.host.pid);
    screen.say(&format!(
        "started again on the same store: ready at {url} after {ready_after} (process {pid})"
    ))?;
    play.client = Client::connect(&play.host.url).await?;
    play.log.reconnect(play.client.clone()).await
}

/// The file that the interrupted snapshot was writing.
fn partial(play: &Play<'_>) -> anyhow::Result<(String, u64)> {
    let found = play.backups()?.into_iter().find(|(path, _)| path.ends_with(".partial"));
    found.context("the interrupted snapshot left no file, though it had begun")
}

/// The second attempt knew of the first, and the job ended as if nothing had been.
async fn check(play: &Play<'_>, detail: &Detail) -> anyhow::Result<()> {
    let name = play.log.name(&detail.job.id);
    let snapshot = detail.task("snapshot")?;
    ensure!(snapshot.apply_attempt == 2, "snapshot was called {} times", snapshot.apply_attempt);
    let entries = play.client.entries(&detail.job.id).await?;
    let second = entries
        .iter()
        .find(|entry| entry.kind == "task.applying" && entry.task == "snapshot" && entry.attempt == 2)
        .context("the logbook has no second attempt of snapshot")?;
    let data: Value = serde_json::from_str(&second.data_json).context("the entry of the second attempt")?;
    ensure!(data["prior"] == "interrupted", "the second attempt was told prior = {}", data["prior"]);
    for task in ["verify", "publish"] {
        let attempts = detail.task(task)?.apply_attempt;
        ensure!(attempts == 1, "{task} was called {attempts} times");
    }
    ensure!(
        entries.iter().any(|entry| entry.kind == "job.claim_lost"),
        "no entry tells that the claim was lost"
    );
    let screen = play.screen;
    screen
        .checked(&format!("{name} succeeded: snapshot in attempt 2, told that the first was interrupted"))?;
    screen.checked(&format!(
        "verify and publish were called once; the claim's epoch is {} now",
        second.epoch
    ))?;
    let published = play.published()?;
    screen.checked(&format!(
        "no partial archive is left; published: {}",
        text::count(published as u64, "archive")
    ))
}
