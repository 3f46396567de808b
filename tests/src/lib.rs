//! What the suites share: a host in a test, the plugins it runs, and what must hold whatever happened.

pub mod clock;
pub mod conformance;
pub mod dice;
pub mod invariants;
pub mod ledger;
pub mod model;
pub mod plugins;
pub mod readme;
pub mod remote;
pub mod traces;
pub mod work;

pub mod home;
pub mod postgres;

pub mod harness;

pub mod disk;
pub mod faulty;
pub mod guarded;
pub mod scripted;
pub mod usurper;

pub mod bench;

pub mod crash;
