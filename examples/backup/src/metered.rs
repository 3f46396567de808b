//! Counting and hashing what is read or written on the way.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// A reader or writer that knows how many bytes went through it, and their SHA-256.
pub struct Metered<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Metered<T> {
    pub fn new(inner: T) -> Self {
        Metered { inner, hash: Sha256::new(), bytes: 0 }
    }

    pub fn passed_bytes(&self) -> u64 {
        self.bytes
    }

    /// The inner one, and the hash in hexadecimal digits.
    pub fn finish(self) -> (T, String) {
        (self.inner, hexadecimal(&self.hash.finalize()))
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.pass(&buffer[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Metered<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.pass(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
