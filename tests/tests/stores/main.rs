//! Stores by themselves: what all are held to, and what each has of its own.

mod planted;

mod store_check;
mod store_cli;
mod store_faults;
mod store_import;
mod store_model;
mod store_postgres;
mod store_redb;
