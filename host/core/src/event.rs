//! Events: CloudEvents 1.0, as published to the host.
//!
//! Invariant: (source, id) names one event. A second one within [`DEDUPE_RETENTION_MS`] is the first one again.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::problem::Problems;

/// The version of the specification that is understood.
pub const SPECVERSION: &str = "1.0";
/// How long (source, id) is remembered: a day, so that a producer that was down overnight may safely publish again.
pub const DEDUPE_RETENTION_MS: u64 = 24 * 3_600 * 1_000;
/// Bytes of one attribute; a URI that is longer is data.
pub const ATTRIBUTE_BYTES_MAX: usize = 1_024;
/// Extension attributes of one event.
pub const EXTENSIONS_MAX: usize = 32;
/// Bytes of an extension's name: the specification asks producers for at most 20, and consumers should bear more.
pub const EXTENSION_NAME_BYTES_MAX: usize = 64;
/// Bytes of the data as JSON. CloudEvents asks intermediaries for 64 KiB at least; more belongs where the event points.
pub const DATA_BYTES_MAX: usize = 256 * 1_024;

/// One event (CloudEvents 1.0, section 2), its data as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent {
    pub id: String,
    /// A URI reference: where the event comes from.
    pub source: String,
    pub specversion: String,
    #[serde(rename = "type")]
    pub type_: String,
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub time: Option<DateTime<Utc>>,
    #[serde(default)]
    pub datacontenttype: Option<String>,
    #[serde(default)]
    pub dataschema: Option<String>,
    #[serde(default)]
    pub extensions: BTreeMap<String, String>,
    #[serde(default)]
    pub data: Option<Value>,
}

impl CloudEvent {
    /// Everything that is wrong with the event, with paths below `event`.
    pub fn validate(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        if self.specversion != SPECVERSION {
            problems.add(
                "event.specversion",
                format!("{:?} is not understood: give \"{SPECVERSION}\"", self.specversion),
            );
        }
        for (path, text) in
            [("event.id", &self.id), ("event.source", &self.source), ("event.type", &self.type_)]
        {
            if text.is_empty() {
                problems.add(path, "is empty: every event must have one");
            }
            check_attribute(&mut problems, path, text);
        }
        for (path, text) in [
            ("event.subject", &self.subject),
            ("event.datacontenttype", &self.datacontenttype),
            ("event.dataschema", &self.dataschema),
        ] {
            let Some(text) = text else { continue };
            if text.is_empty() {
                problems.add(path, "is empty: give a value or leave it out");
            }
            check_attribute(&mut problems, path, text);
        }
        self.check_extensions(&mut problems);
        self.check_data(&mut problems);
        problems.or(())
    }

    /// What names the event among all events.
    pub fn dedupe_key(&self) -> (&str, &str) {
        (&self.source, &self.id)
    }

    /// The event in the CloudEvents JSON format: what an operation's event argument is given.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            value.and_then(|value| json.insert(name.to_owned(), value));
        };
        put("id", Some(Value::from(self.id.as_str())));
        put("source", Some(Value::from(self.source.as_str())));
        put("specversion", Some(Value::from(self.specversion.as_str())));
        put("type", Some(Value::from(self.type_.as_str())));
        put("subject", self.subject.as_deref().map(Value::from));
        put("time", self.time.map(|time| Value::from(time.to_rfc3339())));
        put("datacontenttype", self.datacontenttype.as_deref().map(Value::from));
        put("dataschema", self.dataschema.as_deref().map(Value::from));
        put("data", self.data.clone());
        self.extensions.iter().for_each(|(name, value)| put(name, Some(Value::from(value.as_str()))));
        Value::Object(json)
    }

    fn check_data(&self, problems: &mut Problems) {
        let data_bytes = self.data.as_ref().map_or(0, |data| data.to_string().len());
        if data_bytes > DATA_BYTES_MAX {
            problems.add("event.data", format!("has {data_bytes} bytes as JSON: at most {DATA_BYTES_MAX}"));
        }
    }

    fn check_extensions(&self, problems: &mut Problems) {
        const RESERVED: [&str; 10] = [
            "id",
            "source",
            "specversion",
            "type",
            "subject",
            "time",
            "datacontenttype",
            "dataschema",
            "data",
            "data_base64",
        ];
        if self.extensions.len() > EXTENSIONS_MAX {
            problems
                .add("event.extensions", format!("are {}: at most {EXTENSIONS_MAX}", self.extensions.len()));
        }
        for (name, value) in &self.extensions {
            let path = format!("event.extensions.{name}");
            let is_named = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            if name.is_empty() || name.len() > EXTENSION_NAME_BYTES_MAX || !is_named {
                let rule = format!("1 to {EXTENSION_NAME_BYTES_MAX} of a-z and 0-9");
                problems.add(&path, format!("{name:?} is not a name of an extension: use {rule}"));
            }
            if RESERVED.contains(&name.as_str()) {
                problems.add(
                    &path,
                    format!("{name:?} is an attribute of its own: do not give it as an extension"),
                );
            }
            check_attribute(problems, &path, value);
        }
    }
}

fn check_attribute(problems: &mut Problems, path: &str, text: &str) {
    if text.len() > ATTRIBUTE_BYTES_MAX {
        problems.add(path, format!("has {} bytes: at most {ATTRIBUTE_BYTES_MAX}", text.len()));
    }
    // CloudEvents 1.0, section 2.1: a string has no control characters.
    if text.chars().any(char::is_control) {
        problems.add(path, "has control characters: leave them out");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event(type_: &str, source: &str, id: &str) -> CloudEvent {
        CloudEvent {
            id: id.to_owned(),
            source: source.to_owned(),
            specversion: SPECVERSION.to_owned(),
            type_: type_.to_owned(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: BTreeMap::new(),
            data: None,
        }
    }

    #[test]
    fn an_event_without_its_required_attributes_is_refused_with_all_of_them() {
        let mut bad = event("", "", "");
        bad.specversion = "0.3".to_owned();
        bad.subject = Some("a\u{7}".to_owned());
        bad.extensions.insert("Bad-Name".to_owned(), "x".to_owned());
        bad.extensions.insert("data".to_owned(), "x".to_owned());
        bad.data = Some(Value::from("x".repeat(DATA_BYTES_MAX)));
        let problems = bad.validate().unwrap_err();
        let paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
        let expected = [
            "specversion",
            "id",
            "source",
            "type",
            "subject",
            "extensions.Bad-Name",
            "extensions.data",
            "data",
        ];
        assert_eq!(paths, expected.map(|path| format!("event.{path}")));
    }

    #[test]
    fn an_event_is_json_as_the_specification_writes_it_and_reads_back_from_its_row() {
        let mut good = event("file.closed", "/watcher", "1");
        good.extensions.insert("traceid".to_owned(), "t".to_owned());
        good.data = Some(serde_json::json!({"path": "a"}));
        assert_eq!(good.validate(), Ok(()));
        let json = serde_json::json!({"id": "1", "source": "/watcher", "specversion": "1.0", "type": "file.closed",
            "traceid": "t", "data": {"path": "a"}});
        assert_eq!(good.to_json(), json);
        let row = rmp_serde::to_vec_named(&good).unwrap();
        assert_eq!(rmp_serde::from_slice::<CloudEvent>(&row).unwrap(), good);
    }
}
