//! The tables of the database, all of binary keys and binary values.
//!
//! Keys are ordered by time where rows are many (see `key`), so that a growing store writes at the end of its trees.

use redb::{TableDefinition, TableHandle};

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Table {
    /// Schema version and the number of the last transaction.
    Meta,
    /// Job -> where it stands.
    Status,
    /// Job -> what was asked.
    Spec,
    /// Digest -> a flow, once for all its jobs.
    Flow,
    /// (flow, job), without value: which jobs need a flow.
    FlowUse,
    /// (job, task, iteration) -> task instance.
    Instance,
    /// (job, first sequence) -> the transaction's number and the entries of one change.
    Entry,
    /// Number of a transaction -> (job, from, to) of the entries in it.
    Tail,
    /// (job, task, iteration, name) -> checkpoint.
    Note,
    /// (inverted priority, triggered, job), without value: ready jobs.
    Board,
    /// (time, kind, id), without value: what wants to be looked at.
    Due,
    /// (host, job), without value.
    Claim,
    /// (type of events, job), without value: which jobs wait for events. Since schema 2.
    Await,
    /// Job, without value: which have something to tell another job. Since schema 3.
    Untold,
    /// (kind, id) -> record.
    Record,
    /// Unique key -> (job, taken at).
    Unique,
    /// (taken at, unique key), without value: the keys that expire.
    UniqueAge,
    /// Digest -> size and chunks; written when all chunks are there.
    BlobHead,
    /// (digest, number) -> bytes.
    BlobChunk,
}

pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

impl Table {
    pub const COUNT: usize = 19;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Meta,
        Self::Status,
        Self::Spec,
        Self::Flow,
        Self::FlowUse,
        Self::Instance,
        Self::Entry,
        Self::Tail,
        Self::Note,
        Self::Board,
        Self::Due,
        Self::Claim,
        Self::Await,
        Self::Untold,
        Self::Record,
        Self::Unique,
        Self::UniqueAge,
        Self::BlobHead,
        Self::BlobChunk,
    ];

    pub fn definition(self) -> Definition {
        TableDefinition::new(match self {
            Self::Meta => "meta",
            Self::Status => "status",
            Self::Spec => "spec",
            Self::Flow => "flow",
            Self::FlowUse => "flow_use",
            Self::Instance => "instance",
            Self::Entry => "entry",
            Self::Tail => "tail",
            Self::Note => "note",
            Self::Board => "board",
            Self::Due => "due",
            Self::Claim => "claim",
            Self::Await => "await",
            Self::Untold => "untold",
            Self::Record => "record",
            Self::Unique => "unique",
            Self::UniqueAge => "unique_age",
            Self::BlobHead => "blob_head",
            Self::BlobChunk => "blob_chunk",
        })
    }

    pub fn name(self) -> String {
        self.definition().name().to_owned()
    }
}
