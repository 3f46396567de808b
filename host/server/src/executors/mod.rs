//! Executors: what makes a call.
//!
//! The runner asks for a call and gets an outcome; how a guest is kept in its sandbox is known only here.
//! A call never fails the host: whatever a plugin does becomes an [`Outcome`].

use std::sync::Arc;

use async_trait::async_trait;
use semver::Version;
use windlass_core::call::{Call, Outcome};
use windlass_core::id::Digest;
use windlass_core::payload::Payload;
use windlass_core::plugin::Manifest;

pub mod wasm;

/// Runs plugins. Two implementations: wasmtime, and scripted behaviours for simulations.
#[async_trait]
pub trait Executors: Send + Sync {
    /// Checks an upload without running guest code: what it is, exports, imports and manifest.
    ///
    /// The answer holds the bytes of the component to store: the upload itself, or the component that a
    /// core module with component type information was made into.
    async fn admit(&self, upload: Vec<u8>) -> Result<Admission, AdmitError>;

    /// Makes the plugin callable: compiles it, or finds the compiled form of an earlier time.
    /// Slow (up to minutes of CPU) and bounded in parallel. `progress` gets values from 0 to 1.
    async fn prepare(
        &self,
        digest: Digest,
        component: Vec<u8>,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<(), PrepareError>;

    /// Whether the plugin is callable at once, in memory or from the cache on disk.
    fn is_prepared(&self, digest: Digest) -> bool;

    /// Forgets the compiled form, in memory and on disk.
    fn discard(&self, digest: Digest);

    /// One attempt, in a fresh instance. Interrupted at its timeout.
    async fn call(&self, call: Call, journal: Arc<dyn Journal>) -> Outcome;
}

/// An upload that may be registered.
#[derive(Debug)]
pub struct Admission {
    pub manifest: Manifest,
    pub component: Vec<u8>,
}

/// Why an upload is refused.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    #[error(
        "the upload is not a WebAssembly component, nor a core module with component type information: {0}"
    )]
    NotAComponent(String),
    #[error(
        "the component was built for windlass:plugin {built_for}, and this host speaks {spoken} and every older {}.x: build \
         the plugin anew with the WIT package or the SDK of this host, or upload it to a host that speaks what it was \
         built for",
        .spoken.major
    )]
    OtherVersion { built_for: String, spoken: Version },
    #[error("the component lacks the required export {}", .0.join(", "))]
    MissingExports(Vec<String>),
    #[error("the component imports what no plugin may: {}; it may import windlass:plugin 1 and, of WASI 0.2, cli, clocks, filesystem, io, random, sockets and outgoing http (plugin-sdk/README.md has the list)", .0.join(", "))]
    ForbiddenImports(Vec<String>),
    #[error(
        "the manifest says that {} {} observed, and the component does not export {observer}: export it, or say `observed: false`",
        .actions.join(", "),
        if .actions.len() == 1 { "is" } else { "are" }
    )]
    MissingObserver { observer: &'static str, actions: Vec<String> },
    #[error("the plugin's manifest is not usable: {0}")]
    Manifest(String),
}

/// Why a plugin could not be made callable.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("plugin {digest} does not compile: {reason}")]
    Compile { digest: Digest, reason: String },
    #[error("the compiled form of plugin {digest} could not be kept in {path}")]
    Cache {
        digest: Digest,
        path: String,
        #[source]
        source: std::io::Error,
    },
}

/// What a running call may say to its host. Durable where it says so.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Durable when it returns.
    async fn undo_ahead(&self, undo: Payload) -> Result<(), Stop>;
    /// Durable when it returns.
    async fn note(&self, name: String, value: Vec<u8>) -> Result<(), Stop>;
    async fn recall(&self, name: String) -> Result<Option<Vec<u8>>, Stop>;
    /// `fraction` is within 0 to 1.
    async fn progress(&self, fraction: f32, message: String) -> Result<(), Stop>;
    /// Why the call should stop, if it should.
    fn stop(&self) -> Option<Stop>;
    /// Something that the guest printed or logged. Bounded by the receiver; never blocks.
    fn print(&self, source: Print, text: String);
}

/// Where a printed line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Print {
    Stdout,
    Stderr,
    Log(tracing::Level),
}

/// Why the host refuses a journal call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    ClaimLost,
    Cancelled,
    Denied,
    TooLarge,
    StoreDown,
}
