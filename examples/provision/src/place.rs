//! Places: where the granted directories are.

use std::path::PathBuf;

/// Tests have a place of their own, at which they can see to it that an action dies.
pub trait Place: 'static {
    /// Where a path is that begins with the name of a granted directory. Asked for right before each use.
    fn path(path: &str) -> PathBuf;
}

/// Where the host shows what it grants.
pub struct Granted;

impl Place for Granted {
    fn path(path: &str) -> PathBuf {
        PathBuf::from(format!("/{path}"))
    }
}
