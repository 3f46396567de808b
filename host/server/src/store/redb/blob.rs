//! Blobs: bytes under their sha256, in chunks over many transactions.
//!
//! Invariant: a head is written when all of its chunks are stored, and removed before the first of them.

use serde::{Deserialize, Serialize};
use windlass_core::id::Digest;

use super::batch::Batch;
use super::codec;
use super::key;
use super::settings::{CHUNK_BYTES, REMOVED_CHUNKS_MAX};
use super::snapshot::Snapshot;
use super::table::Table;
use crate::store::StoreFailure;

/// Bytes of a digest, and so where the number of a chunk begins in its key.
const DIGEST_BYTES: usize = 32;

/// What of a blob one transaction writes.
#[derive(Debug)]
pub(super) enum BlobChange {
    Chunk {
        digest: Digest,
        number: u32,
        bytes: Vec<u8>,
    },
    Head {
        digest: Digest,
        head: Head,
    },
    /// The head, and some chunks from the end; repeated until `is_gone`.
    Remove {
        digest: Digest,
    },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Head {
    pub size_bytes: u64,
    pub chunks: u32,
}

/// The chunks of a blob, and its head.
pub(super) fn parts(bytes: &[u8]) -> Result<(impl Iterator<Item = (u32, &[u8])>, Head), StoreFailure> {
    let chunks = u32::try_from(bytes.len().div_ceil(CHUNK_BYTES))
        .map_err(|_| StoreFailure::Down(format!("a blob of {} bytes has too many chunks", bytes.len())))?;
    let head = Head { size_bytes: bytes.len() as u64, chunks };
    Ok(((0..chunks).zip(bytes.chunks(CHUNK_BYTES)), head))
}

impl Batch {
    pub fn blob(&mut self, change: &BlobChange) -> Result<(), StoreFailure> {
        match change {
            BlobChange::Chunk { digest, number, bytes } => {
                self.put(Table::BlobChunk, key::chunk(*digest, *number), bytes.clone());
                Ok(())
            }
            BlobChange::Head { digest, head } => self.head(*digest, head),
            BlobChange::Remove { digest } => self.remove_blob(*digest),
        }
    }

    fn head(&mut self, digest: Digest, head: &Head) -> Result<(), StoreFailure> {
        let stored = self.keys(Table::BlobChunk, &digest.0, None, usize::MAX)?;
        if stored.len() != head.chunks as usize {
            return Err(StoreFailure::Down(format!(
                "blob {digest} was removed while it was written; try again"
            )));
        }
        self.put_row(Table::BlobHead, digest.0.to_vec(), head)
    }

    fn remove_blob(&mut self, digest: Digest) -> Result<(), StoreFailure> {
        self.remove(Table::BlobHead, digest.0.to_vec());
        for key in self.keys(Table::BlobChunk, &digest.0, None, REMOVED_CHUNKS_MAX as usize)? {
            self.remove(Table::BlobChunk, key);
        }
        Ok(())
    }
}

pub(super) fn is_stored(snapshot: &Snapshot, digest: Digest) -> Result<bool, StoreFailure> {
    Ok(snapshot.get(Table::BlobHead, &digest.0)?.is_some())
}

/// Neither head nor chunk is left.
pub(super) fn is_gone(snapshot: &Snapshot, digest: Digest) -> Result<bool, StoreFailure> {
    let mut is_gone = !is_stored(snapshot, digest)?;
    snapshot.scan_prefix(Table::BlobChunk, &digest.0, |_, _| {
        is_gone = false;
        Ok(false)
    })?;
    Ok(is_gone)
}

/// The bytes, which are what was written: their digest says so.
pub(super) fn read(snapshot: &Snapshot, digest: Digest) -> Result<Option<Vec<u8>>, StoreFailure> {
    let Some(head) = snapshot.row::<Head>(Table::BlobHead, &digest.0)? else { return Ok(None) };
    // The size is stored data: it must not make this allocate more than the chunks hold.
    let most = u64::from(head.chunks) * CHUNK_BYTES as u64;
    let mut bytes = Vec::with_capacity(usize::try_from(head.size_bytes.min(most)).unwrap_or(0));
    snapshot.scan_prefix(Table::BlobChunk, &digest.0, |_, chunk| {
        bytes.extend_from_slice(chunk);
        Ok(true)
    })?;
    if Digest::of(&bytes) == digest {
        Ok(Some(bytes))
    } else {
        let what = format_args!("blob {digest}: the {} bytes found have another digest", bytes.len());
        Err(codec::corrupt(Table::BlobChunk, &digest.0, what))
    }
}

/// Keys of chunks without a head: an upload was interrupted, and not repeated.
pub(super) fn orphans(snapshot: &Snapshot) -> Result<Vec<Vec<u8>>, StoreFailure> {
    let mut orphans = Vec::new();
    let mut from: Option<Vec<u8>> = Some(Vec::new());
    while let Some(start) = from.take() {
        let mut found = None;
        let range = (std::ops::Bound::Included(start.as_slice()), std::ops::Bound::Unbounded);
        snapshot.scan(Table::BlobChunk, range, |key, _| {
            found = key.get(..DIGEST_BYTES).map(<[u8]>::to_vec);
            Ok(false)
        })?;
        let Some(digest) = found else { break };
        if snapshot.get(Table::BlobHead, &digest)?.is_none() {
            snapshot.scan_prefix(Table::BlobChunk, &digest, |key, _| {
                orphans.push(key.to_vec());
                Ok(true)
            })?;
        }
        from = key::after_prefix(&digest);
    }
    Ok(orphans)
}
