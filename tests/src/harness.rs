//! A whole host in a test: a store at a home of its own, a sandbox, a clock that the test moves, gRPC over a loopback
//! port.
//!
//! Every end-to-end test ends with [`TestHost::finish`], which checks what must hold whatever happened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use windlass_core::call::Access;
use windlass_core::permit::Policy;
use windlass_core::problem::Problems;
use windlass_host::clock::Clock as _;
use windlass_host::engine::Limits;
use windlass_host::executors::Executors;
use windlass_host::executors::wasm::{Settings, WasmExecutors};
use windlass_host::host::{Host, HostParts};
use windlass_host::store::{Place, Store};
use windlass_proto::v1;

use crate::clock::ManualClock;
use crate::home::{Home, OpenStore};
use crate::invariants;
use crate::ledger::{self, LedgerLine};
use crate::plugins;
use crate::remote;

mod client;
mod job;
mod trigger;
mod upload;

pub use client::{as_principal, code, field_paths};
pub use trigger::{cron, event, interval};
pub use upload::{UploadAnswer, digest_text, try_upload};

/// How long the host lets calls finish when it stops. Tests open their gates first.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the call of any test that waits for its end takes.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Hosts of one process each reserve address space for so many calls.
const CONCURRENT_CALLS_MAX: usize = 16;

/// What a test wants otherwise than usual.
pub struct HostOptions {
    /// How many jobs run at once.
    pub slots: usize,
    pub limits: Limits,
    pub memory_bytes_max: u64,
    pub output_bytes_max: usize,
    pub policy: Policy,
    /// Below the test's directory, which is allowed read-write as a whole.
    pub read_only_directories: Vec<String>,
    /// Instead of the sandbox.
    pub executors: Option<Arc<dyn Executors>>,
    pub drain_timeout: Duration,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            slots: 4,
            limits: Limits { call_timeout: CALL_TIMEOUT, ..Limits::default() },
            memory_bytes_max: 64 << 20,
            output_bytes_max: 1 << 20,
            policy: Policy::default(),
            read_only_directories: Vec::new(),
            executors: None,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

/// A host, and all that a test needs to talk to it and to see what it did.
pub struct TestHost {
    pub clock: Arc<ManualClock>,
    options: HostOptions,
    directory: TempDir,
    /// The directory, with every link resolved.
    path: PathBuf,
    running: Option<Running>,
    /// Behind what runs on it.
    home: Home,
}

/// One life of the host.
struct Running {
    host: Host,
    store: OpenStore,
    channel: Channel,
}

impl TestHost {
    /// A host on a fresh store, without plugins.
    pub async fn bare() -> Self {
        Self::bare_with(HostOptions::default()).await
    }

    /// A host that has the fixtures.
    pub async fn start() -> Self {
        Self::start_with(HostOptions::default()).await
    }

    /// A host that has the fixtures, as the test wants it.
    pub async fn start_with(options: HostOptions) -> Self {
        let host = Self::bare_with(options).await;
        host.upload_fixtures().await;
        host
    }

    pub async fn bare_with(options: HostOptions) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let path = directory.path().canonicalize().expect("the directory is there");
        std::fs::create_dir_all(path.join("ledger/gates")).expect("the ledger's directory");
        for name in &options.read_only_directories {
            std::fs::create_dir_all(path.join(name)).expect("a directory below the test's");
        }
        plugins::seed_cache(&path.join("compiled")).await;
        let mut host = Self {
            clock: Arc::default(),
            options,
            directory,
            running: None,
            home: Home::fresh(&path).await,
            path,
        };
        host.launch().await;
        host
    }

