//! The decisions about jobs, driven by a scripted executor, and by random histories.

mod bench;
mod child;
mod claim;
mod condition;
mod control;
mod crash;
mod failure;
mod family;
mod family_random;
mod model;
mod place;
pub(crate) mod shape;

mod doubt;
mod graph;
mod interpreter;
mod large;
mod law;
mod observe;
mod order;
mod own_revert;
mod parallel;
mod phase;
mod random;
mod retry;
mod scope;
mod table;
mod wait;
