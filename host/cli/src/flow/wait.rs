//! Waits in flow documents, and how what a task accepted is looked at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_proto::v1;
use windlass_proto::v1::sleep::Until;

use super::checked::Rules;
use super::document::{InputDocument, Pause, is_zero};

/// Waits for a time.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Sleep")]
#[schemars(extend("oneOf" = [{"required": ["for"]}, {"required": ["until"]}]))]
pub struct SleepDocument {
    /// So long from when it begins, up to 366 days.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    duration: Option<Pause>,
    /// Until this time: text as RFC 3339 writes it, or Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<InputDocument>,
}

impl Rules for SleepDocument {
    fn broken(&self) -> Option<String> {
        (self.duration.is_some() == self.until.is_some())
            .then(|| "a sleep lasts `for` a duration or `until` a time: give one of them".to_owned())
    }
}

/// Waits for an event that is published while it waits.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WaitEvent")]
pub struct WaitEventDocument {
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    type_: String,
    /// Any where absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    /// Any where absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    subject: String,
    /// A CEL expression over `event` and what an input could take here, that must hold.
    #[serde(rename = "match", default, skip_serializing_if = "String::is_empty")]
    condition: String,
    /// How long it waits, up to 366 days; 7 days where absent. Then it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Pause>,
}

/// Waits for somebody to say yes. On a no it has failed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Approval")]
pub struct ApprovalDocument {
    /// What is asked.
    #[schemars(length(min = 1, max = 4_096))]
    message: String,
    /// Who may answer; whoever may control the job where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    principals: Vec<String>,
    /// How long it waits, up to 366 days; 7 days where absent. Then it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Pause>,
}

/// How long, and how often, what a task accepted is looked at by its plugin's observer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Observe")]
pub struct ObserveDocument {
    /// From when it was accepted, up to 366 days; a day where absent. What is not ready then is in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<Pause>,
    /// The pause between the first two looks where the plugin does not say, up to a day; a second where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_initial: Option<Pause>,
    /// The longest pause, up to a day; 5 minutes where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_max: Option<Pause>,
    /// What each pause is multiplied with for the next, from 1 to 10; 0: 2.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("anyOf" = [{"const": 0}, {"minimum": 1, "maximum": 10}]))]
    backoff_multiplier: f64,
}

impl SleepDocument {
    pub fn wire(self) -> v1::Sleep {
        let duration = self.duration.map(|pause| Until::Duration(pause.0));
        v1::Sleep { until: duration.or(self.until.map(|until| Until::Time(until.wire()))) }
    }
}

impl From<&v1::Sleep> for SleepDocument {
    fn from(sleep: &v1::Sleep) -> Self {
        match &sleep.until {
            Some(Until::Duration(duration)) => Self { duration: Some(Pause(*duration)), until: None },
            Some(Until::Time(time)) => Self { duration: None, until: InputDocument::of_wire(time) },
            None => Self { duration: None, until: None },
        }
    }
}

impl WaitEventDocument {
    pub fn wire(self) -> v1::WaitEvent {
        v1::WaitEvent {
            r#type: self.type_,
            source: self.source,
            subject: self.subject,
            r#match: self.condition,
            timeout: self.timeout.map(|pause| pause.0),
        }
    }
}

impl From<&v1::WaitEvent> for WaitEventDocument {
    fn from(event: &v1::WaitEvent) -> Self {
        Self {
            type_: event.r#type.clone(),
            source: event.source.clone(),
            subject: event.subject.clone(),
            condition: event.r#match.clone(),
            timeout: event.timeout.map(Pause),
        }
    }
}

impl ApprovalDocument {
    pub fn wire(self) -> v1::Approval {
        v1::Approval {
            message: self.message,
            principals: self.principals,
            timeout: self.timeout.map(|pause| pause.0),
        }
    }
}

impl From<&v1::Approval> for ApprovalDocument {
    fn from(approval: &v1::Approval) -> Self {
        Self {
            message: approval.message.clone(),
            principals: approval.principals.clone(),
            timeout: approval.timeout.map(Pause),
        }
    }
}

impl ObserveDocument {
    pub fn wire(self) -> v1::ObservePolicy {
        v1::ObservePolicy {
            deadline: self.deadline.map(|pause| pause.0),
            backoff_initial: self.backoff_initial.map(|pause| pause.0),
            backoff_max: self.backoff_max.map(|pause| pause.0),
            backoff_multiplier: self.backoff_multiplier,
        }
    }
}

impl From<&v1::ObservePolicy> for ObserveDocument {
    fn from(observe: &v1::ObservePolicy) -> Self {
        Self {
            deadline: observe.deadline.map(Pause),
            backoff_initial: observe.backoff_initial.map(Pause),
            backoff_max: observe.backoff_max.map(Pause),
            backoff_multiplier: observe.backoff_multiplier,
        }
    }
}
