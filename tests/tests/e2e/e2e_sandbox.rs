//! The sandbox end to end: W06, W07, limits, grants, and what guests print.

mod grant;
mod limit;
mod print;
