//! The cache of compiled forms on disk: one sealed file per plugin and engine.
//!
//! Invariants: a file is whole or absent (written aside, synced, renamed); what is returned bore this host's seal for
//! this plugin and this engine; a file that does not is removed, for then the plugin is not prepared.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use windlass_core::id::Digest;

use super::seal::{SEAL_BYTES, Seal};

/// Changes when the layout of the files does.
const DOMAIN: &[u8] = b"windlass compiled form 1\0";

const KEY_FILE: &str = "compiled-forms.key";

const EXTENSION: &str = "cwasm";

/// Files that are being written.
const ASIDE_PREFIX: &str = ".compiled-";

/// Why the cache of compiled forms cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the cache of compiled plugins at {} cannot be used", .path.display())]
pub struct CacheError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

/// Compiled forms by digest, for one engine.
pub(super) struct Cache {
    directory: PathBuf,
    engine: [u8; 32],
    seal: Seal,
}

impl Cache {
    pub(super) fn open(directory: &Path, engine: &Engine) -> Result<Self, CacheError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        remove_unfinished(directory).map_err(failed(directory))?;
        let key = directory.join(KEY_FILE);
        let seal = Seal::open(&key).map_err(failed(&key))?;
        Ok(Self { directory: directory.to_owned(), engine: engine_hash(engine), seal })
    }

    /// Where the compiled form of a plugin is, or would be.
    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(format!("{}-{}.{EXTENSION}", hex(&digest.0), hex(&self.engine[..8])))
    }

    pub(super) fn contains(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The compiled form, where there is a sound one. Reads the whole file: not for async threads.
    pub(super) fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let mut file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), "a compiled form cannot be read: {error}");
                return None;
            }
        };
        let sound = file
            .split_last_chunk::<SEAL_BYTES>()
            .is_some_and(|(code, seal)| self.seal.holds(&self.parts(&digest, code), seal));
        if !sound {
            tracing::warn!(path = %path.display(), "a compiled form does not bear this host's seal: removed");
            self.remove(digest);
            return None;
        }
        file.truncate(file.len() - SEAL_BYTES);
        Some(file)
    }

    /// Keeps the compiled form; durable when it returns. Forms for other engines are no longer needed.
    pub(super) fn put(&self, digest: Digest, code: &[u8]) -> io::Result<()> {
        let seal = self.seal.make(&self.parts(&digest, code));
        let mut aside = tempfile::Builder::new().prefix(ASIDE_PREFIX).tempfile_in(&self.directory)?;
        aside.write_all(code)?;
        aside.write_all(&seal)?;
        aside.as_file().sync_all()?;
        let path = self.path(digest);
        aside.persist(&path).map_err(|refused| refused.error)?;
        File::open(&self.directory)?.sync_all()?;
        self.remove_but(digest, Some(&path));
        Ok(())
    }

    /// Forgets the compiled forms of a plugin, for every engine.
    pub(super) fn remove(&self, digest: Digest) {
        self.remove_but(digest, None);
    }

    fn remove_but(&self, digest: Digest, kept: Option<&Path>) {
        let prefix = format!("{}-", hex(&digest.0));
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(path = %self.directory.display(), "compiled forms cannot be listed: {error}");
                return;
            }
        };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            let is_form =
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix));
            if !is_form || Some(path.as_path()) == kept {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), "a compiled form cannot be removed: {error}");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// What is sealed. Only the last part varies in length.
    fn parts<'a>(&'a self, digest: &'a Digest, code: &'a [u8]) -> [&'a [u8]; 4] {
        [DOMAIN, &self.engine, &digest.0, code]
    }
}

/// What a host that was killed was writing.
fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(ASIDE_PREFIX.as_bytes()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn engine_hash(engine: &Engine) -> [u8; 32] {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sha = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    sha.0.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> Cache {
        Cache::open(directory, &Engine::default()).unwrap()
    }

    #[test]
    fn what_was_put_is_got_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"plugin");
        open(directory.path()).put(digest, b"machine code").unwrap();
        let cache = open(directory.path());
        assert!(cache.contains(digest));
        assert_eq!(cache.get(digest).unwrap(), b"machine code");
        cache.remove(digest);
        assert!(!cache.contains(digest));
        assert_eq!(cache.get(digest), None);
    }

    #[test]
    fn what_was_touched_is_a_miss_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = open(directory.path());
        let digest = Digest::of(b"plugin");
        cache.put(digest, b"machine code").unwrap();
        let sound = fs::read(cache.path(digest)).unwrap();
        for touched in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[touched] ^= 1;
            fs::write(cache.path(digest), bytes).unwrap();
            assert_eq!(cache.get(digest), None);
            assert!(!cache.contains(digest));
        }
        for length in [0, SEAL_BYTES - 1, SEAL_BYTES, sound.len() - 1] {
            fs::write(cache.path(digest), &sound[..length]).unwrap();
            assert_eq!(cache.get(digest), None);
        }
    }

    #[test]
    fn one_plugins_form_does_not_pass_for_anothers() {
        let directory = tempfile::tempdir().unwrap();
        let cache = open(directory.path());
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        cache.put(one, b"machine code").unwrap();
        fs::copy(cache.path(one), cache.path(other)).unwrap();
        assert_eq!(cache.get(other), None);
        assert!(cache.get(one).is_some());
    }

    #[test]
    fn unfinished_files_go_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let unfinished = directory.path().join(format!("{ASIDE_PREFIX}x"));
        fs::write(&unfinished, b"half").unwrap();
        open(directory.path());
        assert!(!unfinished.exists());
    }
}
