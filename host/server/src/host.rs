//! The host: one running process of Windlass, put together and taken apart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use windlass_core::id::HostId;
use windlass_core::permit::Policy;

use crate::clock::Clock;
use crate::dispatcher::Dispatcher;
use crate::engine::access::GrantRule;
use crate::engine::{Engine, EngineError, Limits, Parts};
use crate::executors::Executors;
use crate::grpc;
use crate::registry::Registry;
use crate::runner::Runner;
use crate::store::{HostState, Store, StoreFailure};

/// Version of the program, as hosts tell it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a host is made of. Tests give their own clock, store and executors.
pub struct HostParts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub executors: Arc<dyn Executors>,
    pub grant_rule: GrantRule,
    pub policy: Policy,
    pub limits: Limits,
    pub name: String,
    /// How many calls run at once.
    pub slots: usize,
    /// Threads that run guests.
    pub guest_threads: usize,
    /// How long running calls may go on when the host stops.
    pub drain_timeout: Duration,
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the threads that run plugins could not be started")]
    Threads(#[source] std::io::Error),
    #[error("the store does not answer")]
    Store(#[source] EngineError),
    #[error(
        "an import into the store began at {0} and has not ended, so that it is not whole: run `windlass store import` \
         again, into an empty store"
    )]
    Unfinished(chrono::DateTime<chrono::Utc>),
    #[error("the listening socket is not usable")]
    Socket(#[source] std::io::Error),
    #[error("the gRPC plane could not be built: {0}")]
    Plane(String),
}

/// The threads that run guests. They may be dropped anywhere, also where a start has failed half-way.
struct Guests(Option<tokio::runtime::Runtime>);

impl Guests {
    fn start(threads: usize) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("windlass-guest")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> tokio::runtime::Handle {
        self.0.as_ref().expect("they run until the host is shut").handle().clone()
    }

    /// Whoever drops a runtime waits for its threads, which is not allowed in an asynchronous context.
    fn shut(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.shut();
    }
}

/// A host that serves.
pub struct Host {
    pub engine: Arc<Engine>,
    pub address: SocketAddr,
    dispatcher: Arc<Dispatcher>,
    stopping: CancellationToken,
    aborting: CancellationToken,
    closing: CancellationToken,
    drain_timeout: Duration,
    dispatching: JoinHandle<()>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    guests: Guests,
}

impl Host {
    /// Takes over what its predecessor left, and serves on `listener`. When it returns, it is ready.
    ///
    /// Boxed: an async function is compiled by whoever awaits it, and with this one the whole host, in every program.
    pub fn start(parts: HostParts, listener: TcpListener) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(Self::begin(parts, listener))
    }

    async fn begin(parts: HostParts, listener: TcpListener) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Socket)?;
        let guests = Guests::start(parts.guest_threads)?;
        let engine = Arc::new(Engine::new(Parts {
            store: parts.store,
            clock: parts.clock,
            policy: parts.policy,
            limits: parts.limits,
            grant_rule: parts.grant_rule,
            host: HostId(Uuid::now_v7()),
        }));
        check_whole(&engine).await?;
        take_over(&engine, &parts.name).await?;
        let (stopping, aborting, closing) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let registry = Arc::new(Registry::new(engine.clone(), parts.executors));
        let slots = Arc::new(Semaphore::new(parts.slots.max(1)));
        let runner = Runner::new(
            engine.clone(),
            registry.clone(),
            slots.clone(),
            guests.handle(),
            stopping.clone(),
            aborting.clone(),
        );
        let dispatcher = Arc::new(Dispatcher::new(engine.clone(), Arc::new(runner), slots, stopping.clone()));
        let services = grpc::Services {
            engine: engine.clone(),
            registry,
            dispatcher: dispatcher.clone(),
            draining: stopping.clone(),
        };
        let plane = grpc::Plane::new(services).map_err(|error| StartError::Plane(error.to_string()))?;
        let serving = tokio::spawn(plane.serve(listener, closing.clone()));
        let dispatching = tokio::spawn({
            let dispatcher = dispatcher.clone();
            async move { dispatcher.run().await }
        });
        Ok(Self {
            engine,
            address,
            dispatcher,
            stopping,
            aborting,
            closing,
            drain_timeout: parts.drain_timeout,
            dispatching,
            serving,
            guests,
        })
    }

    /// Lets running calls finish within the bound, gives every claim back, and stops. What was cut short is in
    /// doubt, as after a crash, and is told so to the plugin.
    pub fn stop(self) -> BoxFuture<'static, ()> {
        Box::pin(self.end())
    }

    async fn end(mut self) {
        self.stopping.cancel();
        if let Err(error) = self.engine.set_host_state(HostState::Draining).await {
            tracing::warn!(%error, "the store does not know that this host drains");
        }
        if let Err(error) = (&mut self.dispatching).await {
            tracing::error!(%error, "the dispatcher failed");
        }
        if tokio::time::timeout(self.drain_timeout, self.dispatcher.finished()).await.is_err() {
            tracing::warn!("calls are cut short: the drain timeout is over");
            self.aborting.cancel();
            self.dispatcher.finished().await;
        }
        if let Err(error) = self.engine.set_host_state(HostState::Gone).await {
            tracing::warn!(%error, "the store does not know that this host is gone");
        }
        self.closing.cancel();
        match (&mut self.serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the gRPC plane failed"),
            Err(error) => tracing::error!(%error, "the gRPC plane failed"),
        }
        self.guests.shut();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A host that is dropped rather than stopped is one that crashed: tests do so.
        self.stopping.cancel();
        self.aborting.cancel();
        self.closing.cancel();
        self.dispatching.abort();
        self.serving.abort();
        self.guests.shut();
    }
}

/// A store whose import was interrupted holds some of what was: nothing may run on it.
async fn check_whole(engine: &Engine) -> Result<(), StartError> {
    match engine.unfinished_import().await.map_err(StartError::Store)? {
        Some(began) => Err(StartError::Unfinished(began)),
        None => Ok(()),
    }
}

/// Takes what the predecessor left. On a full disk the host starts all the same, so that somebody can cancel and
/// purge; the dispatcher takes over when there is room.
async fn take_over(engine: &Engine, name: &str) -> Result<(), StartError> {
    let taken = async {
        engine.succeed_predecessors(name, VERSION).await?;
        let orphans = engine.orphans(|_| false).await?;
        engine.take_over(&orphans).await?;
        Ok(orphans.len())
    };
    match taken.await {
        Ok(0) => Ok(()),
        Ok(jobs) => {
            tracing::info!(jobs, "took over the jobs of a host that is gone");
            Ok(())
        }
        Err(EngineError::Storage(StoreFailure::Full)) => {
            tracing::error!("the disk is full: cancel and purge work, jobs go on when there is room");
            Ok(())
        }
        Err(error) => Err(StartError::Store(error)),
    }
}
