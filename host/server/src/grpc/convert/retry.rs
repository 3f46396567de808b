//! Retry policies: pauses that grow by percent in the core, by a factor on the wire.

use windlass_core::flow::RetryPolicy;
use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::time::{duration, millis};

/// Percents of the steepest factor that can be told apart from nonsense; the core has the bound that counts.
const PERCENT_MAX: f64 = 1_000_000.0;

pub fn policy(problems: &mut Problems, path: &str, retry: Option<&v1::RetryPolicy>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let Some(retry) = retry else { return default };
    let pause = millis(problems, &format!("{path}.backoff_initial"), retry.backoff_initial.as_ref());
    let pause_max = millis(problems, &format!("{path}.backoff_max"), retry.backoff_max.as_ref());
    let pause_ms = pause.unwrap_or(default.pause_ms);
    RetryPolicy {
        attempts_max: if retry.attempts_max == 0 { default.attempts_max } else { retry.attempts_max },
        pause_ms,
        pause_ms_max: pause_max.unwrap_or(default.pause_ms_max.max(pause_ms)),
        factor_percent: percent(problems, &format!("{path}.backoff_multiplier"), retry.backoff_multiplier)
            .unwrap_or(default.factor_percent),
    }
}

/// The factor in percent; `None` where none is given.
pub(super) fn percent(problems: &mut Problems, path: &str, multiplier: f64) -> Option<u32> {
    if multiplier == 0.0 {
        return None;
    }
    let percent = (multiplier * 100.0).round();
    if (100.0..=PERCENT_MAX).contains(&percent) {
        return Some(percent as u32);
    }
    problems.add(path, format!("{multiplier} is not a factor: give 1 or more"));
    None
}

pub fn to_wire(retry: &RetryPolicy) -> v1::RetryPolicy {
    v1::RetryPolicy {
        attempts_max: retry.attempts_max,
        backoff_initial: Some(duration(retry.pause_ms)),
        backoff_max: Some(duration(retry.pause_ms_max)),
        backoff_multiplier: f64::from(retry.factor_percent) / 100.0,
    }
}
