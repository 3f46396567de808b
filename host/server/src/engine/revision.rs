//! Flows under names: what is made of them, and which one somebody means.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use windlass_core::arguments::validate_flow;
use windlass_core::flow::Flow;
use windlass_core::id::FlowId;
use windlass_core::permit::{Kind, Verb};
use windlass_core::problem::Problems;
use windlass_core::revision::{
    FlowRevision, NamedFlow, RevisionName, RevisionRefused, RevisionSpec, check_without_arguments,
};

use crate::engine::flow::{Pinned, unpinned};
use crate::engine::plugin::check_generation;
use crate::engine::{DECIDE_TRIES_MAX, Engine, EngineError};
use crate::store::{Change, CommitError, Expected, Record, RecordKey, RecordKind, Unit};

/// A flow under a name, as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowReference {
    pub name: String,
    /// None: the latest.
    pub revision: Option<u32>,
}

/// A revision as somebody asks for it: plugins by name.
#[derive(Debug, Clone)]
pub struct RevisionDraft {
    pub name: String,
    pub flow: Flow<String>,
    pub description: String,
    pub labels: BTreeMap<String, String>,
    pub principal: String,
    /// The revision that the caller takes for the latest; 0: none.
    pub expected: Option<u32>,
    /// Checks everything, and stores nothing.
    pub validate_only: bool,
}

/// A revision that was asked for.
#[derive(Debug)]
pub struct Revised {
    pub revision: FlowRevision,
    /// The latest revision was the same already: none was made.
    pub unchanged: bool,
}

/// What a reference stands for, and what must still be so when that is stored.
pub struct Resolved {
    pub flow: Flow<String>,
    pub name: RevisionName,
    pub expectation: Change,
}

impl Engine {
    /// Makes the next revision of a name, unless the latest is the same.
    pub async fn create_revision(&self, draft: RevisionDraft) -> Result<Revised, EngineError> {
        let subject = format!("flow {}", draft.name);
        for _ in 0..DECIDE_TRIES_MAX {
            let named = self.named_flow(&draft.name).await?;
            let living = named.as_ref().filter(|named| named.deleted.is_none());
            let (verb, owner) = match living {
                Some(named) => (Verb::Update, named.owner.as_str()),
                None => (Verb::Create, draft.principal.as_str()),
            };
            self.permits(&draft.principal, verb, Kind::Flow, owner)?;
            let latest = match living {
                Some(named) => Some(self.stored_revision(named, named.latest).await?),
                None => None,
            };
            let pinned = self.pin_flow(draft.flow.clone(), &draft.principal, None).await?;
            let spec = RevisionSpec {
                name: draft.name.clone(),
                flow: Flow::clone(&pinned.flow),
                description: draft.description.clone(),
                labels: draft.labels.clone(),
                principal: draft.principal.clone(),
            };
            spec.check(&|pin| pinned.lookup(pin)).or(())?;
            // Asked before the expectation: a client that repeats itself finds what it made.
            if let Some(revision) = latest.filter(|latest| latest.is_as(&spec)) {
                return Ok(Revised { revision, unchanged: true });
            }
            let found = living.map_or(0, |named| named.latest);
            if draft.expected.is_some_and(|expected| expected != found) {
                return Err(EngineError::Stale { subject });
            }
            let (next, revision) = match &named {
                Some(named) => named.revise(&spec, self.now())?,
                None => NamedFlow::create(&spec, self.now()),
            };
            if draft.validate_only || self.put_revision(named.as_ref(), next, &revision, &pinned).await? {
                return Ok(Revised { revision, unchanged: false });
            }
        }
        Err(EngineError::Busy { subject })
    }

