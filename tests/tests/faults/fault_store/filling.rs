//! A store on a disk that fails as told, and what fills it.

use serde_json::{Value, json};
use tonic::Status;
use windlass_host::store::RedbStore;
use windlass_proto::v1;
use windlass_tests::bench::Bench;
use windlass_tests::work::{flow, timestamp};

use windlass_tests::disk::Disk;

/// Submissions until a disk is full: each takes some kilobytes of room that the file has left.
const FILL_MAX: usize = 20_000;
/// Bytes of the arguments of a job that is to fill a disk.
const FILL_BYTES: usize = 64 << 10;

pub fn open(disk: &Disk) -> RedbStore {
    disk.open().expect("opens")
}

/// Submits until the disk has no room, and returns what the client is told then.
pub async fn fill(bench: &Bench) -> Status {
    for _ in 0..FILL_MAX {
        let arguments = json!({ "fill": Value::from("x".repeat(FILL_BYTES)) });
        let spec = v1::JobSpec {
            work: Some(flow([])),
            arguments_json: arguments.to_string(),
            execute_time: Some(timestamp(bench.now() + chrono::TimeDelta::hours(1))),
            ..v1::JobSpec::default()
        };
        if let Err(status) = bench.client.clone().submit(spec, "").await {
            return status;
        }
    }
    panic!("the disk never got full");
}
