//! The one unsafe act of the program: loading machine code.

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// Turns a compiled form back into a component, without compiling.
///
/// `sealed` must come from [`Cache::get`](super::cache::Cache::get), which returns only what this host compiled.
#[allow(unsafe_code)]
pub(super) fn load(engine: &Engine, sealed: &[u8]) -> Result<Component> {
    // SAFETY: `deserialize` asks for bytes that `Engine::precompile_component` or `Component::serialize` made. The
    // cache returns only bytes that carry a valid HMAC under a key that this host alone reads, made by `Cache::put`,
    // which is only ever given the output of `Component::serialize`; the HMAC covers the engine's compatibility hash
    // too. The bytes are in memory of ours: nobody changes them between the check and the load.
    unsafe { Component::deserialize(engine, sealed) }
}
