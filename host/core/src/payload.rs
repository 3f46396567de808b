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

/// Bytes as bytes in stored rows, instead of one number after another.
pub(crate) mod bytes {
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}
