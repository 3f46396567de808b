//! `verify`: reads an archive back, and refuses one that is damaged or not what it should be.
//!
//! It changes nothing, so that there is nothing to undo.

use std::fs::File;
use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_plugin::{Action, Applied, Context, Evidence, Failure};

use crate::BACKUP;
use crate::archive::{self, Observe, ReadError, Summary};
use crate::name::ArchiveName;

/// The action.
pub struct Verify;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyInput {
    /// The archive's file name in the backup directory.
    pub archive: String,
    /// What the archive's SHA-256 should be, in hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
    /// How many files it should hold.
    #[serde(default)]
    pub files: Option<u64>,
    /// How many bytes its files should have.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// It is refused if it holds fewer files: an empty source must not replace good backups.
    #[serde(default)]
    pub expect_files_min: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VerifyOutput {
    /// The archive's file name in the backup directory.
    pub archive: String,
    /// SHA-256 of the archive, in hexadecimal digits.
    pub sha256: String,
    /// Size of the archive.
    pub archive_bytes: u64,
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Action for Verify {
    const NAME: &'static str = "verify";
    const DESCRIPTION: &'static str = "Reads an archive back and checks every entry in it";
    type Input = VerifyInput;
    type Output = VerifyOutput;
    type Undo = ();

    fn apply(context: &Context<'_, ()>, input: VerifyInput) -> Result<Applied<VerifyOutput, ()>, Failure> {
        check(context, &input, Path::new(BACKUP)).map(Applied::new)
    }

    fn revert(
        _: &Context<'_, ()>,
        _: VerifyInput,
        _: Evidence<VerifyOutput, ()>,
    ) -> Result<Option<Value>, Failure> {
        Ok(None)
    }
}

pub fn check(context: &Context<'_, ()>, input: &VerifyInput, backup: &Path) -> Result<VerifyOutput, Failure> {
    let archive = &input.archive;
    ArchiveName::parse(archive).map_err(|error| Failure::reject("input.invalid", error.to_string()))?;
    let file = File::open(backup.join(archive)).map_err(|error| {
        let class = match error.kind() {
            io::ErrorKind::NotFound => "archive.missing",
            _ => "archive.unreadable",
        };
        Failure::reject(class, format!("{archive}: cannot be opened")).because(&error)
    })?;
    let summary =
        archive::read(file, &mut *observer(context, input.bytes)).map_err(|error| explain(archive, error))?;
    compare(input, &summary)?;
    windlass_plugin::info!("{archive}: {} files, {} bytes, as they should be", summary.files, summary.bytes);
    Ok(VerifyOutput {
        archive: archive.clone(),
        sha256: summary.sha256,
        archive_bytes: summary.archive_bytes,
        files: summary.files,
        bytes: summary.bytes,
    })
}

/// Nothing has been changed, so that all of these are rejections.
fn explain(archive: &str, error: ReadError) -> Failure {
    match error {
        ReadError::Unreadable(source) => match source.downcast::<windlass_plugin::JournalError>() {
            Ok(stop) => stop.into(),
            Err(source) => {
                Failure::reject("archive.unreadable", format!("{archive}: cannot be read")).because(&source)
            }
        },
        ReadError::Damaged(why) => Failure::reject("archive.damaged", format!("{archive}: {why}")),
    }
}

fn compare(input: &VerifyInput, found: &Summary) -> Result<(), Failure> {
    let archive = &input.archive;
    let differs = |what: &str, wanted: Value, found: Value| {
        Failure::reject("archive.differs", format!("{archive}: {what} is {found}, and should be {wanted}"))
            .detail(&json!({ "what": what, "wanted": wanted, "found": found }))
    };
    if let Some(wanted) = input.sha256.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(&found.sha256)) {
        return Err(differs("its SHA-256", json!(wanted), json!(found.sha256)));
    }
    if let Some(wanted) = input.files.filter(|wanted| *wanted != found.files) {
        return Err(differs("its number of files", json!(wanted), json!(found.files)));
    }
    if let Some(wanted) = input.bytes.filter(|wanted| *wanted != found.bytes) {
        return Err(differs("the size of its files", json!(wanted), json!(found.bytes)));
    }
    if let Some(least) = input.expect_files_min.filter(|least| found.files < *least) {
        let message = format!("{archive}: it holds {} files, at least {least} are expected", found.files);
        let detail = json!({ "expected_min": least, "found": found.files });
        return Err(Failure::reject("archive.too_few_files", message).detail(&detail));
    }
    Ok(())
}

/// Reports progress once a file, and where the size is known as a fraction.
fn observer<'a>(context: &'a Context<'_, ()>, total: Option<u64>) -> Box<Observe<'a>> {
    let mut told_percent = 0;
    Box::new(move |done: u64| {
        let Some(total) = total.filter(|total| *total > 0) else {
            return context.alive().map(drop);
        };
        let percent = done.min(total).saturating_mul(100) / total;
        if percent > told_percent {
            told_percent = percent;
            context.progress(percent as f32 / 100.0, &format!("{done} of {total} bytes"))?;
        }
        Ok(())
    })
}
