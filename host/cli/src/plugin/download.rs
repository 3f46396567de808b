//! Downloading: the bytes as the host keeps them, checked against their digest before they are kept.

use std::io::Write as _;
use std::path::Path;

use windlass_proto::v1;
use windlass_proto::v1::download_plugin_response::Part;

use crate::problem::Problem;
use crate::session::Session;
use crate::text;

/// Fetches a plugin into a file, which appears only when it is whole, or to standard output for `-`.
pub async fn run(session: &Session, plugin: String, file: &str) -> Result<(), Problem> {
    let request = v1::DownloadPluginRequest { plugin };
    let mut answers = session.plugins().download(request).await?.into_inner();
    let mut start = None;
    let mut bytes = Vec::new();
    while let Some(answer) = answers.message().await? {
        match answer.part {
            Some(Part::Start(declared)) => start = Some(declared),
            Some(Part::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
            None => {}
        }
    }
    let start = start.ok_or_else(|| Problem::broken("the host sent no plugin"))?;
    let digest = super::digest(&bytes);
    if digest != start.digest {
        return Err(Problem::broken(format!(
            "what arrived has the digest {digest}, not {}: nothing was kept",
            start.digest
        )));
    }
    if file == "-" {
        return session.output.bytes(&bytes);
    }
    keep(Path::new(file), &bytes)
        .map_err(|error| Problem::usage(format!("the file {file:?} cannot be written: {error}")))?;
    session.output.note(&format!("{} written to {file}", text::bytes(bytes.len() as u64)));
    Ok(())
}

fn keep(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let mut open = std::fs::File::create(&part)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    std::fs::rename(&part, file)
}