    /// False where somebody else moved first.
    async fn put_revision(
        &self,
        before: Option<&NamedFlow>,
        named: NamedFlow,
        revision: &FlowRevision,
        pinned: &Pinned,
    ) -> Result<bool, EngineError> {
        let expected = before.map_or(Expected::Absent, |before| Expected::Generation(before.generation));
        let mut changes: Vec<_> = pinned.expectations().collect();
        changes.push(Change::Put { record: Record::Flow(named), expected });
        let record = Record::FlowRevision(revision.clone());
        changes.push(Change::Put { record, expected: Expected::Absent });
        match self.commit(Unit::of(changes)).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict(conflict)) => {
                self.forget_conflicting(&conflict);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Everything that is wrong with a flow. Without arguments, a name that nobody provides is taken for one.
    pub async fn validate_flow(
        &self,
        flow: Flow<String>,
        arguments: Option<&Map<String, Value>>,
        principal: &str,
    ) -> Result<Problems, EngineError> {
        self.permits(principal, Verb::Read, Kind::Flow, principal)?;
        let (pinned, mut problems) = self.pin_what_can_be(flow, principal).await?;
        let found = match arguments {
            Some(arguments) => validate_flow(&pinned.flow, arguments, &[], &|pin| pinned.lookup(pin)),
            None => check_without_arguments(&pinned.flow, &|pin| pinned.lookup(pin)),
        };
        // What is wrong with a plugin is told better by who looked for it.
        let told: Vec<_> = problems.0.iter().map(|problem| problem.path.clone()).collect();
        problems.0.extend(found.0.into_iter().filter(|problem| !told.contains(&problem.path)));
        Ok(problems)
    }

    /// What a reference stands for, on behalf of a principal.
    pub async fn resolve_flow(
        &self,
        reference: &FlowReference,
        principal: &str,
    ) -> Result<Resolved, EngineError> {
        let (named, revision) = self.flow_revision(reference).await?;
        self.permits(principal, Verb::Read, Kind::Flow, &named.owner)?;
        Ok(Resolved {
            flow: unpinned(&revision.flow),
            name: revision.name(),
            expectation: Change::Expect { key: RecordKey::Flow(named.id), generation: named.generation },
        })
    }

    /// A revision, and what stands under its name. Neither is there where the flow was deleted.
    pub async fn flow_revision(
        &self,
        reference: &FlowReference,
    ) -> Result<(NamedFlow, FlowRevision), EngineError> {
        let named = self.living_flow(&reference.name).await?;
        let number = reference.revision.unwrap_or(named.latest);
        if !named.has(number) {
            return Err(EngineError::not_found("flow", format!("{}@{number}", named.name)));
        }
        let revision = self.stored_revision(&named, number).await?;
        Ok((named, revision))
    }

    /// What stands under a name, unless it was deleted.
    pub async fn living_flow(&self, name: &str) -> Result<NamedFlow, EngineError> {
        let named = self.named_flow(name).await?.filter(|named| named.deleted.is_none());
        named.ok_or_else(|| EngineError::not_found("flow", name))
    }

    /// Every name that was not deleted, in order.
    pub async fn flows(&self) -> Result<Vec<NamedFlow>, EngineError> {
        let records = self.all_records(RecordKind::Flow).await?;
        let mut flows: Vec<_> = records
            .into_iter()
            .filter_map(|record| match record {
                Record::Flow(named) if named.deleted.is_none() => Some(named),
                _ => None,
            })
            .collect();
        flows.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(flows)
    }

    /// A revision that its name has.
    pub async fn stored_revision(
        &self,
        named: &NamedFlow,
        revision: u32,
    ) -> Result<FlowRevision, EngineError> {
        match self.store.record(RecordKey::FlowRevision(named.id, revision)).await? {
            Some(Record::FlowRevision(revision)) => Ok(revision),
            // Deleted just now.
            _ => Err(EngineError::not_found("flow", format!("{}@{revision}", named.name))),
        }
    }

    /// Removes every revision of a name. Jobs keep what they have; an operation that has one stands in the way.
    pub async fn delete_flow(
        &self,
        name: &str,
        principal: &str,
        generation: Option<u64>,
    ) -> Result<NamedFlow, EngineError> {
        // Operations are made under the same lock.
        let _names = self.names.lock().await;
        let subject = format!("flow {name}");
        for _ in 0..DECIDE_TRIES_MAX {
            let named = self.living_flow(name).await?;
            self.permits(principal, Verb::Delete, Kind::Flow, &named.owner)?;
            check_generation(&subject, named.generation, generation)?;
            self.check_no_operation_has(&named).await?;
            let gone = named.delete(self.now());
            let revisions = (named.first..=named.latest).map(|number| Change::Remove {
                key: RecordKey::FlowRevision(named.id, number),
                generation: 1,
            });
            let expected = Expected::Generation(named.generation);
            let mut changes = vec![Change::Put { record: Record::Flow(gone.clone()), expected }];
            changes.extend(revisions);
            match self.commit(Unit::urgent(changes)).await {
                Ok(()) => return Ok(gone),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy { subject })
    }

    async fn check_no_operation_has(&self, named: &NamedFlow) -> Result<(), EngineError> {
        let is_of = |revision: &RevisionName| revision.name == named.name;
        let operations = self.operations().await?;
        let having: Vec<_> = operations
            .iter()
            .filter(|operation| operation.deleted.is_none())
            .filter(|operation| operation.flow_revision.as_ref().is_some_and(is_of))
            .map(|operation| operation.name.as_str())
            .collect();
        if having.is_empty() {
            return Ok(());
        }
        let message = format!(
            "flow {} is of the operations {}: delete these first, or give them other work",
            named.name,
            having.join(", ")
        );
        Err(EngineError::precondition(format!("flow {}", named.name), message))
    }

    /// What stands under a name, or stood.
    async fn named_flow(&self, name: &str) -> Result<Option<NamedFlow>, EngineError> {
        match self.store.record(RecordKey::Flow(FlowId::of_name(name))).await? {
            Some(Record::Flow(named)) => Ok(Some(named)),
            _ => Ok(None),
        }
    }
}

impl From<RevisionRefused> for EngineError {
    fn from(refused: RevisionRefused) -> Self {
        match &refused {
            RevisionRefused::Full { name } => Self::precondition(format!("flow {name}"), refused.to_string()),
        }
    }
}
