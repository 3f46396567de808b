//! Scopes and conditions: pauses that grow by percent in the core, by a factor on the wire.

use windlass_core::flow::Input;
use windlass_core::problem::Problems;
use windlass_core::scope::{Backoff, Map, Repeat, Scope, ScopeRetry, SkipDepth, Strategy, When};
use windlass_proto::v1;
use windlass_proto::v1::flow::Scope as Wire;
use windlass_proto::v1::scope_retry::Strategy as WireStrategy;

use super::time::{duration, millis};
use super::{input, retry};

/// The longest pause between two iterations: a day, as between two calls.
const PAUSE_MS_MAX: u64 = 24 * 3_600 * 1_000;
/// The longest pause where the client names none.
const PAUSE_MS_MAX_DEFAULT: u64 = 300_000;
/// The steepest growth of pauses, in percent: tenfold each time.
const FACTOR_PERCENT_MAX: u32 = 1_000;
/// How pauses grow where the client says nothing: those of a retry, and those of a poll.
const RETRY_PERCENT: u32 = 200;
const REPEAT_PERCENT: u32 = 100;

/// The scope of the flow at `path`.
pub fn scope(problems: &mut Problems, path: &str, scope: Option<Wire>) -> Option<Scope> {
    Some(match scope? {
        Wire::Retry(wire) => Scope::Retry(scope_retry(problems, &format!("{path}.retry"), wire)),
        Wire::Repeat(wire) => Scope::Repeat(repeat(problems, &format!("{path}.repeat"), wire)),
        Wire::Map(wire) => Scope::Map(map(problems, &format!("{path}.map"), wire)),
    })
}

fn scope_retry(problems: &mut Problems, path: &str, wire: v1::ScopeRetry) -> ScopeRetry {
    let pauses = Pauses {
        initial: wire.backoff_initial,
        max: wire.backoff_max,
        multiplier: wire.backoff_multiplier,
        percent: RETRY_PERCENT,
    };
    ScopeRetry {
        strategy: strategy(problems, path, wire.strategy),
        backoff: pauses.backoff(problems, path),
        except: wire.except,
        revert_all: wire.revert_all,
    }
}

fn strategy(problems: &mut Problems, path: &str, strategy: Option<WireStrategy>) -> Strategy {
    let mut once = |field: &str, is_set: bool, strategy| {
        if !is_set {
            problems.add(format!("{path}.{field}"), "is false: give true, or another strategy");
        }
        strategy
    };
    match strategy {
        Some(WireStrategy::Times(times)) => Strategy::Times(times),
        Some(WireStrategy::AlwaysRevert(is_set)) => once("always_revert", is_set, Strategy::AlwaysRevert),
        Some(WireStrategy::AlwaysRevertAll(is_set)) => {
            once("always_revert_all", is_set, Strategy::AlwaysRevertAll)
        }
        Some(WireStrategy::ForEach(wire)) => {
            let path = format!("{path}.for_each");
            let over = over(problems, &path, wire.over);
            check_name(problems, &path, &wire.name);
            Strategy::ForEach { over, name: wire.name }
        }
        None => {
            problems.add(path, "has no strategy: give times, for_each, always_revert or always_revert_all");
            Strategy::Times(1)
        }
    }
}

fn repeat(problems: &mut Problems, path: &str, wire: v1::Repeat) -> Repeat {
    let pauses = Pauses {
        initial: wire.backoff_initial,
        max: wire.backoff_max,
        multiplier: wire.backoff_multiplier,
        percent: REPEAT_PERCENT,
    };
    check_expression(problems, &format!("{path}.until"), &wire.until);
    Repeat { backoff: pauses.backoff(problems, path), until: wire.until, rounds_max: wire.rounds_max }
}

fn map(problems: &mut Problems, path: &str, wire: v1::Map) -> Map {
    let over = over(problems, path, wire.over);
    check_name(problems, path, &wire.name);
    Map { over, name: wire.name, parallel_max: (wire.parallel_max != 0).then_some(wire.parallel_max) }
}

/// Where the list at `path` comes from.
fn over(problems: &mut Problems, path: &str, over: Option<v1::Input>) -> Input {
    input::source(problems, &format!("{path}.over"), over.and_then(|over| over.source))
}

fn check_name(problems: &mut Problems, path: &str, name: &str) {
    if name.is_empty() {
        let message = "is empty: give the name by which the tasks in the flow see the value";
        problems.add(format!("{path}.name"), message);
    }
}

fn check_expression(problems: &mut Problems, path: &str, expression: &str) {
    if expression.trim().is_empty() {
        problems.add(path, "is empty: give a CEL expression that is true or false");
    }
}

/// Pauses as a client wrote them.
struct Pauses {
    initial: Option<prost_types::Duration>,
    max: Option<prost_types::Duration>,
    multiplier: f64,
    /// The growth where the client names none.
    percent: u32,
}

