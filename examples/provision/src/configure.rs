//! `configure`: writes a machine's configuration, in the place of what was there.
//!
//! The configuration says which task instance wrote it. So another attempt knows that it is written already, and what was
//! there before is only in the undo record of the attempt that wrote it; and undoing never overwrites what somebody else
//! has written since.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_plugin::{Action, Applied, Context, Evidence, Failure};

use crate::document;
use crate::name::{check_machine, mark};
use crate::place::{Granted, Place};
use crate::undo::{Undo, undo_all};

/// The action.
pub struct Configure<P = Granted>(PhantomData<P>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigureInput {
    pub machine: String,
    /// The one that was reserved for it.
    pub address: String,
    /// Whatever else the machine is to know.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigureOutput {
    /// The configuration's file name.
    pub file: String,
}

/// A configuration, as it is in its file.
#[derive(Debug, Serialize, Deserialize)]
struct Configuration {
    machine: String,
    address: String,
    settings: BTreeMap<String, Value>,
    /// The mark of the task instance that wrote it.
    written_by: String,
}

/// The undo record: a configuration that may have been written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    machine: String,
    written_by: String,
    /// What was there.
    before: Option<String>,
}

impl<P: Place> Action for Configure<P> {
    const NAME: &'static str = "configure";
    const DESCRIPTION: &'static str = "Writes a machine's configuration";
    type Input = ConfigureInput;
    type Output = ConfigureOutput;
    type Undo = Undo;

    fn apply(
        context: &Context<'_, Undo>,
        input: ConfigureInput,
    ) -> Result<Applied<ConfigureOutput, Undo>, Failure> {
        let ConfigureInput { machine, address, settings } = input;
        check_machine(&machine)?;
        let written_by = mark(context.idempotency_key());
        let before = document::read::<P>(&path(&machine))?;
        let output = ConfigureOutput { file: format!("{machine}.json") };
        if before.as_deref().is_some_and(|text| is_written_by(text, &written_by)) {
            return Ok(Applied::new(output));
        }
        let written = Written { machine: machine.clone(), written_by: written_by.clone(), before };
        context.undo_ahead(&Undo::Configuration(written.clone()))?;
        let text = document::text(&Configuration { machine, address, settings, written_by })?;
        document::write::<P>(&path(&written.machine), &aside(&written), &text)?;
        Ok(Applied::new(output))
    }

    fn revert(
        _: &Context<'_, Undo>,
        _: ConfigureInput,
        evidence: Evidence<ConfigureOutput, Undo>,
    ) -> Result<Option<Value>, Failure> {
        Ok(Some(json!(undo_all::<P>(&evidence.into_records())?)))
    }
}

/// Restores what was there before, where the configuration is still the one that was written.
pub fn restore<P: Place>(written: &Written) -> Result<Option<String>, Failure> {
    document::remove::<P>(&aside(written))?;
    let path = path(&written.machine);
    let now = document::read::<P>(&path)?;
    if !now.as_deref().is_some_and(|text| is_written_by(text, &written.written_by)) {
        let is_as_before = now == written.before;
        let left = || format!("the configuration of {} is somebody else's by now, and left", written.machine);
        return Ok((!is_as_before).then(left));
    }
    match &written.before {
        Some(text) => document::write::<P>(&path, &aside(written), text)?,
        None => drop(document::remove::<P>(&path)?),
    }
    Ok(Some(format!("the configuration of {} is what it was", written.machine)))
}

fn is_written_by(text: &str, mark: &str) -> bool {
    serde_json::from_str(text).is_ok_and(|found: Configuration| found.written_by == mark)
}

fn path(machine: &str) -> String {
    format!("machines/{machine}.json")
}

fn aside(written: &Written) -> String {
    format!("machines/.{}-{}", written.machine, written.written_by)
}
