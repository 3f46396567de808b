//! Figures: the medians of all runs of a measure.

use serde_json::{Value, json};

use crate::measure::{self, Measure};
use crate::reading::{Cost, Reading, median};

/// See the module.
pub struct Figure {
    pub measure: &'static Measure,
    pub runs: Vec<f64>,
    pub value: f64,
    pub floor: Option<f64>,
    pub cost: Option<Cost>,
}

/// Of everything that was told, in the order of the measures.
pub fn figures(readings: &[Reading]) -> Vec<Figure> {
    for reading in readings {
        Measure::of(reading.id);
    }
    measure::ALL.iter().filter_map(|measure| Figure::of(measure, readings)).collect()
}

impl Figure {
    fn of(measure: &'static Measure, readings: &[Reading]) -> Option<Self> {
        let told: Vec<_> = readings.iter().filter(|reading| reading.id == measure.id).collect();
        let runs: Vec<f64> = told.iter().map(|reading| reading.value).collect();
        let of_costs =
            |of: fn(&Cost) -> f64| median(told.iter().filter_map(|reading| reading.cost.as_ref().map(of)));
        let cost = || {
            Some(Cost {
                processor_us: of_costs(|cost| cost.processor_us)?,
                written_bytes: of_costs(|cost| cost.written_bytes)?,
                rows: of_costs(|cost| cost.rows)?,
                stored_bytes: of_costs(|cost| cost.stored_bytes)?,
            })
        };
        Some(Self {
            measure,
            value: median(runs.iter().copied())?,
            floor: median(told.iter().filter_map(|reading| reading.floor)),
            cost: cost(),
            runs,
        })
    }

    /// How near it is to the floor: 1 is as good.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.measure.ratio(self.value, self.floor?))
    }

    pub fn is_met(&self) -> Option<bool> {
        self.measure.is_met(self.value)
    }

    pub fn to_json(&self) -> Value {
        json!({
            "id": self.measure.id,
            "work": self.measure.work,
            "unit": self.measure.unit,
            "value": self.value,
            "runs": self.runs,
            "floor": self.floor,
            "ratio": self.ratio(),
            "reach": self.measure.reach,
            "aim": self.measure.aim,
            "met": self.is_met(),
            "cost": self.cost.map(|cost| json!({
                "processor_us": cost.processor_us,
                "written_bytes": cost.written_bytes,
                "rows": cost.rows,
                "stored_bytes": cost.stored_bytes,
            })),
        })
    }
}
