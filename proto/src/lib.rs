//! The management API of Windlass, `windlass.v1`: generated code, and nothing else.
//!
//! The contract is in `windlass/v1/*.proto`; `common.proto` has the conventions.

/// Messages, clients and servers of `windlass.v1`.
// The generated enums hold what the messages hold, and are not passed around in quantity.
#[allow(clippy::large_enum_variant)]
pub mod v1 {
    tonic::include_proto!("windlass.v1");
}

/// The encoded `FileDescriptorSet` of `windlass.v1` and what it imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/windlass.descriptors.bin"));

/// The metadata entry that names the principal of a request.
pub const PRINCIPAL_METADATA: &str = "windlass-principal";
