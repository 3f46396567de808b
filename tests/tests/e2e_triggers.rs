//! Triggers end to end: schedules, events, firing by hand.

mod e2e_triggers {
    mod control;
    mod event;
    mod schedule;
}
