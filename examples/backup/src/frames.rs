//! Zstandard frames: compressing into a row of them, and reading a row back.
//!
//! An archive is a row of frames, each compressed in memory, so that neither a failing disk nor a failing source is
//! met inside the compressor, which knows no errors. Decompressors join a row of frames into one stream (RFC 8878,
//! section 3.1), and step over the *skippable* frame at its end, which holds the archive's contents.

use std::io::{self, BufRead, Cursor, Read, Write};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// Input per frame. The compressor looks back 128 KiB, so that little is lost at the seams.
const FRAME_INPUT_BYTES: usize = 1024 * 1024;

/// Skippable frames have one of sixteen magic numbers: this is ours.
const CONTENTS_MAGIC: u32 = 0x184D_2A5B;
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;
const SKIPPABLE_MASK: u32 = 0xFFFF_FFF0;

/// A contents list that is read back. Far more than the greatest that is written: a damaged length must not make the
/// plugin take all the memory that it may have.
const CONTENTS_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// What is decoded at a time.
const DECODE_BYTES: usize = 128 * 1024;

/// Compresses what is written to it.
pub struct FrameWriter<W: Write> {
    inner: W,
    pending: Vec<u8>,
}

impl<W: Write> FrameWriter<W> {
    pub fn new(inner: W) -> Self {
        FrameWriter { inner, pending: Vec::with_capacity(FRAME_INPUT_BYTES) }
    }

    /// Compresses the rest and appends the contents.
    pub fn finish(mut self, contents: &[u8]) -> io::Result<W> {
        self.write_frame()?;
        let length = u32::try_from(contents.len()).ok().filter(|length| *length <= CONTENTS_BYTES_MAX);
        let length =
            length.ok_or_else(|| io::Error::other("the list of the archive's contents is too long"))?;
        self.inner.write_all(&CONTENTS_MAGIC.to_le_bytes())?;
        self.inner.write_all(&length.to_le_bytes())?;
        self.inner.write_all(contents)?;
        Ok(self.inner)
    }

    fn write_frame(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            let frame = compress_to_vec(self.pending.as_slice(), CompressionLevel::Fastest);
            self.inner.write_all(&frame)?;
            self.pending.clear();
        }
        Ok(())
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(FRAME_INPUT_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..count]);
        if self.pending.len() == FRAME_INPUT_BYTES {
            self.write_frame()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads a row of frames as one stream. Its errors of the kind `InvalidData` mean that the file is damaged.
pub struct FrameReader<R: BufRead> {
    inner: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
    contents: Option<Vec<u8>>,
}

impl<R: BufRead> FrameReader<R> {
    pub fn new(inner: R) -> Self {
        FrameReader { inner, decoder: FrameDecoder::new(), is_in_frame: false, contents: None }
    }

    /// The contents list, if one was met, and the inner reader. All must have been read before.
    pub fn finish(self) -> (R, Option<Vec<u8>>) {
        (self.inner, self.contents)
    }

    /// Begins the next frame; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        if self.inner.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let magic = self.read_word()?;
        if magic & SKIPPABLE_MASK == SKIPPABLE_MAGIC {
            self.read_skippable(magic)?;
        } else {
            let frame = Cursor::new(magic.to_le_bytes()).chain(&mut self.inner);
            self.decoder.reset(frame).map_err(damaged)?;
            self.is_in_frame = true;
        }
        Ok(true)
    }

    fn read_skippable(&mut self, magic: u32) -> io::Result<()> {
        let length = self.read_word()?;
        if length > CONTENTS_BYTES_MAX {
            return Err(damaged(format!("a skippable frame says that it is {length} bytes long")));
        }
        let mut content = Vec::new();
        let count = (&mut self.inner).take(length.into()).read_to_end(&mut content)?;
        if count as u64 != u64::from(length) {
            return Err(damaged("the file ends within a skippable frame"));
        }
        if magic == CONTENTS_MAGIC {
            self.contents = Some(content);
        }
        Ok(())
    }

    fn read_word(&mut self) -> io::Result<u32> {
        let mut word = [0; 4];
        self.inner.read_exact(&mut word).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("the file ends within a frame's header"),
            _ => error,
        })?;
        Ok(u32::from_le_bytes(word))
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.is_in_frame = false;
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(damaged("the checksum of a frame is wrong"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for FrameReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                continue;
            }
            if !self.decoder.is_finished() && self.decoder.can_collect() == 0 {
                let strategy = BlockDecodingStrategy::UptoBytes(DECODE_BYTES);
                self.decoder.decode_blocks(&mut self.inner, strategy).map_err(damaged)?;
            }
            match self.decoder.read(buffer)? {
                0 if self.decoder.is_finished() => self.end_frame()?,
                0 => {}
                count => return Ok(count),
            }
        }
    }
}

fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repetitive in places and random in others, as files are.
    fn sample(bytes: usize) -> Vec<u8> {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut sample = Vec::with_capacity(bytes);
        while sample.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let run = (state >> 8) as usize % 300 + 1;
            match state % 3 {
                0 => sample.extend(std::iter::repeat_n(state as u8, run)),
                1 if sample.len() > run => sample.extend_from_within(sample.len() - run..),
                _ => sample.extend(state.to_le_bytes()),
            }
        }
        sample.truncate(bytes);
        sample
    }

    fn compress(data: &[u8], contents: &[u8]) -> Vec<u8> {
        let mut writer = FrameWriter::new(Vec::new());
        writer.write_all(data).unwrap();
        writer.finish(contents).unwrap()
    }

    fn decompress(file: &[u8]) -> io::Result<(Vec<u8>, Option<Vec<u8>>)> {
        let mut reader = FrameReader::new(file);
        let mut data = Vec::new();
        reader.read_to_end(&mut data)?;
        Ok((data, reader.finish().1))
    }

    #[test]
    fn what_was_written_comes_back() {
        for bytes in [0, 1, 1000, FRAME_INPUT_BYTES - 1, FRAME_INPUT_BYTES, 3 * FRAME_INPUT_BYTES + 17] {
            let data = sample(bytes);
            let (found, contents) = decompress(&compress(&data, b"list")).unwrap();
            assert!(found == data, "{bytes} bytes differ");
            assert_eq!(contents.as_deref(), Some(&b"list"[..]));
        }
    }

    #[test]
    fn a_file_that_ends_early_is_damaged_wherever_it_ends() {
        let file = compress(&sample(200_000), b"list");
        for end in [3, 5, 1000, file.len() / 2, file.len() - 9, file.len() - 1] {
            let error = decompress(&file[..end]).expect_err("must be damaged");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{end}: {error}");
        }
    }

    #[test]
    fn a_changed_byte_is_found() {
        let data = sample(200_000);
        let file = compress(&data, b"list");
        for at in (10..file.len() - 12).step_by(997) {
            let mut changed = file.clone();
            changed[at] ^= 0x10;
            let found = decompress(&changed);
            assert!(found.is_err() || found.is_ok_and(|(found, _)| found == data), "byte {at}");
        }
    }
}
