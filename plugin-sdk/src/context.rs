//! The context of a call: which attempt of what it is, and the journal that outlives it.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dispatch::Call;
use crate::failure::Fault;
use crate::host::Host;
use crate::journal::JournalError;

/// What is known of the attempts before this one, under the same idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prior {
    /// This is the first.
    None,
    /// Every earlier one ended with a failure that it reported itself.
    Failed,
    /// An earlier one may have had effects that nobody recorded: look before you act.
    Interrupted,
}

/// The failure of a task of the job.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFault {
    /// The name of the task within its flow.
    pub task: String,
    /// Which of the task's instances: see [`Context::iteration`].
    pub iteration: Vec<u32>,
    pub fault: Fault,
}

/// One call, as the action sees it. `Undo` is the action's type of undo record.
pub struct Context<'a, Undo> {
    call: &'a Call,
    host: &'a dyn Host,
    undo: PhantomData<fn(&Undo)>,
}

impl<'a, Undo> Context<'a, Undo> {
    pub(crate) fn new(call: &'a Call, host: &'a dyn Host) -> Self {
        Context { call, host, undo: PhantomData }
    }

    /// The id of the job.
    pub fn job(&self) -> &str {
        &self.call.job
    }

    /// The name of the task within its flow.
    pub fn task(&self) -> &str {
        &self.call.task
    }

    /// Which of the task's instances this is: extended by a scope's retry, a repeat or a re-apply after a revert.
    pub fn iteration(&self) -> &[u32] {
        &self.call.iteration
    }

    /// The name that the action was called by.
    pub fn action(&self) -> &str {
        &self.call.action
    }

    /// Counts the calls made under the idempotency key, from 1.
    pub fn attempt(&self) -> u32 {
        self.call.attempt
    }

    /// Counts the tries of the scope around the task, from 1.
    pub fn scope_attempt(&self) -> u32 {
        self.call.scope_attempt
    }

    pub fn prior(&self) -> Prior {
        self.call.prior
    }

    /// The same for every attempt of one apply; another for its revert, and for an apply after a revert. Name things
    /// after it, and pass it to services that take such a key.
    pub fn idempotency_key(&self) -> &str {
        &self.call.idempotency_key
    }

    /// Rises whenever another host takes the job over. For downstream systems that can refuse a stale writer.
    pub fn fence(&self) -> u64 {
        self.call.fence
    }

    /// The nominal time that the job was due for: use it, rather than the clock, to name what the job makes.
    pub fn fired_for(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.call.fired_for_ms)
    }

    /// When the host will interrupt this call.
    pub fn deadline(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.call.deadline_ms)
    }

    /// What the operation or the submitter attached to the job: its labels. Names that begin with `host.` are the host's own;
    /// ignore those that you do not know.
    pub fn attributes(&self) -> &[(String, String)] {
        &self.call.attributes
    }

    /// The attribute of this name, if there is one.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.call.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Writes what revert will need, *before* the effect that it undoes. Durable when it returns; if it is refused,
    /// do not make the effect. Only in an apply.
    pub fn undo_ahead(&self, undo: &Undo) -> Result<(), JournalError>
    where
        Undo: Serialize,
    {
        let record = serde_json::to_vec(undo)
            .map_err(|source| JournalError::Encoding { what: "the undo record".into(), source })?;
        Ok(self.host.undo_ahead(record)?)
    }

    /// Keeps a checkpoint under a name, for later attempts of this task instance. Durable when it returns.
    pub fn note(&self, name: &str, value: &impl Serialize) -> Result<(), JournalError> {
        let value = serde_json::to_vec(value)
            .map_err(|source| JournalError::Encoding { what: format!("the note {name}"), source })?;
        Ok(self.host.note(name, &value)?)
    }

    /// The checkpoint of this name, from this attempt or an earlier one.
    pub fn recall<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, JournalError> {
        let Some(value) = self.host.recall(name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&value)
            .map(Some)
            .map_err(|source| JournalError::Decoding { what: format!("the note {name}"), source })
    }

    /// Tells whoever watches how far it is, from 0 to 1 (the host clamps it). The last value is kept. An error means
    /// that the call shall end, so `?` it: this is how a long action learns of a cancellation.
    pub fn progress(&self, fraction: f32, message: &str) -> Result<(), JournalError> {
        Ok(self.host.progress(fraction, message)?)
    }

    /// The time left until the deadline; an error if the call shall end now.
    pub fn alive(&self) -> Result<Duration, JournalError> {
        Ok(Duration::from_millis(self.host.alive()?))
    }

    /// For revert: why tasks of the job are not applied, in the order of the flow. Of a scope that was tried again those of
    /// its last try.
    pub fn failures(&self) -> Vec<TaskFault> {
        self.host.failures()
    }
}
