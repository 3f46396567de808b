//! The work: a linear flow snapshot, verify, publish, in which data is passed by name.

use std::collections::HashMap;

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::input::Source;

use crate::stage::{EXCLUDED, Stage};

/// How many archives stay.
pub const KEEP: usize = 3;
/// How the archives' names begin.
pub const PREFIX: &str = "demo";
/// The source may hold gigabytes: a day, which is the most that a call may take.
const CALL_TIMEOUT_S: i64 = 24 * 60 * 60;

/// The flow, of the plugin with this digest.
pub fn work(digest: &str) -> v1::Work {
    let named = |name: &str| Source::Name(name.to_owned());
    let snapshot =
        task(digest, "snapshot", &[("exclude", named("exclude")), ("name_prefix", named("prefix"))]);
    let snapshot = v1::Task {
        provides: ["archive", "sha256", "files", "bytes"]
            .map(|name| (name.to_owned(), format!("/{name}")))
            .into(),
        ..snapshot
    };
    let verify = task(
        digest,
        "verify",
        &[
            ("archive", named("archive")),
            ("sha256", named("sha256")),
            ("files", named("files")),
            ("bytes", named("bytes")),
            ("expect_files_min", Source::OptionalName("expect_files_min".to_owned())),
        ],
    );
    let publish = task(digest, "publish", &[("archive", named("archive")), ("keep", named("keep"))]);
    let flow = v1::Flow { tasks: vec![snapshot, verify, publish], ..v1::Flow::default() };
    v1::Work { kind: Some(v1::work::Kind::Flow(flow)) }
}

/// A task that is called as its action.
fn task(digest: &str, action: &str, inputs: &[(&str, Source)]) -> v1::Task {
    let inputs =
        inputs.iter().map(|(name, source)| ((*name).to_owned(), v1::Input { source: Some(source.clone()) }));
    v1::Task {
        name: action.to_owned(),
        plugin: digest.to_owned(),
        action: action.to_owned(),
        inputs: inputs.collect::<HashMap<_, _>>().into_iter().collect(),
        timeout: Some(prost_types::Duration { seconds: CALL_TIMEOUT_S, nanos: 0 }),
        ..v1::Task::default()
    }
}

/// What every job is given. `expect_files_min` makes `verify` refuse an archive with fewer files.
pub fn arguments(expect_files_min: Option<u64>) -> String {
    let mut arguments = json!({ "exclude": EXCLUDED, "prefix": PREFIX, "keep": KEEP });
    if let Some(least) = expect_files_min {
        arguments["expect_files_min"] = json!(least);
    }
    arguments.to_string()
}

/// The source to read, and the backups to write: nothing else.
pub fn grants(stage: &Stage) -> v1::Grants {
    let grant = |path: &std::path::Path, guest_path: &str, access: v1::Access| v1::DirectoryGrant {
        // Checked to be UTF-8 when the stage was set.
        host_path: path.display().to_string(),
        guest_path: guest_path.to_owned(),
        access: access.into(),
    };
    v1::Grants {
        directories: vec![
            grant(&stage.source, "/source", v1::Access::ReadOnly),
            grant(&stage.backup(), "/backup", v1::Access::ReadWrite),
        ],
        memory_bytes_max: None,
    }
}
