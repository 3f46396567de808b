//! Reading the canonical form: lines in, items out, each line checked.
//!
//! Invariant: nothing that is read is believed before its line was checked, and the whole is not believed before the
//! last line was: [`Reader::next`] answers "no more" only where the counts and the sum are right.

use std::io::{BufRead, Read as _};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use windlass_core::flow::Flow;
use windlass_core::id::{Digest, JobId};

use super::line::{Counts, End, First, Line};
use super::{FORMAT, LINE_BYTES_MAX, VERSION, VERSION_MIN};
use crate::store::{Exported, Rank, Record};

/// What of the beginning of a foreign file is shown.
const SHOWN_CHARS: usize = 40;

/// What is wrong with a form, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ReadError {
    pub line: u64,
    pub what: String,
}

/// An item, and where it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub line: u64,
    /// Of the line.
    pub bytes: usize,
    pub item: Exported,
}

/// See the module.
pub struct Reader<R> {
    input: R,
    line: u64,
    hash: Sha256,
    rank: Rank,
    job: Option<JobId>,
    flow: Option<(Digest, Arc<Flow>)>,
    blob: Option<OpenBlob>,
    counts: Counts,
    is_ended: bool,
}

/// A blob whose pieces are being read.
struct OpenBlob {
    digest: Digest,
    size_bytes: u64,
    found_bytes: u64,
    hash: Sha256,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line: whether this is a form that this program knows.
    pub fn begin(input: R) -> Result<Self, ReadError> {
        let mut reader = Self {
            input,
            line: 0,
            hash: Sha256::new(),
            rank: Rank::Start,
            job: None,
            flow: None,
            blob: None,
            counts: Counts::default(),
            is_ended: false,
        };
        let line = reader.text_line()?;
        let foreign = |_| {
            let begin: String = String::from_utf8_lossy(&line).chars().take(SHOWN_CHARS).collect();
            reader.error(format!(
                "this is no export of a store: it begins with {:?}, and an export with {{\"format\":\"{FORMAT}\"",
                begin.trim_end()
            ))
        };
        let first: First = serde_json::from_slice(&line).map_err(foreign)?;
        if first.format != FORMAT {
            return Err(reader.error(format!("its format is {:?}, and not {FORMAT:?}", first.format)));
        }
        if !(VERSION_MIN..=VERSION).contains(&first.version) {
            let found = first.version;
            return Err(reader.error(format!(
                "its format has the version {found}, and this windlass knows {VERSION_MIN} to {VERSION}: use the one that wrote it, or a \
                 newer one"
            )));
        }
        reader.hash.update(&line);
        Ok(reader)
    }

