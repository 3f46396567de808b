//! Access: who may do what, asked at the request, when a job falls due, and at every claim.

use windlass_core::call::Grants;
use windlass_core::job::Job;
use windlass_core::permit::{Denied, Kind, Resource, Verb, permits};
use windlass_core::problem::Problems;

use crate::engine::{Engine, EngineError};

/// Finds what of some grants the host's operator does not allow. Known to the executors, asked by the engine.
pub type GrantRule = Box<dyn Fn(&Grants) -> Problems + Send + Sync>;

impl Engine {
    pub fn permits(&self, principal: &str, verb: Verb, kind: Kind, owner: &str) -> Result<(), EngineError> {
        Ok(permits(&self.policy, principal, verb, Resource { kind, owner })?)
    }

    /// Whether a principal may have jobs at all.
    pub(super) fn permits_submit(&self, principal: &str) -> Result<(), EngineError> {
        self.permits(principal, Verb::Create, Kind::Job, principal)
    }

    /// Whether a stored job may still run on behalf of its principal.
    pub fn permits_run(&self, job: &Job) -> Result<(), Denied> {
        let resource = Resource { kind: Kind::Job, owner: &job.spec.owner };
        permits(&self.policy, &job.spec.principal, Verb::Run, resource)
    }

    /// Whose jobs or operations a list shows: the principal's own, unless it may see others'.
    pub fn list_owner(
        &self,
        principal: &str,
        kind: Kind,
        owner: Option<String>,
        all_owners: bool,
    ) -> Result<Option<String>, EngineError> {
        if all_owners {
            self.permits(principal, Verb::AllOwners, kind, "")?;
            return Ok(None);
        }
        let owner = owner.unwrap_or_else(|| principal.to_owned());
        self.permits(principal, Verb::List, kind, &owner)?;
        Ok(Some(owner))
    }

    /// What of some grants the host's operator does not allow.
    pub(super) fn check_host_grants(&self, grants: &Grants) -> Problems {
        (self.grant_rule)(grants)
    }
}
