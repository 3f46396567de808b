//! What the store of one call holds: what the guest may reach, and nothing that another call could see.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};
use windlass_core::call::{Access, Function};
use windlass_core::fault::Fault;
use windlass_core::instance::InstanceName;

use super::grants::{Directory, GrantError};
use super::limits::MemoryLimit;
use super::print::Printer;
use crate::executors::{Journal, Print};

/// Open files, streams and timers of one guest. Each may be a file that the host's process has open, and a process
/// commonly may have 1024: one guest must not take them all.
const RESOURCES_MAX: usize = 512;

/// Random bytes that a guest may ask for at once.
const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

/// The state of one call.
pub(super) struct CallState {
    pub journal: Arc<dyn Journal>,
    pub printer: Printer,
    pub function: Function,
    pub failures: Vec<(InstanceName, Fault)>,
    pub deadline: Instant,
    pub output_bytes_max: usize,
    pub limit: MemoryLimit,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    network: NoNetwork,
    table: ResourceTable,
}

/// What a call brings along, beside what it may touch.
pub(super) struct Facts {
    pub journal: Arc<dyn Journal>,
    pub printer: Printer,
    pub function: Function,
    pub failures: Vec<(InstanceName, Fault)>,
    pub deadline: Instant,
    pub output_bytes_max: usize,
    pub memory_bytes_max: u64,
}

impl CallState {
    /// Built on the defaults of WASI: no environment, no arguments, closed input, no network. Clocks and
    /// randomness are the host's.
    pub(super) fn new(facts: Facts, wasi: WasiCtx) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            journal: facts.journal,
            printer: facts.printer,
            function: facts.function,
            failures: facts.failures,
            deadline: facts.deadline,
            output_bytes_max: facts.output_bytes_max,
            limit: MemoryLimit::new(facts.memory_bytes_max),
            wasi,
            http: WasiHttpCtx::new(),
            network: NoNetwork,
            table,
        }
    }
}

/// What WASI shows the guest. Opens directories: not for async threads where there are any.
pub(super) fn wasi(printer: &Printer, directories: &[Directory]) -> Result<WasiCtx, GrantError> {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(printer.stream(Print::Stdout))
        .stderr(printer.stream(Print::Stderr))
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_tcp(false)
        .allow_udp(false);
    for directory in directories {
        let missing = |source| GrantError::Missing { path: directory.host.display().to_string(), source };
        let perms = match directory.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        let (_open, path) = directory.open().map_err(missing)?;
        builder
            .preopened_dir(path, &directory.guest, perms)
            .map_err(|error| missing(std::io::Error::other(format!("{error:#}"))))?;
    }
    Ok(builder.build())
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.network, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Refuses every request with an error code that the guest can act on.
struct NoNetwork;

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for NoNetwork {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
