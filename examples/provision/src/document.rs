//! Documents: JSON files that are whole or absent, whenever somebody looks.
//!
//! Invariant: a document is written aside, under a name that its writer knows again, and then renamed.

use std::fs;
use std::io::{self, ErrorKind, Write as _};

use serde::Serialize;
use windlass_plugin::Failure;

use crate::place::Place;

/// What the file holds; none where there is no file.
pub fn read<P: Place>(path: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(P::path(path)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The text of a document.
pub fn text(document: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    Ok(text)
}

/// Puts the text at `path`, in the place of what is there; `aside` is in the same directory.
pub fn write<P: Place>(path: &str, aside: &str, text: &str) -> io::Result<()> {
    make_parent::<P>(path)?;
    let mut file = fs::File::create(P::path(aside))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(P::path(aside), P::path(path))
}

/// Takes the file away; false where there is none.
pub fn remove<P: Place>(path: &str) -> io::Result<bool> {
    is_done(fs::remove_file(P::path(path)))
}

/// Renames the file; false where there is none.
pub fn rename<P: Place>(from: &str, to: &str) -> io::Result<bool> {
    // A directory that is missing would be told as a file that is missing.
    make_parent::<P>(to)?;
    is_done(fs::rename(P::path(from), P::path(to)))
}

fn make_parent<P: Place>(path: &str) -> io::Result<()> {
    match path.rsplit_once('/') {
        Some((parent, _)) => fs::create_dir_all(P::path(parent)),
        None => Ok(()),
    }
}

/// Somebody else may have been faster, or an earlier attempt: what is gone already is no error.
fn is_done(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
