//! Waits, and how what a task accepted is looked at.

use windlass_core::flow::ObservePolicy;
use windlass_core::problem::Problems;
use windlass_core::wait::{Approval, EventWait, TIMEOUT_MS_DEFAULT, Until, Wait};
use windlass_proto::v1;
use windlass_proto::v1::sleep::Until as WireUntil;
use windlass_proto::v1::task::Wait as Wire;

use super::time::{duration, millis};
use super::{child, input, retry, scope, work};

/// The wait that takes the place of an action in the task at `path`.
pub fn wait(problems: &mut Problems, path: &str, task: v1::Task, wait: Wire) -> Wait<String> {
    let advice = match &wait {
        Wire::Job(_) => "is not of a child job: give it to `job`, or to the tasks of its flow",
        Wire::Sleep(_) | Wire::WaitEvent(_) | Wire::Approval(_) => {
            "is not of a wait, which makes no call: leave it out"
        }
    };
    for field in work::of_action(&task).chain((task.phase != 0).then_some("phase")) {
        problems.add(format!("{path}.{field}"), advice);
    }
    Wait {
        until: until(problems, path, wait),
        when: scope::when(problems, path, task.when),
        name: task.name,
        provides: task.provides,
        needs: task.needs,
    }
}

fn until(problems: &mut Problems, path: &str, wait: Wire) -> Until<String> {
    match wait {
        Wire::Job(job) => Until::Child(child::child(problems, &format!("{path}.job"), job)),
        Wire::WaitEvent(event) => Until::Event(EventWait {
            timeout_ms: timeout(problems, &format!("{path}.wait_event"), event.timeout.as_ref()),
            type_: event.r#type,
            source: (!event.source.is_empty()).then_some(event.source),
            subject: (!event.subject.is_empty()).then_some(event.subject),
            condition: (!event.r#match.is_empty()).then_some(event.r#match),
        }),
        Wire::Approval(approval) => Until::Approval(Approval {
            timeout_ms: timeout(problems, &format!("{path}.approval"), approval.timeout.as_ref()),
            message: approval.message,
            principals: approval.principals,
        }),
        Wire::Sleep(v1::Sleep { until: Some(WireUntil::Time(time)) }) => {
            Until::Time(input::source(problems, &format!("{path}.sleep.time"), time.source))
        }
        Wire::Sleep(v1::Sleep { until: Some(WireUntil::Duration(passed)) }) => {
            let ms = millis(problems, &format!("{path}.sleep.duration"), Some(&passed));
            Until::Passed { ms: ms.unwrap_or_default() }
        }
        Wire::Sleep(v1::Sleep { until: None }) => {
            problems.add(format!("{path}.sleep"), "does not say until when: give a duration or a time");
            Until::Passed { ms: 1 }
        }
    }
}

fn timeout(problems: &mut Problems, path: &str, timeout: Option<&prost_types::Duration>) -> u64 {
    millis(problems, &format!("{path}.timeout"), timeout).unwrap_or(TIMEOUT_MS_DEFAULT)
}

pub fn to_wire(wait: &Wait) -> v1::Task {
    let until = match &wait.until {
        Until::Passed { ms } => Wire::Sleep(v1::Sleep { until: Some(WireUntil::Duration(duration(*ms))) }),
        Until::Time(time) => {
            Wire::Sleep(v1::Sleep { until: Some(WireUntil::Time(input::source_to_wire(time))) })
        }
        Until::Event(event) => Wire::WaitEvent(v1::WaitEvent {
            r#type: event.type_.clone(),
            source: event.source.clone().unwrap_or_default(),
            subject: event.subject.clone().unwrap_or_default(),
            r#match: event.condition.clone().unwrap_or_default(),
            timeout: Some(duration(event.timeout_ms)),
        }),
        Until::Approval(approval) => Wire::Approval(v1::Approval {
            message: approval.message.clone(),
            principals: approval.principals.clone(),
            timeout: Some(duration(approval.timeout_ms)),
        }),
        Until::Child(child) => Wire::Job(child::to_wire(child)),
    };
    v1::Task {
        name: wait.name.clone(),
        needs: wait.needs.clone(),
        when: wait.when.as_ref().map(scope::when_to_wire),
        provides: wait.provides.clone(),
        wait: Some(until),
        ..v1::Task::default()
    }
}

/// How what a task accepted is looked at.
pub fn observe(problems: &mut Problems, path: &str, observe: Option<&v1::ObservePolicy>) -> ObservePolicy {
    let default = ObservePolicy::default();
    let Some(observe) = observe else { return default };
    let mut pause = |field: &str, pause: Option<&prost_types::Duration>| {
        millis(problems, &format!("{path}.{field}"), pause)
    };
    let deadline_ms = pause("deadline", observe.deadline.as_ref()).unwrap_or(default.deadline_ms);
    let pause_ms = pause("backoff_initial", observe.backoff_initial.as_ref()).unwrap_or(default.pause_ms);
    let pause_max = pause("backoff_max", observe.backoff_max.as_ref());
    let percent = retry::percent(problems, &format!("{path}.backoff_multiplier"), observe.backoff_multiplier);
    ObservePolicy {
        deadline_ms,
        pause_ms,
        pause_ms_max: pause_max.unwrap_or(default.pause_ms_max.max(pause_ms)),
        factor_percent: percent.unwrap_or(default.factor_percent),
    }
}

pub fn observe_to_wire(observe: &ObservePolicy) -> v1::ObservePolicy {
    v1::ObservePolicy {
        deadline: Some(duration(observe.deadline_ms)),
        backoff_initial: Some(duration(observe.pause_ms)),
        backoff_max: Some(duration(observe.pause_ms_max)),
        backoff_multiplier: f64::from(observe.factor_percent) / 100.0,
    }
}

#[cfg(test)]
mod tests {
    use windlass_core::flow::{Flow, Node};

    use super::*;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    fn pinned(wait: Wait<String>) -> Wait {
        let flow = Flow { nodes: vec![Node::Wait(wait)], ..Flow::linear([]) };
        let pinned = flow.map(|name| panic!("plugin {name} of a wait"));
        match pinned.nodes.into_iter().next() {
            Some(Node::Wait(wait)) => wait,
            other => panic!("{other:?}"),
        }
    }

    fn node(wait: Wire) -> v1::Task {
        v1::Task { name: "pause".to_owned(), wait: Some(wait), ..v1::Task::default() }
    }

    #[test]
    fn waits_are_the_same_after_a_round_trip() {
        let argument = v1::Input { source: Some(v1::input::Source::Argument("at".to_owned())) };
        let waits = [
            Wire::Sleep(v1::Sleep { until: seconds(90).map(WireUntil::Duration) }),
            Wire::Sleep(v1::Sleep { until: Some(WireUntil::Time(argument)) }),
            Wire::WaitEvent(v1::WaitEvent {
                r#type: "image.built".to_owned(),
                source: "/ci".to_owned(),
                subject: "web".to_owned(),
                r#match: "event.data.ok".to_owned(),
                timeout: seconds(60),
            }),
            Wire::Approval(v1::Approval {
                message: "go on?".to_owned(),
                principals: vec!["ann".to_owned()],
                timeout: seconds(60),
            }),
        ];
        for wire in waits.map(node) {
            let mut problems = Problems::default();
            let mut given = wire.clone();
            let until = given.wait.take().unwrap();
            let stored = wait(&mut problems, "flow.tasks[0]", given, until);
            assert_eq!(problems, Problems::default());
            assert_eq!(to_wire(&pinned(stored)), wire);
        }
        let policy = v1::ObservePolicy {
            deadline: seconds(600),
            backoff_initial: seconds(2),
            backoff_max: seconds(20),
            backoff_multiplier: 1.5,
        };
        let stored = observe(&mut Problems::default(), "flow", Some(&policy));
        assert_eq!(observe_to_wire(&stored), policy);
        assert_eq!(observe(&mut Problems::default(), "flow", None), ObservePolicy::default());
    }

    #[test]
    fn a_wait_that_says_nothing_or_too_much_is_told() {
        let given =
            v1::Task { plugin: "copy".to_owned(), priority: 1, ..node(Wire::Sleep(v1::Sleep::default())) };
        let mut problems = Problems::default();
        wait(&mut problems, "flow.tasks[0]", given, Wire::Sleep(v1::Sleep::default()));
        let paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["flow.tasks[0].plugin", "flow.tasks[0].priority", "flow.tasks[0].sleep"]);
    }
}
