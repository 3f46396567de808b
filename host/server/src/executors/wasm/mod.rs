//! The wasmtime executors: plugins as components, each call in a sandbox of its own.
//!
//! Reading order: [`settings`] and [`engine`] say what there is, [`admission`] what may be uploaded, [`compiled`]
//! how it becomes callable, [`call`] what one attempt is. Only these files name wasmtime.
//!
//! Invariants: no guest code runs outside [`call`]; every call has a store and an instance that nobody had before
//! it and nobody gets after it; whatever a guest does ends as an [`Outcome`], never as a panic of the host.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use windlass_core::call::{Call, Grants, Outcome};
use windlass_core::id::Digest;

use crate::executors::{Admission, AdmitError, Executors, Journal, PrepareError};

mod admission;
mod answer;
mod bindings;
mod cache;
mod call;
mod compiled;
mod component;
mod convert;
mod engine;
mod grants;
mod host_functions;
mod imports;
mod interruption;
mod limits;
mod load;
mod manifest;
mod print;
mod seal;
mod settings;
mod store_data;
mod ticker;

pub use cache::CacheError;
pub use engine::Allocation;
pub use grants::GrantError;
pub use imports::published_imports;
pub use settings::{Settings, SettingsError};

use compiled::Compiled;
use store_data::CallState;

/// Runs plugins with wasmtime. One per process; cheap to call from any number of tasks.
///
/// [`Executors::call`] runs the guest on the tokio runtime that polls it: use one apart from timers and gRPC.
pub struct WasmExecutors {
    settings: Settings,
    compiled: Compiled,
    linker: Linker<CallState>,
    allocation: Allocation,
    /// Bounds the instances that exist at once, so that the pool is never exhausted.
    slots: Semaphore,
    /// Bounds concurrent instantiation: threads that instantiate contend on the memory map of the process.
    lanes: Semaphore,
    /// Ends the ticks when the executors are dropped.
    _ticker: ticker::Ticker,
}

impl WasmExecutors {
    /// Builds the engine and opens the cache of compiled forms.
    ///
    /// # Errors
    /// A setting out of its bounds, an engine that this machine cannot carry, a cache directory that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let (engine, allocation) = engine::build(&settings).map_err(SettingsError::Engine)?;
        let linker = bindings::linker(&engine).map_err(SettingsError::Engine)?;
        let ticker = ticker::Ticker::start(&engine, EPOCH_TICK).map_err(SettingsError::Ticker)?;
        let compiled = Compiled::new(engine, &settings)?;
        Ok(Self {
            slots: Semaphore::new(settings.concurrent_calls_max),
            lanes: Semaphore::new(settings.instantiation_lanes),
            settings,
            compiled,
            linker,
            allocation,
            _ticker: ticker,
        })
    }

    /// Whether the host's operator allows what is asked. For admission of an operation or a job; each call checks
    /// again, for directories come and go.
    ///
    /// # Errors
    /// The first grant that cannot be honoured, and why.
    pub fn check_grants(&self, grants: &Grants) -> Result<(), GrantError> {
        grants::check(&self.settings, grants).map(drop)
    }

    /// How instances get their memory on this machine.
    pub fn allocation(&self) -> Allocation {
        self.allocation
    }
}

/// How often guests that compute yield to their neighbours, and how finely a deadline cuts a loop.
/// Ten milliseconds cost a loop nothing measurable and are far below any deadline that people set.
const EPOCH_TICK: Duration = Duration::from_millis(10);

#[async_trait]
impl Executors for WasmExecutors {
    async fn admit(&self, upload: Vec<u8>) -> Result<Admission, AdmitError> {
        // Parsing megabytes takes milliseconds, and a parser that panics must not take the host with it.
        tokio::task::spawn_blocking(move || admission::admit(upload))
            .await
            .unwrap_or_else(|panic| Err(AdmitError::NotAComponent(format!("it cannot be read: {panic}"))))
    }

    /// On [`PrepareError::Cache`] the plugin is callable in this process, but a restart has to compile it again.
    async fn prepare(
        &self,
        digest: Digest,
        component: Vec<u8>,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<(), PrepareError> {
        self.compiled.prepare(&self.linker, digest, component, progress).await
    }

    fn is_prepared(&self, digest: Digest) -> bool {
        self.compiled.is_prepared(digest)
    }

    fn discard(&self, digest: Digest) {
        self.compiled.discard(digest);
    }

    /// A plugin that is not in memory is loaded from the cache first. Where that has no sound form of it the outcome
    /// is `retry` with the class `host.unavailable`: nothing happened, and after a new `prepare` it will work.
    async fn call(&self, call: Call, journal: Arc<dyn Journal>) -> Outcome {
        call::run(self, call, journal).await
    }
}
