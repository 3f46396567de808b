//! Texts of the wire, as people and programs want to see them.

use serde::Serialize;
use serde_json::value::RawValue;
use windlass_proto::v1;

/// A name of an enum of the contract, without its prefix and in lower case: `running` for `JOB_STATE_RUNNING`.
pub fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// JSON text as it is, not rounded through a number of our own. Empty: nothing. What is no JSON becomes a string.
pub fn raw(text: &str) -> Option<Box<RawValue>> {
    if text.is_empty() {
        return None;
    }
    RawValue::from_string(text.to_owned()).or_else(|_| serde_json::value::to_raw_value(text)).ok()
}

/// A payload for a program: its value where it is JSON, its bytes otherwise.
#[derive(Serialize)]
#[serde(untagged)]
pub enum PayloadView {
    Json(Box<RawValue>),
    Bytes { media_type: String, base64: String },
}

impl From<&v1::Payload> for PayloadView {
    fn from(payload: &v1::Payload) -> Self {
        use base64::Engine as _;
        let json = (payload.media_type == "application/json")
            .then(|| String::from_utf8(payload.bytes.clone()).ok())
            .flatten()
            .and_then(|text| RawValue::from_string(text).ok());
        match json {
            Some(json) => Self::Json(json),
            None => Self::Bytes {
                media_type: payload.media_type.clone(),
                base64: base64::engine::general_purpose::STANDARD.encode(&payload.bytes),
            },
        }
    }
}

/// A payload for people: its JSON, or how much of what it is.
pub fn payload(payload: &v1::Payload) -> String {
    match PayloadView::from(payload) {
        PayloadView::Json(json) => json.get().to_owned(),
        PayloadView::Bytes { media_type, .. } => {
            format!("{media_type}, {}", bytes(payload.bytes.len() as u64))
        }
    }
}

/// A fault for a program.
#[derive(Serialize)]
pub struct FaultView {
    class: String,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<PayloadView>,
}

impl From<&v1::Fault> for FaultView {
    fn from(fault: &v1::Fault) -> Self {
        Self {
            class: fault.class.clone(),
            message: fault.message.clone(),
            causes: fault.causes.clone(),
            detail: fault.detail.as_ref().map(PayloadView::from),
        }
    }
}

/// A fault for people, on one line and one more for each cause.
pub fn fault(fault: &v1::Fault) -> String {
    let mut text = format!("{} ({})", fault.message, fault.class);
    for cause in &fault.causes {
        text.push_str(&format!("\ncaused by: {cause}"));
    }
    text
}

/// A task instance: its task, and its iteration unless it is the first.
pub fn instance(task: &str, iteration: &[u32]) -> String {
    if iteration.is_empty() {
        return task.to_owned();
    }
    let path: Vec<String> = iteration.iter().map(u32::to_string).collect();
    format!("{task}[{}]", path.join("."))
}

/// A task instance as `instance` writes it.
pub fn parse_instance(text: &str) -> Result<v1::TaskInstanceName, String> {
    let refused = || format!("{text:?} is no task instance: write TASK or TASK[1.2]");
    let Some((task, rest)) = text.split_once('[') else {
        return Ok(v1::TaskInstanceName { task: text.to_owned(), iteration: Vec::new() });
    };
    let path = rest.strip_suffix(']').ok_or_else(refused)?;
    let iteration: Result<Vec<u32>, _> = path.split('.').map(str::parse).collect();
    Ok(v1::TaskInstanceName { task: task.to_owned(), iteration: iteration.map_err(|_| refused())? })
}

/// Sizes for people: `18.2 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1_024.0;
    let mut unit = 0;
    while size >= 1_024.0 && unit + 1 < UNITS.len() {
        size /= 1_024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A size that `parse_bytes` reads again, exact.
pub fn written_bytes(count: u64) -> String {
    for (scale, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if count > 0 && count.is_multiple_of(scale) {
            return format!("{}{unit}", count / scale);
        }
    }
    count.to_string()
}

/// A size: a number of bytes, or one with `KiB`, `MiB` or `GiB`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let refused = || format!("{text:?} is no size: write a number of bytes, or one with KiB, MiB or GiB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let scale = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(refused()),
    };
    number.checked_mul(scale).ok_or_else(refused)
}

/// `key=value, key=value`.
pub fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(", ")
}

/// `read-only` or `read-write`.
pub fn access(access: v1::Access) -> &'static str {
    match access {
        v1::Access::ReadOnly => "read-only",
        v1::Access::ReadWrite => "read-write",
        v1::Access::Unspecified => "unspecified",
    }
}

/// Text of a guest or a stranger for one line of a terminal: control characters, which could move the cursor or
/// change its colours, are shown instead of sent.
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A sha256 sum as the host writes it.
pub fn digest(sum: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in sum {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_passed_on_to_the_last_digit() {
        let text = r#"{"n":12345678901234567890.123456789}"#;
        assert_eq!(raw(text).unwrap().get(), text);
        assert_eq!(raw("no json").unwrap().get(), "\"no json\"");
        assert!(raw("").is_none());
    }

    #[test]
    fn task_instances_are_read_as_they_are_written() {
        for text in ["snapshot", "snapshot[1]", "snapshot[1.20.3]"] {
            let name = parse_instance(text).unwrap();
            assert_eq!(instance(&name.task, &name.iteration), text);
        }
        for bad in ["a[", "a[]", "a[x]", "a[1"] {
            assert!(parse_instance(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        assert_eq!(parse_bytes("256MiB"), Ok(256 << 20));
        assert_eq!(parse_bytes("256 MiB"), Ok(256 << 20));
        assert_eq!(parse_bytes("17"), Ok(17));
        assert!(parse_bytes("1MB").is_err());
        assert!(parse_bytes("99999999999GiB").is_err());
        assert_eq!(bytes(18 << 20), "18.0 MiB");
        assert_eq!(bytes(12), "12 B");
        for count in [0, 17, 1 << 10, 3 << 20, (1 << 30) + 1] {
            assert_eq!(parse_bytes(&written_bytes(count)), Ok(count));
        }
    }

    #[test]
    fn a_guest_cannot_move_the_cursor() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb c");
    }

    #[test]
    fn payloads_that_are_no_json_are_told_by_kind_and_size() {
        let zip = v1::Payload { media_type: "application/zip".to_owned(), bytes: vec![0; 2_048] };
        assert_eq!(payload(&zip), "application/zip, 2.0 KiB");
        let json = v1::Payload { media_type: "application/json".to_owned(), bytes: b"{\"a\":1}".to_vec() };
        assert_eq!(payload(&json), "{\"a\":1}");
    }
}
