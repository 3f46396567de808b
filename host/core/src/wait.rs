//! Waits: nodes of a flow that make no call, and last until a time, an event, an answer or the end of another job.
//!
//! A job that has nothing else to do while one lasts holds no claim and no memory. Waits are durable: what they wait for
//! is stored with when they give up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::child::{Child, ChildEnd};
use crate::event::CloudEvent;
use crate::flow::{Input, PluginPin};
use crate::scope::When;

/// The longest that one may last: a year. What is due later belongs to a trigger.
pub const WAIT_MS_MAX: u64 = 366 * 24 * 3_600 * 1_000;
/// How long an answer or an event is waited for where the flow does not say: a week, in which somebody is back at work.
pub const TIMEOUT_MS_DEFAULT: u64 = 7 * 24 * 3_600 * 1_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wait<P = PluginPin> {
    /// Unique among the nodes of the whole flow.
    pub name: String,
    #[serde(rename = "wait")]
    pub until: Until<P>,
    /// Name that tasks and readers use -> JSON pointer (RFC 6901) into what it ended with; empty for the whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provides: BTreeMap<String, String>,
    /// Nodes that are applied before this one begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

impl<P> Wait<P> {
    /// The job that it is.
    pub fn child(&self) -> Option<&Child<P>> {
        match &self.until {
            Until::Child(child) => Some(child),
            Until::Passed { .. } | Until::Time(_) | Until::Event(_) | Until::Approval(_) => None,
        }
    }

    /// The same with plugins named otherwise.
    pub(crate) fn map<Q>(self, plugin: &mut dyn FnMut(P) -> Q) -> Wait<Q> {
        let until = match self.until {
            Until::Passed { ms } => Until::Passed { ms },
            Until::Time(time) => Until::Time(time),
            Until::Event(event) => Until::Event(event),
            Until::Approval(approval) => Until::Approval(approval),
            Until::Child(child) => Until::Child(child.map(plugin)),
        };
        Wait { name: self.name, until, provides: self.provides, needs: self.needs, when: self.when }
    }
}

/// What a wait lasts until.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until<P = PluginPin> {
    /// So many milliseconds have passed since it began.
    Passed {
        ms: u64,
    },
    /// A time: text as RFC 3339 writes it, or Unix milliseconds. One that is past is no wait.
    Time(Input),
    Event(EventWait),
    Approval(Approval),
    /// The end of a job that is begun for it. Unlike the others it has effects, and is undone.
    Child(Child<P>),
}

impl<P> Until<P> {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed { .. } | Self::Time(_) => "sleep",
            Self::Event(_) => "wait_event",
            Self::Approval(_) => "approval",
            Self::Child(_) => "job",
        }
    }

    /// Milliseconds after which it gives up; none where time is what it waits for.
    pub fn timeout_ms(&self) -> Option<u64> {
        match self {
            Self::Passed { .. } | Self::Time(_) => None,
            Self::Event(event) => Some(event.timeout_ms),
            Self::Approval(approval) => Some(approval.timeout_ms),
            Self::Child(child) => Some(child.timeout_ms),
        }
    }
}

/// An event that is waited for. One that was published before the wait began does not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventWait {
    #[serde(rename = "type")]
    pub type_: String,
    /// Any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A CEL expression over `event` and what is visible here, that must hold of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Milliseconds after which the wait has failed.
    pub timeout_ms: u64,
}

impl EventWait {
    /// As far as its attributes go.
    pub fn matches(&self, event: &CloudEvent) -> bool {
        self.type_ == event.type_
            && self.source.as_ref().is_none_or(|source| *source == event.source)
            && self.subject.as_ref().is_none_or(|subject| Some(subject) == event.subject.as_ref())
    }
}

/// An answer of a person, or of a program on their behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What is asked.
    pub message: String,
    /// Who may answer; whoever may control the job where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<String>,
    /// Milliseconds after which the wait has failed.
    pub timeout_ms: u64,
}

/// The name by which the condition of an event wait sees the event.
pub const EVENT: &str = "event";

/// What ended a wait before its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Decided {
        is_approved: bool,
        principal: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        comment: String,
    },
    Event(CloudEvent),
    Child(ChildEnd),
}
