//! The seal on compiled forms: proof that this host wrote them.
//!
//! Compiled forms are machine code that is loaded unchecked. Whoever can write to the cache directory but cannot read
//! the key cannot make the host run code of theirs.
//!
//! Invariant: the key never leaves its file, which only the host's user may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a seal: HMAC-SHA256.
pub(super) const SEAL_BYTES: usize = 32;

const KEY_BYTES: usize = 32;

/// The operating system's source of randomness.
const RANDOM_DEVICE: &str = "/dev/urandom";

/// Makes and checks seals.
pub(super) struct Seal {
    key: [u8; KEY_BYTES],
}

impl Seal {
    /// Reads the key, or makes one where there is none that is both whole and private.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match read_key(path) {
            Ok(Some(key)) => return Ok(Self { key }),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "the key of the compiled forms was not whole or not private: made a new one");
                fs::remove_file(path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut key = [0; KEY_BYTES];
        File::open(RANDOM_DEVICE)?.read_exact(&mut key)?;
        let mut file = create_private(path)?;
        file.write_all(&key)?;
        file.sync_all()?;
        Ok(Self { key })
    }

    /// The seal over all parts. Parts must have fixed lengths, but for the last.
    pub(super) fn make(&self, parts: &[&[u8]]) -> [u8; SEAL_BYTES] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether the seal is of these parts, found out in constant time.
    pub(super) fn holds(&self, parts: &[&[u8]], seal: &[u8]) -> bool {
        self.mac(parts).verify_slice(seal).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

/// The key, or nothing where the file does not hold one that can be trusted.
fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != KEY_BYTES as u64 || !is_private(&metadata) {
        return Ok(None);
    }
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(Some(key))
}

#[cfg(unix)]
fn is_private(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 == 0
}

#[cfg(not(unix))]
fn is_private(_: &fs::Metadata) -> bool {
    true
}

/// A new file that only the host's user may read.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_what_it_was_made_of_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let seal = Seal::open(&directory.path().join("key")).unwrap();
        let made = seal.make(&[b"digest", b"code"]);
        assert!(seal.holds(&[b"digest", b"code"], &made));
        assert!(!seal.holds(&[b"digest", b"kode"], &made));
        assert!(!seal.holds(&[b"digest", b"code"], &made[1..]));
    }

    #[test]
    fn the_key_survives_a_restart_and_differs_between_hosts() {
        let directory = tempfile::tempdir().unwrap();
        let made = Seal::open(&directory.path().join("one")).unwrap().make(&[b"code"]);
        assert!(Seal::open(&directory.path().join("one")).unwrap().holds(&[b"code"], &made));
        assert!(!Seal::open(&directory.path().join("two")).unwrap().holds(&[b"code"], &made));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_could_read_or_that_is_cut_is_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let made = Seal::open(&path).unwrap().make(&[b"code"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(!Seal::open(&path).unwrap().holds(&[b"code"], &made));
        fs::write(&path, b"short").unwrap();
        assert!(!Seal::open(&path).unwrap().holds(&[b"code"], &made));
    }
}
