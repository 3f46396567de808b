//! Flows as clients write them, and with every plugin pinned.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use windlass_core::arguments::{Schemas, validate_flow, validate_planned};
use windlass_core::call::Grants;
use windlass_core::flow::{Flow, PluginPin};
use windlass_core::id::Digest;
use windlass_core::job::Job;
use windlass_core::plan::Plan;
use windlass_core::problem::{Problem, Problems};

use crate::engine::{Engine, EngineError};
use crate::store::{Change, Conflict, RecordKey};

/// A flow with its plugins pinned, and what must still be so when it is stored.
pub struct Pinned {
    pub flow: Arc<Flow>,
    /// Digest and generation of every plugin: one that was retired meanwhile refuses the commit.
    plugins: HashMap<Digest, u64>,
    schemas: HashMap<Digest, Arc<Schemas>>,
}

impl Pinned {
    /// The expectations to commit with.
    pub fn expectations(&self) -> impl Iterator<Item = Change> {
        self.plugins.iter().map(|(digest, generation)| Change::Expect {
            key: RecordKey::Plugin(*digest),
            generation: *generation,
        })
    }

    pub fn lookup(&self, pin: &PluginPin) -> Option<Arc<Schemas>> {
        self.schemas.get(&pin.digest).cloned()
    }

    /// Everything that is wrong with the flow and these arguments.
    pub fn check(&self, arguments: &Map<String, Value>, awaited: &[&str]) -> Problems {
        validate_flow(&self.flow, arguments, awaited, &|pin| self.lookup(pin))
    }

    /// Likewise, where the plan of the flow is known.
    pub fn check_planned(&self, plan: &Arc<Plan>, arguments: &Map<String, Value>) -> Problems {
        validate_planned(&self.flow, Some(plan), arguments, &[], &|pin| self.lookup(pin))
    }
}

impl Engine {
    /// Pins every plugin of a flow on behalf of a principal; every one that cannot be is named. What `kept` uses
    /// already may be used on, also where it was retired.
    pub async fn pin_flow(
        &self,
        flow: Flow<String>,
        principal: &str,
        kept: Option<&Flow>,
    ) -> Result<Pinned, EngineError> {
        let (pinned, problems) = self.pin_all(flow, principal, kept).await?;
        Ok(problems.or(pinned)?)
    }

    /// Likewise, to look at the rest of a flow as well: in the place of a plugin that cannot be pinned is one that
    /// nobody has.
    pub(super) async fn pin_what_can_be(
        &self,
        flow: Flow<String>,
        principal: &str,
    ) -> Result<(Pinned, Problems), EngineError> {
        self.pin_all(flow, principal, None).await
    }

    async fn pin_all(
        &self,
        flow: Flow<String>,
        principal: &str,
        kept: Option<&Flow>,
    ) -> Result<(Pinned, Problems), EngineError> {
        let mut problems = Problems::default();
        let (mut plugins, mut schemas) = (HashMap::new(), HashMap::new());
        // A large flow names few plugins, many times.
        let mut pins: HashMap<String, Result<PluginPin, String>> = HashMap::new();
        for (path, called) in flow.placed_calls() {
            if !pins.contains_key(called.plugin()) {
                let pin = match self.pin(called.plugin(), principal, kept).await {
                    Ok(pin) => Ok(pin),
                    Err(error @ (EngineError::Storage(_) | EngineError::Denied(_))) => return Err(error),
                    Err(error) => Err(error.to_string()),
                };
                if let Ok(pin) = &pin
                    && let Some(plugin) = self.plugin(pin.digest).await?
                {
                    plugins.insert(pin.digest, plugin.generation);
                    schemas.insert(pin.digest, self.schemas(&plugin)?);
                }
                pins.insert(called.plugin().clone(), pin);
            }
            if called.memory_bytes_max().is_some() {
                let asked = Grants { memory_bytes_max: called.memory_bytes_max(), ..Grants::default() };
                let refused = self.check_host_grants(&asked).0.into_iter();
                problems.0.extend(
                    refused.map(|problem| Problem { path: format!("{path}.memory_bytes_max"), ..problem }),
                );
            }
            if let Err(reason) = &pins[called.plugin()] {
                problems.add(format!("{path}.plugin"), reason.clone());
            }
        }
        let flow = flow.map(|name| {
            let pin = pins[&name].clone();
            pin.unwrap_or_else(|_| PluginPin { digest: Digest([0; 32]), name, version: String::new() })
        });
        Ok((Pinned { flow: Arc::new(flow), plugins, schemas }, problems))
    }

    /// What of the plugins was read before a commit found it changed is read anew.
    pub(super) fn forget_conflicting(&self, conflict: &Conflict) {
        if let Conflict::Generation { key: RecordKey::Plugin(digest), .. }
        | Conflict::Missing { key: RecordKey::Plugin(digest) } = conflict
        {
            self.forget_plugin(*digest);
        }
    }

    /// Whether a stored job can run as it is. The outer error: the store could not be asked.
    pub async fn check_runnable(&self, job: &Job) -> Result<Result<(), Problems>, EngineError> {
        let mut schemas = HashMap::new();
        for pin in job.flow.plugins() {
            if !schemas.contains_key(&pin.digest)
                && let Some(plugin) = self.plugin(pin.digest).await?
            {
                schemas.insert(plugin.digest, self.schemas(&plugin)?);
            }
        }
        let problems =
            validate_flow(&job.flow, &job.spec.arguments, &[], &|pin| schemas.get(&pin.digest).cloned());
        Ok(problems.or(()))
    }
}

/// A stored flow as a client would write it: every plugin by its digest.
pub fn unpinned(flow: &Flow) -> Flow<String> {
    flow.clone().map(|pin| pin.digest.to_string())
}