    /// The next item; none where the form has ended and is whole.
    #[allow(clippy::should_implement_trait)] // An iterator would go on after an error.
    pub fn next(&mut self) -> Result<Option<Read>, ReadError> {
        while !self.is_ended {
            let text = self.text_line()?;
            let line = self.parse::<Line>(&text)?;
            if let Line::End(end) = line {
                self.end(&end)?;
                return Ok(None);
            }
            self.hash.update(&text);
            if let Some(item) = self.item(line)? {
                return Ok(Some(Read { line: self.line, bytes: text.len(), item }));
            }
        }
        Ok(None)
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn error(&self, what: impl Into<String>) -> ReadError {
        ReadError { line: self.line, what: what.into() }
    }

    fn text_line(&mut self) -> Result<Vec<u8>, ReadError> {
        self.line += 1;
        let mut text = Vec::new();
        let mut bounded = self.input.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        let read = bounded.read_until(b'\n', &mut text);
        read.map_err(|error| self.error(format!("it cannot be read: {error}")))?;
        if text.len() > LINE_BYTES_MAX {
            return Err(
                self.error(format!("it has more than {LINE_BYTES_MAX} bytes: no export has such lines"))
            );
        }
        if text.last() != Some(&b'\n') {
            return Err(self.error(
                "the file ends here, without the line that says that it is whole: it was cut; copy or export it again",
            ));
        }
        Ok(text)
    }

    fn parse<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, ReadError> {
        serde_json::from_slice(text).map_err(|error| {
            let column = error.column();
            // The reader counts lines itself: the parser sees one at a time.
            let said = error.to_string();
            let said = said.split(" at line ").next().unwrap_or(&said);
            self.error(format!("column {column}: {said}"))
        })
    }

    /// The item of a line. A flow is none: it is kept for the jobs that follow.
    fn item(&mut self, line: Line) -> Result<Option<Exported>, ReadError> {
        let item = match line {
            Line::Piece(piece) => return self.piece(piece.0).map(Some),
            Line::Blob(blob) => Exported::Blob { digest: blob.digest, size_bytes: blob.size_bytes },
            Line::Plugin(plugin) => record(Record::Plugin(*plugin)),
            Line::Trigger(trigger) => record(Record::Trigger(*trigger)),
            Line::Operation(operation) => record(Record::Operation(*operation)),
            Line::Host(host) => record(Record::Host(host)),
            Line::NamedFlow(flow) => record(Record::Flow(*flow)),
            Line::FlowRevision(revision) => record(Record::FlowRevision(*revision)),
            Line::Flow(flow) => {
                self.end_blob()?;
                self.flow = Some((flow.digest(), flow));
                return Ok(None);
            }
            Line::Job(job) => {
                let flow = self.flow_of(job.spec.id, job.spec.flow)?;
                Exported::Job { spec: job.spec, flow, status: job.status }
            }
            Line::Instance(instance) => Exported::Instance(instance),
            Line::Entry(entry) => Exported::Entry(entry),
            Line::Note(note) => Exported::Note { task: note.task, name: note.name, value: note.value.0 },
            Line::Key(key) => Exported::Key { key: key.unique, taken: key.taken, job: key.job },
            Line::End(_) => return Ok(None),
        };
        self.end_blob()?;
        self.take_rank(&item)?;
        self.open(&item);
        Ok(Some(item))
    }

    fn flow_of(&self, job: JobId, digest: Digest) -> Result<Arc<Flow>, ReadError> {
        match &self.flow {
            Some((found, flow)) if *found == digest => Ok(flow.clone()),
            Some((found, _)) => {
                Err(self.error(format!("job {job} has the flow {digest}, and the flow before it is {found}")))
            }
            None => Err(self.error(format!("job {job} has the flow {digest}, and no flow is before it"))),
        }
    }

    fn take_rank(&mut self, item: &Exported) -> Result<(), ReadError> {
        let job = self.job.filter(|_| matches!(self.rank, Rank::Job(..)));
        let Some(rank) = item.rank(job) else {
            return Err(self.error(match item {
                Exported::Key { .. } => {
                    "a key has a time if it expires, and otherwise none: this one is not so"
                }
                _ => "it is of a job, and no job is before it",
            }));
        };
        if rank <= self.rank {
            return Err(self.error(format!("{rank:?} does not come after {:?}", self.rank)));
        }
        self.rank = rank;
        Ok(())
    }

    fn open(&mut self, item: &Exported) {
        match item {
            Exported::Blob { digest, size_bytes } => {
                self.counts.blobs += 1;
                let (digest, size_bytes) = (*digest, *size_bytes);
                self.blob = Some(OpenBlob { digest, size_bytes, found_bytes: 0, hash: Sha256::new() });
            }
            Exported::Record(_) => self.counts.records += 1,
            Exported::Job { spec, .. } => {
                self.counts.jobs += 1;
                self.job = Some(spec.id);
            }
            Exported::Instance(_) => self.counts.instances += 1,
            Exported::Entry(_) => self.counts.entries += 1,
            Exported::Note { .. } => self.counts.notes += 1,
            Exported::Key { .. } => self.counts.keys += 1,
            Exported::Piece(_) | Exported::Broken(_) => {}
        }
    }

    fn piece(&mut self, bytes: Vec<u8>) -> Result<Exported, ReadError> {
        let Some(blob) = &mut self.blob else {
            return Err(self.error("a piece of no blob"));
        };
        blob.found_bytes += bytes.len() as u64;
        blob.hash.update(&bytes);
        if blob.found_bytes > blob.size_bytes {
            let (digest, size) = (blob.digest, blob.size_bytes);
            return Err(self.error(format!("blob {digest} has more than its {size} bytes")));
        }
        Ok(Exported::Piece(bytes))
    }

    fn end_blob(&mut self) -> Result<(), ReadError> {
        let Some(blob) = self.blob.take() else { return Ok(()) };
        let OpenBlob { digest, size_bytes, found_bytes, hash } = blob;
        if found_bytes != size_bytes {
            return Err(
                self.error(format!("blob {digest} has ended with {found_bytes} of its {size_bytes} bytes"))
            );
        }
        let found = Digest(hash.finalize().into());
        if found != digest {
            return Err(self.error(format!("the bytes of blob {digest} before have the digest {found}")));
        }
        Ok(())
    }

    fn end(&mut self, end: &End) -> Result<(), ReadError> {
        self.end_blob()?;
        let found = Digest(self.hash.clone().finalize().into());
        if end.counts != self.counts {
            return Err(self.error(format!(
                "it counts {:?}, and before it are {:?}: the file was edited",
                end.counts, self.counts
            )));
        }
        if end.sha256 != found {
            return Err(self.error(format!(
                "the lines before have the sum {found}, and not {}: the file was edited or damaged",
                end.sha256
            )));
        }
        let rest = self.input.fill_buf().map(<[u8]>::is_empty);
        if !rest.map_err(|error| self.error(format!("it cannot be read: {error}")))? {
            return Err(self.error("there is more behind the line that ends the form"));
        }
        self.is_ended = true;
        Ok(())
    }
}

fn record(record: Record) -> Exported {
    Exported::Record(Box::new(record))
}
