//! Exact traces, each with one slot and with sixteen (X08): order, data, failures, retries, conditions, suspensions, and
//! what they do in each other.

mod condition;
mod doubt;
mod end;
mod expected;
mod map;
mod order;
mod own_revert;
mod play;
mod repeat;
mod retry;
mod revert;
mod stuck;
mod suspend;
mod wait;
