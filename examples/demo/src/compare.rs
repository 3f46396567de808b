//! The comparison of what was unpacked with its source: every path, every byte of every file, every link.
//!
//! The source may be in use. A path that was changed after the snapshot began is counted apart, by its own account
//! (the time of its last change of content or name), never taken for equal.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};

/// File systems note the time of a change by a clock that may lag this far behind.
const CLOCK_LAG: TimeDelta = TimeDelta::milliseconds(100);
/// Differences that an error names.
const DIFFERENCES_SHOWN: usize = 10;
const BUFFER_BYTES: usize = 256 << 10;

/// What was found equal, and what could not be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub files: u64,
    pub bytes: u64,
    pub directories: u64,
    pub links: u64,
    /// Changed, made or removed since the snapshot began.
    pub changed_since: Vec<String>,
    /// What an archive does not hold, or a sandbox does not show: sockets, devices, links that lead out.
    pub left_out: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link(PathBuf),
    Other,
}

/// Compares. An error where anything differs that was not changed since.
pub fn compare(
    source: &Path,
    restored: &Path,
    excluded: &[&str],
    since: DateTime<Utc>,
) -> anyhow::Result<Comparison> {
    let had = walk(source, excluded)?;
    let has = walk(restored, &[])?;
    let is_recent = |path: &str| changed_since(source, path, since - CLOCK_LAG);
    let mut found = Comparison::default();
    let mut differences = Vec::new();
    for (path, kind) in &has {
        match had.get(path) {
            Some(before) if is_equal(kind, before, &source.join(path), &restored.join(path))? => {
                found.count(kind, &restored.join(path))?;
            }
            _ if is_recent(path)? => found.changed_since.push(path.clone()),
            Some(_) => differences.push(format!("{path}: differs")),
            None => differences.push(format!("{path}: is not in the source")),
        }
    }
    for (path, kind) in had.iter().filter(|(path, _)| !has.contains_key(*path)) {
        match kind {
            Kind::Other => found.left_out.push(path.clone()),
            Kind::Link(target) if leads_out(path, target) => found.left_out.push(path.clone()),
            _ if is_recent(path)? => found.changed_since.push(path.clone()),
            _ => differences.push(format!("{path}: is not in the archive")),
        }
    }
    if !differences.is_empty() {
        let number = differences.len();
        differences.truncate(DIFFERENCES_SHOWN);
        bail!("the archive and its source differ in {number} places:\n{}", differences.join("\n"));
    }
    Ok(found)
}

impl Comparison {
    fn count(&mut self, kind: &Kind, path: &Path) -> anyhow::Result<()> {
        match kind {
            Kind::File => {
                self.files += 1;
                self.bytes += metadata(path)?.len();
            }
            Kind::Directory => self.directories += 1,
            Kind::Link(_) | Kind::Other => self.links += 1,
        }
        Ok(())
    }
}

/// Everything below a directory, by its path. What vanishes meanwhile is not there.
fn walk(root: &Path, excluded: &[&str]) -> anyhow::Result<BTreeMap<String, Kind>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let at = root.join(&directory);
        let listed = match fs::read_dir(&at) {
            Err(error) if is_gone(&error) && !directory.is_empty() => continue,
            listed => listed.with_context(|| format!("{} cannot be read", at.display()))?,
        };
        for entry in listed {
            let name = entry.with_context(|| format!("{} cannot be read", at.display()))?.file_name();
            let name = name.to_str().with_context(|| format!("{name:?} in {} is not UTF-8", at.display()))?;
            if excluded.contains(&name) {
                continue;
            }
            let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            let Some(kind) = kind(&root.join(&path))? else {
                continue;
            };
            if kind == Kind::Directory {
                directories.push(path.clone());
            }
            found.insert(path, kind);
        }
    }
    Ok(found)
}

fn kind(path: &Path) -> anyhow::Result<Option<Kind>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if is_gone(&error) => return Ok(None),
        found => found.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    Ok(Some(if found.is_symlink() {
        Kind::Link(fs::read_link(path).with_context(|| format!("{} cannot be read", path.display()))?)
    } else if found.is_dir() {
        Kind::Directory
    } else if found.is_file() {
        Kind::File
    } else {
        Kind::Other
    }))
}