    /// Stops as SIGTERM does, and starts again on the same store.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.launch().await;
    }

    /// The same, with other settings from then on.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut HostOptions)) {
        self.stop().await;
        change(&mut self.options);
        self.launch().await;
    }

    /// Ends as a process that is killed, as far as one process can: calls are cut, nothing is given up.
    pub async fn crash(&mut self) {
        if let Some(Running { host, store, .. }) = self.running.take() {
            // First: who is killed writes no farewell.
            store.close().await;
            drop(host);
        }
        self.launch().await;
    }

    pub async fn stop(&mut self) {
        if let Some(Running { host, store, .. }) = self.running.take() {
            host.stop().await;
            store.close().await;
        }
    }

    /// Gives a host that was stopped another home, where nothing is yet: it starts there next, and its directories
    /// stay.
    pub async fn move_out(&mut self) -> Place {
        assert!(self.running.is_none(), "a host that runs stays where it is");
        let folder = tempfile::tempdir_in(&self.path).expect("a directory below the test's").keep();
        self.home = Home::fresh(&folder).await;
        self.home.place()
    }

    /// Stops the host and checks the invariants of its store, before and after the store is opened anew.
    pub async fn finish(mut self) {
        let ledger = self.ledger();
        let Running { host, store, .. } = self.running.take().expect("the host runs");
        host.stop().await;
        invariants::check(&*store, &ledger).await;
        store.close().await;
        drop(store);
        let store = self.home.open().await;
        invariants::check(&*store, &ledger).await;
        store.close().await;
    }

    async fn launch(&mut self) {
        let store = self.home.open().await;
        let executors = match &self.options.executors {
            Some(executors) => executors.clone(),
            None => self.sandbox(),
        };
        let parts = HostParts {
            store: store.shared(),
            clock: self.clock.clone(),
            executors,
            grant_rule: self.grant_rule(),
            policy: self.options.policy.clone(),
            limits: self.options.limits.clone(),
            name: "test".to_owned(),
            slots: self.options.slots,
            guest_threads: 2,
            drain_timeout: self.options.drain_timeout,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let host = Host::start(parts, listener).await.expect("the host starts");
        let endpoint = Channel::from_shared(format!("http://{}", host.address)).expect("an address is a URI");
        let channel = endpoint.connect().await.expect("the host serves when it has started");
        self.running = Some(Running { host, store, channel });
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.path.join("compiled"));
        settings.concurrent_calls_max = self.options.slots.max(CONCURRENT_CALLS_MAX);
        settings.memory_bytes_max = self.options.memory_bytes_max;
        settings.output_bytes_max = self.options.output_bytes_max;
        let read_only = self.options.read_only_directories.iter();
        settings.allowed_directories =
            read_only.map(|name| (self.path.join(name), Access::ReadOnly)).collect();
        settings.allowed_directories.push((self.path.join("ledger"), Access::ReadWrite));
        settings
    }

    fn sandbox(&self) -> Arc<WasmExecutors> {
        Arc::new(WasmExecutors::new(self.settings()).expect("the sandbox can be set up"))
    }

    fn grant_rule(&self) -> windlass_host::engine::access::GrantRule {
        // A sandbox of its own: what is asked of it depends on nothing but its settings.
        let sandbox = self.sandbox();
        Box::new(move |grants| {
            let mut problems = Problems::default();
            if let Err(error) = sandbox.check_grants(grants) {
                problems.add("grants", error.to_string());
            }
            problems
        })
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the host runs")
    }

    /// The store, for what no service tells.
    pub fn store(&self) -> &dyn Store {
        &*self.running().store
    }

    pub fn engine(&self) -> &windlass_host::engine::Engine {
        &self.running().host.engine
    }

    pub fn channel(&self) -> Channel {
        self.running().channel.clone()
    }

    /// Where the host is, for the binary.
    pub fn url(&self) -> String {
        format!("http://{}", self.running().host.address)
    }

    /// The directory of the test.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// Every call of the fixtures so far, in the order in which they began.
    pub fn ledger(&self) -> Vec<LedgerLine> {
        ledger::read(&self.path.join("ledger"))
    }

    /// The calls of one job.
    pub fn ledger_of(&self, job: &str) -> Vec<LedgerLine> {
        self.ledger().into_iter().filter(|line| line.job == job).collect()
    }

    /// The calls of one job, such as `apply a, apply b, revert a`.
    pub fn calls(&self, job: &str) -> String {
        let calls: Vec<_> = self.ledger_of(job).iter().map(LedgerLine::call).collect();
        calls.join(", ")
    }

    /// Lets every call pass that waits, or will wait, for the gate.
    pub fn open_gate(&self, name: &str) {
        std::fs::write(self.path.join("ledger/gates").join(name), b"").expect("a gate can be opened");
    }

    /// Says what has become of what a `remote` of this name began, or begins.
    pub fn say_of_remote(&self, name: &str, said: &serde_json::Value) {
        remote::say(&self.path.join("ledger"), name, said);
    }

    /// Whether a `remote` of this name has begun, and was not called off.
    pub fn has_remote(&self, name: &str) -> bool {
        remote::has(&self.path.join("ledger"), name)
    }

    /// What a `remote` of this name began is gone, and nobody called it off.
    pub fn forget_remote(&self, name: &str) {
        remote::forget(&self.path.join("ledger"), name);
    }

    /// The ledger's directory, read-write: what every fixture needs.
    pub fn grants(&self) -> v1::Grants {
        v1::Grants {
            directories: vec![self.grant("ledger", "/ledger", v1::Access::ReadWrite)],
            memory_bytes_max: None,
        }
    }

    /// A directory below the test's.
    pub fn grant(&self, name: &str, guest_path: &str, access: v1::Access) -> v1::DirectoryGrant {
        v1::DirectoryGrant {
            host_path: self.directory.path().join(name).display().to_string(),
            guest_path: guest_path.to_owned(),
            access: access.into(),
        }
    }
}
