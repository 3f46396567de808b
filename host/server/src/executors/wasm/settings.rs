//! What the host's operator decides about the sandbox.

use std::path::PathBuf;

use windlass_core::call::Access;

use super::CacheError;

/// Bytes that one instance may hold over all its memories and tables, unless the operator says otherwise.
/// Enough for a Python guest with its libraries, small enough that a full house of calls fits a small machine.
pub const MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of one payload that a plugin returns. Larger results belong into a granted directory, not into the store.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// What a component may never exceed: 32-bit memories end here.
const MEMORY_BYTES_LIMIT: u64 = 4 * 1024 * 1024 * 1024;

/// Below this not even a small Rust guest starts.
const MEMORY_BYTES_LEAST: u64 = 64 * 1024;

/// Each concurrent call reserves address space for its memories; 1024 calls stay far within the 128 TiB there are.
const CONCURRENT_CALLS_LIMIT: usize = 1024;

/// What the executors may use and give away.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Holds the compiled forms and the key that authenticates them. Created where missing.
    pub cache_dir: PathBuf,
    /// Calls that have an instance at the same time, 1 to 1024. Further calls wait their turn, before their deadline runs.
    pub concurrent_calls_max: usize,
    /// Instantiations at the same time, at least 1. More than one lane is slower on small machines.
    pub instantiation_lanes: usize,
    /// Bytes over all memories and tables of an instance: the default, and the most that a grant may ask for.
    pub memory_bytes_max: u64,
    /// Bytes of one returned payload.
    pub output_bytes_max: usize,
    /// Compilations at the same time, at least 1. Each uses one thread.
    pub compile_parallel_max: usize,
    /// The directories that grants may name, and everything below them, at most with this access.
    pub allowed_directories: Vec<(PathBuf, Access)>,
}

impl Settings {
    /// The defaults, with this cache directory and no directory allowed.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            concurrent_calls_max: 64,
            instantiation_lanes: 1,
            memory_bytes_max: MEMORY_BYTES_MAX,
            output_bytes_max: OUTPUT_BYTES_MAX,
            compile_parallel_max: 1,
            allowed_directories: Vec::new(),
        }
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let out_of_bounds = |name, bounds| Err(SettingsError::OutOfBounds { name, bounds });
        if !(1..=CONCURRENT_CALLS_LIMIT).contains(&self.concurrent_calls_max) {
            return out_of_bounds("concurrent_calls_max", "1 to 1024");
        }
        if self.instantiation_lanes == 0 {
            return out_of_bounds("instantiation_lanes", "at least 1");
        }
        if self.compile_parallel_max == 0 {
            return out_of_bounds("compile_parallel_max", "at least 1");
        }
        if !(MEMORY_BYTES_LEAST..=MEMORY_BYTES_LIMIT).contains(&self.memory_bytes_max) {
            return out_of_bounds("memory_bytes_max", "64 KiB to 4 GiB");
        }
        if self.output_bytes_max == 0 {
            return out_of_bounds("output_bytes_max", "at least 1");
        }
        Ok(())
    }
}

/// Why the executors cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the setting {name} is out of its bounds: set it to {bounds}")]
    OutOfBounds { name: &'static str, bounds: &'static str },
    #[error("the WebAssembly engine cannot be set up on this machine: {0:#}")]
    Engine(wasmtime::Error),
    #[error("the thread that interrupts running plugins cannot be started")]
    Ticker(#[source] std::io::Error),
    #[error(transparent)]
    Cache(#[from] CacheError),
}
