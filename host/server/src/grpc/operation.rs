//! OperationService.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;
use windlass_core::operation::Operation;
use windlass_core::permit::{Kind, Verb};
use windlass_core::problem::Problems;
use windlass_proto::v1;
use windlass_proto::v1::operation_service_server::OperationService;

use crate::engine::reference::References;
use crate::engine::{Engine, EngineError};
use crate::grpc::Services;
use crate::grpc::convert::{field, given, operation, revision};
use crate::grpc::page::Page;
use crate::grpc::principal::asked;

/// See the module.
pub(super) struct OperationPlane {
    engine: Arc<Engine>,
}

impl OperationPlane {
    pub fn new(services: &Services) -> Self {
        Self { engine: services.engine.clone() }
    }

    async fn shown(&self, operation: Operation) -> Result<Response<v1::Operation>, Status> {
        let state = self.engine.operation_state(&operation).await?;
        Ok(Response::new(operation::to_wire(&operation, state)))
    }
}

#[tonic::async_trait]
impl OperationService for OperationPlane {
    async fn create(
        &self,
        request: Request<v1::CreateOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let (principal, request) = asked(request)?;
        let locate = field::of_operation(request.operation.as_ref().and_then(|wanted| wanted.work.as_ref()));
        let (id, mut draft) = operation::creation(request.operation, principal)?;
        let references = self.engine.fill_children(&mut draft.flow, &draft.spec.principal).await?;
        let dry_run = request.dry_run || !references.are_found();
        let created = self.engine.create_operation(id, draft, !request.create_disabled, dry_run).await;
        self.shown(references.judged(created).map_err(locate)?).await
    }

    async fn get(
        &self,
        request: Request<v1::GetOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let (principal, request) = asked(request)?;
        let operation = self.engine.operation(&request.operation).await?;
        self.engine.permits(&principal, Verb::Read, Kind::Operation, &operation.owner)?;
        self.shown(operation).await
    }

    async fn list(
        &self,
        request: Request<v1::ListOperationsRequest>,
    ) -> Result<Response<v1::ListOperationsResponse>, Status> {
        let (principal, mut request) = asked(request)?;
        let (size, token) = (std::mem::take(&mut request.page_size), std::mem::take(&mut request.page_token));
        let page = Page::asked(&request, &principal, size, &token)?;
        let after = page.after(|place| Uuid::from_slice(place).ok())?;
        let owner =
            self.engine.list_owner(&principal, Kind::Operation, given(&request.owner), request.all_owners)?;
        let trigger = match request.trigger.as_str() {
            "" => None,
            reference => Some(self.engine.trigger(reference).await?.id),
        };
        let mut operations = self.engine.operations().await?;
        operations.retain(|operation| {
            after.is_none_or(|after| operation.id.0 > after)
                && owner.as_ref().is_none_or(|owner| *owner == operation.owner)
                && trigger.is_none_or(|trigger| trigger == operation.trigger)
                && request.labels.iter().all(|(key, value)| operation.labels.get(key) == Some(value))
                && (request.show_deleted || operation.deleted.is_none())
        });
        // States cost a look at the jobs: only what may be shown is asked for, and one more for the next page.
        operations.truncate(page.size + 1);
        let mut stated = Vec::with_capacity(operations.len());
        for operation in operations {
            let state = self.engine.operation_state(&operation).await?;
            stated.push((operation, state));
        }
        let (operations, next_page_token) = page.cut(
            stated,
            |(operation, _)| operation.id.0.as_bytes().to_vec(),
            |(operation, state)| operation::to_wire(operation, *state),
        );
        Ok(Response::new(v1::ListOperationsResponse { operations, next_page_token }))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let (principal, request) = asked(request)?;
        let wanted = request.operation.ok_or_else(|| EngineError::invalid("operation", "is not given"))?;
        let locate = field::of_operation(wanted.work.as_ref());
        let (id, seen) = (wanted.id.clone(), revision("operation.etag", &wanted.etag)?);
        let mut edit = operation::edit(wanted, request.update_mask.as_ref())?;
        let references = match edit.flow_mut() {
            Some(flow) => self.engine.fill_children(flow, &principal).await?,
            None => References::default(),
        };
        let edited = |stored: &Operation| match references.are_found() {
            true => Ok(edit.draft(stored)),
            // What is missing is told with the rest.
            false => Err(Problems::default().into()),
        };
        let updated = self.engine.update_operation(&id, &principal, seen, edited).await;
        self.shown(references.judged(updated).map_err(locate)?).await
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        let deleted = self.engine.delete_operation(&request.operation, &principal, seen).await?;
        self.shown(deleted).await
    }

    async fn enable(
        &self,
        request: Request<v1::EnableOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        let enabled = self.engine.enable_operation(&request.operation, &principal, true, seen).await?;
        self.shown(enabled).await
    }

    async fn disable(
        &self,
        request: Request<v1::DisableOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        let disabled = self.engine.enable_operation(&request.operation, &principal, false, seen).await?;
        self.shown(disabled).await
    }
}
