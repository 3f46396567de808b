//! The upload of the plugin: declared, sent in chunks, checked and compiled by the host.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use windlass_proto::v1;
use windlass_proto::v1::upload_plugin_request::Part;
use windlass_proto::v1::upload_plugin_response::Event;

use crate::client::Client;

/// Half of what the host takes in one message.
const CHUNK_BYTES: usize = 512 << 10;
/// Chunks on their way: few, for flow control is the transport's.
const CHUNKS_QUEUED_MAX: usize = 4;

/// What became of an upload.
pub struct Uploaded {
    pub plugin: v1::Plugin,
    pub digest: String,
    /// How many bytes were sent: none where the host knew them.
    pub sent_bytes: u64,
    pub took: Duration,
}

/// Uploads a file.
pub async fn upload(client: &Client, file: &Path) -> anyhow::Result<Uploaded> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let begun = Instant::now();
    let digest = digest(&bytes);
    let size_bytes = bytes.len() as u64;
    let (sender, receiver) = mpsc::channel(CHUNKS_QUEUED_MAX);
    sender.send(part(Part::Start(v1::UploadStart { digest: digest.clone(), size_bytes }))).await?;
    let answers = client.plugins().upload(ReceiverStream::new(receiver)).await.context("the upload")?;
    let mut answers = answers.into_inner();
    let uploaded = |result: v1::UploadResult, sent_bytes| -> anyhow::Result<Uploaded> {
        let plugin = result.plugin.context("the host ended the upload without the plugin")?;
        ensure!(plugin.digest == digest, "the host calls {digest} {}", plugin.digest);
        ensure!(result.known == (sent_bytes == 0), "the host is wrong about what it knew");
        Ok(Uploaded { plugin, digest: digest.clone(), sent_bytes, took: begun.elapsed() })
    };
    if let Event::Result(result) = next(&mut answers).await? {
        return uploaded(result, 0);
    }
    let sending = async {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            // Where the host hangs up, its answer says why.
            if sender.send(part(Part::Chunk(chunk.to_vec().into()))).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    let (result, ()) = tokio::join!(result(&mut answers), sending);
    uploaded(result?, size_bytes)
}

async fn result(answers: &mut Streaming<v1::UploadPluginResponse>) -> anyhow::Result<v1::UploadResult> {
    loop {
        if let Event::Result(result) = next(answers).await? {
            return Ok(result);
        }
    }
}

async fn next(answers: &mut Streaming<v1::UploadPluginResponse>) -> anyhow::Result<Event> {
    match answers.message().await.context("the upload")?.and_then(|answer| answer.event) {
        Some(event) => Ok(event),
        None => bail!("the host ended the upload without saying what became of it"),
    }
}

fn part(part: Part) -> v1::UploadPluginRequest {
    v1::UploadPluginRequest { part: Some(part) }
}

/// What names a plugin: the sha256 of its bytes.
fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
