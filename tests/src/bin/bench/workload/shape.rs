//! Shapes: the work of a job, how it must end, and what of it no engine can do without.

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, TaskState};
use windlass_tests::work::{action, flow, nested, pattern, task};

use crate::floor::Plan;

/// Tasks of an ordinary flow, of a large one, and of a layer.
const TASKS: usize = 10;
const TASKS_OF_LARGE: usize = 400;
const LAYERS: usize = 10;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One action.
    One,
    /// Ten tasks in a row.
    Linear,
    /// The last of them fails.
    Reverted,
    /// Four hundred in a row.
    Chain,
    /// Four hundred side by side.
    Wide,
    /// Ten layers of ten.
    Grid,
}

impl Shape {
    /// A job of it; `number` is in what a single action is given and gives back.
    pub fn spec(self, number: usize) -> v1::JobSpec {
        let arguments_json = match self {
            Self::One => json!({ "n": number }).to_string(),
            _ => String::new(),
        };
        v1::JobSpec { work: Some(self.work()), arguments_json, ..v1::JobSpec::default() }
    }

    fn work(self) -> v1::Work {
        let noops = |count: usize| (0..count).map(|number| task(&format!("t{number}"), "noop"));
        match self {
            Self::One => action("noop"),
            Self::Linear => flow(noops(TASKS)),
            Self::Reverted => flow(noops(TASKS - 1).chain([task("last", "noop_fail")])),
            Self::Chain => flow(noops(TASKS_OF_LARGE)),
            Self::Wide => pattern(v1::Pattern::Unordered, noops(TASKS_OF_LARGE)),
            Self::Grid => flow((0..LAYERS).map(|layer| {
                let tasks = (0..TASKS).map(|number| task(&format!("t{layer}-{number}"), "noop"));
                nested(&format!("layer-{layer}"), v1::Pattern::Unordered, tasks)
            })),
        }
    }

    pub fn tasks(self) -> usize {
        match self {
            Self::One => 1,
            Self::Linear | Self::Reverted => TASKS,
            Self::Chain | Self::Wide => TASKS_OF_LARGE,
            Self::Grid => LAYERS * TASKS,
        }
    }

    pub fn end(self) -> JobState {
        match self {
            Self::Reverted => JobState::Reverted,
            Self::One | Self::Linear | Self::Chain | Self::Wide | Self::Grid => JobState::Succeeded,
        }
    }

    pub fn task_end(self) -> TaskState {
        match self {
            Self::Reverted => TaskState::Reverted,
            Self::One | Self::Linear | Self::Chain | Self::Wide | Self::Grid => TaskState::Applied,
        }
    }

    /// N tasks in a row take N + 1 commits, there and back again.
    pub fn plan(self) -> Plan {
        Plan(match self {
            Self::One => vec![1],
            Self::Linear => vec![1; TASKS],
            Self::Reverted => vec![1; 2 * TASKS],
            Self::Chain => vec![1; TASKS_OF_LARGE],
            Self::Wide => vec![TASKS_OF_LARGE],
            Self::Grid => vec![TASKS; LAYERS],
        })
    }

    /// Jobs that a lane has done before anything counts.
    pub fn warm_up(self) -> usize {
        match self {
            Self::One => 32,
            Self::Linear | Self::Reverted => 4,
            Self::Chain | Self::Wide | Self::Grid => 1,
        }
    }
}
