//! The host as a call sees it: what a component imports, and what a [`crate::trial::Trial`] stands in for.

use crate::context::TaskFault;
use crate::journal::Stop;

/// What may be asked of the host during a call. The meanings are those of the WIT package.
pub trait Host {
    fn undo_ahead(&self, undo: Vec<u8>) -> Result<(), Stop>;
    fn note(&self, name: &str, value: &[u8]) -> Result<(), Stop>;
    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, Stop>;
    fn progress(&self, fraction: f32, message: &str) -> Result<(), Stop>;
    /// Milliseconds left until the deadline.
    fn alive(&self) -> Result<u64, Stop>;
    fn failures(&self) -> Vec<TaskFault>;
}
