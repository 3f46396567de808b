//! The reserve: room that is given to the database when the disk is full, so that what only ends or removes things
//! can still be committed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

/// Not zeros: a file system that compresses or skips those would reserve nothing.
static FILLER: [u8; 64 * 1024] = [0xA5; 64 * 1024];

/// Room on the disk that is kept for bad times.
pub trait Reserve: Send {
    /// Gives the room to the database. Harmless when repeated.
    fn release(&self);

    /// Takes the room back. An error says that there is none yet, and leaves nothing behind.
    fn refill(&self) -> io::Result<()>;
}

/// A file of no content beside the database.
#[derive(Debug)]
pub(super) struct ReserveFile {
    path: PathBuf,
    bytes: u64,
}

impl ReserveFile {
    pub fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let mut left = self.bytes;
        while left > 0 {
            let part = usize::try_from(left).map_or(FILLER.len(), |left| left.min(FILLER.len()));
            file.write_all(&FILLER[..part])?;
            left -= part as u64;
        }
        file.sync_all()
    }
}

impl Reserve for ReserveFile {
    fn release(&self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {
                tracing::warn!(reserve = %self.path.display(), "the disk is full: the reserve was released")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(reserve = %self.path.display(), %error, "the reserve was not released")
            }
        }
    }

    fn refill(&self) -> io::Result<()> {
        if self.bytes == 0 || fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes) {
            return Ok(());
        }
        let filled = self.fill();
        if filled.is_err()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(reserve = %self.path.display(), %error, "no part of the reserve to remove");
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_released_and_filled_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reserve");
        let reserve = ReserveFile::new(path.clone(), 100_000);
        reserve.refill().expect("there is room");
        assert_eq!(fs::metadata(&path).expect("it is there").len(), 100_000);
        reserve.release();
        reserve.release();
        assert!(!path.exists());
        reserve.refill().expect("there is room");
        assert!(path.exists());
    }
}
