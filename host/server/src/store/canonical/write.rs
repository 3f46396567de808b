//! Writing the canonical form: items in, lines out.
//!
//! Invariant: what a writer ends can be read. Items that are out of order, or a line that is too long, are refused
//! here and not by the reader years later.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use windlass_core::id::{Digest, JobId};

use super::line::{BlobLine, Bytes, Counts, End, First, JobLine, KeyLine, Line, NoteLine};
use super::{FORMAT, LINE_BYTES_MAX, PIECE_BYTES, VERSION};
use crate::store::{Exported, Rank, Record};

/// What a store should not have sent: a fault of the store, or rows that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("the store cannot be written down whole: {0}")]
    Broken(String),
    #[error("{what} does not come after {before:?}")]
    Disorder { what: String, before: Rank },
    #[error("an item behind {rank:?} has {bytes} bytes, and a line holds at most {LINE_BYTES_MAX}")]
    TooLong { rank: Rank, bytes: usize },
}

/// See the module.
pub struct Writer {
    rank: Rank,
    job: Option<JobId>,
    flow: Option<Digest>,
    /// What of the blob has no line yet.
    piece: Vec<u8>,
    /// What the blob said of itself, and its bytes so far.
    blob: Option<(Digest, u64, u64)>,
    counts: Counts,
    hash: Sha256,
    out: Vec<u8>,
}

impl Writer {
    /// A form with its first line.
    pub fn begin() -> Self {
        let mut writer = Self {
            rank: Rank::Start,
            job: None,
            flow: None,
            piece: Vec::new(),
            blob: None,
            counts: Counts::default(),
            hash: Sha256::new(),
            out: Vec::new(),
        };
        let first = First { format: FORMAT.to_owned(), version: VERSION };
        writer.line(&first).expect("the first line is short");
        writer
    }

    /// Takes the next item.
    pub fn write(&mut self, item: Exported) -> Result<(), WriteError> {
        if let Exported::Broken(what) = item {
            return Err(WriteError::Broken(what));
        }
        if let Exported::Piece(bytes) = item {
            return self.take_piece(&bytes);
        }
        self.end_blob()?;
        self.check_order(&item)?;
        match item {
            Exported::Blob { digest, size_bytes } => {
                self.counts.blobs += 1;
                self.blob = Some((digest, size_bytes, 0));
                self.line(&Line::Blob(BlobLine { digest, size_bytes }))
            }
            Exported::Record(record) => self.record(*record),
            Exported::Job { spec, flow, status } => {
                self.counts.jobs += 1;
                self.job = Some(spec.id);
                if self.flow != Some(spec.flow) {
                    self.flow = Some(spec.flow);
                    self.line(&Line::Flow(flow))?;
                }
                self.line(&Line::Job(Box::new(JobLine { spec, status })))
            }
            Exported::Instance(instance) => {
                self.counts.instances += 1;
                self.line(&Line::Instance(instance))
            }
            Exported::Entry(entry) => {
                self.counts.entries += 1;
                self.line(&Line::Entry(entry))
            }
            Exported::Note { task, name, value } => {
                self.counts.notes += 1;
                self.line(&Line::Note(NoteLine { task, name, value: Bytes(value) }))
            }
            Exported::Key { key, taken, job } => {
                self.counts.keys += 1;
                self.line(&Line::Key(KeyLine { unique: key, taken, job }))
            }
            Exported::Piece(_) | Exported::Broken(_) => Ok(()),
        }
    }

    /// Bytes that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// The bytes since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The last bytes, and what the form holds.
    pub fn end(mut self) -> Result<(Vec<u8>, Counts), WriteError> {
        self.end_blob()?;
        let sha256 = Digest(self.hash.clone().finalize().into());
        let end = End { counts: self.counts, sha256 };
        self.line(&Line::End(end))?;
        Ok((self.out, self.counts))
    }

    fn check_order(&mut self, item: &Exported) -> Result<(), WriteError> {
        let job = self.job.filter(|_| matches!(self.rank, Rank::Job(..)));
        match item.rank(job) {
            Some(rank) if rank > self.rank => {
                self.rank = rank;
                Ok(())
            }
            Some(rank) => Err(WriteError::Disorder { what: format!("{rank:?}"), before: self.rank.clone() }),
            None => {
                let what = "an item of a job, or a key with or without a time,".to_owned();
                Err(WriteError::Disorder { what, before: self.rank.clone() })
            }
        }
    }

    fn record(&mut self, record: Record) -> Result<(), WriteError> {
        self.counts.records += 1;
        let line = match record {
            Record::Plugin(plugin) => Line::Plugin(Box::new(plugin)),
            Record::Trigger(trigger) => Line::Trigger(Box::new(trigger)),
            Record::Operation(operation) => Line::Operation(Box::new(operation)),
            Record::Host(host) => Line::Host(host),
            Record::Flow(flow) => Line::NamedFlow(Box::new(flow)),
            Record::FlowRevision(revision) => Line::FlowRevision(Box::new(revision)),
            Record::Import(import) => {
                let what = format!("an import that began at {} has not ended", import.began);
                return Err(WriteError::Broken(what));
            }
        };
        self.line(&line)
    }

    fn take_piece(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        let Some((_, _, found)) = &mut self.blob else {
            let what = "a piece of no blob".to_owned();
            return Err(WriteError::Disorder { what, before: self.rank.clone() });
        };
        *found += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.piece.len();
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(part);
            bytes = rest;
            if self.piece.len() == PIECE_BYTES {
                self.piece_line()?;
            }
        }
        Ok(())
    }

    fn piece_line(&mut self) -> Result<(), WriteError> {
        let piece = std::mem::take(&mut self.piece);
        self.line(&Line::Piece(Bytes(piece)))
    }

    fn end_blob(&mut self) -> Result<(), WriteError> {
        let Some((digest, size_bytes, found)) = self.blob.take() else { return Ok(()) };
        if found != size_bytes {
            let what = format!("blob {digest} has {found} bytes, and its head says {size_bytes}");
            return Err(WriteError::Broken(what));
        }
        if self.piece.is_empty() { Ok(()) } else { self.piece_line() }
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), WriteError> {
        let begin = self.out.len();
        serde_json::to_writer(&mut self.out, line)
            .map_err(|error| WriteError::Broken(format!("an item behind {:?}: {error}", self.rank)))?;
        self.out.push(b'\n');
        let bytes = self.out.len() - begin;
        if bytes > LINE_BYTES_MAX {
            return Err(WriteError::TooLong { rank: self.rank.clone(), bytes });
        }
        self.hash.update(&self.out[begin..]);
        Ok(())
    }
}
