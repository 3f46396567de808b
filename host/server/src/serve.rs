//! `windlass serve`: a host on a data directory.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use windlass_core::call::Access;
use windlass_core::permit::Policy;
use windlass_core::problem::Problems;

use crate::clock::SystemClock;
use crate::engine::Limits;
use crate::executors::wasm::{Settings as SandboxSettings, SettingsError, WasmExecutors};
use crate::host::{Host, HostParts, StartError};
use crate::store::{Ousted, Place, PlaceError, PostgresSettings};

/// Where compiled plugins are kept in the data directory. May be deleted while no host runs.
const CACHE_DIRECTORY: &str = "compiled";

/// What an operator decides about a host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Holds everything durable. Created where missing.
    pub data_dir: PathBuf,
    /// Holds the store, instead of a file in the data directory.
    pub database: Option<PostgresSettings>,
    /// Loopback only, until there is authentication. Port 0 lets the system choose.
    pub listen: SocketAddr,
    pub name: String,
    /// How many calls run at once; a running job takes one or more.
    pub slots: usize,
    pub guest_threads: usize,
    pub memory_bytes_max: u64,
    pub output_bytes_max: usize,
    pub call_timeout: Duration,
    pub interval_min: Duration,
    pub drain_timeout: Duration,
    pub store_cache_bytes: usize,
    /// What grants may name, and everything below it.
    pub allowed_directories: Vec<(PathBuf, Access)>,
    pub policy: Policy,
}

/// Why a host does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(
        "{0} is not a loopback address: there is no authentication yet, so only 127.0.0.1 and ::1 may be listened on"
    )]
    NotLoopback(SocketAddr),
    #[error("the data directory {path} cannot be created: check that its parent exists and may be written")]
    DataDirectory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] PlaceError),
    #[error(transparent)]
    Ousted(#[from] Ousted),
    #[error(transparent)]
    Sandbox(#[from] SettingsError),
    #[error("cannot listen on {address}: another process may have the port, choose another with --listen")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Serves until `shutdown` is done, then lets running calls finish within the bound. `ready` is told the address
/// when the host serves.
pub async fn serve(
    settings: Settings,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    if !settings.listen.ip().is_loopback() {
        return Err(ServeError::NotLoopback(settings.listen));
    }
    let path = settings.data_dir.clone();
    std::fs::create_dir_all(&path).map_err(|source| ServeError::DataDirectory { path, source })?;
    let place = match &settings.database {
        Some(database) => Place::Postgres(database.clone()),
        None => Place::in_directory(&settings.data_dir),
    };
    let opened = place.open(settings.store_cache_bytes).await?;
    let executors = Arc::new(WasmExecutors::new(sandbox(&settings))?);
    // Bound before the takeover, so that a port that is taken leaves the jobs as they are.
    let address = settings.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let rule = executors.clone();
    let parts = HostParts {
        store: opened.store(),
        clock: Arc::new(SystemClock),
        executors,
        grant_rule: Box::new(move |grants| {
            let mut problems = Problems::default();
            if let Err(error) = rule.check_grants(grants) {
                problems.add("grants", error.to_string());
            }
            problems
        }),
        policy: settings.policy,
        limits: Limits {
            call_timeout: settings.call_timeout,
            interval_min_ms: u64::try_from(settings.interval_min.as_millis()).unwrap_or(u64::MAX),
            ..Limits::default()
        },
        name: settings.name,
        slots: settings.slots,
        guest_threads: settings.guest_threads,
        drain_timeout: settings.drain_timeout,
    };
    let host = Host::start(parts, listener).await?;
    ready(host.address);
    tokio::select! {
        () = shutdown => {}
        ousted = opened.ousted() => {
            // Another host has the jobs: nothing that this one still does may be recorded.
            drop(host);
            opened.close().await;
            return Err(ousted.into());
        }
    }
    host.stop().await;
    opened.close().await;
    Ok(())
}

fn sandbox(settings: &Settings) -> SandboxSettings {
    let mut sandbox = SandboxSettings::new(settings.data_dir.join(CACHE_DIRECTORY));
    // A call more than there are slots never happens.
    sandbox.concurrent_calls_max = settings.slots;
    sandbox.memory_bytes_max = settings.memory_bytes_max;
    sandbox.output_bytes_max = settings.output_bytes_max;
    sandbox.allowed_directories.clone_from(&settings.allowed_directories);
    sandbox
}
