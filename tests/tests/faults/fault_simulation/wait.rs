//! Waits of the simulation: what a job may wait for, and who gives it that.
//!
//! Hosts of one process have news of their own, as hosts of several have: whoever runs a job hears what its own engine
//! records. So answers and events are given by the host that has the job, as far as one has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use windlass_core::decide::wait::Verdict;
use windlass_core::event::CloudEvent;
use windlass_core::id::HostId;
use windlass_core::instance::InstanceName;
use windlass_core::wait::{Approval, EventWait, Until, Wait};
use windlass_host::engine::Engine;
use windlass_host::engine::job::Demand;

use super::random::Random;
use super::simulation::{PRINCIPAL, Simulation};
use super::work::TASKS;

const TYPE: &str = "simulated";
/// Few enough for events to come again, and enough for some to be new.
const EVENTS: u64 = 30;
const HOURS_MAX: u64 = 12;
const HOUR_MS: u64 = 3_600_000;

/// A wait in the place of a task.
pub fn wait(name: &str, random: &mut Random) -> Wait<String> {
    let timeout_ms = 1 + random.below(HOURS_MAX * HOUR_MS);
    let until = match random.below(3) {
        0 => Until::Passed { ms: random.below(2 * HOUR_MS) },
        1 => Until::Approval(Approval { message: "go on?".to_owned(), principals: Vec::new(), timeout_ms }),
        _ => {
            let condition = random.chance(50).then(|| "event.data.number > 10".to_owned());
            Until::Event(EventWait {
                type_: TYPE.to_owned(),
                source: None,
                subject: None,
                condition,
                timeout_ms,
            })
        }
    };
    Wait { name: name.to_owned(), until, provides: BTreeMap::new(), needs: Vec::new(), when: None }
}

impl Simulation {
    /// Somebody says yes or no, whether that is asked or not.
    pub(super) async fn answer(&mut self) {
        let Some(job) = self.random.pick(&self.jobs) else { return };
        let claims = self.store.claims().await.expect("the store answers");
        let holder = claims.into_iter().find(|(_, claimed)| *claimed == job).map(|(host, _)| host);
        let engine = self.engine_of(holder);
        let task = self.random.pick(&TASKS).unwrap_or("a").to_owned();
        let verdict = Verdict {
            is_approved: self.random.chance(80),
            principal: PRINCIPAL.to_owned(),
            comment: String::new(),
        };
        let task = InstanceName { task, iteration: Vec::new() };
        Self::demand_of(&engine, job, Demand::Answer { task, verdict }).await;
    }

    /// An event is published, or comes again.
    pub(super) async fn publish(&mut self) {
        let claims = self.store.claims().await.expect("the store answers");
        let holders: BTreeSet<HostId> = claims.into_iter().map(|(host, _)| host).collect();
        if holders.len() > 1 {
            return;
        }
        let engine = self.engine_of(holders.into_iter().next());
        let number = self.random.below(EVENTS);
        let event = CloudEvent {
            id: number.to_string(),
            source: "/simulation".to_owned(),
            specversion: "1.0".to_owned(),
            type_: TYPE.to_owned(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: BTreeMap::new(),
            data: Some(serde_json::json!({ "number": number })),
        };
        engine.publish(PRINCIPAL, &[event]).await.expect("it is an event");
    }

    /// That of the host, or any.
    fn engine_of(&mut self, host: Option<HostId>) -> Arc<Engine> {
        let holder = self.members.iter().find(|member| Some(member.host) == host);
        match holder.map(|member| member.engine.clone()) {
            Some(engine) => engine,
            None => self.engine(),
        }
    }
}
