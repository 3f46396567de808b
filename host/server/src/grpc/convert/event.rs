//! CloudEvents, and what became of them.

use windlass_core::event::{CloudEvent, SPECVERSION};
use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::time::instant;
use super::{checked, given, json};
use crate::engine::EngineError;
use crate::engine::event::Published;

pub fn events(events: Vec<v1::CloudEvent>) -> Result<Vec<CloudEvent>, EngineError> {
    let mut problems = Problems::default();
    let converted = events.into_iter().enumerate();
    let converted = converted.map(|(index, wire)| event(&mut problems, &format!("events[{index}]"), wire));
    let converted = converted.collect();
    checked(problems, converted)
}

fn event(problems: &mut Problems, path: &str, event: v1::CloudEvent) -> CloudEvent {
    let data = given(&event.data_json).map(|text| json::value(problems, &format!("{path}.data_json"), &text));
    CloudEvent {
        id: event.id,
        source: event.source,
        specversion: given(&event.spec_version).unwrap_or_else(|| SPECVERSION.to_owned()),
        type_: event.r#type,
        subject: given(&event.subject),
        time: instant(problems, &format!("{path}.time"), event.time.as_ref()),
        datacontenttype: given(&event.data_content_type),
        dataschema: given(&event.data_schema),
        extensions: event.extensions,
        data,
    }
}

pub fn result_to_wire(published: &Published) -> v1::EventResult {
    match published {
        Published::Accepted { jobs, delivered } => v1::EventResult {
            outcome: v1::EventOutcome::Accepted.into(),
            job_ids: jobs.iter().map(ToString::to_string).collect(),
            delivered_job_count: u32::try_from(*delivered).unwrap_or(u32::MAX),
        },
        Published::Duplicate => {
            v1::EventResult { outcome: v1::EventOutcome::Duplicate.into(), ..v1::EventResult::default() }
        }
    }
}
