//! Commands: what a trace does next, as data that a failure prints.

use windlass_host::store::Unit;

use crate::faulty::{Slip, Trouble};

/// See the module.
#[derive(Debug, Clone)]
pub enum Command {
    /// These units are committed at once: each by a task of its own where there are several.
    Commit(Vec<Unit>),
    /// The blob of this place in the cast.
    PutBlob(usize),
    RemoveBlob(usize),
    /// Bytes under the digest of others.
    PutWrongBlob(usize),
    /// The store is closed and opened again, where its bench can do that.
    Restart,
    /// The next commit that this can befall goes wrong.
    Slip(Slip),
    /// The store is in trouble, and meanwhile this is asked of it.
    Trouble(Trouble, Unit),
    /// The whole of both is compared.
    Compare,
}
