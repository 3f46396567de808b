//! The benchmark works, at the smallest size: what it writes is what the documentation says, and it counts only what was
//! done. No figure is judged here, for the machine is not quiet.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments).env_remove("WINDLASS_TEST_STORE").output().expect("the benchmark can be run")
}

fn figure<'a>(told: &'a Value, id: &str) -> &'a Value {
    let figures = told["figures"].as_array().expect("there are figures");
    figures.iter().find(|figure| figure["id"] == id).unwrap_or_else(|| panic!("no {id} in {told}"))
}

#[test]
fn the_benchmark_measures_a_real_host_beside_the_floor() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("bench.json");
    let place = json.to_str().expect("a path of text");
    let ran = bench(&["--quick", "--only", "one-1", "--only", "start", "--json", place]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let table = String::from_utf8_lossy(&ran.stdout);
    assert!(table.contains("submit to done, one at a time, p50"), "{table}");
    let told: Value = serde_json::from_slice(&std::fs::read(&json).expect("it was written")).expect("JSON");
    assert_eq!((told["format"].as_u64(), told["quick"].as_bool()), (Some(1), Some(true)));
    let rate = figure(&told, "one_1_rate");
    for field in ["value", "floor", "ratio"] {
        assert!(rate[field].as_f64().is_some_and(|value| value > 0.0), "{field} of {rate}");
    }
    // What a one-action job leaves: its spec, status, instance, and three rows of entries at least.
    let rows = rate["cost"]["rows"].as_f64().expect("rows are counted");
    assert!((6.0..20.0).contains(&rows), "{rate}");
    let latency = figure(&told, "one_1_p50_ms");
    let is_met = latency["value"].as_f64() <= latency["reach"].as_f64();
    assert_eq!(latency["met"], is_met, "{latency}");
    assert!(figure(&told, "idle_mib")["value"].as_f64().is_some_and(|mib| mib > 1.0), "{told}");
}

#[test]
fn a_workload_that_is_not_there_is_refused() {
    let refused = bench(&["--only", "one-65"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(r#"there is no workload "one-65": --list tells which there are"#), "{said}");
    let listed = String::from_utf8_lossy(&bench(&["--list"]).stdout).into_owned();
    assert!(listed.lines().any(|line| line.starts_with("one-64 ")), "{listed}");
}
