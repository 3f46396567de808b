//! Tidy: the rules of the house that a compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of one file: beyond it, it holds two nouns.
const FILE_LINES_MAX: usize = 600;
/// Lines of one function: beyond it, nobody reads it in one go.
const FUNCTION_LINES_MAX: usize = 70;
/// Why suites share programs.
const LINKING: &str =
    "each one links the sandbox, which takes seconds; make it a module of one that is there";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is text");
                let name = path.strip_prefix(root()).expect("it is below the root").display().to_string();
                found.push((name, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

fn all_sources() -> Vec<(String, String)> {
    ["host", "proto", "plugin-sdk", "examples", "tests"].into_iter().flat_map(sources).collect()
}

/// Fails with every line of `folder` outside `except` that has one of `words`.
fn ban(folder: &str, except: &[&str], words: &[&str], why: &str) {
    let mut broken = Vec::new();
    for (name, text) in sources(folder) {
        if except.iter().any(|except| name.starts_with(except)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().expect("split gives at least one part");
            if let Some(word) = words.iter().find(|word| code.contains(*word)) {
                broken.push(format!("{name}:{}: {word}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{why}\n{}", broken.join("\n"));
}

#[test]
fn no_file_is_longer_than_one_noun_needs() {
    let long = all_sources().into_iter().map(|(name, text)| (name, text.lines().count()));
    let long: Vec<_> = long.filter(|(_, lines)| *lines > FILE_LINES_MAX).collect();
    assert!(long.is_empty(), "split these, they hold two nouns: {long:?}");
}

#[test]
fn no_function_is_longer_than_a_page() {
    let mut long = Vec::new();
    for (name, text) in all_sources() {
        let mut start: Option<(usize, usize, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let word = line.trim_start();
            let is_function =
                ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(crate) fn ", "pub(super) fn "]
                    .iter()
                    .any(|prefix| word.starts_with(prefix));
            if is_function && !line.trim_end().ends_with(';') && !line.trim_end().ends_with('}') {
                start = Some((number, indent, word.to_owned()));
            } else if let Some((from, at, what)) = &start
                && indent == *at
                && word == "}"
            {
                if number - from + 1 > FUNCTION_LINES_MAX {
                    long.push(format!("{name}:{}: {} lines: {what}", from + 1, number - from + 1));
                }
                start = None;
            }
        }
    }
    assert!(long.is_empty(), "split these functions:\n{}", long.join("\n"));
}

#[test]
fn core_is_pure() {
    let words = [
        "tokio",
        "async fn",
        ".await;",
        ".await?",
        ".await)",
        "Utc::now",
        "SystemTime",
        "Instant::now",
        "std::fs",
        "std::net",
        "rand::",
    ];
    ban("host/core/src", &[], &words, "core decides and does nothing: no clock, disk, network or randomness");
}

#[test]
fn every_outside_name_stays_in_its_place() {
    let tests = ["host/server/src/executors/wasm"];
    ban(
        "host",
        &tests,
        &["wasmtime::", "wasmtime_wasi", "wasmparser::"],
        "only executors/wasm names wasmtime",
    );
    let redb = ["host/server/src/store"];
    ban("host", &redb, &["redb::"], "only store/ names redb");
    let postgres = ["host/server/src/store/postgres"];
    let words = ["tokio_postgres", "deadpool_postgres", "refinery::", "rustls::"];
    ban("host", &postgres, &words, "only store/postgres names PostgreSQL");
    ban(
        "host/server",
        &["host/server/src/grpc"],
        &["windlass_proto", "tonic::Request", "tonic::Status"],
        "proto types stop at grpc/",
    );
    // A guest is told its deadline by the same clock that WASI shows it.
    let clocks = ["host/server/src/clock.rs", "host/server/src/executors/wasm/convert.rs"];
    ban("host/server", &clocks, &["SystemTime::now", "Utc::now"], "only the clock reads the time");
}

#[test]
fn the_house_imports_downwards_only() {
    ban("host/core/src", &[], &["windlass_host", "windlass_proto", "windlass_plugin"], "core knows nobody");
    ban("proto/src", &[], &["windlass_core", "windlass_host", "windlass_plugin"], "proto knows nobody");
    ban("plugin-sdk/src", &[], &["windlass_core", "windlass_host", "windlass_proto"], "the SDK knows nobody");
    ban("host/cli/src", &[], &["windlass_core", "windlass_plugin"], "the command line knows only the proto");
    let with_a_store = ["host/cli/src/serve", "host/cli/src/store/offline.rs"];
    ban("host/cli/src", &with_a_store, &["windlass_host"], "client verbs know only the proto");
    ban("examples", &[], &["windlass_core", "windlass_host"], "examples use the SDK or the proto");
    let server = "host/server/src";
    let above = ["crate::grpc", "crate::dispatcher", "crate::runner", "crate::registry", "crate::executors"];
    ban(&format!("{server}/engine"), &[], &above, "the engine knows the store and the clock");
    ban(
        &format!("{server}/store"),
        &[],
        &["crate::engine", "crate::grpc", "crate::runner"],
        "the store knows the core",
    );
    ban(
        &format!("{server}/executors"),
        &[],
        &["crate::engine", "crate::store", "crate::grpc"],
        "executors know the core",
    );
    ban(&format!("{server}/runner"), &[], &["crate::grpc", "crate::dispatcher"], "a runner knows the engine");
    let below = ["crate::executors", "crate::runner"];
    ban(&format!("{server}/grpc"), &[], &below, "gRPC asks the engine and the registry");
}

#[test]
fn nothing_is_left_unfinished() {
    let except = ["tests/tests/house/tidy.rs"];
    for folder in ["host", "proto", "plugin-sdk", "examples", "tests"] {
        let words = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"];
        ban(folder, &except, &words, "finish it, or leave it out");
    }
}

#[test]
fn every_module_says_what_it_is() {
    let missing: Vec<_> = all_sources()
        .into_iter()
        .filter(|(_, text)| !text.trim_start().starts_with("//!") && !text.trim_start().starts_with("#![doc"))
        .map(|(name, _)| name)
        .collect();
    assert!(missing.is_empty(), "these files do not say what they are: {missing:?}");
}

#[test]
fn the_published_list_of_imports_is_the_one_that_is_checked() {
    let text = fs::read_to_string(root().join("plugin-sdk/README.md")).expect("the SDK has a README");
    let list = text
        .rsplit("```text")
        .next()
        .and_then(|rest| rest.split("```").next())
        .expect("the list is the last block");
    let published: Vec<_> = list.split_whitespace().collect();
    assert_eq!(published, windlass_host::executors::wasm::published_imports());
}

/// A file that its program does not name is compiled by nobody, and its tests never run.
#[test]
fn every_suite_is_part_of_its_program() {
    let files = sources("tests/tests");
    for (name, _) in &files {
        let path = Path::new(name);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a source file has a name");
        let folder = path.parent().expect("it is below tests/tests");
        assert_ne!(folder, Path::new("tests/tests"), "{name} would be a program of its own: {LINKING}");
        if stem == "main" {
            continue;
        }
        let owners = [folder.join("main.rs"), folder.with_extension("rs")];
        let owner = files.iter().find(|(file, _)| owners.iter().any(|owner| owner == Path::new(file)));
        let (owner, text) = owner.unwrap_or_else(|| panic!("{name} belongs to no program"));
        let declared = text.lines().any(|line| line == format!("mod {stem};"));
        assert!(declared, "{owner} does not name {name}, so nobody runs it");
    }
}
