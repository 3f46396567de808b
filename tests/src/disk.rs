//! A disk that fails as told: an error at the n-th operation, no room, a sync that loses what it should have kept,
//! a power cut that keeps any part of what was not synced. A store and its write-ahead log are on it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use windlass_host::store::{OpenError, QUICK_REPAIR_FROM_BYTES, RedbStore, Reserve, WalPlace};

/// What a power cut may tear a write into.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails, once.
    Once,
    /// It and all that follow fail: the power is cut.
    PowerCut,
    /// The operation fails, and so do this many syncs after it.
    WithSyncs(u64),
}

/// The files on the disk.
const DATABASE: usize = 0;
const WAL: usize = 1;

/// Room for three small transactions: the fourth is a checkpoint.
const WAL_BYTES_MAX: u64 = 4 * 4096;

#[derive(Debug, Default)]
struct Contents {
    files: [File; 2],
    is_wal_made: bool,
    /// Operations that change something, so far.
    operations: u64,
    fault: Option<(u64, Fault)>,
    /// Syncs that fail before one does not.
    failing_syncs: u64,
    is_dead: bool,
    capacity_bytes: Option<usize>,
    failed_syncs: u64,
    /// The reserve was given to the store.
    is_released: bool,
}

#[derive(Debug, Default)]
struct File {
    /// What readers see.
    cached: Vec<u8>,
    /// What is there after a power cut.
    durable: Vec<u8>,
    /// Written since the last sync.
    dirty: Vec<(usize, usize)>,
}

/// What the store keeps free for bad times.
const RESERVE_BYTES: usize = 4 * 1024 * 1024;

/// The reserve on a disk.
#[derive(Debug)]
pub struct DiskReserve(Disk);

impl Reserve for DiskReserve {
    fn release(&self) {
        let mut contents = self.0.contents();
        if !std::mem::replace(&mut contents.is_released, true) {
            contents.capacity_bytes = contents.capacity_bytes.map(|capacity| capacity + RESERVE_BYTES);
        }
    }

    fn refill(&self) -> io::Result<()> {
        let mut contents = self.0.contents();
        if contents.is_released && contents.capacity_bytes.is_some() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        contents.is_released = false;
        Ok(())
    }
}

/// Shared with the store that is on it, and with those that open it later.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<Contents>>);

/// A file of a disk.
#[derive(Debug)]
struct Opened {
    disk: Disk,
    file: usize,
}

impl Disk {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store on it, with a log that is soon full.
    pub fn open(&self) -> Result<RedbStore, OpenError> {
        self.open_with_wal_of(WAL_BYTES_MAX)
    }

    /// Likewise, with a log of at most so many bytes.
    pub fn open_with_wal_of(&self, bytes: u64) -> Result<RedbStore, OpenError> {
        self.open_as(bytes, QUICK_REPAIR_FROM_BYTES)
    }

    /// Likewise, as a file of so many bytes is kept that is trusted after a crash.
    pub fn open_as(&self, wal_bytes: u64, quick_repair_from_bytes: u64) -> Result<RedbStore, OpenError> {
        let disk = self.clone();
        let wal: Box<dyn WalPlace> = Box::new(DiskWal(self.clone()));
        let reserve = Box::new(DiskReserve(self.clone()));
        let make = move || disk.file(DATABASE);
        RedbStore::open_with_backend(make, quick_repair_from_bytes, Some((wal, wal_bytes)), Some(reserve))
    }

    fn file(&self, file: usize) -> io::Result<Arc<dyn StorageBackend>> {
        if self.contents().is_dead {
            return Err(io::Error::other("the power is cut"));
        }
        Ok(Arc::new(Opened { disk: self.clone(), file }))
    }

    /// Puts the log of another disk in the place of its own; none: it has none any more.
    pub fn set_wal(&self, other: Option<&Self>) {
        let found = other.map(|other| other.contents().files[WAL].durable.clone());
        let mut contents = self.contents();
        contents.is_wal_made = found.is_some();
        let durable = found.unwrap_or_default();
        contents.files[WAL] = File { cached: durable.clone(), durable, dirty: Vec::new() };
    }

    pub fn operations(&self) -> u64 {
        self.contents().operations
    }

    pub fn failed_syncs(&self) -> u64 {
        self.contents().failed_syncs
    }

    /// Fails the n-th operation from now on, counted from 0.
    pub fn fail(&self, n: u64, fault: Fault) {
        let mut contents = self.contents();
        contents.fault = Some((contents.operations + n, fault));
    }