fn is_equal(kind: &Kind, before: &Kind, source: &Path, restored: &Path) -> anyhow::Result<bool> {
    if kind != before {
        return Ok(false);
    }
    if *kind != Kind::File {
        return Ok(true);
    }
    let mut source = match File::open(source) {
        Err(error) if is_gone(&error) => return Ok(false),
        opened => opened.with_context(|| format!("{} cannot be opened", source.display()))?,
    };
    let mut restored =
        File::open(restored).with_context(|| format!("{} cannot be opened", restored.display()))?;
    let (mut one, mut other) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        let (read, also) = (fill(&mut source, &mut one)?, fill(&mut restored, &mut other)?);
        if one[..read] != other[..also] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// As much as there is, up to the buffer's length.
fn fill(file: &mut File, buffer: &mut [u8]) -> anyhow::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]).context("a file cannot be read")? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Whether a path, or where it is gone the nearest directory above it that is there, was changed since.
fn changed_since(root: &Path, path: &str, since: DateTime<Utc>) -> anyhow::Result<bool> {
    let mut at = root.join(path);
    loop {
        match fs::symlink_metadata(&at) {
            Err(error) if is_gone(&error) && at != root => {
                at.pop();
            }
            found => {
                let found = found.with_context(|| format!("{} cannot be read", at.display()))?;
                return Ok(changed_at(&found).is_some_and(|changed| changed >= since));
            }
        }
    }
}

fn changed_at(metadata: &Metadata) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(metadata.ctime(), u32::try_from(metadata.ctime_nsec()).ok()?)
}

/// Whether a link leads out of the directory that it is in, by its text.
fn leads_out(path: &str, target: &Path) -> bool {
    use std::path::Component;
    let mut depth = path.matches('/').count();
    for part in target.components() {
        match part {
            Component::RootDir | Component::Prefix(_) => return true,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
        }
    }
    false
}

fn metadata(path: &Path) -> anyhow::Result<Metadata> {
    fs::symlink_metadata(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (source, restored) = (root.path().join("source"), root.path().join("restored"));
        for path in [&source, &restored] {
            fs::create_dir_all(path.join("a")).unwrap();
            fs::write(path.join("a/one"), "1").unwrap();
            std::os::unix::fs::symlink("one", path.join("a/link")).unwrap();
        }
        (root, source, restored)
    }

    fn later() -> DateTime<Utc> {
        Utc::now() + TimeDelta::hours(1)
    }

    #[test]
    fn equal_trees_are_counted() {
        let (_root, source, restored) = pair();
        fs::create_dir(source.join("target")).unwrap();
        let found = compare(&source, &restored, &["target"], later()).unwrap();
        assert_eq!(
            found,
            Comparison { files: 1, bytes: 1, directories: 1, links: 1, ..Comparison::default() }
        );
    }

    #[test]
    fn every_difference_is_an_error_unless_it_was_made_since() {
        let (_root, source, restored) = pair();
        fs::write(source.join("a/one"), "2").unwrap();
        fs::write(source.join("more"), "").unwrap();
        fs::write(restored.join("other"), "").unwrap();
        let error = compare(&source, &restored, &[], later()).unwrap_err().to_string();
        for part in
            ["3 places", "a/one: differs", "more: is not in the archive", "other: is not in the source"]
        {
            assert!(error.contains(part), "{error}");
        }
        let found = compare(&source, &restored, &[], Utc::now() - TimeDelta::hours(1)).unwrap();
        assert_eq!(found.changed_since, ["a/one", "other", "more"]);
    }

    #[test]
    fn links_that_lead_out_are_left_out() {
        let (_root, source, restored) = pair();
        std::os::unix::fs::symlink("/etc/hostname", source.join("a/absolute")).unwrap();
        let found = compare(&source, &restored, &[], later()).unwrap();
        assert_eq!(found.left_out, ["a/absolute"]);
        assert!(leads_out("a/link", Path::new("../../x")));
        assert!(!leads_out("a/link", Path::new("../x")));
    }
}
