//! Payloads: data that plugins take, give and leave for their undo.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of payloads by convention.
pub const JSON: &str = "application/json";

/// Bytes with their meaning. Whole or not at all: nothing in Windlass truncates a payload.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub media_type: String,
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
}

impl Payload {
    pub fn json(value: &serde_json::Value) -> Self {
        Self { media_type: JSON.to_owned(), bytes: value.to_string().into_bytes() }
    }

    /// The value, where the payload is JSON and well-formed.
    pub fn value(&self) -> Option<serde_json::Value> {
        (self.media_type == JSON).then(|| serde_json::from_slice(&self.bytes).ok()).flatten()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.media_type, self.bytes.len())
    }
}

/// Bytes as bytes in binary rows. In text, such as JSON, a string where they are UTF-8, which a person can read, and
/// `{"base64": "..."}` where they are not.
pub(crate) mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::ser::SerializeMap as _;
    use serde::{Deserializer, Serializer};

    const BASE64: &str = "base64";

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(bytes);
        }
        if let Ok(text) = std::str::from_utf8(bytes) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(BASE64, &STANDARD.encode(bytes))?;
        map.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Visitor)
        } else {
            deserializer.deserialize_byte_buf(Visitor)
        }
    }

    struct Visitor;

    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bytes, a string, or {\"base64\": \"...\"}")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
            Ok(text.as_bytes().to_vec())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
            let entry = map.next_entry::<String, String>()?;
            let Some((_, text)) = entry.filter(|(key, _)| key == BASE64) else {
                return Err(A::Error::custom("expected the key base64"));
            };
            if map.next_entry::<String, serde::de::IgnoredAny>()?.is_some() {
                return Err(A::Error::custom("expected the key base64 alone"));
            }
            STANDARD.decode(&text).map_err(|error| A::Error::custom(format!("no base64: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(bytes: &[u8]) -> Payload {
        Payload { media_type: "application/octet-stream".to_owned(), bytes: bytes.to_vec() }
    }

    #[test]
    fn every_payload_comes_back_from_text_and_from_binary_rows() {
        for bytes in [&b""[..], b"{\"a\": 1}", "\u{0}\u{e9}\n".as_bytes(), &[0xFF, 0, 0xFE], &[0xC3]] {
            let payload = payload(bytes);
            let text = serde_json::to_string(&payload).expect("encodes");
            assert_eq!(serde_json::from_str::<Payload>(&text).expect("decodes"), payload, "{text}");
            let value = serde_json::to_value(&payload).expect("encodes");
            assert_eq!(serde_json::from_value::<Payload>(value).expect("decodes"), payload, "{text}");
            let row = rmp_serde::to_vec_named(&payload).expect("encodes");
            assert_eq!(rmp_serde::from_slice::<Payload>(&row).expect("decodes"), payload);
        }
    }

    #[test]
    fn text_is_readable_and_the_rest_is_base64() {
        let text = |bytes: &[u8]| serde_json::to_value(payload(bytes)).expect("encodes")["bytes"].to_string();
        assert_eq!(text(b"{}"), r#""{}""#);
        assert_eq!(text(&[0xFF]), r#"{"base64":"/w=="}"#);
        for bad in
            [r#"{"base64": "?"}"#, r#"{"base32": "AA"}"#, "{}", "[1]", "7", r#"{"base64": "AA==", "x": 1}"#]
        {
            let stored = format!(r#"{{"media_type": "a/b", "bytes": {bad}}}"#);
            assert!(serde_json::from_str::<Payload>(&stored).is_err(), "{bad}");
        }
    }
}
