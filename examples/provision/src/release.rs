//! `release`: undoes at once what the other actions did for a machine.
//!
//! It has no apply of its own. It is for a flow's own revert, which is called once with the undo records of all tasks, in
//! the place of their reverts one by one.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use windlass_plugin::{Action, Applied, Context, Evidence, Failure};

use crate::place::{Granted, Place};
use crate::undo::{Undo, undo_all};

/// The action.
pub struct Release<P = Granted>(PhantomData<P>);

/// Nothing: the undo records say it all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseInput {}

impl<P: Place> Action for Release<P> {
    const NAME: &'static str = "release";
    const DESCRIPTION: &'static str = "A flow's own revert: undoes reserve, configure and acquire at once";
    type Input = ReleaseInput;
    /// What the tasks of the flow gave, by their names.
    type Output = BTreeMap<String, Value>;
    type Undo = Undo;

    fn apply(
        _: &Context<'_, Undo>,
        _: ReleaseInput,
    ) -> Result<Applied<BTreeMap<String, Value>, Undo>, Failure> {
        let message =
            "release undoes, and does nothing: name it as the `revert` of a flow, and not as a task";
        Err(Failure::reject("release.no_task", message))
    }

    fn revert(
        _: &Context<'_, Undo>,
        _: ReleaseInput,
        evidence: Evidence<BTreeMap<String, Value>, Undo>,
    ) -> Result<Option<Value>, Failure> {
        Ok(Some(json!(undo_all::<P>(&evidence.into_records())?)))
    }
}
