//! Flow documents to the contract and back.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_proto::v1;
use windlass_proto::v1::task::Wait;

use super::{
    FlowDocument, InDoubtDocument, InputDocument, OutputDocument, PatternDocument, Pause, RetryDocument,
    TaskDocument,
};
use crate::flow::checked::Checked;
use crate::flow::child::ChildDocument;
use crate::flow::scope::{MapDocument, RepeatDocument, ScopeRetryDocument, WhenDocument};
use crate::flow::undo::{OwnRevertDocument, PhaseDocument};
use crate::flow::wait::{ApprovalDocument, ObserveDocument, SleepDocument, WaitEventDocument};

impl FlowDocument {
    pub fn wire(self) -> v1::Flow {
        use v1::flow::Scope;
        let defaults_json = match self.defaults.is_empty() {
            true => String::new(),
            false => Value::from_iter(self.defaults).to_string(),
        };
        // One of them at most, as the rules say.
        let scope = self.retry.map(|retry| Scope::Retry(retry.0.wire()));
        let scope = scope.or(self.repeat.map(|repeat| Scope::Repeat(repeat.wire())));
        v1::Flow {
            tasks: self.tasks.into_iter().map(|task| task.0.wire()).collect(),
            defaults_json,
            pattern: self.pattern.wire().into(),
            parallel_max: self.parallel_max,
            scope: scope.or(self.map.map(|map| Scope::Map(map.wire()))),
            revert: self.revert.map(OwnRevertDocument::wire),
        }
    }
}

impl PatternDocument {
    fn wire(self) -> v1::Pattern {
        match self {
            Self::Linear => v1::Pattern::Linear,
            Self::Unordered => v1::Pattern::Unordered,
            Self::Graph => v1::Pattern::Graph,
        }
    }

    fn of_wire(pattern: v1::Pattern) -> Self {
        match pattern {
            v1::Pattern::Unspecified | v1::Pattern::Linear => Self::Linear,
            v1::Pattern::Unordered => Self::Unordered,
            v1::Pattern::Graph => Self::Graph,
        }
    }
}

impl TaskDocument {
    fn wire(self) -> v1::Task {
        // One of them at most, as the rules say.
        let sleep = self.sleep.map(|sleep| Wait::Sleep(sleep.0.wire()));
        let event = self.wait_event.map(|event| Wait::WaitEvent(event.wire()));
        let approval = self.approval.map(|approval| Wait::Approval(approval.wire()));
        let job = self.job.map(|job| Wait::Job(job.wire()));
        v1::Task {
            name: self.name,
            plugin: self.plugin,
            action: self.action,
            flow: self.flow.map(|flow| flow.0.wire()),
            when: self.when.map(WhenDocument::wire),
            needs: self.needs,
            priority: self.priority,
            memory_bytes_max: self.memory_bytes_max,
            in_doubt: match self.in_doubt {
                InDoubtDocument::Reapply => v1::InDoubt::Unspecified,
                InDoubtDocument::Revert => v1::InDoubt::Revert,
                InDoubtDocument::Hold => v1::InDoubt::Hold,
                InDoubtDocument::Observe => v1::InDoubt::Observe,
            }
            .into(),
            observe: self.observe.map(ObserveDocument::wire),
            wait: sleep.or(event).or(approval).or(job),
            phase: PhaseDocument::wire(self.phase).into(),
            inputs: wire_of_inputs(self.inputs),
            revert_inputs: wire_of_inputs(self.revert_inputs),
            provides: self.provides,
            timeout: self.timeout.map(|pause| pause.0),
            retry: self.retry.map(RetryDocument::wire),
            digest: String::new(),
        }
    }
}

impl RetryDocument {
    pub fn wire(self) -> v1::RetryPolicy {
        v1::RetryPolicy {
            attempts_max: self.attempts_max,
            backoff_initial: self.backoff_initial.map(|pause| pause.0),
            backoff_max: self.backoff_max.map(|pause| pause.0),
            backoff_multiplier: self.backoff_multiplier,
        }
    }
}

impl From<&v1::RetryPolicy> for RetryDocument {
    fn from(retry: &v1::RetryPolicy) -> Self {
        Self {
            attempts_max: retry.attempts_max,
            backoff_initial: retry.backoff_initial.map(Pause),
            backoff_max: retry.backoff_max.map(Pause),
            backoff_multiplier: retry.backoff_multiplier,
        }
    }
}

pub fn wire_of_inputs(inputs: BTreeMap<String, InputDocument>) -> BTreeMap<String, v1::Input> {
    inputs.into_iter().map(|(name, input)| (name, input.wire())).collect()
}

