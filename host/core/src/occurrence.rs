//! Occurrences: one time that a trigger was due.
//!
//! Invariant: an occurrence makes at most one job per operation. [`Occurrence::key`] names that pair, and the store
//! keeps it unique.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{Digest, OperationId, TriggerId};

/// Bytes of an occurrence's key: nominal time, trigger, generation, origin (a tag and a hash), operation.
pub const KEY_BYTES: usize = 8 + 16 + 8 + 1 + 32 + 16;

/// One time that a trigger was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    pub trigger: TriggerId,
    /// The generation of the trigger that was due.
    pub generation: u64,
    /// The time that it was due for; for an event or a manual firing, when it was accepted. Whole milliseconds.
    pub nominal: DateTime<Utc>,
    pub origin: Origin,
}

/// What made it due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The trigger's schedule.
    Schedule,
    /// A person. The host's index of request ids finds a repeated request before it gets here.
    Manual { request_id: String },
    /// An event: (source, id) names it among all events.
    Event { source: String, id: String },
}

impl Occurrence {
    /// The unique name of what this occurrence makes of `operation`. Sorts by nominal time first, so that an index of
    /// keys grows at its end.
    pub fn key(&self, operation: OperationId) -> [u8; KEY_BYTES] {
        let (tag, origin) = self.origin.fingerprint();
        // Flipping the sign lets times before 1970 sort before those after it.
        let nominal = (self.nominal.timestamp_millis() as u64) ^ (1 << 63);
        let parts: [&[u8]; 6] = [
            &nominal.to_be_bytes(),
            self.trigger.0.as_bytes(),
            &self.generation.to_be_bytes(),
            &[tag],
            &origin,
            operation.0.as_bytes(),
        ];
        let mut key = [0; KEY_BYTES];
        key.iter_mut().zip(parts.into_iter().flatten()).for_each(|(byte, part)| *byte = *part);
        key
    }
}

impl Origin {
    fn fingerprint(&self) -> (u8, [u8; 32]) {
        match self {
            Self::Schedule => (0, [0; 32]),
            Self::Manual { request_id } => (1, Digest::of(request_id.as_bytes()).0),
            // The length keeps ("a", "bc") and ("ab", "c") apart.
            Self::Event { source, id } => {
                (2, Digest::of(format!("{}:{source}{id}", source.len()).as_bytes()).0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn occurrence(millis: i64, origin: Origin) -> Occurrence {
        let nominal = DateTime::from_timestamp_millis(millis).unwrap();
        Occurrence { trigger: TriggerId(Uuid::from_u128(7)), generation: 1, nominal, origin }
    }

    #[test]
    fn keys_sort_by_time_and_differ_by_origin_and_operation() {
        let operation = OperationId(Uuid::from_u128(1));
        let event = |source: &str, id: &str| Origin::Event { source: source.to_owned(), id: id.to_owned() };
        let keys = [
            occurrence(-5, Origin::Schedule).key(operation),
            occurrence(0, Origin::Schedule).key(operation),
            occurrence(256, Origin::Schedule).key(operation),
            occurrence(256, Origin::Schedule).key(OperationId(Uuid::from_u128(2))),
            occurrence(256, Origin::Manual { request_id: "r".to_owned() }).key(operation),
        ];
        assert!(keys.is_sorted());
        assert_ne!(
            occurrence(1, event("a", "bc")).key(operation),
            occurrence(1, event("ab", "c")).key(operation)
        );
    }
}
