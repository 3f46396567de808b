//! The engine: the one place where wasmtime is configured.
//!
//! Invariant: everything that changes generated code is set here and nowhere else, so that the engine's compatibility
//! hash, which names the compiled forms on disk, covers it.

use std::num::NonZeroUsize;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, Memory, MemoryType, PoolingAllocationConfig, Result,
    Store, WasmBacktraceDetails,
};

use super::settings::Settings;

/// Linear memories of one component. Toolchains make one; a composition of four plugins still fits.
const MEMORIES_PER_COMPONENT_MAX: u32 = 4;

/// Tables of one component: adapters and shims bring one each, a Python guest about a dozen.
const TABLES_PER_COMPONENT_MAX: u32 = 24;

/// Core instances of one component: a Python guest with shared libraries has about thirty.
const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 64;

/// Elements of one table. Large C and Python guests have some ten thousand functions in theirs.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Address space reserved for each memory: with 4 GiB no bounds check is needed in 32-bit guests.
const MEMORY_RESERVATION_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Memory of a slot that is reset in place instead of being given back: measured to halve the time of a fresh call.
const KEEP_RESIDENT_BYTES: usize = 2 * 1024 * 1024;

/// Frames of a backtrace that a fault keeps: the place of a panic is among the first.
const BACKTRACE_FRAMES_MAX: usize = 24;

/// How instances get their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From slots reserved at the start. The fastest.
    Pooling,
    /// Reserved when needed, 4 GiB of address space for each memory.
    OnDemand,
    /// For machines that limit address space: memories move when they grow, every access is checked.
    Small,
}

/// The engine with the best allocation that this machine carries.
pub(super) fn build(settings: &Settings) -> Result<(Engine, Allocation)> {
    for allocation in [Allocation::Pooling, Allocation::OnDemand] {
        match probe(settings, allocation) {
            Ok(engine) => return Ok((engine, allocation)),
            Err(error) => {
                tracing::warn!(?allocation, "this way to allocate instances is not available: {error:#}")
            }
        }
    }
    Ok((probe(settings, Allocation::Small)?, Allocation::Small))
}

/// Makes the engine and as many memories as there may be calls: limits on address space show only then.
fn probe(settings: &Settings, allocation: Allocation) -> Result<Engine> {
    let engine = Engine::new(&config(settings, allocation))?;
    let mut store = Store::new(&engine, ());
    for _ in 0..settings.concurrent_calls_max {
        Memory::new(&mut store, MemoryType::new(1, None))?;
    }
    Ok(engine)
}

fn config(settings: &Settings, allocation: Allocation) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Guests are synchronous; the bookkeeping for concurrent ones costs 39 % of a fresh call.
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // The bound on parallel compilation is ours: a compilation must not take every core from running guests.
        .parallel_compilation(false)
        // What the host reads from a guest's binary never depends on its environment.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX))
        // The limiter does not see shared memories.
        .shared_memory(false);
    match allocation {
        Allocation::Pooling => {
            config.memory_reservation(MEMORY_RESERVATION_BYTES);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
        }
        Allocation::OnDemand => {
            config.memory_reservation(MEMORY_RESERVATION_BYTES);
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
        Allocation::Small => {
            config.memory_reservation(0).memory_guard_size(0).memory_may_move(true);
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
    }
    config
}

/// As many slots as the calls at the same time can need, whatever the components are.
fn pool(settings: &Settings) -> PoolingAllocationConfig {
    // Checked by the settings to be at most 1024.
    let calls = u32::try_from(settings.concurrent_calls_max).unwrap_or(u32::MAX);
    let total = |per_component: u32| calls.saturating_mul(per_component);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(total(1))
        .total_core_instances(total(CORE_INSTANCES_PER_COMPONENT_MAX))
        .total_memories(total(MEMORIES_PER_COMPONENT_MAX))
        .total_tables(total(TABLES_PER_COMPONENT_MAX))
        .total_stacks(total(1))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(TABLES_PER_COMPONENT_MAX)
        .max_tables_per_module(TABLES_PER_COMPONENT_MAX)
        .max_memories_per_module(MEMORIES_PER_COMPONENT_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    if !PoolingAllocationConfig::is_pagemap_scan_available() {
        // Without the scan, keeping memory resident means to overwrite all of it: a small part is the better bargain.
        pool.linear_memory_keep_resident(KEEP_RESIDENT_BYTES / 32)
            .table_keep_resident(KEEP_RESIDENT_BYTES / 32);
    }
    pool
}
