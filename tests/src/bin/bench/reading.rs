//! Readings: what one run of a workload told, and what it cost the host.

use std::time::Duration;

use windlass_tests::crash::site::Site;

use crate::rows::Rows;

/// What a host used up, since it began.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub processor: Duration,
    /// To the disk.
    pub written_bytes: u64,
}

/// What one job cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Of the processor, in the host.
    pub processor_us: f64,
    pub written_bytes: f64,
    /// In the store, when it has ended.
    pub rows: f64,
    pub stored_bytes: f64,
}

impl Cost {
    /// Of `jobs` between two looks, on a store that has nothing but jobs alike. Its host must be gone.
    pub fn of(before: Usage, after: Usage, jobs: usize, site: &Site) -> anyhow::Result<Self> {
        let share = |amount: f64| amount / jobs as f64;
        let rows = Rows::of(&site.store_file())?;
        let written = after.written_bytes.saturating_sub(before.written_bytes);
        Ok(Self {
            processor_us: share((after.processor - before.processor).as_secs_f64() * 1e6),
            written_bytes: share(written as f64),
            rows: rows.of_jobs as f64 / rows.jobs as f64,
            stored_bytes: rows.of_jobs_bytes as f64 / rows.jobs as f64,
        })
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Of the measure.
    pub id: &'static str,
    pub value: f64,
    pub floor: Option<f64>,
    pub cost: Option<Cost>,
}

impl Reading {
    pub fn new(id: &'static str, value: f64) -> Self {
        Self { id, value, floor: None, cost: None }
    }

    pub fn beside(self, floor: f64) -> Self {
        Self { floor: Some(floor), ..self }
    }

    pub fn at_cost(self, cost: Cost) -> Self {
        Self { cost: Some(cost), ..self }
    }
}

/// The middle one, or the lower of both.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    percentile(values, 50)
}

/// The value that so many of a hundred do not exceed.
pub fn percentile(values: impl IntoIterator<Item = f64>, percent: usize) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let place = (values.len() * percent).div_ceil(100).max(1) - 1;
    values.get(place).copied()
}
