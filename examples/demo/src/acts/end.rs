//! The end: the logbook, a host that stops, and the archive that stays.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use tokio::process::Command;

use super::Play;
use crate::archive::unpack;
use crate::compare::{Comparison, compare};
use crate::screen::Screen;
use crate::stage::{EXCLUDED, Stage};
use crate::text;

/// Paths that were changed since, of which each is named.
const CHANGED_SHOWN: usize = 5;

/// What a job published, and what it said of it.
pub struct Published {
    archive: PathBuf,
    files: u64,
    bytes: u64,
    directories: u64,
    links: u64,
    /// Whether the source changed, or could not be read as a whole, while it was read.
    is_torn: bool,
    begun: DateTime<Utc>,
}

/// Act 7: the command line shows the logbook of every job.
pub async fn logbook(play: &Play<'_>) -> anyhow::Result<()> {
    let screen = play.screen;
    screen.act(7, "The logbook of these jobs, by `windlass log list`")?;
    let mut jobs: Vec<_> = play.log.jobs.iter().collect();
    jobs.sort_by_key(|(_, seen)| seen.number);
    let mut entries = 0;
    for (id, seen) in &jobs {
        let state = seen.ended.as_deref().context("a job has not ended")?;
        let shown = screen.by_meaning(state, state);
        screen.line(&format!(
            "\n   {}, {shown}  {}",
            screen.strong(&format!("job {}", seen.number)),
            screen.dim(id)
        ))?;
        // Read, too: that it has no gaps, and ends as the job did.
        let read = play.client.entries(id).await?;
        let last = read.last().with_context(|| format!("the job {id} has no entries"))?;
        ensure!(
            last.kind == "job.ended" && last.state_after == state,
            "the logbook of {id} ends with {last:?}"
        );
        entries += read.len();
        let listed = Command::new(&play.stage.windlass)
            .args(["log", "list", id, "--limit", "0", "--output", "table", "--host", &play.host.url])
            .kill_on_drop(true)
            .status()
            .await
            .context("windlass cannot be started")?;
        ensure!(listed.success(), "`windlass log list {id}` ended with {listed}");
    }
    screen.line("")?;
    let (jobs, entries) = (text::count(jobs.len() as u64, "job"), text::count(entries as u64, "entry"));
    screen
        .checked(&format!("{entries} of {jobs}, numbered without gaps, each job's last saying how it ended"))
}

/// What the job's tasks say of the archive that they published.
pub async fn published(play: &Play<'_>, job: &str) -> anyhow::Result<Published> {
    let detail = play.client.job(job).await?;
    let (snapshot, published) = (detail.output("snapshot")?, detail.output("publish")?);
    let number = |name: &str| snapshot[name].as_u64().with_context(|| format!("snapshot tells no {name}"));
    let name = published["archive"].as_str().context("publish tells no archive")?;
    Ok(Published {
        archive: play.stage.backup().join(name),
        files: number("files")?,
        bytes: number("bytes")?,
        directories: number("directories")?,
        links: number("links")?,
        is_torn: number("changed")? + number("vanished")? > 0,
        begun: text::instant(detail.task("snapshot")?.apply_start_time.as_ref())?,
    })
}

/// Act 8.
pub async fn stops(play: Play<'_>) -> anyhow::Result<()> {
    let screen = play.screen;
    screen.act(8, "SIGTERM")?;
    let Play { host, log, client, .. } = play;
    drop((log, client));
    let took = host.stop().await?;
    screen.checked(&format!("the host exited with 0 after {}", text::duration(took)))
}

/// Act 9: the archive of the job that was killed is compared with the source.
pub async fn archive(stage: &Stage, screen: Screen, published: &Published) -> anyhow::Result<()> {
    screen.act(9, "The archive, compared with its source")?;
    let left = stage.leave(&published.archive)?;
    let restored = stage.restored();
    let tool = unpack(&left, &restored).await?;
    let size = left.metadata().with_context(|| format!("{} cannot be read", left.display()))?.len();
    screen.say(&format!("{}, {}, unpacked with {tool}", left.display(), text::bytes(size)))?;
    let (source, begun) = (stage.source.clone(), published.begun);
    let found = tokio::task::spawn_blocking(move || compare(&source, &restored, &EXCLUDED, begun)).await??;
    check_counts(&found, published)?;
    screen.checked(&format!(
        "{} ({}), {} and {} are equal to the source's, byte by byte",
        text::count(found.files, "file"),
        text::bytes(found.bytes),
        text::count(found.directories, "directory"),
        text::count(found.links, "link"),
    ))?;
    if !found.left_out.is_empty() {
        let number = found.left_out.len();
        screen.say(&format!("{number} left out: sockets, devices, and links that lead out of the source"))?;
    }
    let changed = &found.changed_since;
    if !changed.is_empty() {
        let number = text::count(changed.len() as u64, "path");
        let named = &changed[..changed.len().min(CHANGED_SHOWN)];
        let more = if named.len() < changed.len() { ", ..." } else { "" };
        screen.say(&format!(
            "{number} changed in the source since the snapshot began, and not compared: {}{more}",
            named.join(", ")
        ))?;
    }
    screen.say(&format!("it stays: try `tar --zstd -tf {}`", left.display()))
}

/// What was compared is all that the snapshot says there is, unless the source was changed meanwhile.
fn check_counts(found: &Comparison, published: &Published) -> anyhow::Result<()> {
    if published.is_torn || !found.changed_since.is_empty() {
        return Ok(());
    }
    let counted = (found.files, found.bytes, found.directories, found.links);
    let told = (published.files, published.bytes, published.directories, published.links);
    if counted != told {
        bail!("files, bytes, directories and links are {counted:?} in the archive; snapshot told {told:?}");
    }
    Ok(())
}
