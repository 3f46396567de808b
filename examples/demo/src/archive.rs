//! Archives: unpacked with the programs `tar` and `zstd` where they are, otherwise by a reader in pure Rust.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Cursor, Read};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use tokio::process::Command;

/// One frame of an archive holds a megabyte; far more than that is no archive of the backup example.
const FRAME_BYTES_MAX: u64 = 64 << 20;

/// Unpacks an archive into a directory. What it was read with.
pub async fn unpack(archive: &Path, into: &Path) -> anyhow::Result<&'static str> {
    if is_there("tar").await && is_there("zstd").await {
        unpack_with_programs(archive, into).await?;
        return Ok("zstd and tar");
    }
    let (archive, into) = (archive.to_owned(), into.to_owned());
    tokio::task::spawn_blocking(move || unpack_here(&archive, &into)).await??;
    Ok("a reader in Rust, for tar and zstd are not on the PATH")
}

async fn is_there(program: &str) -> bool {
    let run =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    run.is_ok_and(|status| status.success())
}

/// `zstd -dc ARCHIVE | tar -x`, with the exit codes of both.
async fn unpack_with_programs(archive: &Path, into: &Path) -> anyhow::Result<()> {
    let mut zstd = Command::new("zstd")
        .args(["--quiet", "--decompress", "--stdout", "--"])
        .arg(archive)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("zstd cannot be started")?;
    let stream: Stdio = zstd.stdout.take().context("zstd has no standard output")?.try_into()?;
    let tar = Command::new("tar")
        .args(["--extract", "--file", "-", "--directory"])
        .arg(into)
        .stdin(stream)
        .kill_on_drop(true)
        .status();
    let (zstd, tar) = tokio::join!(zstd.wait(), tar);
    let (zstd, tar) = (zstd.context("zstd")?, tar.context("tar")?);
    ensure!(zstd.success() && tar.success(), "{}: zstd ended with {zstd}, tar with {tar}", archive.display());
    Ok(())
}

fn unpack_here(archive: &Path, into: &Path) -> anyhow::Result<()> {
    let file = File::open(archive).with_context(|| format!("{} cannot be opened", archive.display()))?;
    let frames = Frames { source: BufReader::new(file), frame: Cursor::default() };
    let unpacked = tar::Archive::new(frames).unpack(into);
    unpacked.with_context(|| format!("{} cannot be unpacked", archive.display()))
}

/// A row of Zstandard frames as one stream (RFC 8878, section 3.1).
struct Frames<R> {
    source: BufReader<R>,
    /// What is left of the frame that was decoded last.
    frame: Cursor<Vec<u8>>,
}

impl<R: Read> Frames<R> {
    /// The content of the next frame; none at the end.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.source.fill_buf()?.is_empty() {
            match StreamingDecoder::new(&mut self.source) {
                Ok(decoder) => {
                    let mut content = Vec::new();
                    decoder.take(FRAME_BYTES_MAX).read_to_end(&mut content)?;
                    return Ok(Some(content));
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
            }
        }
        Ok(None)
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.frame.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.next()? {
                Some(content) => self.frame = Cursor::new(content),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    #[test]
    fn frames_are_one_stream_and_skippable_ones_are_stepped_over() {
        let mut row = compress_to_vec(&b"one "[..], CompressionLevel::Fastest);
        row.extend([0x5B, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 9, 9, 9]);
        row.extend(compress_to_vec(&b"two"[..], CompressionLevel::Fastest));
        let mut frames = Frames { source: BufReader::new(&row[..]), frame: Cursor::default() };
        let mut text = String::new();
        frames.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        let mut frames = Frames { source: BufReader::new(&b"nonsense"[..]), frame: Cursor::default() };
        assert!(frames.read_to_end(&mut Vec::new()).is_err());
    }
}