    /// Room for no more than what is there, or for everything.
    pub fn set_full(&self, is_full: bool) {
        let mut contents = self.contents();
        contents.capacity_bytes = is_full.then_some(contents.len());
    }

    /// Power again, on what was durable and a part of the rest that `seed` chooses.
    pub fn restart(&self, seed: u64) {
        let mut contents = self.contents();
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for file in &mut contents.files {
            let len = file.cached.len();
            file.durable.resize(len, 0);
            for (offset, len) in std::mem::take(&mut file.dirty) {
                let end = (offset + len).min(file.cached.len());
                for sector in (offset..end).step_by(SECTOR_BYTES) {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    if seed != 0 && random & 1 == 0 {
                        let range = sector..(sector + SECTOR_BYTES).min(end);
                        file.durable[range.clone()].copy_from_slice(&file.cached[range]);
                    }
                }
            }
            file.cached = file.durable.clone();
        }
        contents.is_dead = false;
        contents.fault = None;
        contents.failing_syncs = 0;
        contents.capacity_bytes = None;
    }
}

/// The log on a disk.
struct DiskWal(Disk);

impl WalPlace for DiskWal {
    fn name(&self) -> String {
        "the log on the disk".to_owned()
    }

    fn find(&self) -> io::Result<Option<Arc<dyn StorageBackend>>> {
        let is_made = self.0.contents().is_wal_made;
        is_made.then(|| self.0.file(WAL)).transpose()
    }

    fn make(&self) -> io::Result<Arc<dyn StorageBackend>> {
        let mut contents = self.0.contents();
        contents.begin()?;
        contents.is_wal_made = true;
        // Until it is synced, what was there may come back.
        contents.files[WAL].cached.clear();
        drop(contents);
        self.0.file(WAL)
    }

    fn remove(&self) -> io::Result<()> {
        let mut contents = self.0.contents();
        contents.begin()?;
        contents.is_wal_made = false;
        contents.files[WAL] = File::default();
        Ok(())
    }
}

impl Contents {
    fn len(&self) -> usize {
        self.files.iter().map(|file| file.cached.len()).sum()
    }

    /// Counts an operation, and fails it where it is to fail.
    fn begin(&mut self) -> io::Result<()> {
        let n = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, Fault::Once)) if at == n => {
                self.fault = None;
                return Err(io::Error::other("the disk failed"));
            }
            Some((at, Fault::WithSyncs(count))) if at == n => {
                self.fault = None;
                self.failing_syncs = count;
                return Err(io::Error::other("the disk failed"));
            }
            Some((at, Fault::PowerCut)) if n >= at => self.is_dead = true,
            _ => {}
        }
        if self.is_dead { Err(io::Error::other("the power is cut")) } else { Ok(()) }
    }
}

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.contents().files[self.file].cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let contents = self.disk.contents();
        if contents.is_dead {
            return Err(io::Error::other("the power is cut"));
        }
        let offset = offset as usize;
        let found = contents.files[self.file].cached.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut contents = self.disk.contents();
        contents.begin()?;
        let others = contents.len() - contents.files[self.file].cached.len();
        if contents.capacity_bytes.is_some_and(|capacity| others + len as usize > capacity) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        contents.files[self.file].cached.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.disk.contents();
        let mut begun = contents.begin();
        if begun.is_ok() && contents.failing_syncs > 0 {
            contents.failing_syncs -= 1;
            begun = Err(io::Error::other("the disk failed again"));
        }
        if let Err(error) = begun {
            // As Linux does: what was to be written counts as clean, and is not on the disk.
            contents.failed_syncs += 1;
            if !contents.is_dead {
                contents.files[self.file].dirty.clear();
            }
            return Err(error);
        }
        let File { cached, durable, dirty } = &mut contents.files[self.file];
        durable.resize(cached.len(), 0);
        for (offset, len) in dirty.drain(..) {
            let range = offset..(offset + len).min(cached.len());
            durable[range.clone()].copy_from_slice(&cached[range]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut contents = self.disk.contents();
        contents.begin()?;
        let offset = offset as usize;
        let file = &mut contents.files[self.file];
        let target = file.cached.get_mut(offset..offset + data.len());
        target.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?.copy_from_slice(data);
        file.dirty.push((offset, data.len()));
        Ok(())
    }
}