impl Pauses {
    fn backoff(&self, problems: &mut Problems, path: &str) -> Backoff {
        let pause = self.pause(problems, &format!("{path}.backoff_initial"), self.initial.as_ref());
        let pause_max = self.pause(problems, &format!("{path}.backoff_max"), self.max.as_ref());
        let percent = retry::percent(problems, &format!("{path}.backoff_multiplier"), self.multiplier);
        if let Some(percent) = percent.filter(|percent| *percent > FACTOR_PERCENT_MAX) {
            let (asked, max) = (f64::from(percent) / 100.0, FACTOR_PERCENT_MAX / 100);
            problems
                .add(format!("{path}.backoff_multiplier"), format!("{asked} is too steep: give 1 to {max}"));
        }
        let pause_ms = pause.unwrap_or_default();
        if pause_ms == 0 {
            let given = [("backoff_max", pause_max.is_some()), ("backoff_multiplier", percent.is_some())];
            for (field, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
                let message = "says nothing without a pause: give backoff_initial, or leave it out";
                problems.add(format!("{path}.{field}"), message);
            }
            return Backoff::default();
        }
        let pause_ms_max = pause_max.unwrap_or(PAUSE_MS_MAX_DEFAULT.max(pause_ms));
        if pause_ms_max < pause_ms {
            problems
                .add(format!("{path}.backoff_max"), "is shorter than backoff_initial: give as much or more");
        }
        Backoff { pause_ms, pause_ms_max, factor_percent: percent.unwrap_or(self.percent) }
    }

    fn pause(
        &self,
        problems: &mut Problems,
        path: &str,
        pause: Option<&prost_types::Duration>,
    ) -> Option<u64> {
        let pause = millis(problems, path, pause)?;
        if pause > PAUSE_MS_MAX {
            problems.add(path, format!("is {pause} ms: at most {PAUSE_MS_MAX} ms, which is a day"));
        }
        Some(pause)
    }
}

/// The condition of the task or nested flow at `path`.
pub fn when(problems: &mut Problems, path: &str, when: Option<v1::When>) -> Option<When> {
    let when = when?;
    let path = format!("{path}.when");
    check_expression(problems, &format!("{path}.condition"), &when.condition);
    let skips = match v1::SkipDepth::try_from(when.skips) {
        Ok(v1::SkipDepth::Unspecified | v1::SkipDepth::All) => SkipDepth::All,
        Ok(v1::SkipDepth::Task) => SkipDepth::Task,
        Ok(v1::SkipDepth::Neighbours) => SkipDepth::Neighbours,
        Ok(v1::SkipDepth::Flow) => SkipDepth::Flow,
        Err(_) => {
            let message =
                format!("{} is not known to this host: give task, neighbours, flow or all", when.skips);
            problems.add(format!("{path}.skips"), message);
            SkipDepth::All
        }
    };
    Some(When { condition: when.condition, skips })
}

pub fn to_wire(scope: &Scope) -> Wire {
    match scope {
        Scope::Retry(retry) => Wire::Retry(retry_to_wire(retry)),
        Scope::Repeat(repeat) => {
            let (backoff_initial, backoff_max, backoff_multiplier) = backoff_to_wire(&repeat.backoff);
            Wire::Repeat(v1::Repeat {
                until: repeat.until.clone(),
                rounds_max: repeat.rounds_max,
                backoff_initial,
                backoff_max,
                backoff_multiplier,
            })
        }
        Scope::Map(map) => Wire::Map(v1::Map {
            over: Some(input::source_to_wire(&map.over)),
            name: map.name.clone(),
            parallel_max: map.parallel_max.unwrap_or_default(),
        }),
    }
}

fn retry_to_wire(retry: &ScopeRetry) -> v1::ScopeRetry {
    let strategy = match &retry.strategy {
        Strategy::Times(times) => WireStrategy::Times(*times),
        Strategy::ForEach { over, name } => {
            WireStrategy::ForEach(v1::ForEach { over: Some(input::source_to_wire(over)), name: name.clone() })
        }
        Strategy::AlwaysRevert => WireStrategy::AlwaysRevert(true),
        Strategy::AlwaysRevertAll => WireStrategy::AlwaysRevertAll(true),
    };
    let (backoff_initial, backoff_max, backoff_multiplier) = backoff_to_wire(&retry.backoff);
    v1::ScopeRetry {
        strategy: Some(strategy),
        backoff_initial,
        backoff_max,
        backoff_multiplier,
        except: retry.except.clone(),
        revert_all: retry.revert_all,
    }
}

fn backoff_to_wire(backoff: &Backoff) -> (Option<prost_types::Duration>, Option<prost_types::Duration>, f64) {
    if backoff.pause_ms == 0 {
        return (None, None, 0.0);
    }
    let factor = f64::from(backoff.factor_percent) / 100.0;
    (Some(duration(backoff.pause_ms)), Some(duration(backoff.pause_ms_max)), factor)
}

