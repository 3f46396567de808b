//! A host as `windlass serve` puts it together, on a store that kills the process at a chosen write.
//!
//! `crash_host DATA_DIR COMPILED_DIR ALLOWED_DIR`, with the point in `CRASH_POINT`. Prints `ready: ADDRESS` when it
//! serves, stops when its standard input ends, and prints then how many commits it made.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use windlass_core::call::Access;
use windlass_core::permit::Policy;
use windlass_core::problem::Problems;
use windlass_host::clock::SystemClock;
use windlass_host::engine::Limits;
use windlass_host::executors::wasm::{Settings, WasmExecutors};
use windlass_host::host::{Host, HostParts};
use windlass_host::store::{RedbSettings, RedbStore};
use windlass_tests::crash::point::CrashGuard;
use windlass_tests::guarded::GuardedStore;

/// Small, so that many of these start quickly.
const STORE_CACHE_BYTES: usize = 4 << 20;
const RESERVE_BYTES: u64 = 64 << 10;
const SLOTS: usize = 4;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let mut path = |name| paths.next().with_context(|| format!("the argument {name} is missing"));
    let (data, compiled, allowed) = (path("DATA_DIR")?, path("COMPILED_DIR")?, path("ALLOWED_DIR")?);
    let guard = Arc::new(CrashGuard::from_environment().map_err(anyhow::Error::msg)?);
    let mut settings = RedbSettings::at(data.join("windlass.redb"));
    settings.cache_bytes = STORE_CACHE_BYTES;
    settings.reserve_bytes = RESERVE_BYTES;
    let store = Arc::new(RedbStore::open(settings)?);
    let guarded = Arc::new(GuardedStore::new(store, guard.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.context("a port of the loopback")?;
    let host = Host::start(parts(guarded, compiled, allowed)?, listener).await?;
    println!("ready: http://{}", host.address);
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    host.stop().await;
    println!("commits: {}", guard.commits());
    Ok(())
}

fn parts(store: Arc<GuardedStore>, compiled: PathBuf, allowed: PathBuf) -> Result<HostParts> {
    let mut sandbox = Settings::new(compiled);
    sandbox.concurrent_calls_max = SLOTS;
    sandbox.allowed_directories = vec![(allowed, Access::ReadWrite)];
    let executors = Arc::new(WasmExecutors::new(sandbox)?);
    let rule = executors.clone();
    Ok(HostParts {
        store,
        clock: Arc::new(SystemClock),
        executors,
        grant_rule: Box::new(move |grants| {
            let mut problems = Problems::default();
            if let Err(error) = rule.check_grants(grants) {
                problems.add("grants", error.to_string());
            }
            problems
        }),
        policy: Policy::default(),
        limits: Limits::default(),
        name: "crash-host".to_owned(),
        slots: SLOTS,
        guest_threads: 1,
        drain_timeout: DRAIN_TIMEOUT,
    })
}
