//! `publish`: gives an archive its own name, and lets only the newest few stay.
//!
//! Undo record: the plan, with every name in it, before the first of its renames. What it retires stays in a trash
//! until the *next* publication is complete. So the latest publication can be undone in full; an older one that
//! retired archives cannot any more, and its revert says so and changes nothing.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_plugin::{Action, Applied, Context, Evidence, Failure};

use crate::BACKUP;
use crate::name::ArchiveName;
use crate::retention::{Plan, Shelf, UndoError};

/// The action.
pub struct Publish;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishInput {
    /// The archive's file name in the backup directory, as snapshot returned it.
    pub archive: String,
    /// How many archives of the same prefix may stay, this one included. Older ones are retired.
    #[schemars(range(min = 1, max = 10_000))]
    #[serde(default = "default_keep")]
    pub keep: u32,
}

fn default_keep() -> u32 {
    7
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PublishOutput {
    /// The archive's file name now.
    pub archive: String,
    /// The archives that had to make room.
    pub retired: Vec<String>,
    /// How many of the prefix there are now.
    pub kept: u64,
}

impl Action for Publish {
    const NAME: &'static str = "publish";
    const DESCRIPTION: &'static str = "Gives an archive its own name and keeps the newest few";
    type Input = PublishInput;
    type Output = PublishOutput;
    type Undo = Plan;

    fn apply(
        context: &Context<'_, Plan>,
        input: PublishInput,
    ) -> Result<Applied<PublishOutput, Plan>, Failure> {
        publish(context, &input, Path::new(BACKUP)).map(Applied::new)
    }

    fn revert(
        _: &Context<'_, Plan>,
        _: PublishInput,
        evidence: Evidence<PublishOutput, Plan>,
    ) -> Result<Option<Value>, Failure> {
        unpublish(&evidence.into_records(), Path::new(BACKUP)).map(Some)
    }
}

pub fn publish(
    context: &Context<'_, Plan>,
    input: &PublishInput,
    backup: &Path,
) -> Result<PublishOutput, Failure> {
    let invalid = |message: String| Failure::reject("input.invalid", message);
    let (archive, is_published) =
        ArchiveName::parse(&input.archive).map_err(|error| invalid(error.to_string()))?;
    if is_published {
        return Err(invalid(format!("{}: is published already", input.archive)));
    }
    if input.keep == 0 {
        return Err(invalid("keep: at least 1, for the archive that is published stays".into()));
    }
    let shelf = Shelf::new(backup);
    may_publish(context, &shelf, &archive)?;

    let plan = shelf.plan(&archive, context.idempotency_key(), input.keep as usize)?;
    context.undo_ahead(&plan)?;
    shelf.carry_out(&plan)?;
    windlass_plugin::info!("{}: published, {} retired", plan.published, plan.retired.len());
    let kept = shelf.count(archive.prefix())? as u64;
    Ok(PublishOutput { archive: plan.published, retired: plan.retired, kept })
}

/// Under its own name already is fine only if an earlier attempt of this call may have done it.
fn may_publish(context: &Context<'_, Plan>, shelf: &Shelf<'_>, archive: &ArchiveName) -> Result<(), Failure> {
    let is_again = context.attempt() > 1;
    match (shelf.has(&archive.partial())?, shelf.has(&archive.published())?) {
        (true, false) => Ok(()),
        (false, true) if is_again => Ok(()),
        (_, true) => {
            let message = format!("{}: there is an archive of this name already", archive.published());
            Err(Failure::reject("archive.exists", message))
        }
        (false, false) => {
            let message = format!("{}: there is no such archive", archive.partial());
            Err(Failure::reject("archive.missing", message))
        }
    }
}

pub fn unpublish(plans: &[Plan], backup: &Path) -> Result<Value, Failure> {
    let restored = Shelf::new(backup).undo(plans).map_err(|error| match error {
        UndoError::Emptied(_) => Failure::reject("trash.emptied", error.to_string()),
        UndoError::Retired(_) => Failure::reject("archive.retired", error.to_string()),
        UndoError::Ambiguous(_) => Failure::reject("archive.exists", error.to_string()),
        UndoError::Directory(_) => Failure::from(error),
    })?;
    Ok(json!({ "restored": restored }))
}
