//! `reserve`: takes an address out of the pool, for nobody else.
//!
//! `/pool/free` has a file for each free address, named after it. Taking one is renaming its file to
//! `/pool/taken/ADDRESS@MACHINE-MARK`: of several that try, one succeeds. The mark is that of the task instance, so that
//! another attempt finds the address of the first.

use std::fs;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_plugin::{Action, Applied, Context, Evidence, Failure};

use crate::document;
use crate::name::{check_machine, mark};
use crate::place::{Granted, Place};
use crate::undo::{Undo, undo_all};

const FREE: &str = "pool/free";
const TAKEN: &str = "pool/taken";

/// The action.
pub struct Reserve<P = Granted>(PhantomData<P>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveInput {
    /// Who the address is for.
    pub machine: String,
    /// How the address begins, such as `10.0.1.`. Default: any of the pool.
    #[serde(default)]
    pub prefix: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReserveOutput {
    pub address: String,
}

/// The undo record: an address that may have been taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    address: String,
    /// How its file is called while it is taken.
    file: String,
}

impl<P: Place> Action for Reserve<P> {
    const NAME: &'static str = "reserve";
    const DESCRIPTION: &'static str = "Takes an address out of the pool";
    type Input = ReserveInput;
    type Output = ReserveOutput;
    type Undo = Undo;

    fn apply(
        context: &Context<'_, Undo>,
        input: ReserveInput,
    ) -> Result<Applied<ReserveOutput, Undo>, Failure> {
        check_machine(&input.machine)?;
        let owner = format!("{}-{}", input.machine, mark(context.idempotency_key()));
        // An earlier attempt may have taken one.
        if let Some(address) = taken_by::<P>(&owner)? {
            return Ok(Applied::new(ReserveOutput { address }));
        }
        for address in free::<P>(&input.prefix)? {
            let taken = Taken { file: format!("{address}@{owner}"), address };
            context.undo_ahead(&Undo::Address(taken.clone()))?;
            if document::rename::<P>(
                &format!("{FREE}/{}", taken.address),
                &format!("{TAKEN}/{}", taken.file),
            )? {
                windlass_plugin::info!("{} is for {}", taken.address, input.machine);
                return Ok(Applied::new(ReserveOutput { address: taken.address }));
            }
            // Somebody else was faster: the next one.
        }
        // Others give theirs back.
        let message = format!("no address that begins with {:?} is free", input.prefix);
        Err(Failure::retry("pool.empty", message))
    }

    fn revert(
        _: &Context<'_, Undo>,
        _: ReserveInput,
        evidence: Evidence<ReserveOutput, Undo>,
    ) -> Result<Option<Value>, Failure> {
        Ok(Some(json!(undo_all::<P>(&evidence.into_records())?)))
    }
}

/// Puts an address back into the pool, where it was taken.
pub fn give_back<P: Place>(taken: &Taken) -> Result<Option<String>, Failure> {
    let (from, to) = (format!("{TAKEN}/{}", taken.file), format!("{FREE}/{}", taken.address));
    let is_back = document::rename::<P>(&from, &to)?;
    Ok(is_back.then(|| format!("{} is free again", taken.address)))
}

fn taken_by<P: Place>(owner: &str) -> Result<Option<String>, Failure> {
    // Made by the first that takes one.
    let files = if P::path(TAKEN).try_exists()? { names::<P>(TAKEN)? } else { Vec::new() };
    let mut addresses = files.iter().filter_map(|file| file.strip_suffix(owner)?.strip_suffix('@'));
    Ok(addresses.next().map(str::to_owned))
}

fn free<P: Place>(prefix: &str) -> Result<Vec<String>, Failure> {
    let mut addresses = names::<P>(FREE)?;
    addresses.retain(|address| address.starts_with(prefix) && !address.starts_with('.'));
    Ok(addresses)
}

/// The names in a directory, in their order.
fn names<P: Place>(directory: &str) -> Result<Vec<String>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::reject("pool.unreadable", format!("/{directory}: cannot be listed")).because(&error)
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(P::path(directory)).map_err(unreadable)? {
        names.extend(entry.map_err(unreadable)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}
