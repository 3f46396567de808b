//! An example plugin that provisions a machine: `reserve` an address, `configure` it, `acquire` the machine from a
//! provider that takes its time, and `release` all of it at once.
//!
//! It sees three granted directories: `/pool`, the addresses; `/machines`, a configuration for each machine; and
//! `/provider`, where requests and answers are files, so that a person can play the provider.
//!
//! Invariant: whatever an action did, and wherever it was cut short, its undo records tell how to undo it. They are of one
//! type, so that one revert can undo what all of them did.

mod acquire;
mod configure;
mod document;
mod name;
mod place;
mod release;
mod reserve;
mod undo;

pub use acquire::Acquire;
pub use configure::Configure;
pub use release::Release;
pub use reserve::Reserve;

#[cfg(test)]
mod tests;

windlass_plugin::export!(manifest = "manifest.json", [Reserve, Configure, Release], observed = [Acquire]);
