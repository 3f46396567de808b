//! The machine, as far as figures depend on it.

use serde_json::{Value, json};

pub fn describe() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    json!({
        "cores": std::thread::available_parallelism().map(|cores| cores.get()).ok(),
        "processor": model.map(|(_, model)| model),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        // Above the number of cores the machine was not quiet.
        "load": read("/proc/loadavg").split_whitespace().next(),
    })
}
