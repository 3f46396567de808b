//! HostService.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;
use windlass_core::permit::{Kind, Verb};
use windlass_proto::v1;
use windlass_proto::v1::host_service_server::HostService;

use crate::dispatcher::Dispatcher;
use crate::engine::{Engine, HostRecord};
use crate::grpc::Services;
use crate::grpc::convert::host;
use crate::grpc::page::Page;
use crate::grpc::principal::asked;

/// See the module.
pub(super) struct HostPlane {
    engine: Arc<Engine>,
    dispatcher: Arc<Dispatcher>,
}

impl HostPlane {
    pub fn new(services: &Services) -> Self {
        Self { engine: services.engine.clone(), dispatcher: services.dispatcher.clone() }
    }

    fn shown(&self, record: &HostRecord) -> v1::Host {
        match record.id == self.engine.host {
            true => host::to_wire(record, self.dispatcher.slots_max(), self.dispatcher.running()),
            false => host::to_wire(record, 0, 0),
        }
    }
}

#[tonic::async_trait]
impl HostService for HostPlane {
    async fn list(
        &self,
        request: Request<v1::ListHostsRequest>,
    ) -> Result<Response<v1::ListHostsResponse>, Status> {
        let (principal, request) = asked(request)?;
        let page = Page::asked(
            &v1::ListHostsRequest::default(),
            &principal,
            request.page_size,
            &request.page_token,
        )?;
        self.engine.permits(&principal, Verb::List, Kind::Host, "")?;
        let mut hosts = self.engine.hosts().await?;
        // Hosts are never removed: the last one that was shown is still there.
        if let Some(last) = page.after(|place| Uuid::from_slice(place).ok())? {
            let shown = hosts.iter().position(|host| host.id.0 == last).map_or(0, |index| index + 1);
            hosts.drain(..shown);
        }
        let (hosts, next_page_token) =
            page.cut(hosts, |host| host.id.0.as_bytes().to_vec(), |record| self.shown(record));
        Ok(Response::new(v1::ListHostsResponse { hosts, next_page_token }))
    }
}
