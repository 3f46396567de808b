//! Scopes and conditions in flow documents.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use windlass_proto::v1;
use windlass_proto::v1::scope_retry::Strategy;

use super::checked::Rules;
use super::document::{InputDocument, Pause, is_zero};

/// How often a flow is tried that has failed. What it did is undone before it is tried again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ScopeRetry")]
#[schemars(extend("oneOf" = [
    {"required": ["times"]},
    {"required": ["for_each"]},
    {"required": ["always_revert"]},
    {"required": ["always_revert_all"]},
]))]
pub struct ScopeRetryDocument {
    /// So many times in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000))]
    times: Option<u32>,
    /// Once for each value of a list, in its order, until it goes well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_each: Option<ForEachDocument>,
    /// Once; then the scope around it decides.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("const" = true))]
    always_revert: bool,
    /// Once; then the whole job is undone, whatever the scopes around it would do.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("const" = true))]
    always_revert_all: bool,
    /// The pause before the second time, up to a day; none where absent. It survives restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_initial: Option<Pause>,
    /// The longest pause, up to a day; 5 minutes where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_max: Option<Pause>,
    /// What each pause is multiplied with for the next, from 1 to 10; 0: 2.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("anyOf" = [{"const": 0}, {"minimum": 1, "maximum": 10}]))]
    backoff_multiplier: f64,
    /// Classes of faults, such as `host.timeout`, after which it is not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    except: Vec<String>,
    /// When it is not tried again, the whole job is undone, whatever the scopes around it would do.
    #[serde(default, skip_serializing_if = "is_zero")]
    revert_all: bool,
}

impl Rules for ScopeRetryDocument {
    fn broken(&self) -> Option<String> {
        let strategies =
            [self.times.is_some(), self.for_each.is_some(), self.always_revert, self.always_revert_all];
        let told = match strategies.iter().filter(|is| **is).count() {
            0 => "the retry of a flow does not say how often it is tried",
            1 => return None,
            _ => "the retry of a flow says in several ways how often it is tried",
        };
        Some(format!(
            "{told}: give one of `times`, `for_each`, `always_revert: true`, `always_revert_all: true`"
        ))
    }
}

/// Values that are tried one after the other.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ForEach")]
pub struct ForEachDocument {
    /// Where the list comes from.
    over: InputDocument,
    /// The name by which the tasks in the flow see the value.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    name: String,
}

/// The flow runs again and again until a condition holds.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Repeat")]
pub struct RepeatDocument {
    /// A CEL expression over what the tasks in the flow, and those before it, provide; and `round`, from 1.
    #[schemars(length(min = 1))]
    until: String,
    /// How often it runs at most; where the condition does not hold after that, the flow has failed.
    #[schemars(range(min = 1, max = 10_000))]
    rounds_max: u32,
    /// The pause between two rounds, up to a day; none where absent. It survives restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_initial: Option<Pause>,
    /// The longest pause, up to a day; 5 minutes where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_max: Option<Pause>,
    /// What each pause is multiplied with for the next, from 1 to 10; 0: 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("anyOf" = [{"const": 0}, {"minimum": 1, "maximum": 10}]))]
    backoff_multiplier: f64,
}

/// The flow runs once for each value of a list, side by side.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Map")]
pub struct MapDocument {
    /// Where the list comes from; at most 10,000 values.
    over: InputDocument,
    /// The name by which the tasks in the flow see the value.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    name: String,
    /// How many of them are under way at once; 0: all.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(max = 10_000))]
    parallel_max: u32,
}

/// Under which condition a task or nested flow runs. A text is the condition, and all that comes after is left out
/// with the task where it does not hold.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "When")]
pub enum WhenDocument {
    /// A CEL expression that gives true or false, over the names that an input of the task could take.
    Condition(#[schemars(length(min = 1))] String),
    Skipping(SkippingDocument),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Skipping")]
pub struct SkippingDocument {
    /// A CEL expression that gives true or false, over the names that an input of the task could take.
    #[schemars(length(min = 1))]
    condition: String,
    /// What is left out where it does not hold.
    #[serde(default)]
    skips: SkipsDocument,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Skips")]
pub enum SkipsDocument {
    /// Only the task or nested flow.
    Task,
    /// And what comes right after it.
    Neighbours,
    /// And everything that comes after it in the flow that it is a member of.
    Flow,
    /// And everything that comes after it, up to the end of the innermost flow that runs again.
    #[default]
    All,
}

impl Serialize for WhenDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Condition(condition) => serializer.serialize_str(condition),
            Self::Skipping(skipping) => skipping.serialize(serializer),
        }
    }
}

