//! Flow documents: flows as people write them, in YAML or JSON, and as answers show them.
//!
//! ```yaml
//! tasks:
//! - name: snapshot
//!   plugin: backup
//!   action: snapshot
//!   inputs: {keep: {literal: 3}, source: {argument: source}}
//!   provides: {archive: /path}
//!   timeout: 5m
//!   retry: {attempts_max: 3, backoff_initial: 1s}
//! - name: verify
//!   plugin: backup
//!   action: verify
//!   inputs: {archive: {name: archive}, size: {output: {task: snapshot, pointer: /size}}}
//! defaults: {source: docs}
//! ```
//!
//! `docs/flows.md` tells what everything means, `docs/flow.schema.json` what may be written.

pub mod checked;
pub mod child;
pub mod document;
pub mod file;
pub mod picture;
pub mod reference;
pub mod schema;
pub mod scope;
pub mod undo;
pub mod verb;
pub mod view;
pub mod wait;
pub mod work;

pub use document::FlowDocument;
pub use file::read;

#[cfg(test)]
mod tests;
