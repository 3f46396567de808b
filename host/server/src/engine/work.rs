//! Flows that were submitted lately, pinned and planned: programs submit the same one again and again, with other arguments.
//!
//! Invariant: what is known was made of the plugins as they are listed. Any change of those forgets all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_core::flow::Flow;
use windlass_core::id::Digest;
use windlass_core::plan::Plan;

use crate::engine::Engine;
use crate::engine::flow::Pinned;

/// Bytes of the flows that are known, as JSON; what is made of them is several times as large.
const BYTES_MAX: usize = 1 << 20;
/// Bytes of one of them: a larger one would leave room for few others.
const FLOW_BYTES_MAX: usize = 64 << 10;

/// A flow of which jobs are made.
pub(super) struct Work {
    pub pinned: Arc<Pinned>,
    pub digest: Digest,
    pub plan: Arc<Plan>,
}

/// Which flow, of whom, and of which list of plugins.
pub(super) struct WorkKey {
    changes: u64,
    json: Vec<u8>,
}

/// See the module.
#[derive(Default)]
pub struct Works(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Of the list of plugins.
    changes: u64,
    /// By principal and flow, as JSON.
    works: HashMap<Vec<u8>, Arc<Work>>,
    bytes: usize,
}

impl Works {
    pub fn get(&self, key: &WorkKey) -> Option<Arc<Work>> {
        let known = self.lock();
        known.works.get(&key.json).filter(|_| known.changes == key.changes).cloned()
    }

    /// Plans a flow that was checked, and keeps it.
    pub fn put(&self, key: WorkKey, pinned: Arc<Pinned>) -> Arc<Work> {
        let (digest, plan) = (pinned.flow.digest(), Arc::new(Plan::of(&pinned.flow)));
        let work = Arc::new(Work { pinned, digest, plan });
        let WorkKey { changes, json } = key;
        if json.len() > FLOW_BYTES_MAX {
            return work;
        }
        let mut known = self.lock();
        if known.changes != changes || known.bytes + json.len() > BYTES_MAX {
            *known = Known { changes, ..Known::default() };
        }
        known.bytes += json.len();
        known.works.insert(json, work.clone());
        work
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // What is in it is whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Asked before the plugins are looked at: what changes meanwhile makes it stale.
    pub(super) fn work_key(&self, flow: &Flow<String>, principal: &str) -> WorkKey {
        let json = serde_json::to_vec(&(principal, flow)).expect("a flow has only string keys");
        WorkKey { changes: self.plugins.changes(), json }
    }
}
