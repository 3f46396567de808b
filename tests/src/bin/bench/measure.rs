//! Measures: what is told of a run, and what is to be reached. The targets are those of issue 5, for a quiet machine of
//! two cores.

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    pub id: &'static str,
    /// For people.
    pub work: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub reach: Option<f64>,
    pub aim: Option<f64>,
}

impl Measure {
    /// The measure of this id.
    pub fn of(id: &str) -> &'static Self {
        let found = ALL.iter().find(|measure| measure.id == id);
        found.unwrap_or_else(|| panic!("{id} is told, and is in no table of measures"))
    }

    /// Whether the target is met; none where there is none.
    pub fn is_met(&self, value: f64) -> Option<bool> {
        let reach = self.reach?;
        Some(match self.better {
            Better::More => value >= reach,
            Better::Less => value <= reach,
        })
    }

    /// How near a value is to the floor: 1 is as good. Both ways, more is better.
    pub fn ratio(&self, value: f64, floor: f64) -> f64 {
        match self.better {
            Better::More => value / floor,
            Better::Less => floor / value,
        }
    }
}

const fn more(id: &'static str, work: &'static str, unit: &'static str) -> Measure {
    Measure { id, work, unit, better: Better::More, reach: None, aim: None }
}

const fn less(id: &'static str, work: &'static str, unit: &'static str) -> Measure {
    Measure { better: Better::Less, ..more(id, work, unit) }
}

impl Measure {
    const fn reach(self, reach: f64, aim: f64) -> Self {
        Self { reach: Some(reach), aim: Some(aim), ..self }
    }
}

/// In the order in which they are printed.
pub const ALL: &[Measure] = &[
    more("one_64_rate", "one-action jobs, 64 in flight", "jobs/s").reach(5_000.0, 9_000.0),
    more("one_512_rate", "one-action jobs, 512 in flight", "jobs/s"),
    more("one_1_rate", "one-action jobs, one at a time", "jobs/s"),
    less("one_1_p50_ms", "submit to done, one at a time, p50", "ms").reach(1.5, 1.2),
    less("one_1_p99_ms", "submit to done, one at a time, p99", "ms").reach(4.0, 3.0),
    more("linear_64_rate", "ten-task flows, 64 in flight", "flows/s").reach(1_000.0, 2_000.0),
    less("linear_1_p50_ms", "ten-task flow, alone, p50", "ms").reach(7.0, 6.0),
    more("reverted_64_rate", "ten-task flows, reverted, 64 in flight", "flows/s").reach(500.0, 800.0),
    less("reverted_1_p50_ms", "ten-task flow, reverted, alone, p50", "ms").reach(14.0, 12.0),
    less("chain_400_ms", "400 tasks in a row", "ms"),
    less("wide_400_ms", "400 tasks side by side", "ms"),
    less("grid_ms", "ten layers of ten tasks", "ms"),
    more("schedule_single_rate", "jobs scheduled, single calls", "jobs/s").reach(10_000.0, 12_000.0),
    more("schedule_batch_rate", "jobs scheduled, batches", "jobs/s").reach(50_000.0, 80_000.0),
    less("schedule_rss_mib", "memory with all of them scheduled", "MiB"),
    less("due_p99_s", "due at one instant, call begun, p99", "s").reach(1.0, 0.5),
    less("ready_ms", "ready, empty store, cached plugins", "ms").reach(100.0, 40.0),
    less("idle_mib", "idle memory", "MiB").reach(60.0, 40.0),
    less("finished_ready_ms", "ready, large store", "ms"),
    less("finished_idle_mib", "idle memory, large store", "MiB"),
    less("finished_1_p50_ms", "submit to done, one at a time, large store, p50", "ms"),
    more("finished_rate", "one-action jobs, 64 in flight, large store", "jobs/s"),
    less("finished_loss", "what the large store costs of that rate", "%").reach(10.0, 5.0),
    less("kill_first_s", "first new completion after SIGKILL, large store", "s").reach(0.5, 0.3),
    less("kill_end_s", "the last of the jobs under way after SIGKILL", "s"),
];
