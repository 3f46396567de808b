//! Compiled plugins: how a component becomes callable, once per plugin and engine.
//!
//! Compiling is slow, on threads of its own and bounded; loading from the cache takes milliseconds; what is in
//! memory is called at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use windlass_core::id::Digest;

use super::bindings::{self, Prepared};
use super::cache::{Cache, CacheError};
use super::load::load;
use super::settings::Settings;
use super::store_data::CallState;
use crate::executors::PrepareError;

/// Plugins kept ready in memory. A Python plugin takes some 50 MB; the least recently called go first, and come back
/// from the cache.
const IN_MEMORY_MAX: usize = 128;

/// How often progress is told while a plugin compiles.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Compilation as measured on this hardware class: 18 MB of Python take 12 s of one core.
const COMPILED_BYTES_PER_SECOND: f32 = 1.5e6;

/// What is callable, in memory and on disk.
pub(super) struct Compiled {
    engine: Engine,
    cache: Arc<Cache>,
    ready: RwLock<HashMap<Digest, Arc<Ready>>>,
    compilations: Arc<Semaphore>,
    /// One at a time, so that many calls of a plugin that is not in memory load it once.
    loads: Semaphore,
    uses: AtomicU64,
}

/// A plugin that can be called.
pub(super) struct Ready {
    pub plugin: Prepared,
    last_use: AtomicU64,
}

impl Compiled {
    pub(super) fn new(engine: Engine, settings: &Settings) -> Result<Self, CacheError> {
        let cache = Arc::new(Cache::open(&settings.cache_dir, &engine)?);
        Ok(Self {
            engine,
            cache,
            ready: RwLock::new(HashMap::new()),
            compilations: Arc::new(Semaphore::new(settings.compile_parallel_max)),
            loads: Semaphore::new(1),
            uses: AtomicU64::new(0),
        })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn is_prepared(&self, digest: Digest) -> bool {
        self.in_memory(digest).is_some() || self.cache.contains(digest)
    }

    pub(super) fn discard(&self, digest: Digest) {
        self.ready.write().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        self.cache.remove(digest);
    }

    /// The plugin from memory, or else from the cache; nothing where neither has it.
    pub(super) async fn get(&self, linker: &Linker<CallState>, digest: Digest) -> Option<Arc<Ready>> {
        if let Some(ready) = self.in_memory(digest) {
            return Some(ready);
        }
        let _turn = self.loads.acquire().await.ok()?;
        if let Some(ready) = self.in_memory(digest) {
            return Some(ready);
        }
        let (engine, cache, linker) = (self.engine.clone(), self.cache.clone(), linker.clone());
        let plugin = tokio::task::spawn_blocking(move || {
            let component = cached(&engine, &cache, digest)?;
            bindings::prepare(&linker, &component)
                .inspect_err(
                    |error| tracing::error!(%digest, "a compiled plugin cannot be linked: {error:#}"),
                )
                .ok()
        })
        .await
        .ok()??;
        Some(self.keep(digest, plugin))
    }

    /// See [`Executors::prepare`](crate::executors::Executors::prepare).
    pub(super) async fn prepare(
        &self,
        linker: &Linker<CallState>,
        digest: Digest,
        component: Vec<u8>,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<(), PrepareError> {
        if self.get(linker, digest).await.is_none() {
            let cause = |reason| PrepareError::Compile { digest, reason };
            let estimate = Duration::from_secs_f32(0.05 + component.len() as f32 / COMPILED_BYTES_PER_SECOND);
            let (engine, cache, linker) = (self.engine.clone(), self.cache.clone(), linker.clone());
            let turn = self
                .compilations
                .clone()
                .acquire_owned()
                .await
                .map_err(|closed| cause(closed.to_string()))?;
            let compilation = tokio::task::spawn_blocking(move || {
                // Moved in: a caller that goes away must not let another compilation begin while this one goes on.
                let _turn = turn;
                compile(&engine, &cache, &linker, digest, &component)
            });
            let (plugin, kept) = with_progress(compilation, estimate, progress)
                .await
                .map_err(|panic| cause(panic.to_string()))??;
            self.keep(digest, plugin);
            kept.map_err(|source| PrepareError::Cache {
                digest,
                path: self.cache.path(digest).display().to_string(),
                source,
            })?;
        }
        progress(1.0);
        Ok(())
    }

    fn in_memory(&self, digest: Digest) -> Option<Arc<Ready>> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()?;
        ready.last_use.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(ready)
    }

    fn keep(&self, digest: Digest, plugin: Prepared) -> Arc<Ready> {
        let last_use = AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed));
        let ready = Arc::new(Ready { plugin, last_use });
        let mut all = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(digest, ready.clone());
        while all.len() > IN_MEMORY_MAX {
            let Some(oldest) = all
                .iter()
                .min_by_key(|(_, ready)| ready.last_use.load(Ordering::Relaxed))
                .map(|(digest, _)| *digest)
            else {
                break;
            };
            all.remove(&oldest);
        }
        ready
    }
}

type Made = (Prepared, std::io::Result<()>);

/// Compiles and keeps the compiled form. That it was kept is an answer apart: the plugin is callable all the same.
fn compile(
    engine: &Engine,
    cache: &Cache,
    linker: &Linker<CallState>,
    digest: Digest,
    bytes: &[u8],
) -> Result<Made, PrepareError> {
    let cause = |error: wasmtime::Error| PrepareError::Compile { digest, reason: format!("{error:#}") };
    // Another caller may have compiled it while this one waited for its turn.
    if let Some(component) = cached(engine, cache, digest) {
        return Ok((bindings::prepare(linker, &component).map_err(cause)?, Ok(())));
    }
    let component = Component::from_binary(engine, bytes).map_err(cause)?;
    let plugin = bindings::prepare(linker, &component).map_err(cause)?;
    let code = component.serialize().map_err(cause)?;
    Ok((plugin, cache.put(digest, &code)))
}

fn cached(engine: &Engine, cache: &Cache, digest: Digest) -> Option<Component> {
    let code = cache.get(digest)?;
    match load(engine, &code) {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(%digest, "a compiled form cannot be loaded: {error:#}");
            cache.remove(digest);
            None
        }
    }
}

/// Tells an estimate while the work goes on: the compiler itself tells nothing. Approaches 0.95, never reaches it.
async fn with_progress<T>(
    mut work: tokio::task::JoinHandle<T>,
    estimate: Duration,
    progress: &(dyn Fn(f32) + Send + Sync),
) -> Result<T, tokio::task::JoinError> {
    let began = Instant::now();
    progress(0.0);
    loop {
        match tokio::time::timeout(PROGRESS_EVERY, &mut work).await {
            Ok(done) => return done,
            Err(_) => {
                let elapsed = began.elapsed().as_secs_f32() / estimate.as_secs_f32();
                progress(0.95 * (1.0 - (-1.5 * elapsed).exp()));
            }
        }
    }
}
