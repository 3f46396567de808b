//! Hosts that die, and stores and disks that fail under hosts. They run on every store, but for what the Makefile names:
//! `fault_postgres` brings servers of its own, and some tests are about redb's file.

mod crash_points;
mod fault_delivery;
mod fault_family;
mod fault_postgres;
mod fault_process;
mod fault_simulation;
mod fault_store;
mod outage;
