//! The write-ahead log: what was committed since the database was last written to its file.
//!
//! A commit is a frame at the end of the log, and one sync. The database takes it in memory, and is written to its file only
//! now and then: with the first transaction, one that finds no room in the log or is too large for it, or while no log can
//! be written; and when the store is closed. That is a checkpoint. After a crash the frames behind the last one are taken
//! into the database once more.
//!
//! Invariants:
//! - The database names the log that it needs by a random id, and none where it needs none. A log that was left behind,
//!   or is another store's, is never taken in; without the one that it names, a store does not open.
//! - Frames are numbered as transactions are. The first that is not whole, or is not the next, ends the log; where one that
//!   is whole comes later, the log is damaged. Damage of the very last frame looks like one that was never finished.
//! - A frame begins on a page of its own: writing one touches no page of another that is needed.

use std::fs::{self, OpenOptions};
use std::hash::Hasher as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;
use twox_hash::XxHash64;
use uuid::Uuid;

use super::batch::{Tables, no_rows};
use super::open::sync_folder;
use super::table::Table;
use super::trouble::io_failure_of;
use crate::store::StoreFailure;

/// Begins every log. The digit is raised when older programs cannot read what is behind it.
const MAGIC: [u8; 8] = *b"windwal1";
/// The unit in which a disk writes, at most.
const PAGE_BYTES: usize = 4096;
/// The file grows by so many bytes at once, all written, so that later commits need no room found for them.
const GROWTH_BYTES: usize = 1 << 20;
/// A log has room for as many frames. A larger transaction is written to the database at once: it would be written twice
/// for nothing.
const FRAMES_MIN: u64 = 4;
/// Number, length and sum, in front of each frame.
const HEAD_BYTES: usize = 24;
const ID_BYTES: usize = 16;

/// Which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalId([u8; ID_BYTES]);

