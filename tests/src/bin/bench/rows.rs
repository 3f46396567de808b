//! Rows of a store of redb, counted in its file: what a job leaves behind.

use std::path::Path;

use anyhow::{Context as _, Result};
use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition, TableHandle as _};

/// What is there before the first job: records, plugins, the schema.
const NOT_OF_JOBS: [&str; 4] = ["meta", "record", "blob_head", "blob_chunk"];
/// Has one row for each job.
const STATUS: &str = "status";

/// See the module.
pub struct Rows {
    pub jobs: u64,
    pub of_jobs: u64,
    /// Keys and values, without what the pages waste.
    pub of_jobs_bytes: u64,
}

impl Rows {
    /// Of the file of a host that is gone.
    pub fn of(file: &Path) -> Result<Self> {
        let database =
            Database::open(file).with_context(|| format!("{} cannot be opened", file.display()))?;
        let transaction = database.begin_read()?;
        let mut rows = Self { jobs: 0, of_jobs: 0, of_jobs_bytes: 0 };
        for table in transaction.list_tables()? {
            let name = table.name().to_owned();
            if NOT_OF_JOBS.contains(&name.as_str()) {
                continue;
            }
            let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(&name);
            let opened = transaction.open_table(definition)?;
            let count = opened.len()?;
            rows.of_jobs += count;
            rows.of_jobs_bytes += opened.stats()?.stored_bytes();
            if name == STATUS {
                rows.jobs = count;
            }
        }
        anyhow::ensure!(rows.jobs > 0, "{} has no jobs, though some have ended", file.display());
        Ok(rows)
    }
}