// Not derived: an untagged enum would tell only that nothing fits, and lose the place.
impl<'de> Deserialize<'de> for WhenDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = WhenDocument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CEL expression in quotes, or `condition` and `skips`")
            }

            fn visit_str<E>(self, condition: &str) -> Result<Self::Value, E> {
                Ok(WhenDocument::Condition(condition.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                SkippingDocument::deserialize(MapAccessDeserializer::new(map)).map(WhenDocument::Skipping)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl ScopeRetryDocument {
    pub fn wire(self) -> v1::ScopeRetry {
        let strategy = match (self.times, self.for_each, self.always_revert) {
            (Some(times), _, _) => Strategy::Times(times),
            (_, Some(for_each), _) => {
                Strategy::ForEach(v1::ForEach { over: Some(for_each.over.wire()), name: for_each.name })
            }
            (_, _, true) => Strategy::AlwaysRevert(true),
            (None, None, false) => Strategy::AlwaysRevertAll(self.always_revert_all),
        };
        v1::ScopeRetry {
            strategy: Some(strategy),
            backoff_initial: self.backoff_initial.map(|pause| pause.0),
            backoff_max: self.backoff_max.map(|pause| pause.0),
            backoff_multiplier: self.backoff_multiplier,
            except: self.except,
            revert_all: self.revert_all,
        }
    }
}

impl From<&v1::ScopeRetry> for ScopeRetryDocument {
    fn from(retry: &v1::ScopeRetry) -> Self {
        let strategy = retry.strategy.as_ref();
        Self {
            times: match strategy {
                Some(Strategy::Times(times)) => Some(*times),
                _ => None,
            },
            for_each: match strategy {
                Some(Strategy::ForEach(v1::ForEach { over: Some(over), name })) => {
                    InputDocument::of_wire(over).map(|over| ForEachDocument { over, name: name.clone() })
                }
                _ => None,
            },
            always_revert: matches!(strategy, Some(Strategy::AlwaysRevert(true))),
            always_revert_all: matches!(strategy, Some(Strategy::AlwaysRevertAll(true))),
            backoff_initial: retry.backoff_initial.map(Pause),
            backoff_max: retry.backoff_max.map(Pause),
            backoff_multiplier: retry.backoff_multiplier,
            except: retry.except.clone(),
            revert_all: retry.revert_all,
        }
    }
}

impl RepeatDocument {
    pub fn wire(self) -> v1::Repeat {
        v1::Repeat {
            until: self.until,
            rounds_max: self.rounds_max,
            backoff_initial: self.backoff_initial.map(|pause| pause.0),
            backoff_max: self.backoff_max.map(|pause| pause.0),
            backoff_multiplier: self.backoff_multiplier,
        }
    }
}

impl From<&v1::Repeat> for RepeatDocument {
    fn from(repeat: &v1::Repeat) -> Self {
        Self {
            until: repeat.until.clone(),
            rounds_max: repeat.rounds_max,
            backoff_initial: repeat.backoff_initial.map(Pause),
            backoff_max: repeat.backoff_max.map(Pause),
            backoff_multiplier: repeat.backoff_multiplier,
        }
    }
}

impl MapDocument {
    pub fn wire(self) -> v1::Map {
        v1::Map { over: Some(self.over.wire()), name: self.name, parallel_max: self.parallel_max }
    }

    pub fn of_wire(map: &v1::Map) -> Option<Self> {
        let over = InputDocument::of_wire(map.over.as_ref()?)?;
        Some(Self { over, name: map.name.clone(), parallel_max: map.parallel_max })
    }
}

impl WhenDocument {
    pub fn wire(self) -> v1::When {
        let (condition, skips) = match self {
            Self::Condition(condition) => (condition, SkipsDocument::All),
            Self::Skipping(SkippingDocument { condition, skips }) => (condition, skips),
        };
        let skips = match skips {
            SkipsDocument::Task => v1::SkipDepth::Task,
            SkipsDocument::Neighbours => v1::SkipDepth::Neighbours,
            SkipsDocument::Flow => v1::SkipDepth::Flow,
            SkipsDocument::All => v1::SkipDepth::All,
        };
        v1::When { condition, skips: skips.into() }
    }
}

impl From<&v1::When> for WhenDocument {
    fn from(when: &v1::When) -> Self {
        let condition = when.condition.clone();
        let skips = match when.skips() {
            v1::SkipDepth::Unspecified | v1::SkipDepth::All => return Self::Condition(condition),
            v1::SkipDepth::Task => SkipsDocument::Task,
            v1::SkipDepth::Neighbours => SkipsDocument::Neighbours,
            v1::SkipDepth::Flow => SkipsDocument::Flow,
        };
        Self::Skipping(SkippingDocument { condition, skips })
    }
}
