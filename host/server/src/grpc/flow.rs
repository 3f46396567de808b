//! FlowService.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use windlass_core::permit::{Kind, Verb};
use windlass_core::revision::{FlowRevision, NamedFlow};
use windlass_proto::v1;
use windlass_proto::v1::flow_service_server::FlowService;

use crate::engine::revision::FlowReference;
use crate::engine::{Engine, EngineError};
use crate::grpc::Services;
use crate::grpc::convert::{field, given, revision, stored_flow};
use crate::grpc::page::{Page, fitting};
use crate::grpc::principal::asked;

/// See the module.
pub(super) struct FlowPlane {
    engine: Arc<Engine>,
}

impl FlowPlane {
    pub fn new(services: &Services) -> Self {
        Self { engine: services.engine.clone() }
    }

    /// The latest revisions of these names that have the labels, as many as a page may show and one more.
    async fn latest(
        &self,
        names: Vec<NamedFlow>,
        request: &v1::ListFlowsRequest,
        count: usize,
    ) -> Result<Vec<(NamedFlow, FlowRevision)>, EngineError> {
        let mut shown = Vec::new();
        for named in names {
            if shown.len() == count {
                break;
            }
            let latest = match self.engine.stored_revision(&named, named.latest).await {
                // Deleted while it was listed.
                Err(EngineError::NotFound { .. }) => continue,
                found => found?,
            };
            if request.labels.iter().all(|(key, value)| latest.labels.get(key) == Some(value)) {
                shown.push((named, latest));
            }
        }
        Ok(shown)
    }
}

#[tonic::async_trait]
impl FlowService for FlowPlane {
    async fn create_revision(
        &self,
        request: Request<v1::CreateFlowRevisionRequest>,
    ) -> Result<Response<v1::CreateFlowRevisionResponse>, Status> {
        let (principal, request) = asked(request)?;
        let mut draft = stored_flow::draft(request, principal)?;
        let references = self.engine.fill_children(&mut draft.flow, &draft.principal).await?;
        // What is not whole is only looked at, for all that is wrong with it.
        draft.validate_only |= !references.are_found();
        let reference = FlowReference { name: draft.name.clone(), revision: None };
        let is_dry = draft.validate_only;
        let revised = references.judged(self.engine.create_revision(draft).await).map_err(field::of_flow)?;
        let made = &revised.revision;
        let answer = match self.engine.flow_revision(&reference).await {
            Ok((named, _)) => stored_flow::to_wire(&named, made),
            // Nothing was stored, and nothing was there.
            Err(EngineError::NotFound { .. }) if is_dry => stored_flow::tried(made),
            Err(error) => return Err(error.into()),
        };
        Ok(Response::new(v1::CreateFlowRevisionResponse {
            revision: Some(answer),
            unchanged: revised.unchanged,
        }))
    }

    async fn get(&self, request: Request<v1::GetFlowRequest>) -> Result<Response<v1::FlowRevision>, Status> {
        let (principal, request) = asked(request)?;
        let reference = stored_flow::reference(request.name, request.revision);
        let (named, found) = self.engine.flow_revision(&reference).await?;
        self.engine.permits(&principal, Verb::Read, Kind::Flow, &named.owner)?;
        Ok(Response::new(stored_flow::to_wire(&named, &found)))
    }

    async fn list(
        &self,
        request: Request<v1::ListFlowsRequest>,
    ) -> Result<Response<v1::ListFlowsResponse>, Status> {
        let (principal, mut request) = asked(request)?;
        let (size, token) = (std::mem::take(&mut request.page_size), std::mem::take(&mut request.page_token));
        let page = Page::asked(&request, &principal, size, &token)?;
        let after = page.after(|place| String::from_utf8(place.to_vec()).ok())?;
        let owner =
            self.engine.list_owner(&principal, Kind::Flow, given(&request.owner), request.all_owners)?;
        let mut names = self.engine.flows().await?;
        names.retain(|named| {
            after.as_ref().is_none_or(|after| named.name > *after)
                && owner.as_ref().is_none_or(|owner| *owner == named.owner)
        });
        let shown = self.latest(names, &request, page.size + 1).await?;
        let (flows, next_page_token) = page.cut(
            shown,
            |(named, _)| named.name.clone().into_bytes(),
            |(named, latest)| stored_flow::listed(named, latest),
        );
        Ok(Response::new(v1::ListFlowsResponse { flows, next_page_token }))
    }

    async fn list_revisions(
        &self,
        request: Request<v1::ListFlowRevisionsRequest>,
    ) -> Result<Response<v1::ListFlowRevisionsResponse>, Status> {
        let (principal, mut request) = asked(request)?;
        let (size, token) = (std::mem::take(&mut request.page_size), std::mem::take(&mut request.page_token));
        let page = Page::asked(&request, &principal, size, &token)?;
        let after = page.after(|place| Some(u32::from_be_bytes(place.try_into().ok()?)))?;
        let named = self.engine.living_flow(&request.name).await?;
        self.engine.permits(&principal, Verb::Read, Kind::Flow, &named.owner)?;
        let last = after.map_or(named.latest, |after| named.latest.min(after.saturating_sub(1)));
        let mut revisions = Vec::new();
        for number in (named.first..=last).rev().take(page.size + 1) {
            revisions.push(self.engine.stored_revision(&named, number).await?);
        }
        let (revisions, next_page_token) = page.cut(
            revisions,
            |revision| revision.revision.to_be_bytes().to_vec(),
            |revision| stored_flow::listed(&named, revision),
        );
        Ok(Response::new(v1::ListFlowRevisionsResponse { revisions, next_page_token }))
    }

    async fn validate(
        &self,
        request: Request<v1::ValidateFlowRequest>,
    ) -> Result<Response<v1::ValidateFlowResponse>, Status> {
        let (principal, request) = asked(request)?;
        let (mut wanted, mut problems) = stored_flow::wanted(request);
        if problems.0.is_empty() {
            let arguments = wanted.arguments.as_ref();
            let references = self.engine.fill_children(&mut wanted.flow, &principal).await?;
            let found = self.engine.validate_flow(wanted.flow, arguments, &principal).await?;
            problems = field::of_validated_flow(references.with(found));
        }
        let mut told = stored_flow::problems_to_wire(&problems);
        let fits = fitting(&told);
        let left_off_count = (told.len() - fits) as u32;
        told.truncate(fits);
        Ok(Response::new(v1::ValidateFlowResponse { problems: told, left_off_count }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteFlowRequest>,
    ) -> Result<Response<v1::DeleteFlowResponse>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        self.engine.delete_flow(&request.name, &principal, seen).await?;
        Ok(Response::new(v1::DeleteFlowResponse {}))
    }
}
