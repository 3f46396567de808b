//! The session with a host: one connection, on behalf of one principal.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use windlass_proto::v1::event_service_client::EventServiceClient;
use windlass_proto::v1::flow_service_client::FlowServiceClient;
use windlass_proto::v1::host_service_client::HostServiceClient;
use windlass_proto::v1::job_service_client::JobServiceClient;
use windlass_proto::v1::logbook_service_client::LogbookServiceClient;
use windlass_proto::v1::operation_service_client::OperationServiceClient;
use windlass_proto::v1::plugin_service_client::PluginServiceClient;
use windlass_proto::v1::store_service_client::StoreServiceClient;
use windlass_proto::v1::trigger_service_client::TriggerServiceClient;

use crate::command::Global;
use crate::output::Output;
use crate::problem::Problem;

/// A host on this machine answers within milliseconds, one across a network within seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How soon a peer that vanished without a word is noticed while a watch is open.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// The largest answer that is taken: the outputs of a whole job may be many times the largest payload.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A connection that says on whose behalf it asks.
pub type Link = InterceptedService<Channel, Principal>;

/// Adds the principal to every request.
#[derive(Debug, Clone)]
pub struct Principal(MetadataValue<Ascii>);

impl Interceptor for Principal {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(windlass_proto::PRINCIPAL_METADATA, self.0.clone());
        Ok(request)
    }
}

/// Where the host is, and how its answers are to be shown.
pub struct Session {
    link: Link,
    pub output: Output,
}

macro_rules! clients {
    ($($name:ident: $client:ident),* $(,)?) => {
        $(pub fn $name(&self) -> $client<Link> {
            $client::new(self.link.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
        })*
    };
}

impl Session {
    /// The first call connects, so that a mistake in the command line is told first. The connection is made anew by
    /// itself when a call finds it lost.
    pub fn open(global: &Global) -> Result<Self, Problem> {
        let principal = Principal(MetadataValue::try_from(&global.principal).map_err(|_| {
            Problem::usage(format!(
                "the principal {:?} has characters that cannot travel: use visible ASCII",
                global.principal
            ))
        })?);
        let endpoint = Endpoint::from_shared(global.host.clone())
            .map_err(|_| no_address(&global.host))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_INTERVAL);
        if endpoint.uri().host().is_none() || endpoint.uri().scheme_str() != Some("http") {
            return Err(no_address(&global.host));
        }
        let channel = endpoint.connect_lazy();
        Ok(Self { link: InterceptedService::new(channel, principal), output: Output::new(global.output) })
    }

    clients! {
        plugins: PluginServiceClient,
        triggers: TriggerServiceClient,
        flows: FlowServiceClient,
        operations: OperationServiceClient,
        jobs: JobServiceClient,
        logbook: LogbookServiceClient,
        events: EventServiceClient,
        hosts: HostServiceClient,
        store: StoreServiceClient,
    }
}

fn no_address(host: &str) -> Problem {
    Problem::usage(format!("{host:?} is no address of a host: write http://HOST:PORT"))
}
