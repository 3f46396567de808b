//! Triggers end to end: schedules, events, firing by hand.

mod control;
mod event;
mod schedule;
