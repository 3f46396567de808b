//! Clients of every service, and what an error says.

use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use windlass_proto::PRINCIPAL_METADATA;
use windlass_proto::v1::event_service_client::EventServiceClient;
use windlass_proto::v1::flow_service_client::FlowServiceClient;
use windlass_proto::v1::host_service_client::HostServiceClient;
use windlass_proto::v1::job_service_client::JobServiceClient;
use windlass_proto::v1::logbook_service_client::LogbookServiceClient;
use windlass_proto::v1::operation_service_client::OperationServiceClient;
use windlass_proto::v1::plugin_service_client::PluginServiceClient;
use windlass_proto::v1::trigger_service_client::TriggerServiceClient;

use super::TestHost;

impl TestHost {
    pub fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(self.channel())
    }

    pub fn plugins(&self) -> PluginServiceClient<Channel> {
        PluginServiceClient::new(self.channel())
    }

    pub fn triggers(&self) -> TriggerServiceClient<Channel> {
        TriggerServiceClient::new(self.channel())
    }

    pub fn operations(&self) -> OperationServiceClient<Channel> {
        OperationServiceClient::new(self.channel())
    }

    pub fn flows(&self) -> FlowServiceClient<Channel> {
        FlowServiceClient::new(self.channel())
    }

    pub fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel())
    }

    pub fn logbook(&self) -> LogbookServiceClient<Channel> {
        LogbookServiceClient::new(self.channel())
    }

    pub fn hosts(&self) -> HostServiceClient<Channel> {
        HostServiceClient::new(self.channel())
    }
}

/// The request on behalf of somebody.
pub fn as_principal<T>(principal: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(PRINCIPAL_METADATA, principal.parse().expect("a plain name"));
    request
}

/// The code with which a call was refused.
pub fn code<T: std::fmt::Debug>(answer: Result<T, Status>) -> Code {
    answer.expect_err("the call is refused").code()
}

/// The fields that a refusal complains about.
pub fn field_paths(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}
