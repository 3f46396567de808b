//! A flow in a document: the name of a stored one, or a flow that is written there.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use windlass_proto::v1;

use super::checked::Checked;
use super::document::FlowDocument;
use super::reference;

/// See the module.
#[derive(Debug)]
pub enum WorkDocument {
    Stored(v1::FlowReference),
    Written(Box<Checked<FlowDocument>>),
}

impl Serialize for WorkDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stored(name) => serializer.serialize_str(&reference::written(name)),
            Self::Written(flow) => flow.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for WorkDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = WorkDocument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("NAME or NAME@REVISION of a stored flow, or a flow")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
                reference::named(name).map(WorkDocument::Stored).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Checked::deserialize(MapAccessDeserializer::new(map))
                    .map(|flow| WorkDocument::Written(Box::new(flow)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for WorkDocument {
    fn schema_name() -> Cow<'static, str> {
        "JobFlow".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let flow = generator.subschema_for::<Checked<FlowDocument>>();
        schemars::json_schema!({
            "description": "NAME or NAME@REVISION of a stored flow, or a flow.",
            "anyOf": [{"type": "string", "pattern": "^[A-Za-z0-9_.-]+(@[1-9][0-9]*)?$"}, flow],
        })
    }
}
