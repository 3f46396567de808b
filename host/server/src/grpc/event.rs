//! EventService.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use windlass_proto::v1;
use windlass_proto::v1::event_service_server::EventService;

use crate::engine::Engine;
use crate::grpc::Services;
use crate::grpc::convert::{event, field};
use crate::grpc::principal::asked;

/// See the module.
pub(super) struct EventPlane {
    engine: Arc<Engine>,
}

impl EventPlane {
    pub fn new(services: &Services) -> Self {
        Self { engine: services.engine.clone() }
    }
}

#[tonic::async_trait]
impl EventService for EventPlane {
    async fn publish(
        &self,
        request: Request<v1::PublishEventsRequest>,
    ) -> Result<Response<v1::PublishEventsResponse>, Status> {
        let (principal, request) = asked(request)?;
        let events = event::events(request.events)?;
        let published = self.engine.publish(&principal, &events).await.map_err(field::of_events)?;
        let results = published.iter().map(event::result_to_wire).collect();
        Ok(Response::new(v1::PublishEventsResponse { results }))
    }
}