pub fn inputs_of_wire(inputs: &BTreeMap<String, v1::Input>) -> BTreeMap<String, InputDocument> {
    let inputs = inputs.iter();
    inputs.filter_map(|(name, input)| Some((name.clone(), InputDocument::of_wire(input)?))).collect()
}

impl InputDocument {
    pub fn wire(self) -> v1::Input {
        use v1::input::Source;
        v1::Input {
            source: Some(match self {
                Self::Literal(value) => Source::LiteralJson(value.to_string()),
                Self::Argument(name) => Source::Argument(name),
                Self::Output(output) => {
                    Source::Output(v1::TaskOutput { task: output.task, pointer: output.pointer })
                }
                Self::Name(name) => Source::Name(name),
                Self::OptionalName(name) => Source::OptionalName(name),
            }),
        }
    }

    pub fn of_wire(input: &v1::Input) -> Option<Self> {
        use v1::input::Source;
        Some(match input.source.as_ref()? {
            Source::LiteralJson(json) => Self::Literal(serde_json::from_str(json).ok()?),
            Source::Argument(name) => Self::Argument(name.clone()),
            Source::Output(output) => {
                Self::Output(OutputDocument { task: output.task.clone(), pointer: output.pointer.clone() })
            }
            Source::Name(name) => Self::Name(name.clone()),
            Source::OptionalName(name) => Self::OptionalName(name.clone()),
        })
    }
}

impl From<&v1::Flow> for FlowDocument {
    fn from(flow: &v1::Flow) -> Self {
        use v1::flow::Scope;
        let (mut retry, mut repeat, mut map) = (None, None, None);
        match &flow.scope {
            Some(Scope::Retry(wire)) => retry = Some(Checked(ScopeRetryDocument::from(wire))),
            Some(Scope::Repeat(wire)) => repeat = Some(RepeatDocument::from(wire)),
            Some(Scope::Map(wire)) => map = MapDocument::of_wire(wire),
            None => {}
        }
        Self {
            schema: None,
            pattern: PatternDocument::of_wire(flow.pattern()),
            retry,
            repeat,
            map,
            revert: flow.revert.as_ref().map(OwnRevertDocument::from),
            parallel_max: flow.parallel_max,
            tasks: flow.tasks.iter().map(|task| Checked(TaskDocument::from(task))).collect(),
            // What a host answers is an object; anything else is nothing that could be shown as one.
            defaults: serde_json::from_str(&flow.defaults_json).unwrap_or_default(),
        }
    }
}

impl From<&v1::Task> for TaskDocument {
    fn from(task: &v1::Task) -> Self {
        Self {
            name: task.name.clone(),
            plugin: task.plugin.clone(),
            action: task.action.clone(),
            flow: task.flow.as_ref().map(|flow| Box::new(Checked(FlowDocument::from(flow)))),
            when: task.when.as_ref().map(WhenDocument::from),
            needs: task.needs.clone(),
            priority: task.priority,
            memory_bytes_max: task.memory_bytes_max,
            in_doubt: match task.in_doubt() {
                v1::InDoubt::Unspecified | v1::InDoubt::Reapply => InDoubtDocument::Reapply,
                v1::InDoubt::Revert => InDoubtDocument::Revert,
                v1::InDoubt::Hold => InDoubtDocument::Hold,
                v1::InDoubt::Observe => InDoubtDocument::Observe,
            },
            observe: task.observe.as_ref().map(ObserveDocument::from),
            sleep: match &task.wait {
                Some(Wait::Sleep(sleep)) => Some(Checked(SleepDocument::from(sleep))),
                _ => None,
            },
            wait_event: match &task.wait {
                Some(Wait::WaitEvent(event)) => Some(WaitEventDocument::from(event)),
                _ => None,
            },
            approval: match &task.wait {
                Some(Wait::Approval(approval)) => Some(ApprovalDocument::from(approval)),
                _ => None,
            },
            job: match &task.wait {
                Some(Wait::Job(job)) => Some(ChildDocument::from(job)),
                _ => None,
            },
            phase: PhaseDocument::of_wire(task.phase()),
            inputs: inputs_of_wire(&task.inputs),
            revert_inputs: inputs_of_wire(&task.revert_inputs),
            provides: task.provides.clone(),
            timeout: task.timeout.map(Pause),
            retry: task.retry.as_ref().map(RetryDocument::from),
            digest: task.digest.clone(),
        }
    }
}
