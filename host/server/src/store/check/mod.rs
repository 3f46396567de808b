//! The check: whether all that a store holds fits together.
//!
//! It reads what an export reads, derives every index, claim and reference again, and compares that with what the
//! store answers. The store must not change meanwhile. Memory holds the names of all jobs and keys of indexes, some
//! 200 bytes a job, and one job.

use std::fmt;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::store::canonical::{Counts, unfinished};
use crate::store::{Store, StoreFailure};

mod index;
mod item;
mod job;
mod reference;

/// Items between the store and the check.
const ITEMS_MAX: usize = 64;

/// As many answers as there are: more than any store holds, and a limit that every store can count to.
const ALL: usize = u32::MAX as usize;

/// Entries of the tail that are read at once.
const PAGE: usize = 1_000;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The thing, such as `job 0198...`.
    pub place: String,
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.what, self.advice)
    }
}

/// What to do about rows that are lost or wrong.
pub(super) const RESTORE: &str = "restore a backup of before";
/// What to do about what follows from rows that are right.
pub(super) const REBUILD: &str = "export the store and import it into an empty one, which makes it anew";
/// What to do about things that name others which are missing.
const DELETE: &str = "restore a backup of before, or delete what names it";

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    pub counts: Counts,
    pub findings: u64,
}

/// Looks at everything, and tells of all that is wrong, as it is found.
pub async fn check(
    store: &dyn Store,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<Checked, StoreFailure> {
    let mut findings = 0;
    let mut tell = |finding: Finding| {
        findings += 1;
        tell(finding);
    };
    if let Some(import) = unfinished(store).await? {
        tell(Finding {
            place: "the store".to_owned(),
            what: format!("an import that began at {} has not ended", import.began),
            advice: "import into an empty store again",
        });
    }
    let (items, exported) = mpsc::channel(ITEMS_MAX);
    let mut seen = item::Seen::default();
    let looking = async {
        // Dropped with an error: the export ends then, and waits for nobody.
        let mut exported = exported;
        while let Some(item) = exported.recv().await {
            seen.look(store, item, &mut tell).await?;
        }
        seen.end(&mut tell);
        Ok::<_, StoreFailure>(())
    };
    let (sent, looked) = tokio::join!(store.export(items), looking);
    looked?;
    sent?;
    index::check(store, &seen, &mut tell).await?;
    reference::check(store, &seen, &mut tell).await?;
    let counts = seen.counts;
    Ok(Checked { counts, findings })
}
