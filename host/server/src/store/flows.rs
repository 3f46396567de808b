//! Flows that were read lately, with their plans: most jobs are of few flows.
//!
//! Invariant: a flow is known by the digest of its content, and so is never stale.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_core::flow::Flow;
use windlass_core::id::Digest;
use windlass_core::plan::Plan;

use super::StoreFailure;

/// Nodes of all flows that are known at once: two of the largest flows, or some thousands of common ones.
const NODES_MAX: usize = 20_000;

/// See the module.
#[derive(Default)]
pub(super) struct Flows(Mutex<Known>);

#[derive(Default)]
struct Known {
    flows: HashMap<Digest, (Arc<Flow>, Arc<Plan>)>,
    nodes: usize,
}

impl Flows {
    /// The flow of that digest with its plan; `read` reads it where it is not known.
    pub fn planned(
        &self,
        digest: Digest,
        read: impl FnOnce() -> Result<Flow, StoreFailure>,
    ) -> Result<(Arc<Flow>, Arc<Plan>), StoreFailure> {
        if let Some(known) = self.known(digest) {
            return Ok(known);
        }
        let flow = Arc::new(read()?);
        let plan = Arc::new(Plan::of(&flow));
        let nodes = 1 + flow.generations().map(|flow| flow.leaves().count()).sum::<usize>();
        let mut known = self.lock();
        if known.nodes + nodes > NODES_MAX {
            *known = Known::default();
        }
        if known.flows.insert(digest, (flow.clone(), plan.clone())).is_none() {
            known.nodes += nodes;
        }
        Ok((flow, plan))
    }

    /// The flow of that digest with its plan, where it was read lately.
    pub fn known(&self, digest: Digest) -> Option<(Arc<Flow>, Arc<Plan>)> {
        self.lock().flows.get(&digest).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // What is in it is whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use windlass_core::flow::Node;
    use windlass_core::wait::{Until, Wait};

    use super::*;

    fn flow(nodes: usize) -> Flow {
        let wait = |number: usize| Wait {
            name: format!("w{number}"),
            until: Until::Passed { ms: 1 },
            provides: Default::default(),
            needs: Vec::new(),
            when: None,
        };
        Flow { nodes: (0..nodes).map(|number| Node::Wait(wait(number))).collect(), ..Flow::linear([]) }
    }

    #[test]
    fn a_flow_is_read_once_and_what_is_known_is_bounded() {
        let flows = Flows::default();
        let digest = |number: u8| Digest([number; 32]);
        let first = flows.planned(digest(1), || Ok(flow(3))).expect("it is read");
        let again = flows.planned(digest(1), || panic!("it is known")).expect("it is known");
        assert!(Arc::ptr_eq(&first.0, &again.0) && Arc::ptr_eq(&first.1, &again.1));
        flows.planned(digest(2), || Ok(flow(NODES_MAX))).expect("it is read");
        assert_eq!(flows.lock().flows.len(), 1, "the others made room");
        let down = || StoreFailure::Down("for a test".to_owned());
        assert!(flows.planned(digest(3), || Err(down())).is_err(), "a failure is not kept");
        assert!(flows.planned(digest(3), || Ok(flow(1))).is_ok());
    }
}
