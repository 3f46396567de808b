//! `discard`: undoes a whole flow of snapshots by one call. It is made for a flow's own revert, and applies nothing.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use windlass_plugin::{Action, Applied, Context, Evidence, Failure};

use crate::BACKUP;
use crate::snapshot::{SnapshotUndo, remove};

/// The action.
pub struct Discard;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscardInput {}

impl Action for Discard {
    const NAME: &'static str = "discard";
    const DESCRIPTION: &'static str =
        "Only for a flow's own revert: removes the archives of all snapshots in the flow";
    type Input = DiscardInput;
    /// What the tasks of the flow gave, by their names; their undo records say enough.
    type Output = Value;
    type Undo = SnapshotUndo;

    fn apply(
        _: &Context<'_, SnapshotUndo>,
        _: DiscardInput,
    ) -> Result<Applied<Value, SnapshotUndo>, Failure> {
        let message = "discard undoes a flow and applies nothing: give it as the flow's `revert`";
        Err(Failure::reject("action.undoes_only", message))
    }

    fn revert(
        _: &Context<'_, SnapshotUndo>,
        _: DiscardInput,
        evidence: Evidence<Value, SnapshotUndo>,
    ) -> Result<Option<Value>, Failure> {
        remove(&evidence.into_records(), Path::new(BACKUP)).map(Some)
    }
}
