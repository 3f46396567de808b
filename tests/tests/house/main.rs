//! What the repository says of itself: its rules, its README, its examples.

mod bench;
mod examples;
mod provision;
mod readme;
mod tidy;
