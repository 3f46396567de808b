//! Blobs: bytes under their sha256, in chunks over many transactions.
//!
//! Invariant: a blob's row is written when all of its chunks are stored, and removed before the first of them. Blobs do
//! not go through the writer: whoever writes one again writes the same.

use windlass_core::id::Digest;

use super::connection::Readers;
use super::row::corrupt;
use super::settings::CHUNK_BYTES;
use crate::store::StoreFailure;

pub(super) async fn put(readers: &Readers, digest: Digest, bytes: Vec<u8>) -> Result<(), StoreFailure> {
    if Digest::of(&bytes) != digest {
        return Err(StoreFailure::Corrupt(format!("the bytes to be stored are not blob {digest}")));
    }
    if is_stored(readers, digest).await? {
        return Ok(());
    }
    let too_many = || StoreFailure::Down(format!("a blob of {} bytes has too many chunks", bytes.len()));
    let chunks = i32::try_from(bytes.len().div_ceil(CHUNK_BYTES)).map_err(|_| too_many())?;
    let chunk = "INSERT INTO blob_chunk (digest, number, bytes) VALUES ($1, $2, $3) \
         ON CONFLICT (digest, number) DO UPDATE SET bytes = excluded.bytes, written = now()";
    for (number, part) in (0..chunks).zip(bytes.chunks(CHUNK_BYTES)) {
        readers.rows(chunk, &[&digest.0.as_slice(), &number, &part]).await?;
    }
    let size = i64::try_from(bytes.len()).map_err(|_| too_many())?;
    let head = "INSERT INTO blob (digest, size_bytes, chunks) SELECT $1::bytea, $2::int8, $3::int4 \
         WHERE (SELECT count(*) FROM blob_chunk WHERE digest = $1) = $3::int4 \
         ON CONFLICT (digest) DO UPDATE SET size_bytes = excluded.size_bytes RETURNING digest";
    if readers.rows(head, &[&digest.0.as_slice(), &size, &chunks]).await?.is_empty() {
        return Err(StoreFailure::Down(format!("blob {digest} was removed while it was written; try again")));
    }
    Ok(())
}

async fn is_stored(readers: &Readers, digest: Digest) -> Result<bool, StoreFailure> {
    let rows = readers.rows("SELECT 1 FROM blob WHERE digest = $1", &[&digest.0.as_slice()]).await?;
    Ok(!rows.is_empty())
}

/// The bytes, which are what was written: their digest says so.
pub(super) async fn read(readers: &Readers, digest: Digest) -> Result<Option<Vec<u8>>, StoreFailure> {
    let key = digest.0.as_slice();
    let head = readers.rows("SELECT chunks, size_bytes FROM blob WHERE digest = $1", &[&key]).await?;
    let Some(head) = head.first() else { return Ok(None) };
    let chunks: i32 = head.get(0);
    let mut bytes = Vec::new();
    for number in 0..chunks {
        let chunk = "SELECT bytes FROM blob_chunk WHERE digest = $1 AND number = $2";
        let rows = readers.rows(chunk, &[&key, &number]).await?;
        match rows.first() {
            Some(row) => bytes.extend_from_slice(row.get(0)),
            // Removed meanwhile, or missing: the digest tells.
            None if !is_stored(readers, digest).await? => return Ok(None),
            None => return Err(corrupt("blob_chunk", digest, format_args!("chunk {number} is missing"))),
        }
    }
    if Digest::of(&bytes) == digest {
        Ok(Some(bytes))
    } else {
        let what = format_args!("the {} bytes found have another digest", bytes.len());
        Err(corrupt("blob_chunk", digest, what))
    }
}

pub(super) async fn remove(readers: &Readers, digest: Digest) -> Result<(), StoreFailure> {
    let key = digest.0.as_slice();
    readers.rows("DELETE FROM blob WHERE digest = $1", &[&key]).await?;
    readers.rows("DELETE FROM blob_chunk WHERE digest = $1", &[&key]).await?;
    Ok(())
}
