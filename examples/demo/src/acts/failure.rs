//! A run that fails at verification, and is undone.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use windlass_proto::v1;

use super::Play;
use crate::text;

/// More files than any source has.
const FILES_EXPECTED: u64 = 1_000_000_000;
/// What `verify` says of an archive with fewer.
const CLASS: &str = "archive.too_few_files";

/// Act 5.
pub async fn fails_and_is_reverted(play: &mut Play<'_>) -> anyhow::Result<()> {
    let screen = play.screen;
    screen.act(5, "A run that fails, and leaves nothing behind")?;
    let before = play.backups()?;
    let id = play.submit(Some(FILES_EXPECTED), None).await?;
    screen.say(&format!("submitted: verify is to expect at least {FILES_EXPECTED} files"))?;
    let state = play.log.until_ended(&id).await?;
    let name = play.log.name(&id);
    ensure!(state == "reverted", "{name} should be reverted, and is {state}");

    let detail = play.client.job(&id).await?;
    let cause = detail.job.cause.as_ref().context("the job does not say why it was undone")?;
    let failed = cause.task.as_ref().map(|task| task.task.as_str());
    let class = cause.fault.as_ref().map(|fault| fault.class.as_str());
    ensure!(
        cause.kind() == v1::CauseKind::TaskFailed && failed == Some("verify") && class == Some(CLASS),
        "{name} should fail at verify with {CLASS}, and failed with {cause:?}"
    );
    ensure!(detail.job.residue.is_empty(), "{name} names residue: {:?}", detail.job.residue);
    screen.checked(&format!("{name} is reverted; its cause: verify, {CLASS}"))?;

    let snapshot = detail.task("snapshot")?;
    ensure!(snapshot.state() == v1::TaskState::Reverted, "snapshot is {}", snapshot.state().as_str_name());
    let publish = detail.task("publish")?;
    ensure!(publish.apply_attempt == 0, "publish was called {} times", publish.apply_attempt);
    let removed = removed(snapshot)?;
    ensure!(removed.len() == 1, "the revert of snapshot removed {removed:?}");
    screen.checked("snapshot was undone by its own revert, and publish was never called")?;

    let after = play.backups()?;
    ensure!(before == after, "the backup directory had {before:?}, and has {after:?}");
    let number = text::count(after.len() as u64, "file");
    screen
        .checked(&format!("the backup directory is as it was before: {number}, of the same names and sizes"))
}

/// What the revert of a snapshot says that it removed.
fn removed(snapshot: &v1::TaskInstance) -> anyhow::Result<Vec<String>> {
    let output = snapshot.revert_output.as_ref().context("the revert of snapshot gave nothing")?;
    let output: Value = serde_json::from_slice(&output.bytes).context("what the revert gave is no JSON")?;
    let names = output["removed"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok(names.map(str::to_owned).collect())
}
