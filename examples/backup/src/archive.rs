//! Archives: writing a tree into a `.tar.zst`, and reading one back to see whether it is whole.
//!
//! Invariant: an entry has exactly the length that its header says, whatever the file does while it is read; so the
//! archive of a busy directory opens. What was cut or filled is counted.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::contents::{self, Content, ContentKind};
use crate::frames::{FrameReader, FrameWriter};
use crate::metered::Metered;
use crate::walk::{Entry, EntryKind, Tree};

// WASI shows no permissions: these are what a careful umask gives.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
const LINK_MODE: u32 = 0o777;

/// What was written, or found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    pub files: u64,
    pub directories: u64,
    pub links: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of the archive itself.
    pub archive_bytes: u64,
    /// Of the archive itself, in hexadecimal digits.
    pub sha256: String,
    /// Files whose size changed while they were read.
    pub changed: u64,
    /// Files that were gone before they were read.
    pub vanished: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{path}: cannot be read")]
    Source { path: String, source: io::Error },
    #[error("the archive cannot be written")]
    Archive(#[from] io::Error),
    #[error("the list of the archive's contents cannot be written")]
    Contents(#[from] serde_json::Error),
    /// The observer wants no more.
    #[error("{0}")]
    Stopped(windlass_plugin::JournalError),
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read now; it may be whole.
    #[error("the archive cannot be read")]
    Unreadable(#[source] io::Error),
    /// It has been read, and is not what was written.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
}

/// Is told how many bytes of files are done, and may stop the work.
pub type Observe<'a> = dyn FnMut(u64) -> Result<(), windlass_plugin::JournalError> + 'a;

/// Writes the tree below `root` as an archive.
pub fn write(
    root: &Path,
    tree: &Tree,
    archive: impl Write,
    observe: &mut Observe<'_>,
) -> Result<Summary, WriteError> {
    let mut builder = Builder::new(FrameWriter::new(Metered::new(archive)));
    let mut summary = Summary::default();
    let mut written = Vec::with_capacity(tree.entries.len());
    for entry in &tree.entries {
        let kind = match &entry.kind {
            EntryKind::Directory => {
                let mut header = header(entry, EntryType::Directory, DIRECTORY_MODE, 0);
                builder.append_data(&mut header, format!("{}/", entry.path), io::empty())?;
                summary.directories += 1;
                ContentKind::Directory
            }
            EntryKind::Link { target } => {
                let mut header = header(entry, EntryType::Symlink, LINK_MODE, 0);
                builder.append_link(&mut header, &entry.path, target)?;
                summary.links += 1;
                ContentKind::Link { target: target.clone() }
            }
            EntryKind::File { .. } => match append_file(root, entry, &mut builder, &mut summary, observe)? {
                Some(kind) => kind,
                None => continue,
            },
        };
        written.push(Content { path: entry.path.clone(), kind });
    }
    let list = contents::encode(&written)?;
    let metered = builder.into_inner()?.finish(&list)?;
    summary.archive_bytes = metered.passed_bytes();
    let (mut archive, sha256) = metered.finish();
    archive.flush()?;
    summary.sha256 = sha256;
    Ok(summary)
}

fn header(entry: &Entry, kind: EntryType, mode: u32, bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(entry.modified_s);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header
}

/// Appends a file, unless it has vanished.
fn append_file<W: Write>(
    root: &Path,
    entry: &Entry,
    builder: &mut Builder<W>,
    summary: &mut Summary,
    observe: &mut Observe<'_>,
) -> Result<Option<ContentKind>, WriteError> {
    let unreadable = |source| WriteError::Source { path: entry.path.clone(), source };
    let opened = File::open(root.join(&entry.path)).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (bytes, file) = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            windlass_plugin::warn!("{}: left out, it has vanished", entry.path);
            summary.vanished += 1;
            return Ok(None);
        }
        opened => opened.map_err(unreadable)?,
    };
    let mut reader = Metered::new(Exact::new(file, bytes, summary.bytes, observe));
    let appended = builder.append_data(
        &mut header(entry, EntryType::Regular, FILE_MODE, bytes),
        &entry.path,
        &mut reader,
    );
    let (reader, sha256) = reader.finish();
    let has_changed = reader.has_changed(bytes);
    if let Some(stop) = reader.stop {
        return Err(stop.into_write_error(entry));
    }
    appended?;
    if has_changed {
        windlass_plugin::warn!("{}: its size changed while it was read", entry.path);
        summary.changed += 1;
    }
    summary.files += 1;
    summary.bytes += bytes;
    Ok(Some(ContentKind::File { bytes, sha256 }))
}

/// Reads exactly so many bytes of a file: what it lacks is filled with zeros, what it has more is left.
struct Exact<'a, 'o> {
    file: File,
    left: u64,
    /// Zeros that were read instead of the file.
    filled: u64,
    /// Bytes of all files until now.
    done: u64,
    observe: &'a mut Observe<'o>,
    stop: Option<Stop>,
}

