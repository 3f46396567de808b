//! Failures end to end: unwinding, evidence, retries, what operators do about what remains, and what is kept of it.

mod evidence;
mod operator;
mod record;
mod retry;
mod unwind;
