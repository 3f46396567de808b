//! Triggers, operations and events in tests.

use std::time::Duration;

use serde_json::Value;
use tonic::Status;
use windlass_proto::v1;
use windlass_proto::v1::trigger::Due;

use super::TestHost;
use crate::work::duration;

impl TestHost {
    pub async fn create_trigger(&self, trigger: v1::Trigger) -> Result<v1::Trigger, Status> {
        let request = v1::CreateTriggerRequest { trigger: Some(trigger) };
        Ok(self.triggers().create(request).await?.into_inner())
    }

    /// A trigger that is due every so often from now on.
    pub async fn every(&self, name: &str, period: Duration) -> v1::Trigger {
        self.create_trigger(interval(name, period)).await.expect("the trigger is accepted")
    }

    /// A trigger that waits for events of a type.
    pub async fn on_event(&self, name: &str, event_type: &str, source: &str) -> v1::Trigger {
        let subscription = v1::EventSubscription {
            r#type: event_type.to_owned(),
            source: source.to_owned(),
            subject: String::new(),
        };
        let trigger = v1::Trigger {
            name: name.to_owned(),
            due: Some(Due::Event(subscription)),
            ..v1::Trigger::default()
        };
        self.create_trigger(trigger).await.expect("the trigger is accepted")
    }

    /// An operation with the ledger granted.
    pub fn operation(&self, name: &str, trigger: &str, work: v1::Work) -> v1::Operation {
        v1::Operation {
            name: name.to_owned(),
            trigger: trigger.to_owned(),
            work: Some(work),
            grants: Some(self.grants()),
            ..v1::Operation::default()
        }
    }

    pub async fn create_operation(&self, operation: v1::Operation) -> Result<v1::Operation, Status> {
        let request = v1::CreateOperationRequest {
            operation: Some(operation),
            ..v1::CreateOperationRequest::default()
        };
        Ok(self.operations().create(request).await?.into_inner())
    }

    /// Binds work to a trigger; the operation.
    pub async fn bind(&self, name: &str, trigger: &str, work: v1::Work) -> v1::Operation {
        self.create_operation(self.operation(name, trigger, work)).await.expect("the operation is accepted")
    }

    /// The jobs of an operation, oldest first, each waited for.
    pub async fn jobs_of(&self, operation: &str) -> Vec<v1::Job> {
        let filter =
            v1::ListJobsRequest { operation: operation.to_owned(), ..v1::ListJobsRequest::default() };
        let mut jobs = Vec::new();
        for listed in self.list(filter).await.into_iter().rev() {
            jobs.push(self.wait(&listed.id).await);
        }
        jobs
    }

    pub async fn trigger(&self, trigger: &str) -> v1::Trigger {
        let request = v1::GetTriggerRequest { trigger: trigger.to_owned() };
        self.triggers().get(request).await.expect("the trigger is there").into_inner()
    }

    /// Returns when every nominal time up to now was decided.
    pub async fn until_decided(&self, trigger: &str) {
        let now = self.now();
        let deciding = async {
            loop {
                let next = crate::work::instant(self.trigger(trigger).await.next_time.as_ref());
                if next.is_none_or(|next| next > now) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let decided = tokio::time::timeout(Duration::from_secs(60), deciding).await;
        decided.unwrap_or_else(|_| panic!("trigger {trigger} is not decided up to {now}"));
    }

    pub async fn publish(&self, events: Vec<v1::CloudEvent>) -> Result<Vec<v1::EventResult>, Status> {
        Ok(self.events().publish(v1::PublishEventsRequest { events }).await?.into_inner().results)
    }
}

pub fn interval(name: &str, period: Duration) -> v1::Trigger {
    let interval = v1::Interval { every: Some(duration(period)), anchor: None };
    scheduled(name, v1::schedule::Rule::Interval(interval))
}

pub fn cron(name: &str, expression: &str, time_zone: &str) -> v1::Trigger {
    let cron = v1::Cron { expression: expression.to_owned(), time_zone: time_zone.to_owned() };
    scheduled(name, v1::schedule::Rule::Cron(cron))
}

fn scheduled(name: &str, rule: v1::schedule::Rule) -> v1::Trigger {
    let schedule = v1::Schedule { rule: Some(rule), start_time: None, end_time: None };
    v1::Trigger { name: name.to_owned(), due: Some(Due::Schedule(schedule)), ..v1::Trigger::default() }
}

/// An event with data.
pub fn event(source: &str, id: &str, event_type: &str, data: &Value) -> v1::CloudEvent {
    v1::CloudEvent {
        id: id.to_owned(),
        source: source.to_owned(),
        r#type: event_type.to_owned(),
        data_json: data.to_string(),
        ..v1::CloudEvent::default()
    }
}