impl WalId {
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// Where a log is kept.
pub trait WalPlace: Send + Sync {
    /// For messages.
    fn name(&self) -> String;
    /// What is there; none where nothing is.
    fn find(&self) -> io::Result<Option<Arc<dyn StorageBackend>>>;
    /// Something empty in the place of what is there. Its name is durable when this returns.
    fn make(&self) -> io::Result<Arc<dyn StorageBackend>>;
    /// Nobody needs what is there.
    fn remove(&self) -> io::Result<()>;
}

/// A file beside the database.
#[derive(Debug)]
pub(super) struct WalFile(pub PathBuf);

impl WalPlace for WalFile {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn find(&self) -> io::Result<Option<Arc<dyn StorageBackend>>> {
        match OpenOptions::new().read(true).write(true).open(&self.0) {
            Ok(file) => Ok(Some(backend(file)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make(&self) -> io::Result<Arc<dyn StorageBackend>> {
        // One that nobody needs was removed. This one may be wanted yet by a person, if by no program.
        match fs::rename(&self.0, self.0.with_added_extension("old")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&self.0)?;
        sync_folder(&self.0)?;
        backend(file)
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn backend(file: fs::File) -> io::Result<Arc<dyn StorageBackend>> {
    Ok(Arc::new(FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?))
}

/// A log that is written.
pub(super) struct Wal {
    storage: Arc<dyn StorageBackend>,
    pub id: WalId,
    /// Where the next frame begins.
    end: u64,
    /// Bytes that the file has.
    len: u64,
    len_max: u64,
    frame: Vec<u8>,
}

impl Wal {
    /// An empty one, which is durable. `len_max`: bytes.
    pub fn make(place: &dyn WalPlace, len_max: u64) -> io::Result<Self> {
        let made = place.make().and_then(|storage| Self::begin(storage, len_max));
        if made.is_err() {
            // What is left of it is only in the way.
            drop(place.remove());
        }
        made
    }

    fn begin(storage: Arc<dyn StorageBackend>, len_max: u64) -> io::Result<Self> {
        let id = WalId(*Uuid::now_v7().as_bytes());
        let mut page = [MAGIC.as_slice(), &id.0].concat();
        page.resize(PAGE_BYTES, 0);
        let len = page.len() as u64;
        storage.set_len(len)?;
        storage.write(0, &page)?;
        storage.sync_data()?;
        Ok(Self { storage, id, end: len, len, len_max, frame: Vec::new() })
    }

    /// Makes the frame of a transaction; false where there is no room for it. `bytes`: of its rows, at least.
    pub fn stage(&mut self, number: u64, tables: &Tables, bytes: usize) -> bool {
        let len_max = (self.len_max / FRAMES_MIN).min(self.len_max - self.end);
        if bytes as u64 > len_max {
            return false;
        }
        encode(&mut self.frame, self.id, number, tables);
        self.frame.len() as u64 <= len_max
    }

    /// Appends the frame that was made last. Durable when this returns.
    pub fn append(&mut self) -> io::Result<()> {
        let len = self.frame.len() as u64;
        self.grow(self.end + len)?;
        self.storage.write(self.end, &self.frame)?;
        self.storage.sync_data()?;
        self.end += len;
        Ok(())
    }

    /// All that it holds is in the database's file.
    pub fn restart(&mut self) {
        self.end = PAGE_BYTES as u64;
    }

    fn grow(&mut self, len_min: u64) -> io::Result<()> {
        if len_min <= self.len {
            return Ok(());
        }
        let len = len_min.next_multiple_of(GROWTH_BYTES as u64).min(self.len_max).max(len_min);
        self.storage.set_len(len)?;
        // Page by page: what is written at once is kept as one large page by the system, which looks at all of it for each
        // later sync.
        for from in (self.len..len).step_by(PAGE_BYTES) {
            let part = (len - from).min(PAGE_BYTES as u64) as usize;
            self.storage.write(from, &[0; PAGE_BYTES][..part])?;
        }
        self.len = len;
        Ok(())
    }
}

/// The rows of all whole frames behind transaction `after` in this log, the later over the earlier. `id`: of the log that is
/// needed; `name`: for messages.
pub(super) fn rows_behind(
    storage: &dyn StorageBackend,
    name: &str,
    id: WalId,
    after: u64,
) -> Result<Tables, StoreFailure> {
    let failed =
        |error: io::Error| io_failure_of(&io::Error::new(error.kind(), format!("its log {name}: {error}")));
    let len = storage.len().map_err(failed)?;
    let mut page = vec![0; PAGE_BYTES];
    if len >= PAGE_BYTES as u64 {
        storage.read(0, &mut page).map_err(failed)?;
    }
    if !page.starts_with(&[MAGIC.as_slice(), &id.0].concat()) {
        return Err(gone(name, "is another"));
    }
    let mut tables = no_rows();
    let (mut from, mut next) = (PAGE_BYTES as u64, after + 1);
    while let Some(frame) = read_frame(storage, len, from).map_err(failed)? {
        // What is behind the last frame is what was there before it.
        let Some(body) = body_of(&frame, id, next) else { break };
        let unknown = || format!("frame {next} of its write-ahead log, {name}, is of no known form");
        decode(body, &mut tables).ok_or_else(|| StoreFailure::Corrupt(unknown()))?;
        from += frame.len() as u64;
        next += 1;
    }
    for later in (from..len).step_by(PAGE_BYTES) {
        let found = read_frame(storage, len, later).map_err(failed)?;
        // Those of an earlier round have lower numbers.
        let number = found.as_deref().map(|frame| u64::from_be_bytes(part(frame, 0)));
        if let (Some(frame), Some(number)) = (found, number.filter(|number| *number > next))
            && body_of(&frame, id, number).is_some()
        {
            return Err(StoreFailure::Corrupt(format!(
                "its write-ahead log, {name}, is damaged: frame {next} is not whole, and frame {number} is there"
            )));
        }
    }
    storage.close().map_err(failed)?;
    Ok(tables)
}

/// Why a store does not open without its log.
pub(super) fn gone(name: &str, what: &str) -> StoreFailure {
    StoreFailure::Corrupt(format!(
        "what was committed last is in its write-ahead log, and {name} {what}: put the log back that was beside the store"
    ))
}

/// The pages that a frame at this place would have; none where there is not room for it.
fn read_frame(storage: &dyn StorageBackend, len: u64, from: u64) -> io::Result<Option<Vec<u8>>> {
    if from + HEAD_BYTES as u64 > len {
        return Ok(None);
    }
    let mut head = [0; HEAD_BYTES];
    storage.read(from, &mut head)?;
    let body_len = u64::from_be_bytes(part(&head, 8));
    let frame_len =
        body_len.checked_add(HEAD_BYTES as u64).map(|len| len.next_multiple_of(PAGE_BYTES as u64));
    let Some(frame_len) = frame_len.filter(|frame_len| *frame_len <= len - from) else { return Ok(None) };
    let mut frame = vec![0; frame_len as usize];
    storage.read(from, &mut frame)?;
    Ok(Some(frame))
}

/// What is in a frame of this number; none where it is not one, or not whole.
fn body_of(frame: &[u8], id: WalId, number: u64) -> Option<&[u8]> {
    let (head, rest) = frame.split_at_checked(HEAD_BYTES)?;
    let body = rest.get(..usize::try_from(u64::from_be_bytes(part(head, 8))).ok()?)?;
    let is_it = u64::from_be_bytes(part(head, 0)) == number
        && u64::from_be_bytes(part(head, 16)) == sum(id, number, body);
    is_it.then_some(body)
}

fn part(bytes: &[u8], from: usize) -> [u8; 8] {
    let mut part = [0; 8];
    part.copy_from_slice(&bytes[from..from + 8]);
    part
}

fn sum(id: WalId, number: u64, body: &[u8]) -> u64 {
    let mut hasher = XxHash64::with_seed(number);
    hasher.write(&id.0);
    hasher.write(&(body.len() as u64).to_be_bytes());
    hasher.write(body);
    hasher.finish()
}

/// The frame of a transaction: for each table its name, how many rows, and of each its key and what it becomes.
fn encode(frame: &mut Vec<u8>, id: WalId, number: u64, tables: &Tables) {
    frame.clear();
    frame.resize(HEAD_BYTES, 0);
    for (table, rows) in Table::ALL.into_iter().zip(tables).filter(|(_, rows)| !rows.is_empty()) {
        put(frame, table.name().as_bytes());
        frame.extend_from_slice(&(rows.len() as u32).to_be_bytes());
        for (key, row) in rows {
            put(frame, key);
            frame.push(row.is_some().into());
            put(frame, row.as_deref().unwrap_or_default());
        }
    }
    let body = &frame[HEAD_BYTES..];
    let head = [number, body.len() as u64, sum(id, number, body)].map(u64::to_be_bytes);
    frame[..HEAD_BYTES].copy_from_slice(head.as_flattened());
    frame.resize(frame.len().next_multiple_of(PAGE_BYTES), 0);
}

/// With its length in front. A row is bounded by what a transaction may have, far below 4 GiB.
fn put(frame: &mut Vec<u8>, bytes: &[u8]) {
    frame.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    frame.extend_from_slice(bytes);
}

/// None where it is of no known form.
fn decode(mut body: &[u8], tables: &mut Tables) -> Option<()> {
    while !body.is_empty() {
        let name = take(&mut body)?;
        let table = Table::ALL.into_iter().find(|table| table.name().as_bytes() == name)?;
        for _ in 0..take_number(&mut body)? {
            let key = take(&mut body)?.to_vec();
            let (is_there, rest) = body.split_first()?;
            body = rest;
            let row = take(&mut body)?.to_vec();
            let row = match is_there {
                0 => None,
                1 => Some(row),
                _ => return None,
            };
            tables[table as usize].insert(key, row);
        }
    }
    Some(())
}

fn take<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_number(body)?;
    let (taken, rest) = body.split_at_checked(len)?;
    *body = rest;
    Some(taken)
}

fn take_number(body: &mut &[u8]) -> Option<usize> {
    let (number, rest) = body.split_first_chunk::<4>()?;
    *body = rest;
    Some(u32::from_be_bytes(*number) as usize)
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    /// Bytes that are there as long as the test.
    struct Memory(Arc<dyn StorageBackend>);

    impl WalPlace for Memory {
        fn name(&self) -> String {
            "memory".to_owned()
        }

        fn find(&self) -> io::Result<Option<Arc<dyn StorageBackend>>> {
            Ok(Some(self.0.clone()))
        }

        fn make(&self) -> io::Result<Arc<dyn StorageBackend>> {
            self.0.set_len(0)?;
            Ok(self.0.clone())
        }

        fn remove(&self) -> io::Result<()> {
            self.0.set_len(0)
        }
    }

    fn memory() -> Memory {
        Memory(Arc::new(InMemoryBackend::new()))
    }

    /// A row, or that there is none.
    type Row<'a> = (Table, &'a [u8], Option<&'a [u8]>);

    fn rows(rows: &[Row<'_>]) -> Tables {
        let mut tables = no_rows();
        for (table, key, row) in rows {
            tables[*table as usize].insert(key.to_vec(), row.map(<[u8]>::to_vec));
        }
        tables
    }

    fn behind(place: &Memory, id: WalId, after: u64) -> Result<Tables, StoreFailure> {
        rows_behind(place.0.as_ref(), "memory", id, after)
    }

    fn append(wal: &mut Wal, number: u64, tables: &Tables) {
        assert!(wal.stage(number, tables, 0), "there is room");
        wal.append().expect("memory does not fail");
    }

    #[test]
    fn what_is_behind_a_transaction_comes_back_the_later_over_the_earlier() {
        let place = memory();
        let mut wal = Wal::make(&place, 1 << 20).expect("made");
        let large = vec![7; 9_000];
        append(&mut wal, 1, &rows(&[(Table::Status, b"a", Some(b"1")), (Table::Due, b"a", Some(b""))]));
        append(&mut wal, 2, &rows(&[(Table::Status, b"a", Some(b"2")), (Table::Spec, b"b", Some(&large))]));
        append(&mut wal, 3, &rows(&[(Table::Due, b"a", None)]));
        let all = rows(&[
            (Table::Status, b"a", Some(b"2")),
            (Table::Spec, b"b", Some(&large)),
            (Table::Due, b"a", None),
        ]);
        assert_eq!(behind(&place, wal.id, 0).expect("readable"), all);
        // After the last there is nothing.
        assert_eq!(behind(&place, wal.id, 3).expect("readable"), rows(&[]));
    }

    #[test]
    fn a_frame_that_was_written_over_is_none() {
        let place = memory();
        let mut wal = Wal::make(&place, 1 << 20).expect("made");
        for number in 1..=4 {
            append(&mut wal, number, &rows(&[(Table::Status, b"a", Some(&[number as u8]))]));
        }
        wal.restart();
        assert_eq!(behind(&place, wal.id, 4).expect("readable"), rows(&[]));
        append(&mut wal, 5, &rows(&[(Table::Status, b"b", Some(b"5"))]));
        assert_eq!(
            behind(&place, wal.id, 4).expect("readable"),
            rows(&[(Table::Status, b"b", Some(b"5"))]),
            "what is behind it is of the round before"
        );
    }

    #[test]
    fn a_frame_with_any_byte_changed_ends_the_log() {
        let place = memory();
        let mut wal = Wal::make(&place, 1 << 20).expect("made");
        append(&mut wal, 1, &rows(&[(Table::Status, b"a", Some(b"1"))]));
        let (first, from) = (rows(&[(Table::Status, b"a", Some(b"1"))]), wal.end);
        append(&mut wal, 2, &rows(&[(Table::Status, b"a", Some(b"2")), (Table::Claim, b"c", None)]));
        let used = u64::from_be_bytes({
            let mut len = [0; 8];
            place.0.read(from + 8, &mut len).expect("readable");
            len
        });
        for at in from..from + HEAD_BYTES as u64 + used {
            let mut byte = [0];
            place.0.read(at, &mut byte).expect("readable");
            place.0.write(at, &[byte[0] ^ 0x10]).expect("written");
            assert_eq!(behind(&place, wal.id, 0).expect("readable"), first, "byte {at}");
            place.0.write(at, &byte).expect("written");
        }
        assert_ne!(behind(&place, wal.id, 0).expect("readable"), first);
        // With another behind it, it is damage.
        append(&mut wal, 3, &rows(&[(Table::Status, b"a", Some(b"3"))]));
        place.0.write(from, &[0xFF]).expect("written");
        let refused = behind(&place, wal.id, 0).expect_err("damaged");
        assert!(refused.to_string().contains("frame 2 is not whole, and frame 3 is there"), "{refused}");
    }

    #[test]
    fn a_full_log_and_a_large_transaction_are_told() {
        let mut wal = Wal::make(&memory(), 4 * PAGE_BYTES as u64).expect("made");
        let small = rows(&[(Table::Status, b"a", Some(b"1"))]);
        assert!(!wal.stage(1, &rows(&[(Table::Spec, b"a", Some(&[1; PAGE_BYTES]))]), 0), "it is too large");
        for number in 1..=3 {
            append(&mut wal, number, &small);
        }
        assert!(!wal.stage(4, &small, 0), "it is full");
        assert!(!wal.stage(4, &small, PAGE_BYTES + 1), "it is told to be too large");
        wal.restart();
        assert!(wal.stage(4, &small, 0));
    }

    #[test]
    fn another_log_is_not_taken_for_it() {
        let place = memory();
        let id = Wal::make(&place, 1 << 20).expect("made").id;
        behind(&place, id, 0).expect("it is there");
        let other = Wal::make(&memory(), 1 << 20).expect("made").id;
        let refused = behind(&place, other, 0).expect_err("another");
        assert!(refused.to_string().contains("memory is another: put the log back"), "{refused}");
        place.remove().expect("removed");
        behind(&place, id, 0).expect_err("it is gone");
    }
}
