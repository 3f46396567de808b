//! Log lines: they land in the logbook of the attempt, next to what the plugin prints.
//!
//! The macros work anywhere in a plugin, without a context. In a native test they print to stderr.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// What the macros call.
#[doc(hidden)]
pub fn write(level: Level, line: std::fmt::Arguments<'_>) {
    deliver(level, &line.to_string());
}

#[cfg(target_arch = "wasm32")]
fn deliver(level: Level, line: &str) {
    use crate::bindings::windlass::plugin::log;

    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::log(level, line);
}

#[cfg(not(target_arch = "wasm32"))]
fn deliver(level: Level, line: &str) {
    eprintln!("{level:?}: {line}");
}

/// A line for whoever debugs the plugin, in detail.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::__log($crate::Level::Trace, ::std::format_args!($($line)+)) };
}

/// A line for whoever debugs the plugin.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::__log($crate::Level::Debug, ::std::format_args!($($line)+)) };
}

/// A line about what was done.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::__log($crate::Level::Info, ::std::format_args!($($line)+)) };
}

/// A line about something that an operator should look at, although the call goes on.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::__log($crate::Level::Warn, ::std::format_args!($($line)+)) };
}

/// A line about what went wrong. A failure that ends the call is returned, not only logged.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::__log($crate::Level::Error, ::std::format_args!($($line)+)) };
}
