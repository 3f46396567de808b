//! Whole hosts over gRPC, with plugins in the sandbox. Every test here runs on every store.
//!
//! One program: linking one takes seconds, most of them for the sandbox.

mod e2e_failure;
mod e2e_flow;
mod e2e_jobs;
mod e2e_logbook;
mod e2e_operations;
mod e2e_plugins;
mod e2e_sandbox;
mod e2e_store;
mod e2e_trace;
mod e2e_triggers;
mod e2e_upgrade;
