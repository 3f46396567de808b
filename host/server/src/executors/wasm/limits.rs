//! The memory limit of one call, over all memories and tables of its instance.

use wasmtime::{ResourceLimiter, Result};

/// What an element of a table costs the host.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts what an instance holds. Memories and tables never shrink, so the count only rises.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    bytes_max: usize,
    bytes: usize,
    /// What the growth asked about last would add; taken back if it fails after it was allowed.
    last_growth: usize,
    was_reached: bool,
}

impl MemoryLimit {
    pub(super) fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self { bytes_max, bytes: 0, last_growth: 0, was_reached: false }
    }

    /// Whether the guest asked for more than it may have.
    pub(super) fn was_reached(&self) -> bool {
        self.was_reached
    }

    fn grow(&mut self, growth: usize) -> bool {
        match self.bytes.checked_add(growth) {
            Some(bytes) if bytes <= self.bytes_max => {
                self.bytes = bytes;
                self.last_growth = growth;
                true
            }
            Some(_) | None => {
                self.last_growth = 0;
                self.was_reached = true;
                false
            }
        }
    }

    fn take_back(&mut self) {
        self.bytes -= self.last_growth;
        self.last_growth = 0;
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.take_back();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_and_tables_share_one_limit() {
        let mut limit = MemoryLimit::new(1000);
        assert!(limit.memory_growing(0, 400, None).unwrap());
        assert!(limit.memory_growing(0, 400, None).unwrap());
        assert!(limit.table_growing(0, 25, None).unwrap());
        assert!(!limit.was_reached());
        assert!(!limit.table_growing(25, 26, None).unwrap());
        assert!(limit.was_reached());
    }

    #[test]
    fn a_growth_that_failed_costs_nothing() {
        let mut limit = MemoryLimit::new(1000);
        assert!(limit.memory_growing(0, 900, None).unwrap());
        limit.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(limit.memory_growing(0, 1000, None).unwrap());
        assert!(!limit.memory_growing(1000, 2000, None).unwrap());
        limit.memory_grow_failed(wasmtime::Error::msg("refused")).unwrap();
        assert!(!limit.memory_growing(1000, 1001, None).unwrap());
    }
}
