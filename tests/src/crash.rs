//! Hosts that die: as processes of their own, at a chosen write or from outside, and what is found afterwards.

pub mod client;
pub mod point;
pub mod process;
pub mod site;
pub mod witness;
