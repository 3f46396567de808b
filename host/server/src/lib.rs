//! The Windlass host: the library that does what the core decides.
//!
//! `grpc, dispatcher, runner -> engine -> store, clock`; `runner -> registry -> executors`. Only `grpc` names
//! generated types, only `store` names redb, only `executors` names wasmtime.

pub mod clock;
pub mod store;

pub mod engine;
pub mod executors;
pub mod registry;

pub mod dispatcher;
pub mod runner;

pub mod grpc;
pub mod host;
pub mod serve;

pub use windlass_core::call::Access;
pub use windlass_core::permit::Policy;

pub use serve::{ServeError, Settings, serve};
