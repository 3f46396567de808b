//! Jobs end to end: submission, time, idempotence, lists, slots, and what operators ask of them.

mod board;
mod cancel;
mod list;
mod lost;
mod submit;
mod submit_wait;
mod suspend;
mod time;
