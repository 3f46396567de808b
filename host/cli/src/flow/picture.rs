//! Pictures of flows: a line for each task, nested flows as a tree, and a whole flow on one line.

use windlass_proto::v1;

use super::reference;
use crate::time;

/// Tasks that a line names; what has more is counted.
const LINE_TASKS_MAX: usize = 12;

/// The flow as a tree. Beside each task what it runs, beside each node what it needs and takes; below a child job what it
/// does, where that is known.
pub fn tree(flow: &v1::Flow) -> String {
    let beside = [scope(flow), flow.revert.as_ref().map(own_revert), bound(flow)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ");
    let mut rows = vec![(pattern(flow).to_owned(), beside)];
    level(flow, "", &mut rows);
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let lines = rows.into_iter().map(|(left, right)| {
        let gap = " ".repeat(width - left.chars().count());
        format!("{left}{gap}  {right}").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn level(flow: &v1::Flow, indent: &str, rows: &mut Vec<(String, String)>) {
    for (index, task) in flow.tasks.iter().enumerate() {
        let (branch, below) = if index + 1 == flow.tasks.len() { ("└ ", "  ") } else { ("├ ", "│ ") };
        rows.push((format!("{indent}{branch}{}", task.name), beside(task)));
        if let Some(nested) = task.flow.as_ref().or(child(task).and_then(flow_of)) {
            level(nested, &format!("{indent}{below}"), rows);
        }
    }
}

/// The job that a node is.
fn child(task: &v1::Task) -> Option<&v1::ChildJob> {
    match &task.wait {
        Some(v1::task::Wait::Job(job)) => Some(job),
        _ => None,
    }
}

/// What a child job does; none where a file has only a name.
fn flow_of(job: &v1::ChildJob) -> Option<&v1::Flow> {
    match &job.work {
        Some(v1::child_job::Work::Flow(flow)) => Some(flow),
        _ => None,
    }
}

/// What a child job is, and what of its flow stands beside it.
fn job(job: &v1::ChildJob) -> String {
    use v1::child_job::Work;
    let named = match &job.work {
        Some(Work::Reference(name)) => Some(name),
        _ => job.flow_revision.as_ref(),
    };
    let mut words = vec![match named {
        Some(name) => format!("job of {}", reference::written(name)),
        None => "job".to_owned(),
    }];
    if let Some(flow) = flow_of(job) {
        words.push(pattern(flow).to_owned());
        words.extend(scope(flow));
        words.extend(flow.revert.as_ref().map(own_revert));
        words.extend(bound(flow));
    }
    words.extend(job.priority.map(|priority| format!("priority {priority}")));
    let timeout = job.timeout.as_ref().map(|timeout| time::written(time::of_wire(timeout)));
    words.extend(timeout.map(|timeout| format!("{timeout} at most")));
    words.join("; ")
}

fn beside(task: &v1::Task) -> String {
    let mut words = match &task.flow {
        Some(nested) => vec![pattern(nested).to_owned()],
        None => match &task.wait {
            Some(until) => vec![wait(until)],
            None => vec![format!("{} {}", task.plugin, task.action)],
        },
    };
    words.extend(task.flow.as_ref().and_then(scope));
    words.extend(task.flow.as_ref().and_then(|flow| flow.revert.as_ref()).map(own_revert));
    words.extend(phase(task));
    words.extend(task.when.as_ref().map(when));
    if !task.needs.is_empty() {
        words.push(format!("needs {}", task.needs.join(", ")));
    }
    let taken = takes(task);
    if !taken.is_empty() {
        words.push(format!("takes {}", taken.join(", ")));
    }
    if task.priority != 0 {
        words.push(format!("priority {}", task.priority));
    }
    match task.in_doubt() {
        v1::InDoubt::Unspecified | v1::InDoubt::Reapply => {}
        v1::InDoubt::Revert => words.push("reverted when in doubt".to_owned()),
        v1::InDoubt::Hold => words.push("held when in doubt".to_owned()),
        v1::InDoubt::Observe => words.push("observed when in doubt".to_owned()),
    }
    words.join("; ")
}

/// What undoes a flow as a whole.
fn own_revert(revert: &v1::OwnRevert) -> String {
    let taken = taken(revert.inputs.values());
    let taken = if taken.is_empty() { String::new() } else { format!(" with {}", taken.join(", ")) };
    format!("undone by {} {}{taken}", revert.plugin, revert.action)
}

fn phase(task: &v1::Task) -> Option<String> {
    let phase = match task.phase() {
        v1::Phase::Unspecified => return None,
        v1::Phase::Reserve => "reserve",
        v1::Phase::Configure => "configure",
        v1::Phase::Acquire => "acquire",
    };
    Some(format!("phase {phase}"))
}

fn takes(task: &v1::Task) -> Vec<String> {
    let of_child = child(task).into_iter().flat_map(|job| job.inputs.values());
    taken(task.inputs.values().chain(task.revert_inputs.values()).chain(of_child))
}

/// What inputs ask for by name, and of tasks.
fn taken<'a>(inputs: impl Iterator<Item = &'a v1::Input>) -> Vec<String> {
    use v1::input::Source;
    let mut names: Vec<String> = inputs
        .filter(|input| !matches!(input.source, Some(Source::LiteralJson(_) | Source::Argument(_))))
        .filter_map(source)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Where a value comes from, in a word.
fn source(input: &v1::Input) -> Option<String> {
    use v1::input::Source;
    Some(match input.source.as_ref()? {
        Source::Output(output) => format!("{}{}", output.task, output.pointer),
        Source::Name(name) | Source::Argument(name) => name.clone(),
        Source::OptionalName(name) => format!("{name}?"),
        Source::LiteralJson(json) => json.clone(),
    })
}

/// What a wait lasts until.
fn wait(wait: &v1::task::Wait) -> String {
    use v1::sleep::Until;
    use v1::task::Wait;
    let at_most = |timeout: &Option<prost_types::Duration>| {
        let timeout = timeout.as_ref().map(|timeout| time::written(time::of_wire(timeout)));
        timeout.map_or(String::new(), |timeout| format!(", {timeout} at most"))
    };
    match wait {
        Wait::Sleep(v1::Sleep { until: Some(Until::Duration(passed)) }) => {
            format!("sleep {}", time::written(time::of_wire(passed)))
        }
        Wait::Sleep(v1::Sleep { until: Some(Until::Time(until)) }) => {
            format!("sleep until {}", source(until).unwrap_or_default())
        }
        Wait::Sleep(v1::Sleep { until: None }) => "sleep".to_owned(),
        Wait::WaitEvent(event) => {
            let matching = match event.r#match.as_str() {
                "" => String::new(),
                condition => format!(" with {condition}"),
            };
            format!("wait for event {}{matching}{}", event.r#type, at_most(&event.timeout))
        }
        Wait::Approval(approval) => {
            let of = match approval.principals.as_slice() {
                [] => String::new(),
                principals => format!(" of {}", principals.join(" or ")),
            };
            format!("approval{of}{}", at_most(&approval.timeout))
        }
        Wait::Job(child) => job(child),
    }
}

/// What makes the flow run again.
fn scope(flow: &v1::Flow) -> Option<String> {
    use v1::flow::Scope;
    Some(match flow.scope.as_ref()? {
        Scope::Retry(scope) => retry(scope),
        Scope::Repeat(repeat) => {
            let pause = pause(repeat.backoff_initial.as_ref());
            format!("repeat until {}, {}x at most{pause}", repeat.until, repeat.rounds_max)
        }
        Scope::Map(map) => {
            let at_once = match map.parallel_max {
                0 => String::new(),
                max => format!(", {max} at once"),
            };
            format!("for each {} in {}{at_once}", map.name, over(map.over.as_ref()))
        }
    })
}

fn retry(retry: &v1::ScopeRetry) -> String {
    use v1::scope_retry::Strategy;
    let mut words = match &retry.strategy {
        Some(Strategy::Times(times)) => format!("retry {times}x"),
        Some(Strategy::ForEach(each)) => {
            format!("retry for each {} in {}", each.name, over(each.over.as_ref()))
        }
        Some(Strategy::AlwaysRevert(_)) => "always revert".to_owned(),
        Some(Strategy::AlwaysRevertAll(_)) => "always revert all".to_owned(),
        None => "retry".to_owned(),
    };
    words.push_str(&pause(retry.backoff_initial.as_ref()));
    if !retry.except.is_empty() {
        words.push_str(&format!(", except after {}", retry.except.join(", ")));
    }
    if retry.revert_all {
        words.push_str(", else revert all");
    }
    words
}

fn over(input: Option<&v1::Input>) -> String {
    input.and_then(source).unwrap_or_default()
}

fn pause(pause: Option<&prost_types::Duration>) -> String {
    pause.map(|pause| format!(", pausing {}", time::written(time::of_wire(pause)))).unwrap_or_default()
}

fn when(when: &v1::When) -> String {
    let skips = match when.skips() {
        v1::SkipDepth::Task => "task",
        v1::SkipDepth::Neighbours => "neighbours",
        v1::SkipDepth::Flow => "flow",
        v1::SkipDepth::Unspecified | v1::SkipDepth::All => "all",
    };
    format!("when {} (skips {skips})", when.condition)
}

fn bound(flow: &v1::Flow) -> Option<String> {
    (flow.parallel_max != 0).then(|| format!("at most {} calls at once", flow.parallel_max))
}

fn pattern(flow: &v1::Flow) -> &'static str {
    match flow.pattern() {
        v1::Pattern::Unspecified | v1::Pattern::Linear => "linear",
        v1::Pattern::Unordered => "unordered",
        v1::Pattern::Graph => "graph",
    }
}

/// The flow on one line: `a > b` is linear, `a | b` unordered, `a, b` a graph.
pub fn line(flow: &v1::Flow) -> String {
    let names = names(flow);
    if names.len() > LINE_TASKS_MAX {
        return format!("{} of {} tasks, the first {}", pattern(flow), names.len(), names[0]);
    }
    let nodes = flow.tasks.iter().map(|task| match &task.flow {
        None => task.name.clone(),
        Some(nested) => format!("({})", line(nested)),
    });
    let between = match flow.pattern() {
        v1::Pattern::Unspecified | v1::Pattern::Linear => " > ",
        v1::Pattern::Unordered => " | ",
        v1::Pattern::Graph => ", ",
    };
    nodes.collect::<Vec<_>>().join(between)
}

/// The names of the tasks at any depth, in the order of definition.
pub fn names(flow: &v1::Flow) -> Vec<&str> {
    let names = flow.tasks.iter().flat_map(|task| match &task.flow {
        Some(nested) => names(nested),
        None => vec![task.name.as_str()],
    });
    names.collect()
}

#[cfg(test)]
mod tests;
