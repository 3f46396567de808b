//! The canonical form: everything that a store holds as lines of JSON, the same from every store.
//!
//! The first line names the format, each further line is one item, and the last one counts them and has the sha256
//! of all lines before it, so that a file that was cut or edited is recognised. The form names no version of the
//! program: equal contents are equal bytes. [`Rank`](crate::store::Rank) gives the order of the items.

mod export;
mod import;
mod line;
mod read;
mod replay;
mod write;

#[cfg(test)]
mod tests;

pub use export::{ExportError, export, unfinished};
pub use import::{ImportError, contents, import};
pub use line::Counts;
pub use read::{Read, ReadError, Reader};
pub(in crate::store) use replay::Replay;
pub use write::{WriteError, Writer};

/// What the first line says that the file is.
const FORMAT: &str = "windlass store";

/// The form that this program writes. A field may be added with a serde default; anything else is a new version. 2: flows
/// with waits, entries of waits and observations, which readers of version 1 do not know. 3: flows, specs and entries of
/// child jobs.
const VERSION: u32 = 3;

/// The oldest form that is read: all that it may hold is in the later ones as well.
const VERSION_MIN: u32 = 1;

/// Bytes of a blob in one line; in base64 they fill 256 KiB.
const PIECE_BYTES: usize = 192 * 1024;

/// The longest line. The largest items, instances with their output and undo records, are a few MiB unless the host
/// was told to take larger outputs; a file of another kind may have no line ends at all.
const LINE_BYTES_MAX: usize = 256 << 20;
