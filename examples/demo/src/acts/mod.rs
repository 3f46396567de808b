//! The acts, in order. Each does one thing with the host, and checks what came of it.

mod crash;
mod due;
mod end;
mod failure;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use windlass_proto::v1;

use crate::client::Client;
use crate::host::Host;
use crate::log::Log;
use crate::screen::Screen;
use crate::stage::Stage;
use crate::upload::{Uploaded, upload};
use crate::{flow, text};

/// Of the digest, for people.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

/// What the acts share.
pub struct Play<'a> {
    stage: &'a Stage,
    screen: Screen,
    client: Client,
    log: Log,
    digest: String,
    // The last to be dropped: it must not end before those who talk to it.
    host: Host,
}

/// Plays all acts. An error where anything is not as it should be.
pub async fn play(stage: &Stage, screen: Screen) -> anyhow::Result<()> {
    let begun = Instant::now();
    screen.line(&screen.strong("Windlass: the main job on real input"))?;
    let mut play = begin(stage, screen).await?;
    due::on_a_schedule(&mut play).await?;
    due::on_an_event(&mut play).await?;
    failure::fails_and_is_reverted(&mut play).await?;
    let job = crash::is_killed_and_finishes(&mut play).await?;
    end::logbook(&play).await?;
    let published = end::published(&play, &job).await?;
    end::stops(play).await?;
    end::archive(stage, screen, &published).await?;
    screen.line(&format!(
        "\n{} in {}: everything above was observed, and was as it should be.",
        screen.good("Done"),
        text::duration(begun.elapsed())
    ))
}

async fn begin(stage: &Stage, screen: Screen) -> anyhow::Result<Play<'_>> {
    screen.act(1, "A host, on a fresh store")?;
    ensure!(!stage.store().exists(), "{} is there already", stage.store().display());
    let host = Host::start(stage).await?;
    let ready_after = text::duration(host.ready_after);
    screen
        .say(&format!("windlass serve: ready at {} after {ready_after} (process {})", host.url, host.pid))?;
    let client = Client::connect(&host.url).await?;

    screen.act(2, "A plugin, uploaded and compiled by the host")?;
    let Uploaded { plugin, digest, sent_bytes, took } = upload(&client, &stage.plugin).await?;
    ensure!(sent_bytes > 0, "a fresh store knows the plugin already");
    let short = digest.get(..DIGEST_SHOWN).unwrap_or(&digest);
    let (sent, took) = (text::bytes(sent_bytes), text::duration(took));
    screen
        .say(&format!("{}@{}: {sent} sent, checked and compiled in {took}", plugin.name, plugin.version))?;
    let actions: Vec<&str> = plugin.actions.iter().map(|action| action.name.as_str()).collect();
    ensure!(actions == ["snapshot", "verify", "publish", "discard"], "the plugin's actions are {actions:?}");
    screen.say(&format!("digest {short}..., actions {}", actions.join(", ")))?;
    let again = upload(&client, &stage.plugin).await?;
    ensure!(again.sent_bytes == 0 && again.digest == digest, "the host forgot the plugin");
    let took = text::duration(again.took);
    screen.checked(&format!("uploaded again: known by its digest, nothing sent, {took}"))?;

    let log = Log::open(client.clone(), screen).await?;
    Ok(Play { stage, screen, client, log, digest, host })
}

impl Play<'_> {
    /// Submits a job of the flow. Its id.
    async fn submit(&self, expect_files_min: Option<u64>, delay: Option<Duration>) -> anyhow::Result<String> {
        let spec = v1::JobSpec {
            work: Some(flow::work(&self.digest)),
            arguments_json: flow::arguments(expect_files_min),
            grants: Some(flow::grants(self.stage)),
            execute_time: delay.map(|delay| (SystemTime::now() + delay).into()),
            ..v1::JobSpec::default()
        };
        let request = v1::SubmitJobRequest {
            job: Some(Box::new(spec)),
            request_id: uuid::Uuid::now_v7().to_string(),
            ..v1::SubmitJobRequest::default()
        };
        let answer = self.client.jobs().submit(request).await.context("the job was not taken")?.into_inner();
        let job = answer.job.context("the host answered without the job")?;
        Ok(job.id)
    }

    /// Binds the flow to a trigger.
    async fn operation(&self, name: &str, trigger: &str) -> anyhow::Result<String> {
        let operation = v1::Operation {
            name: name.to_owned(),
            trigger: trigger.to_owned(),
            work: Some(flow::work(&self.digest)),
            arguments_json: flow::arguments(None),
            grants: Some(flow::grants(self.stage)),
            ..v1::Operation::default()
        };
        let request = v1::CreateOperationRequest { operation: Some(operation), ..Default::default() };
        let answer = self.client.operations().create(request).await;
        Ok(answer.with_context(|| format!("the operation {name} was not taken"))?.into_inner().id)
    }

    /// Every file in the backup directory, with its size.
    fn backups(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        files(&self.stage.backup(), "", &mut found)?;
        Ok(found)
    }

    /// How many archives are published, having checked that nothing is there that is not.
    fn published(&self) -> anyhow::Result<usize> {
        let backups = self.backups()?;
        // What was retired last stays in a trash until the next publication, so that it can be brought back.
        let kept: Vec<&String> = backups.keys().filter(|path| !path.starts_with(".trash/")).collect();
        for path in &kept {
            ensure!(
                path.ends_with(".tar.zst"),
                "{path} is in the backup directory, and is no published archive"
            );
        }
        Ok(kept.len())
    }
}

fn files(directory: &Path, below: &str, found: &mut BTreeMap<String, u64>) -> anyhow::Result<()> {
    let listed = std::fs::read_dir(directory);
    for entry in listed.with_context(|| format!("{} cannot be read", directory.display()))? {
        let entry = entry.with_context(|| format!("{} cannot be read", directory.display()))?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().with_context(|| format!("{path} cannot be read"))?;
        if metadata.is_dir() {
            files(&entry.path(), &format!("{path}/"), found)?;
        } else {
            found.insert(path, metadata.len());
        }
    }
    Ok(())
}
