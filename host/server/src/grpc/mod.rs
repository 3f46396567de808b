//! The management plane: `windlass.v1` over gRPC.
//!
//! A handler converts, asks the engine, and converts. Validation is the conversion, and status codes are chosen
//! once per error, in [`status`].
//!
//! Invariants:
//! - Generated types are named nowhere else in the host.
//! - Nothing that a client does makes the host's memory grow without a named bound.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use windlass_proto::v1::event_service_server::EventServiceServer;
use windlass_proto::v1::flow_service_server::FlowServiceServer;
use windlass_proto::v1::host_service_server::HostServiceServer;
use windlass_proto::v1::job_service_server::JobServiceServer;
use windlass_proto::v1::logbook_service_server::LogbookServiceServer;
use windlass_proto::v1::operation_service_server::OperationServiceServer;
use windlass_proto::v1::plugin_service_server::PluginServiceServer;
use windlass_proto::v1::store_service_server::StoreServiceServer;
use windlass_proto::v1::trigger_service_server::TriggerServiceServer;

use crate::dispatcher::Dispatcher;
use crate::engine::Engine;
use crate::registry::Registry;

mod audit;
mod caller;
mod connection;
mod convert;
mod event;
mod flow;
mod host;
mod job;

mod logbook;
mod operation;
mod page;
mod plugin;
mod principal;
mod status;
mod store;
mod submit;
mod trigger;
mod upload;
mod watch;

use audit::AuditLayer;
use connection::Connection;

/// Between two tries to accept a connection where the first one failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of one message, either way. Uploads and downloads are streams of smaller ones, pages are cut below it.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Clients that are connected at once; more wait to be accepted. Below what a process may open by default.
const CONNECTIONS_MAX: usize = 512;
/// Requests and streams of one connection at once: a console with a watch for every job of a busy host.
const STREAMS_MAX: u32 = 1_024;
/// Bytes of the metadata of one request: a principal, a trace and a token.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// A connection on which nothing is heard is asked whether its client is there: watches are quiet for long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a client may take to answer that.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests under way may take to end when the host closes: health watches never would.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the plane speaks for.
#[derive(Clone)]
pub struct Services {
    pub engine: Arc<Engine>,
    pub registry: Arc<Registry>,
    pub dispatcher: Arc<Dispatcher>,
    /// Cancelled when the host begins to stop: streams end, so that their clients go elsewhere.
    pub draining: CancellationToken,
}

/// Why the plane cannot be built: the descriptors that reflection shows are not what was compiled in.
#[derive(Debug, thiserror::Error)]
#[error("the API's descriptors are not readable")]
pub struct PlaneError(#[from] tonic_reflection::server::Error);

/// See the module.
pub struct Plane {
    router:
        tonic::transport::server::Router<tower::layer::util::Stack<AuditLayer, tower::layer::util::Identity>>,
    health: HealthReporter,
    draining: CancellationToken,
}

impl Plane {
    pub fn new(services: Services) -> Result<Self, PlaneError> {
        let health = HealthReporter::new();
        let health_service = tonic_health::server::HealthService::from_health_reporter(health.clone());
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(windlass_proto::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let draining = services.draining.clone();
        macro_rules! bounded {
            ($server:ident, $service:expr) => {
                $server::new($service)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX)
            };
        }
        let router = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .layer(AuditLayer)
            .add_service(bounded!(PluginServiceServer, plugin::PluginPlane::new(&services)))
            .add_service(bounded!(TriggerServiceServer, trigger::TriggerPlane::new(&services)))
            .add_service(bounded!(FlowServiceServer, flow::FlowPlane::new(&services)))
            .add_service(bounded!(OperationServiceServer, operation::OperationPlane::new(&services)))
            .add_service(bounded!(JobServiceServer, job::JobPlane::new(&services)))
            .add_service(bounded!(LogbookServiceServer, logbook::LogbookPlane::new(&services)))
            .add_service(bounded!(EventServiceServer, event::EventPlane::new(&services)))
            .add_service(bounded!(HostServiceServer, host::HostPlane::new(&services)))
            .add_service(bounded!(StoreServiceServer, store::StorePlane::new(&services)))
            .add_service(tonic_health::pb::health_server::HealthServer::new(health_service))
            .add_service(reflection);
        Ok(Self { router, health, draining })
    }

    /// Serves until `closing` is cancelled, and then until what is under way has ended, within a bound. Tells by the
    /// health service that it serves, until the host drains.
    pub async fn serve(
        self,
        listener: TcpListener,
        closing: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let Self { router, health, draining } = self;
        tell_health(&health, ServingStatus::Serving).await;
        // Cancelled at the latest when this future is dropped: no connection outlives the plane.
        let cut = CancellationToken::new();
        let _cut_at_last = cut.clone().drop_guard();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let incoming = TcpListenerStream::new(listener).then(move |accepted| {
            let (places, cut) = (places.clone(), cut.clone());
            async move {
                let stream: TcpStream = match accepted {
                    Ok(stream) => stream,
                    // Without a free descriptor the next one fails as well: do not spin until there is one.
                    Err(error) => {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        return Err(error);
                    }
                };
                stream.set_nodelay(true)?;
                let place = places.acquire_owned().await.expect("the places are never closed");
                Ok::<_, std::io::Error>(Connection::new(stream, place, cut))
            }
        });
        let serving = router.serve_with_incoming_shutdown(incoming, closing.clone().cancelled_owned());
        let told = async {
            draining.cancelled().await;
            tell_health(&health, ServingStatus::NotServing).await;
            std::future::pending::<()>().await;
        };
        let closed = async {
            closing.cancelled().await;
            tokio::time::sleep(CLOSE_TIMEOUT).await;
        };
        tokio::select! {
            served = serving => served,
            () = told => Ok(()),
            () = closed => Ok(()),
        }
    }
}

async fn tell_health(health: &HealthReporter, status: ServingStatus) {
    for service in [
        "",
        <PluginServiceServer<plugin::PluginPlane> as NamedService>::NAME,
        <TriggerServiceServer<trigger::TriggerPlane> as NamedService>::NAME,
        <FlowServiceServer<flow::FlowPlane> as NamedService>::NAME,
        <OperationServiceServer<operation::OperationPlane> as NamedService>::NAME,
        <JobServiceServer<job::JobPlane> as NamedService>::NAME,
        <LogbookServiceServer<logbook::LogbookPlane> as NamedService>::NAME,
        <EventServiceServer<event::EventPlane> as NamedService>::NAME,
        <HostServiceServer<host::HostPlane> as NamedService>::NAME,
        <StoreServiceServer<store::StorePlane> as NamedService>::NAME,
    ] {
        health.set_service_status(service, status).await;
    }
}
