//! The list of what an archive holds, entry by entry, with checksums: JSON lines, at the archive's end.

use serde::{Deserialize, Serialize};

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// From the backed up directory, with `/` between its parts.
    pub path: String,
    #[serde(flatten)]
    pub kind: ContentKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ContentKind {
    File { bytes: u64, sha256: String },
    Directory,
    Link { target: String },
}

/// The list as bytes.
pub fn encode(contents: &[Content]) -> Result<Vec<u8>, serde_json::Error> {
    let mut list = Vec::new();
    for content in contents {
        serde_json::to_writer(&mut list, content)?;
        list.push(b'\n');
    }
    Ok(list)
}

/// The list from bytes.
pub fn decode(list: &[u8]) -> Result<Vec<Content>, serde_json::Error> {
    serde_json::Deserializer::from_slice(list).into_iter().collect()
}
