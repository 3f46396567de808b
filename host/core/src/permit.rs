//! Permissions: who may do what with whose things.
//!
//! Asked at the request, when a job falls due, and at every claim: a permission that was withdrawn meanwhile counts.
//!
//! Invariant: what no rule permits is denied. There are no rules that forbid, so the order of rules means nothing.

use serde::{Deserialize, Serialize};

/// Stands for every name in a list of principals or owners.
const ANYBODY: &str = "*";
/// Stands for the principal itself in a list of owners.
const ITSELF: &str = "self";

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub rules: Vec<Rule>,
}

/// Permits all of its verbs, on all of its kinds, of all of its owners, to all of its principals. An empty list, or
/// one that is left out, means every one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Names; `*` is everybody.
    pub principals: Vec<String>,
    pub verbs: Vec<Verb>,
    pub kinds: Vec<Kind>,
    /// Names; `*` is everybody, `self` the principal.
    pub owners: Vec<String>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Create, upload, submit, publish.
    Create,
    /// Get, download, watch, wait.
    Read,
    List,
    /// Update, pause, resume, enable, disable, retire.
    Update,
    Delete,
    /// Fire a trigger by hand.
    Fire,
    /// Run a job: asked when it falls due and when it is claimed.
    Run,
    Cancel,
    /// Retry, revert, resolve and rerun a job.
    Repair,
    /// Answer an approval of a job.
    Answer,
    /// List what others own.
    AllOwners,
}

/// What it is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Plugin,
    Trigger,
    Operation,
    /// A flow under a name, with all its revisions.
    Flow,
    Job,
    Event,
    Logbook,
    Host,
    /// All that is kept, of everybody: reading it is a backup.
    Store,
}

/// The thing that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    pub kind: Kind,
    pub owner: &'a str,
}

/// No rule permits it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{principal:?} may not {} {} of {owner:?}: ask for a rule in the policy", word(.verb), word(.kind))]
pub struct Denied {
    pub principal: String,
    pub verb: Verb,
    pub kind: Kind,
    pub owner: String,
}

impl Default for Policy {
    /// Everybody may do everything: without authentication the host listens on loopback only, and whoever reaches it
    /// could claim any name.
    fn default() -> Self {
        Self { rules: vec![Rule::default()] }
    }
}

/// Whether `principal` may do `verb` with `resource`.
pub fn permits(policy: &Policy, principal: &str, verb: Verb, resource: Resource<'_>) -> Result<(), Denied> {
    let is_permitted = policy.rules.iter().any(|rule| rule.covers(principal, verb, resource));
    if is_permitted {
        return Ok(());
    }
    Err(Denied {
        principal: principal.to_owned(),
        verb,
        kind: resource.kind,
        owner: resource.owner.to_owned(),
    })
}

impl Rule {
    fn covers(&self, principal: &str, verb: Verb, resource: Resource<'_>) -> bool {
        let is_principal = |name: &String| name == ANYBODY || name == principal;
        let is_owner = |name: &String| {
            name == ANYBODY || name == resource.owner || (name == ITSELF && resource.owner == principal)
        };
        (self.principals.is_empty() || self.principals.iter().any(is_principal))
            && (self.verbs.is_empty() || self.verbs.contains(&verb))
            && (self.kinds.is_empty() || self.kinds.contains(&resource.kind))
            && (self.owners.is_empty() || self.owners.iter().any(is_owner))
    }
}

/// A verb or kind as the policy file writes it.
fn word(word: &impl Serialize) -> String {
    serde_json::to_value(word)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_else(|| "use".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB_OF_ANN: Resource<'_> = Resource { kind: Kind::Job, owner: "ann" };

    fn policy(json: serde_json::Value) -> Policy {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn by_default_everybody_may_do_everything() {
        assert_eq!(permits(&Policy::default(), "bob", Verb::Delete, JOB_OF_ANN), Ok(()));
        assert_eq!(permits(&Policy::default(), "bob", Verb::AllOwners, JOB_OF_ANN), Ok(()));
    }

    #[test]
    fn c07_only_who_is_told_so_lists_the_jobs_of_others() {
        let policy = policy(serde_json::json!({"rules": [
            {"owners": ["self"], "verbs": ["create", "read", "list", "run"]},
            {"principals": ["root"]},
        ]}));
        assert_eq!(permits(&policy, "ann", Verb::List, JOB_OF_ANN), Ok(()));
        assert_eq!(permits(&policy, "root", Verb::AllOwners, JOB_OF_ANN), Ok(()));
        let denied = permits(&policy, "ann", Verb::AllOwners, JOB_OF_ANN).unwrap_err();
        assert_eq!(
            denied.to_string(),
            r#""ann" may not all_owners job of "ann": ask for a rule in the policy"#
        );
        assert!(permits(&policy, "bob", Verb::Read, JOB_OF_ANN).is_err());
        assert!(permits(&policy, "ann", Verb::Delete, JOB_OF_ANN).is_err());
    }

    #[test]
    fn a_policy_without_rules_denies_and_a_misspelt_one_is_refused() {
        assert!(permits(&policy(serde_json::json!({"rules": []})), "ann", Verb::Read, JOB_OF_ANN).is_err());
        for text in [r#"{"rules": [{"verb": ["read"]}]}"#, r#"{"rules": [{"verbs": ["reed"]}]}"#, "{}"] {
            assert!(serde_json::from_str::<Policy>(text).is_err(), "{text}");
        }
    }
}
