//! The cast of a trace: the hosts, jobs, records, keys and blobs that it speaks of, all of which are its own.

use windlass_core::flow::{Flow, Pattern, PluginPin};
use windlass_core::id::{Digest, FlowId, HostId, JobId};
use windlass_core::plugin::{Manifest, Plugin, PluginState};
use windlass_host::store::{Record, RecordKey, UniqueKey};

use crate::conformance::fixture;
use crate::dice::Dice;

/// Jobs that are born in one trace, at most. Few, so that commands meet on them.
pub const JOBS_MAX: u64 = 9;
/// Numbers that a trace has for its things: above every count here.
const STRIDE: u64 = 16;
/// Hosts, triggers, operations, plugins.
const HOSTS: u64 = 3;
const TRIGGERS: u64 = 3;
const OPERATIONS: u64 = 2;
const PLUGINS: u64 = 2;
/// Names of flows, and the revisions of each.
const FLOWS: u64 = 2;
const REVISIONS: u32 = 3;
/// Requests, events and occurrences each.
const KEYS: u64 = 3;
/// Sizes of the blobs: nothing, some, and more than one chunk.
const BLOB_BYTES: [usize; BLOBS] = [0, 1_000, 300_000];
pub const BLOBS: usize = 3;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    pub seed: u64,
    /// The digests of the blobs, in their order.
    pub blobs: [Digest; BLOBS],
}

impl Cast {
    pub fn of(seed: u64) -> Self {
        let mut cast = Self { seed, blobs: [Digest::of(&[]); BLOBS] };
        cast.blobs = std::array::from_fn(|place| Digest::of(&cast.blob(place)));
        cast
    }

    fn number(self, n: u64) -> u64 {
        self.seed * STRIDE + n
    }

    pub fn job_numbers(self) -> Vec<u64> {
        (0..JOBS_MAX).map(|n| self.number(n)).collect()
    }

    pub fn jobs(self) -> Vec<JobId> {
        self.job_numbers().into_iter().map(fixture::job_id).collect()
    }

    pub fn hosts(self) -> Vec<HostId> {
        (0..HOSTS).map(|n| fixture::host_id(self.number(n).into())).collect()
    }

    pub fn trigger(self, dice: &mut Dice) -> u128 {
        self.number(dice.below(TRIGGERS)).into()
    }

    pub fn operation(self, dice: &mut Dice) -> u128 {
        self.number(dice.below(OPERATIONS)).into()
    }

    pub fn host(self, dice: &mut Dice) -> u128 {
        self.number(dice.below(HOSTS)).into()
    }

    fn plugin_name(self, n: u64) -> String {
        format!("plugin-{}", self.number(n))
    }

    pub fn plugins(self) -> Vec<Digest> {
        (0..PLUGINS).map(|n| fixture::plugin(&self.plugin_name(n))).collect()
    }

    /// One of a few: a flow is shared by jobs.
    pub fn flow(self, dice: &mut Dice) -> std::sync::Arc<Flow> {
        let (first, second) = (self.plugin_name(dice.below(PLUGINS)), self.plugin_name(dice.below(PLUGINS)));
        let mut flow = Flow::clone(&fixture::flow(&first, 1 + dice.place(3)));
        if let Some(windlass_core::flow::Node::Task(last)) = flow.nodes.last_mut() {
            let digest = fixture::plugin(&second);
            last.plugin = PluginPin { digest, name: second, version: "1.0.0".to_owned() };
        }
        // Of the same types as those of other traces: whatever one of them left behind is found.
        for n in 0..dice.place(3) {
            let event_type = dice.pick(&fixture::EVENT_TYPES).expect("there are types");
            flow.nodes.push(fixture::event_wait(&format!("wait-{n}"), event_type));
        }
        if dice.one_in(3) {
            flow.nodes.push(fixture::child_job("child", &first));
        }
        // Waits go on while tasks are called, or come one after the other.
        if dice.one_in(2) {
            flow.pattern = Pattern::Unordered;
        }
        std::sync::Arc::new(flow)
    }

    pub fn plugin(self, dice: &mut Dice, generation: u64) -> Record {
        let name = self.plugin_name(dice.below(PLUGINS));
        let manifest = Manifest {
            manifest: 1,
            name: name.clone(),
            version: "1.0.0".to_owned(),
            description: String::new(),
            actions: Vec::new(),
            grants: Default::default(),
        };
        let state = *dice.pick(&[PluginState::Active, PluginState::Retired]).expect("two states");
        let digest = fixture::plugin(&name);
        let created = fixture::at(0);
        Record::Plugin(Plugin {
            digest,
            size_bytes: 1,
            manifest,
            state,
            owner: "owner".to_owned(),
            created,
            generation,
        })
    }

    pub fn flow_name(self, dice: &mut Dice) -> String {
        self.nth_flow_name(dice.below(FLOWS))
    }

    fn nth_flow_name(self, n: u64) -> String {
        format!("flow-{}", self.number(n))
    }

    pub fn revision(self, dice: &mut Dice) -> u32 {
        1 + dice.below(REVISIONS.into()) as u32
    }

    /// Every record that may be there.
    pub fn records(self) -> Vec<RecordKey> {
        let mut keys: Vec<_> = self.plugins().into_iter().map(RecordKey::Plugin).collect();
        keys.extend(self.hosts().into_iter().map(RecordKey::Host));
        keys.extend((0..TRIGGERS).map(|n| RecordKey::Trigger(fixture::trigger_id(self.number(n).into()))));
        keys.extend(
            (0..OPERATIONS).map(|n| RecordKey::Operation(fixture::operation_id(self.number(n).into()))),
        );
        for flow in (0..FLOWS).map(|n| FlowId::of_name(&self.nth_flow_name(n))) {
            keys.push(RecordKey::Flow(flow));
            keys.extend((1..=REVISIONS).map(|revision| RecordKey::FlowRevision(flow, revision)));
        }
        keys
    }

    /// Every key that may be taken: `(a, bc)` and `(ab, c)` are among them.
    pub fn keys(self) -> Vec<UniqueKey> {
        let seed = self.seed;
        let text = |n: u64| "x".repeat(n as usize);
        let mut keys = Vec::new();
        for n in 0..KEYS {
            let (first, second) = (format!("{seed}-{}", text(n)), text(KEYS - n));
            keys.push(UniqueKey::Request { principal: first.clone(), request_id: second.clone() });
            keys.push(UniqueKey::Event { source: first, id: second });
            keys.push(UniqueKey::Occurrence {
                key: [seed.to_be_bytes().as_slice(), &vec![0; n as usize]].concat(),
            });
        }
        keys
    }

    /// The bytes of the blob of this place.
    pub fn blob(self, place: usize) -> Vec<u8> {
        (0..BLOB_BYTES[place]).map(|byte| (byte as u64 / 251 + self.seed) as u8).collect()
    }
}
