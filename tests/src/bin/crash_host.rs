//! A host as `windlass serve` puts it together, on a store that kills the process at a chosen write.
//!
//! `crash_host STORE COMPILED_DIR ALLOWED_DIR`, with a file or a URL as the store, and the point in `CRASH_POINT`. Prints `ready: ADDRESS` when it
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
use windlass_tests::crash::point::CrashGuard;
use windlass_tests::guarded::GuardedStore;
use windlass_tests::home::OpenStore;

const SLOTS: usize = 4;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name| arguments.next().with_context(|| format!("the argument {name} is missing"));
    let address = argument("STORE")?;
    let (compiled, allowed) = (argument("COMPILED_DIR")?.into(), argument("ALLOWED_DIR")?.into());
    let guard = Arc::new(CrashGuard::from_environment().map_err(anyhow::Error::msg)?);
    let store = OpenStore::at(&address).await?;
    let guarded = Arc::new(GuardedStore::new(store.shared(), guard.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.context("a port of the loopback")?;
    let host = Host::start(parts(guarded, compiled, allowed)?, listener).await?;
    println!("ready: http://{}", host.address);
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    host.stop().await;
    store.close().await;
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
