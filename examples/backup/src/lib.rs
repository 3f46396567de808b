//! An example plugin that backs up a directory: `snapshot`, `verify` and `publish`, each of which undoes itself; and
//! `discard`, which undoes a flow of snapshots as a whole.
//!
//! It sees two granted directories: `/source`, read-only, and `/backup`, where the archives go. An archive is a
//! `.tar.zst` that ordinary tools open (`tar --zstd -xf`). It is written under a name that ends in `.partial`, and
//! gets its own name from `publish` only.

mod archive;
mod contents;
mod discard;
mod frames;
mod metered;
mod name;
mod publish;
mod retention;
mod snapshot;
mod verify;
mod walk;

pub use discard::Discard;
pub use publish::Publish;
pub use snapshot::Snapshot;
pub use verify::Verify;

/// Where the host shows what is to be backed up.
const SOURCE: &str = "/source";

/// Where the host shows the directory of the archives.
const BACKUP: &str = "/backup";

#[cfg(test)]
mod tests;

windlass_plugin::export!(manifest = "manifest.json", [Snapshot, Verify, Publish, Discard]);
