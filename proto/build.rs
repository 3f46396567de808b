//! Generates the code of `windlass.v1` without a system protoc, and writes the descriptors that server reflection
//! needs from the very same bytes.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 11] = [
    "windlass/v1/common.proto",
    "windlass/v1/flow.proto",
    "windlass/v1/flow_service.proto",
    "windlass/v1/plugin.proto",
    "windlass/v1/trigger.proto",
    "windlass/v1/operation.proto",
    "windlass/v1/job.proto",
    "windlass/v1/logbook.proto",
    "windlass/v1/event.proto",
    "windlass/v1/host.proto",
    "windlass/v1/store.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=windlass");
    let descriptors = protox::compile(FILES, ["."])?;
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("windlass.descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Ordered maps: what is printed or hashed of a message is the same every time.
        .btree_map(".")
        // Chunks are handed on without being copied.
        .bytes(".windlass.v1.UploadPluginRequest.chunk")
        .bytes(".windlass.v1.DownloadPluginResponse.chunk")
        .bytes(".windlass.v1.BackupStoreResponse.chunk")
        // Batches are lists of a thousand of these: lists of pointers, which grow without moving what they point to.
        .boxed(".windlass.v1.SubmitJobRequest.job")
        .boxed(".windlass.v1.SubmitJobResponse.job")
        .compile_fds(descriptors)?;
    Ok(())
}
