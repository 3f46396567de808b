//! What is kept of a store that is written down: a file that appears only when it is whole.
//!
//! Invariant: a file under its own name ends with the line that has the sum of all before it, and the sum is right.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::output::{Format, Output};
use crate::problem::Problem;
use crate::text;

/// Who may read it: it holds arguments, outputs and undo records of everybody.
const MODE: u32 = 0o600;

pub struct Kept {
    /// None: standard output.
    file: Option<Part>,
    bytes: u64,
    /// Of all lines but the last.
    hash: Sha256,
    last_line: Vec<u8>,
}

/// A file that has another name until it is whole.
struct Part {
    open: File,
    part: PathBuf,
    path: PathBuf,
    is_kept: bool,
}

/// What of the last line is looked at.
#[derive(Deserialize)]
struct Last {
    end: End,
}

#[derive(Deserialize)]
struct End {
    sha256: String,
}

impl Kept {
    pub fn begin(file: &str) -> Result<Self, Problem> {
        let file = if file == "-" { None } else { Some(Part::create(Path::new(file))?) };
        Ok(Self { file, bytes: 0, hash: Sha256::new(), last_line: Vec::new() })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes, cut anywhere.
    pub fn take(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        self.bytes += chunk.len() as u64;
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.last_line.last() == Some(&b'\n') {
                self.hash.update(&self.last_line);
                self.last_line.clear();
            }
            self.last_line.extend_from_slice(part);
        }
        match &mut self.file {
            None => Output::new(Format::Table).bytes(chunk),
            Some(part) => part.open.write_all(chunk).map_err(|error| unwritable(&part.path, &error)),
        }
    }

    /// Makes it durable under its name, if it is whole. Answers what to tell a person.
    pub fn end(mut self) -> Result<String, Problem> {
        self.check()?;
        let size = text::bytes(self.bytes);
        match &mut self.file {
            None => Ok(format!("{size} written")),
            Some(part) => {
                part.keep().map_err(|error| unwritable(&part.path, &error))?;
                Ok(format!("{size} written to {}", part.path.display()))
            }
        }
    }

    fn check(&self) -> Result<(), Problem> {
        let digest = text::digest(&self.hash.clone().finalize());
        let last: Option<Last> = serde_json::from_slice(&self.last_line).ok();
        if self.last_line.last() == Some(&b'\n') && last.is_some_and(|last| last.end.sha256 == digest) {
            return Ok(());
        }
        Err(Problem::broken("what arrived is not whole: nothing was kept")
            .advise("again, from the beginning"))
    }
}

impl Part {
    fn create(path: &Path) -> Result<Self, Problem> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let open = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&part);
        let open = open.map_err(|error| unwritable(path, &error))?;
        Ok(Self { open, part, path: path.to_owned(), is_kept: false })
    }

    fn keep(&mut self) -> std::io::Result<()> {
        self.open.sync_all()?;
        std::fs::rename(&self.part, &self.path)?;
        self.is_kept = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = std::fs::remove_file(&self.part)
        {
            eprintln!("{} is left over and can be removed: {error}", self.part.display());
        }
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> Problem {
    Problem::usage(format!("the file {} cannot be written: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Vec<u8> {
        let lines = b"{\"format\":\"windlass store\",\"version\":1}\n{\"x\":1}\n";
        let sum = text::digest(&Sha256::digest(lines));
        let last = format!("{{\"end\":{{\"counts\":{{}},\"sha256\":\"{sum}\"}}}}\n");
        [lines.as_slice(), last.as_bytes()].concat()
    }

    fn keep(file: &Path, bytes: &[u8], cut: usize) -> Result<String, Problem> {
        let mut kept = Kept::begin(file.to_str().unwrap())?;
        bytes.chunks(cut).try_for_each(|chunk| kept.take(chunk))?;
        kept.end()
    }

    #[test]
    fn a_file_that_is_whole_appears_however_it_was_cut_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        for cut in [1, 7, 1_000] {
            let file = folder.path().join(format!("{cut}"));
            keep(&file, &form(), cut).unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), form());
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, MODE);
        }
    }

    #[test]
    fn of_one_that_is_cut_or_damaged_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut damaged = form();
        damaged[3] ^= 1;
        for bytes in [&form()[..form().len() - 1], &form()[..30], &damaged[..], b""] {
            let problem = keep(&file, bytes, 10).unwrap_err();
            assert!(problem.what.contains("not whole"), "{problem}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
