//! TriggerService.

use std::collections::HashMap;
use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;
use windlass_core::id::TriggerId;
use windlass_core::permit::{Kind, Verb};
use windlass_core::problem::Problems;
use windlass_core::trigger::Trigger;
use windlass_proto::v1;
use windlass_proto::v1::preview_trigger_request::Subject;
use windlass_proto::v1::trigger_service_server::TriggerService;

use crate::engine::trigger::PREVIEW_MAX;
use crate::engine::{Engine, EngineError};
use crate::grpc::Services;
use crate::grpc::convert::time::{instant, timestamp};
use crate::grpc::convert::{checked, field, given, revision, schedule, trigger};
use crate::grpc::page::Page;
use crate::grpc::principal::asked;

/// Times of a preview where the client asks for no number.
const PREVIEW_DEFAULT: usize = 10;

/// See the module.
pub(super) struct TriggerPlane {
    engine: Arc<Engine>,
}

impl TriggerPlane {
    pub fn new(services: &Services) -> Self {
        Self { engine: services.engine.clone() }
    }

    async fn shown(&self, trigger: Trigger) -> Result<Response<v1::Trigger>, Status> {
        let counts = self.operation_counts().await?;
        Ok(Response::new(trigger::to_wire(&trigger, counts.get(&trigger.id).copied().unwrap_or(0))))
    }

    /// How many operations are bound to each trigger that has some.
    async fn operation_counts(&self) -> Result<HashMap<TriggerId, usize>, EngineError> {
        let mut counts = HashMap::new();
        for operation in self.engine.operations().await? {
            if operation.deleted.is_none() {
                *counts.entry(operation.trigger).or_insert(0) += 1;
            }
        }
        Ok(counts)
    }

    async fn find(&self, reference: &str, principal: &str) -> Result<Trigger, EngineError> {
        let trigger = self.engine.trigger(reference).await?;
        self.engine.permits(principal, Verb::Read, Kind::Trigger, &trigger.owner)?;
        Ok(trigger)
    }
}

#[tonic::async_trait]
impl TriggerService for TriggerPlane {
    async fn create(
        &self,
        request: Request<v1::CreateTriggerRequest>,
    ) -> Result<Response<v1::Trigger>, Status> {
        let (principal, request) = asked(request)?;
        let (id, spec) = trigger::creation(request.trigger, principal)?;
        let created = self.engine.create_trigger(id, &spec).await.map_err(field::of_trigger)?;
        self.shown(created).await
    }

    async fn get(&self, request: Request<v1::GetTriggerRequest>) -> Result<Response<v1::Trigger>, Status> {
        let (principal, request) = asked(request)?;
        let trigger = self.find(&request.trigger, &principal).await?;
        self.shown(trigger).await
    }

    async fn list(
        &self,
        request: Request<v1::ListTriggersRequest>,
    ) -> Result<Response<v1::ListTriggersResponse>, Status> {
        let (principal, mut request) = asked(request)?;
        let (size, token) = (std::mem::take(&mut request.page_size), std::mem::take(&mut request.page_token));
        let page = Page::asked(&request, &principal, size, &token)?;
        let after = page.after(|place| Uuid::from_slice(place).ok())?;
        let filter = trigger::filter(&request)?;
        let owner =
            self.engine.list_owner(&principal, Kind::Trigger, given(&request.owner), request.all_owners)?;
        let mut triggers = self.engine.triggers().await?;
        triggers.retain(|trigger| {
            after.is_none_or(|after| trigger.id.0 > after)
                && owner.as_ref().is_none_or(|owner| *owner == trigger.owner)
                && filter.matches(trigger)
        });
        let counts = self.operation_counts().await?;
        let count = |trigger: &Trigger| counts.get(&trigger.id).copied().unwrap_or(0);
        let place = |trigger: &Trigger| trigger.id.0.as_bytes().to_vec();
        let (triggers, next_page_token) =
            page.cut(triggers, place, |found| trigger::to_wire(found, count(found)));
        Ok(Response::new(v1::ListTriggersResponse { triggers, next_page_token }))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateTriggerRequest>,
    ) -> Result<Response<v1::Trigger>, Status> {
        let (principal, request) = asked(request)?;
        let wanted = request.trigger.ok_or_else(|| EngineError::invalid("trigger", "is not given"))?;
        let (id, seen) = (wanted.id.clone(), revision("trigger.etag", &wanted.etag)?);
        let edit = trigger::edit(wanted, request.update_mask.as_ref())?;
        let updated = self.engine.update_trigger(&id, &principal, seen, |stored| Ok(edit.spec(stored))).await;
        self.shown(updated.map_err(field::of_trigger)?).await
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteTriggerRequest>,
    ) -> Result<Response<v1::DeleteTriggerResponse>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        self.engine.delete_trigger(&request.trigger, &principal, seen).await?;
        Ok(Response::new(v1::DeleteTriggerResponse {}))
    }

    async fn pause(
        &self,
        request: Request<v1::PauseTriggerRequest>,
    ) -> Result<Response<v1::Trigger>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        let paused = self.engine.pause_trigger(&request.trigger, &principal, &request.note, seen).await?;
        self.shown(paused).await
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeTriggerRequest>,
    ) -> Result<Response<v1::Trigger>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        let resumed = self.engine.resume_trigger(&request.trigger, &principal, seen).await?;
        self.shown(resumed).await
    }

    async fn fire(
        &self,
        request: Request<v1::FireTriggerRequest>,
    ) -> Result<Response<v1::FireTriggerResponse>, Status> {
        let (principal, request) = asked(request)?;
        let request_id = given(&request.request_id).unwrap_or_else(|| Uuid::now_v7().to_string());
        let jobs = self.engine.fire_trigger(&request.trigger, &principal, &request_id).await?;
        let job_ids = jobs.iter().map(ToString::to_string).collect();
        Ok(Response::new(v1::FireTriggerResponse { job_ids }))
    }

    async fn preview(
        &self,
        request: Request<v1::PreviewTriggerRequest>,
    ) -> Result<Response<v1::PreviewTriggerResponse>, Status> {
        let (principal, request) = asked(request)?;
        let mut problems = Problems::default();
        let count = match request.count as usize {
            0 => PREVIEW_DEFAULT,
            count if count > PREVIEW_MAX => {
                problems.add("count", format!("is {count}: give 1 to {PREVIEW_MAX}"));
                PREVIEW_MAX
            }
            count => count,
        };
        let after = instant(&mut problems, "after_time", request.after_time.as_ref());
        let after = checked(problems, after)?.unwrap_or_else(|| self.engine.now());
        let times = match request.subject {
            Some(Subject::Trigger(reference)) => {
                let trigger = self.find(&reference, &principal).await?;
                self.engine.preview(Engine::schedule_of(&trigger)?, after, count)?
            }
            Some(Subject::Schedule(wire)) => {
                let mut problems = Problems::default();
                let spec = schedule::spec(&mut problems, "schedule", wire);
                let spec = checked(problems, spec)?;
                let schedule = self.engine.check_schedule(&spec).map_err(field::of_schedule)?;
                self.engine.preview(&schedule, after, count)?
            }
            None => Err(EngineError::invalid("subject", "is not given: name a trigger or give a schedule"))?,
        };
        let times = times.into_iter().map(timestamp).collect();
        Ok(Response::new(v1::PreviewTriggerResponse { times }))
    }
}