pub fn when_to_wire(when: &When) -> v1::When {
    let skips = match when.skips {
        SkipDepth::Task => v1::SkipDepth::Task,
        SkipDepth::Neighbours => v1::SkipDepth::Neighbours,
        SkipDepth::Flow => v1::SkipDepth::Flow,
        SkipDepth::All => v1::SkipDepth::All,
    };
    v1::When { condition: when.condition.clone(), skips: skips.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    fn regions() -> Option<v1::Input> {
        Some(v1::Input { source: Some(v1::input::Source::Argument("regions".to_owned())) })
    }

    fn found(convert: impl FnOnce(&mut Problems)) -> Vec<String> {
        let mut problems = Problems::default();
        convert(&mut problems);
        problems.0.into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn scopes_are_the_same_after_a_round_trip() {
        let for_each = v1::ForEach { over: regions(), name: "region".to_owned() };
        let strategies = [
            WireStrategy::Times(4),
            WireStrategy::ForEach(for_each),
            WireStrategy::AlwaysRevert(true),
            WireStrategy::AlwaysRevertAll(true),
        ];
        let retries = strategies.map(|strategy| {
            Wire::Retry(v1::ScopeRetry {
                strategy: Some(strategy),
                backoff_initial: seconds(2),
                backoff_max: seconds(60),
                backoff_multiplier: 1.5,
                except: vec!["host.timeout".to_owned()],
                revert_all: true,
            })
        });
        let map = v1::Map { over: regions(), name: "host".to_owned(), parallel_max: 4 };
        let repeat = v1::Repeat { until: "ready".to_owned(), rounds_max: 9, ..v1::Repeat::default() };
        for wire in retries.into_iter().chain([Wire::Repeat(repeat), Wire::Map(map)]) {
            let mut problems = Problems::default();
            let stored = scope(&mut problems, "flow", Some(wire.clone())).unwrap();
            assert_eq!(problems, Problems::default());
            assert_eq!(to_wire(&stored), wire);
        }
        let depths =
            [v1::SkipDepth::Task, v1::SkipDepth::Neighbours, v1::SkipDepth::Flow, v1::SkipDepth::All];
        for skips in depths {
            let wire = v1::When { condition: "size > 100".to_owned(), skips: skips.into() };
            let stored = when(&mut Problems::default(), "flow", Some(wire.clone())).unwrap();
            assert_eq!(when_to_wire(&stored), wire);
        }
    }

    #[test]
    fn what_is_left_out_has_a_meaning() {
        let retry = v1::ScopeRetry {
            strategy: Some(WireStrategy::Times(2)),
            backoff_initial: seconds(1),
            ..v1::ScopeRetry::default()
        };
        let repeat = v1::Repeat {
            until: "x".to_owned(),
            rounds_max: 2,
            backoff_initial: seconds(600),
            ..v1::Repeat::default()
        };
        let pauses = [Wire::Retry(retry), Wire::Repeat(repeat)].map(|wire| {
            match scope(&mut Problems::default(), "flow", Some(wire)) {
                Some(Scope::Retry(retry)) => retry.backoff,
                Some(Scope::Repeat(repeat)) => repeat.backoff,
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(
            pauses,
            [
                Backoff { pause_ms: 1_000, pause_ms_max: 300_000, factor_percent: 200 },
                Backoff { pause_ms: 600_000, pause_ms_max: 600_000, factor_percent: 100 },
            ]
        );
        let wire = v1::When { condition: "x".to_owned(), skips: 0 };
        assert_eq!(when(&mut Problems::default(), "", Some(wire)).unwrap().skips, SkipDepth::All);
    }

    #[test]
    fn what_is_wrong_with_a_scope_is_told_with_its_field() {
        let retry = v1::ScopeRetry {
            backoff_initial: seconds(100_000),
            backoff_max: seconds(1),
            backoff_multiplier: 11.0,
            ..v1::ScopeRetry::default()
        };
        let paths = found(|problems| drop(scope(problems, "flow", Some(Wire::Retry(retry)))));
        let fields = ["", ".backoff_initial", ".backoff_multiplier", ".backoff_max"];
        assert_eq!(paths, fields.map(|field| format!("flow.retry{field}")));

        let for_each = v1::ScopeRetry {
            strategy: Some(WireStrategy::ForEach(v1::ForEach::default())),
            backoff_max: seconds(1),
            ..v1::ScopeRetry::default()
        };
        let paths = found(|problems| drop(scope(problems, "flow", Some(Wire::Retry(for_each)))));
        let fields = ["for_each.over", "for_each.name", "backoff_max"];
        assert_eq!(paths, fields.map(|field| format!("flow.retry.{field}")));

        let never =
            v1::ScopeRetry { strategy: Some(WireStrategy::AlwaysRevert(false)), ..v1::ScopeRetry::default() };
        let paths = found(|problems| drop(scope(problems, "flow", Some(Wire::Retry(never)))));
        assert_eq!(paths, ["flow.retry.always_revert"]);

        let paths = found(|problems| {
            scope(problems, "flow", Some(Wire::Map(v1::Map::default())));
            scope(problems, "flow", Some(Wire::Repeat(v1::Repeat::default())));
            when(problems, "flow.tasks[0]", Some(v1::When { condition: " ".to_owned(), skips: 9 }));
        });
        let expected = [
            "flow.map.over",
            "flow.map.name",
            "flow.repeat.until",
            "flow.tasks[0].when.condition",
            "flow.tasks[0].when.skips",
        ];
        assert_eq!(paths, expected);
    }
}