/// Why the reading was given up: kept apart, for the writer sees an I/O error only.
enum Stop {
    Unreadable(io::Error),
    Refused(windlass_plugin::JournalError),
}

impl Stop {
    fn into_write_error(self, entry: &Entry) -> WriteError {
        match self {
            Stop::Unreadable(source) => WriteError::Source { path: entry.path.clone(), source },
            Stop::Refused(error) => WriteError::Stopped(error),
        }
    }
}

impl<'a, 'o> Exact<'a, 'o> {
    fn new(file: File, bytes: u64, done: u64, observe: &'a mut Observe<'o>) -> Self {
        Exact { file, left: bytes, filled: 0, done, observe, stop: None }
    }

    /// Whether the file is shorter or longer than it was said to be.
    fn has_changed(&self, bytes: u64) -> bool {
        self.filled > 0 || self.file.metadata().is_ok_and(|metadata| metadata.len() != bytes)
    }

    fn give_up(&mut self, stop: Stop) -> io::Error {
        self.stop = Some(stop);
        io::Error::other("the file was given up")
    }
}

impl Read for Exact<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let buffer = &mut buffer[..wanted];
        let mut count = 0;
        if self.filled == 0 {
            count = match self.file.read(buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => return Err(self.give_up(Stop::Unreadable(error))),
            };
        }
        if count == 0 && wanted > 0 {
            buffer.fill(0);
            count = wanted;
            self.filled += count as u64;
        }
        self.left -= count as u64;
        self.done += count as u64;
        if let Err(error) = (self.observe)(self.done) {
            return Err(self.give_up(Stop::Refused(error)));
        }
        Ok(count)
    }
}

/// Reads a whole archive: its checksums, and every entry against the list at its end.
pub fn read(archive: impl Read, observe: &mut Observe<'_>) -> Result<Summary, ReadError> {
    let frames = FrameReader::new(BufReader::new(Metered::new(archive)));
    let mut tar = tar::Archive::new(frames);
    let mut summary = Summary::default();
    let mut found = Vec::new();
    for entry in tar.entries().map_err(classify)? {
        let content = read_entry(&mut entry.map_err(classify)?)?;
        match &content.kind {
            ContentKind::File { bytes, .. } => {
                summary.files += 1;
                summary.bytes += bytes;
            }
            ContentKind::Directory => summary.directories += 1,
            ContentKind::Link { .. } => summary.links += 1,
        }
        found.push(content);
        observe(summary.bytes).map_err(|error| ReadError::Unreadable(io::Error::other(error)))?;
    }
    // The tar ends before the file does: the rest is padding, then the list.
    let mut frames = tar.into_inner();
    io::copy(&mut frames, &mut io::sink()).map_err(classify)?;
    let (file, list) = frames.finish();
    compare(&found, list.as_deref())?;
    let metered = file.into_inner();
    summary.archive_bytes = metered.passed_bytes();
    summary.sha256 = metered.finish().1;
    Ok(summary)
}

fn read_entry(entry: &mut tar::Entry<'_, impl Read>) -> Result<Content, ReadError> {
    let path = entry.path_bytes();
    let path = String::from_utf8(path.into_owned()).map_err(|_| damaged("an entry's name is not UTF-8"))?;
    let path = path.trim_end_matches('/').to_owned();
    let kind = match entry.header().entry_type() {
        EntryType::Regular => {
            let mut reader = Metered::new(entry);
            let bytes = io::copy(&mut reader, &mut io::sink()).map_err(classify)?;
            ContentKind::File { bytes, sha256: reader.finish().1 }
        }
        EntryType::Directory => ContentKind::Directory,
        EntryType::Symlink => {
            let target =
                entry.link_name_bytes().ok_or_else(|| damaged(format!("{path}: a link without target")))?;
            let target = String::from_utf8(target.into_owned());
            ContentKind::Link {
                target: target.map_err(|_| damaged(format!("{path}: its target is not UTF-8")))?,
            }
        }
        other => {
            return Err(damaged(format!("{path}: an entry of the type {other:?}, which is never written")));
        }
    };
    Ok(Content { path, kind })
}

fn compare(found: &[Content], list: Option<&[u8]>) -> Result<(), ReadError> {
    let list = list.ok_or_else(|| damaged("it has no list of its contents at its end"))?;
    let listed =
        contents::decode(list).map_err(|error| damaged(format!("its list of contents is bad: {error}")))?;
    for (found, listed) in found.iter().zip(&listed) {
        if found != listed {
            return Err(damaged(format!("{}: differs from the list of contents", listed.path)));
        }
    }
    if found.len() != listed.len() {
        return Err(damaged(format!(
            "it has {} entries, its list of contents {}",
            found.len(),
            listed.len()
        )));
    }
    Ok(())
}

/// The tar reader and the frames tell damage by these kinds; the rest comes from the file.
fn classify(error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => {
            damaged(error.to_string())
        }
        _ => ReadError::Unreadable(error),
    }
}

fn damaged(why: impl Into<String>) -> ReadError {
    ReadError::Damaged(why.into())
}
