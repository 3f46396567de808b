//! The decisions about jobs, driven by a scripted executor, and by random histories.

mod bench;
mod claim;
mod control;
mod crash;
mod failure;
mod place;

mod law;
mod order;
mod random;
mod retry;
mod table;
