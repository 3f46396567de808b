//! Uploading: declare, send if the host does not know it, then wait for its check and compilation.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use windlass_proto::v1;
use windlass_proto::v1::upload_plugin_request::Part;
use windlass_proto::v1::upload_plugin_response::Event;

use crate::exit::Exit;
use crate::problem::Problem;
use crate::session::Session;
use crate::{style, text};

/// Half of what the host takes in one message, and enough to keep a connection busy.
const CHUNK_BYTES: usize = 512 << 10;

/// Chunks on their way: few, for flow control is the transport's.
const CHUNKS_QUEUED_MAX: usize = 4;

/// How often a spinner moves.
const SPIN_EVERY: Duration = Duration::from_millis(120);

/// Uploads a file. Answers the plugin that it is, new or known.
pub async fn run(session: &Session, file: &Path) -> Result<v1::Plugin, Problem> {
    let bytes = tokio::fs::read(file)
        .await
        .map_err(|error| Problem::usage(format!("the file {} cannot be read: {error}", file.display())))?;
    if bytes.is_empty() {
        return Err(Problem::usage(format!("the file {} is empty", file.display())));
    }
    let bytes = Bytes::from(bytes);
    let (sender, receiver) = mpsc::channel(CHUNKS_QUEUED_MAX);
    let start = v1::UploadStart { digest: super::digest(&bytes), size_bytes: bytes.len() as u64 };
    // The queue is empty and its reader is not yet dropped: this neither waits nor fails.
    let _ = sender.send(request(Part::Start(start))).await;
    let mut answers = session.plugins().upload(ReceiverStream::new(receiver)).await?.into_inner();
    let mut shown = Shown::new(bytes.len() as u64);
    match next(&mut answers).await? {
        Event::Result(result) => {
            session.output.note("the host has these bytes already");
            return plugin(result);
        }
        Event::Progress(progress) => shown.progress(&progress),
    }
    let sending = tokio::spawn(send(bytes, sender));
    let result = loop {
        match next(&mut answers).await {
            Ok(Event::Progress(progress)) => shown.progress(&progress),
            Ok(Event::Result(result)) => break plugin(result),
            Err(problem) => break Err(problem),
        }
    };
    sending.abort();
    shown.clear();
    result
}

fn request(part: Part) -> v1::UploadPluginRequest {
    v1::UploadPluginRequest { part: Some(part) }
}

/// Sends every chunk, unless the host hangs up: then its answer says why.
async fn send(mut bytes: Bytes, sender: mpsc::Sender<v1::UploadPluginRequest>) {
    while !bytes.is_empty() {
        let chunk = bytes.split_to(CHUNK_BYTES.min(bytes.len()));
        if sender.send(request(Part::Chunk(chunk))).await.is_err() {
            return;
        }
    }
}

async fn next(answers: &mut Streaming<v1::UploadPluginResponse>) -> Result<Event, Problem> {
    answers.message().await?.and_then(|answer| answer.event).ok_or_else(|| {
        Problem::new(Exit::Broken, "the host ended the upload without saying what became of it")
            .advise("`windlass plugin list`, then upload it again")
    })
}

fn plugin(result: v1::UploadResult) -> Result<v1::Plugin, Problem> {
    result.plugin.ok_or_else(|| Problem::broken("the host ended the upload without naming the plugin"))
}

/// Progress on standard error: a bar on a terminal, a line for each phase otherwise.
struct Shown {
    bar: Option<ProgressBar>,
    size_bytes: u64,
    phase: v1::UploadPhase,
}

impl Shown {
    fn new(size_bytes: u64) -> Self {
        let coloured = style::Paint::for_stream(&std::io::stderr()) == style::Paint::Colour;
        Self {
            bar: coloured.then(|| {
                ProgressBar::with_draw_target(Some(size_bytes), ProgressDrawTarget::stderr())
                    .with_style(bar_style(v1::UploadPhase::Checking))
            }),
            size_bytes,
            phase: v1::UploadPhase::Unspecified,
        }
    }

    fn progress(&mut self, progress: &v1::UploadProgress) {
        let entered = self.phase != progress.phase();
        self.phase = progress.phase();
        let Some(bar) = &self.bar else {
            if entered {
                eprintln!("{}", phase_line(self.phase, self.size_bytes));
            }
            return;
        };
        if entered {
            bar.set_style(bar_style(self.phase));
            bar.set_message(phase_line(self.phase, self.size_bytes));
            bar.enable_steady_tick(SPIN_EVERY);
        }
        let position = match (self.phase, progress.fraction) {
            (v1::UploadPhase::Receiving, _) => progress.received_bytes,
            (_, Some(fraction)) => (f64::from(fraction) * self.size_bytes as f64) as u64,
            (_, None) => 0,
        };
        bar.set_position(position.min(self.size_bytes));
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn phase_line(phase: v1::UploadPhase, size_bytes: u64) -> String {
    match phase {
        v1::UploadPhase::Receiving => format!("sending {}", text::bytes(size_bytes)),
        v1::UploadPhase::Checking => "checking".to_owned(),
        v1::UploadPhase::Compiling => "compiling".to_owned(),
        v1::UploadPhase::Unspecified => "working".to_owned(),
    }
}

/// While bytes are on their way.
const BAR: &str = "{spinner:.cyan} {msg} [{bar:32.cyan/dim}] {binary_bytes_per_sec} {eta}";

/// While the host works.
const SPINNER: &str = "{spinner:.cyan} {msg} {elapsed}";

fn bar_style(phase: v1::UploadPhase) -> ProgressStyle {
    let template = match phase {
        v1::UploadPhase::Receiving => BAR,
        _ => SPINNER,
    };
    // The templates above are constant and well-formed; the default style is what a mistake would show.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_byte_is_sent_in_order() {
        let bytes: Vec<u8> = (0..CHUNK_BYTES * 2 + 7).map(|n| (n % 251) as u8).collect();
        let (sender, mut receiver) = mpsc::channel(CHUNKS_QUEUED_MAX);
        let sending = tokio::spawn(send(Bytes::from(bytes.clone()), sender));
        let mut received = Vec::new();
        while let Some(request) = receiver.recv().await {
            let Some(Part::Chunk(chunk)) = request.part else {
                panic!("only chunks follow the start");
            };
            assert!(chunk.len() <= CHUNK_BYTES);
            received.extend_from_slice(&chunk);
        }
        sending.await.unwrap();
        assert!(received == bytes);
    }

    #[test]
    fn every_phase_has_a_style() {
        for template in [BAR, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
