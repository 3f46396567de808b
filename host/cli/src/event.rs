//! `windlass event`: publishing CloudEvents.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use windlass_proto::v1;

use crate::arguments;
use crate::exit::Exit;
use crate::job::wait::{self, WaitArguments};
use crate::output::Show;
use crate::problem::Problem;
use crate::session::Session;
use crate::{text, time};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Publish an event, or a file of them
    Publish(PublishArguments),
}

#[derive(Debug, Args)]
pub struct PublishArguments {
    /// What kind of event, such as com.example.file.landed
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "file", conflicts_with = "file")]
    event_type: Option<String>,
    /// Where it happened: a URI reference
    #[arg(long, value_name = "URI", default_value = "windlass-cli")]
    source: String,
    /// Unique for its source; publishing it again does nothing; default: a fresh one
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// What it is about
    #[arg(long, default_value = "", hide_default_value = true)]
    subject: String,
    /// When it happened; default: now
    #[arg(long, value_parser = time::instant, value_name = "TIME")]
    time: Option<Timestamp>,
    /// Its data: JSON text
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// CloudEvents in their JSON form, one on each line; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    #[command(flatten)]
    wait: WaitArguments,
}

/// A CloudEvent 1.0 in the JSON event format.
#[derive(Debug, Deserialize)]
struct EventDocument {
    id: String,
    source: String,
    specversion: String,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    subject: String,
    time: Option<String>,
    data: Option<Box<RawValue>>,
    #[serde(default)]
    datacontenttype: String,
    #[serde(default)]
    dataschema: String,
}

impl EventDocument {
    fn wire(self, extensions: BTreeMap<String, String>) -> Result<v1::CloudEvent, String> {
        let time = self.time.as_deref().map(time::instant).transpose()?;
        Ok(v1::CloudEvent {
            id: self.id,
            source: self.source,
            spec_version: self.specversion,
            r#type: self.event_type,
            subject: self.subject,
            time,
            data_json: self.data.map(|data| data.get().to_owned()).unwrap_or_default(),
            extensions,
            data_content_type: self.datacontenttype,
            data_schema: self.dataschema,
        })
    }
}

pub async fn run(session: &Session, verb: Verb) -> Result<Exit, Problem> {
    let Verb::Publish(arguments) = verb;
    let events = match &arguments.file {
        Some(file) => {
            let text = arguments::read(file)?;
            parse(&text).map_err(|what| Problem::usage(format!("{}: {what}", arguments::named(file))))?
        }
        None => vec![arguments.event()?],
    };
    let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
    let request = v1::PublishEventsRequest { events };
    let answer = session.events().publish(request).await?.into_inner();
    if arguments.wait.wait {
        let jobs: Vec<String> = answer.results.into_iter().flat_map(|result| result.job_ids).collect();
        return wait::shown_jobs(session, &jobs, &arguments.wait).await;
    }
    let views: Vec<ResultView> = ids
        .into_iter()
        .zip(&answer.results)
        .map(|(id, result)| ResultView {
            id,
            outcome: text::word(result.outcome().as_str_name(), "EVENT_OUTCOME_"),
            job_ids: result.job_ids.clone(),
            delivered_job_count: result.delivered_job_count,
        })
        .collect();
    session.output.many(&views)?;
    Ok(Exit::Done)
}

impl PublishArguments {
    fn event(&self) -> Result<v1::CloudEvent, Problem> {
        let data_json = self.data.clone().unwrap_or_default();
        if !data_json.is_empty() {
            serde_json::from_str::<serde::de::IgnoredAny>(&data_json)
                .map_err(|error| Problem::usage(format!("--data is no JSON: {error}")))?;
        }
        Ok(v1::CloudEvent {
            id: self.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
            source: self.source.clone(),
            spec_version: "1.0".to_owned(),
            r#type: self.event_type.clone().unwrap_or_default(),
            subject: self.subject.clone(),
            time: Some(self.time.unwrap_or_else(|| time::timestamp(chrono::Utc::now()))),
            data_json,
            ..v1::CloudEvent::default()
        })
    }
}

fn parse(text: &str) -> Result<Vec<v1::CloudEvent>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| parse_line(line).map_err(|what| format!("line {}: {what}", index + 1)))
        .collect()
}

fn parse_line(line: &str) -> Result<v1::CloudEvent, String> {
    let document: EventDocument = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let members: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut extensions = BTreeMap::new();
    for (name, value) in members {
        match name.as_str() {
            "id" | "source" | "specversion" | "type" | "subject" | "time" | "data" | "datacontenttype"
            | "dataschema" => {}
            "data_base64" => return Err("data_base64: only JSON can be sent, as data".to_owned()),
            _ => {
                let text = match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                extensions.insert(name, text);
            }
        }
    }
    document.wire(extensions)
}

/// What became of an event.
#[derive(Serialize)]
struct ResultView {
    id: String,
    outcome: String,
    job_ids: Vec<String>,
    /// Jobs that waited for it.
    delivered_job_count: u32,
}

impl Show for ResultView {
    const COLUMNS: &'static [&'static str] = &["EVENT", "OUTCOME", "DELIVERED", "JOBS"];

    /// The jobs that it made are what a shell goes on with.
    fn id(&self) -> String {
        self.job_ids.join("\n")
    }

    fn row(&self) -> Vec<String> {
        let delivered = self.delivered_job_count.to_string();
        vec![self.id.clone(), self.outcome.clone(), delivered, self.job_ids.join(" ")]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("event", self.id.clone()),
            ("outcome", self.outcome.clone()),
            ("delivered", self.delivered_job_count.to_string()),
            ("jobs", self.job_ids.join("\n")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_their_json_form() {
        let text = r#"{"specversion":"1.0","id":"1","source":"/in","type":"landed","time":"2026-11-21T08:00:00Z","data":{"n":1.10},"tenant":"a","datacontenttype":"text/json"}"#;
        let events = parse(text).unwrap();
        assert_eq!(events[0].data_json, r#"{"n":1.10}"#);
        assert_eq!(events[0].extensions["tenant"], "a");
        assert_eq!(events[0].extensions.len(), 1);
        assert_eq!(events[0].data_content_type, "text/json");
    }

    #[test]
    fn what_is_no_event_is_refused_with_its_line() {
        for bad in [
            r#"{"id":"1"}"#,
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AA=="}"#,
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"soon"}"#,
        ] {
            assert!(parse(bad).unwrap_err().starts_with("line 1: "));
        }
    }
}
