//! A disk that fails as told: an error at the n-th operation, no room, a sync that loses what it should have kept,
//! a power cut that keeps any part of what was not synced.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use windlass_host::store::Reserve;

/// What a power cut may tear a write into.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails, once.
    Once,
    /// It and all that follow fail: the power is cut.
    PowerCut,
}

#[derive(Debug, Default)]
struct Contents {
    /// What readers see.
    cached: Vec<u8>,
    /// What is there after a power cut.
    durable: Vec<u8>,
    /// Written since the last sync.
    dirty: Vec<(usize, usize)>,
    /// Operations that change something, so far.
    operations: u64,
    fault: Option<(u64, Fault)>,
    is_dead: bool,
    capacity_bytes: Option<usize>,
    failed_syncs: u64,
    /// The reserve was given to the store.
    is_released: bool,
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

impl Disk {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open(&self) -> io::Result<Arc<dyn StorageBackend>> {
        if self.contents().is_dead {
            return Err(io::Error::other("the power is cut"));
        }
        Ok(Arc::new(self.clone()))
    }

    pub fn reserve(&self) -> DiskReserve {
        DiskReserve(self.clone())
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
        contents.capacity_bytes = is_full.then_some(contents.cached.len());
    }

    /// Power again, on what was durable and a part of the rest that `seed` chooses.
    pub fn restart(&self, seed: u64) {
        let mut contents = self.contents();
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let len = contents.cached.len();
        contents.durable.resize(len, 0);
        for (offset, len) in std::mem::take(&mut contents.dirty) {
            let end = (offset + len).min(contents.cached.len());
            for sector in (offset..end).step_by(SECTOR_BYTES) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                if seed != 0 && random & 1 == 0 {
                    let range = sector..(sector + SECTOR_BYTES).min(end);
                    let Contents { cached, durable, .. } = &mut *contents;
                    durable[range.clone()].copy_from_slice(&cached[range]);
                }
            }
        }
        contents.cached = contents.durable.clone();
        contents.is_dead = false;
        contents.fault = None;
        contents.capacity_bytes = None;
    }
}

impl Contents {
    /// Counts an operation, and fails it where it is to fail.
    fn begin(&mut self) -> io::Result<()> {
        let n = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, Fault::Once)) if at == n => {
                self.fault = None;
                return Err(io::Error::other("the disk failed"));
            }
            Some((at, Fault::PowerCut)) if n >= at => self.is_dead = true,
            _ => {}
        }
        if self.is_dead { Err(io::Error::other("the power is cut")) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.contents().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let contents = self.contents();
        if contents.is_dead {
            return Err(io::Error::other("the power is cut"));
        }
        let offset = offset as usize;
        let found = contents.cached.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut contents = self.contents();
        contents.begin()?;
        if contents.capacity_bytes.is_some_and(|capacity| len as usize > capacity) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        contents.cached.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.contents();
        if let Err(error) = contents.begin() {
            // As Linux does: what was to be written counts as clean, and is not on the disk.
            contents.failed_syncs += 1;
            if !contents.is_dead {
                contents.dirty.clear();
            }
            return Err(error);
        }
        let Contents { cached, durable, dirty, .. } = &mut *contents;
        durable.resize(cached.len(), 0);
        for (offset, len) in dirty.drain(..) {
            let range = offset..(offset + len).min(cached.len());
            durable[range.clone()].copy_from_slice(&cached[range]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut contents = self.contents();
        contents.begin()?;
        let offset = offset as usize;
        let target = contents.cached.get_mut(offset..offset + data.len());
        target.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?.copy_from_slice(data);
        contents.dirty.push((offset, data.len()));
        Ok(())
    }
}
