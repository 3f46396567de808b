//! The rules of Windlass. Pure: no tokio, no I/O, no wall clock, no randomness; `now` and ids are arguments.

pub mod fault;
pub mod id;
pub mod payload;
pub mod problem;

pub mod arguments;
pub mod expression;
pub mod flow;
pub mod own_revert;
pub mod phase;
pub mod plan;
pub mod plugin;
pub mod revision;
pub mod scope;

pub mod call;
pub mod child;
pub mod instance;
pub mod job;

mod frontier;

pub mod decide;
pub mod entry;
pub mod evidence;
pub mod inputs;
pub mod record;

pub mod event;
pub mod occurrence;
pub mod operation;
pub mod schedule;
pub mod trigger;
pub mod wait;

pub mod permit;
