//! Child jobs: everything that is wrong with them, each judged as a flow of its own with what it is given.

use super::flow_check::{Check, Lookup, validate_flow};
use super::flow_shape::TASK_PRIORITY_MAX;
use super::name::check_name;
use crate::child::Child;

impl Check<'_> {
    /// The job that a node is, whose definition is at a path.
    pub fn child(&mut self, path: &str, name: &str, child: &Child, lookup: Lookup<'_>) {
        if self.plan.index(name).is_some_and(|node| self.plan.is_undone_as_a_whole(node)) {
            let message = format!(
                "job {name:?} is in a flow with a revert of its own, which cannot undo what another job did: move it \
                 out of that flow"
            );
            self.problems.add(path, message);
        }
        if let Some(priority) = child.priority
            && !(-TASK_PRIORITY_MAX..=TASK_PRIORITY_MAX).contains(&priority)
        {
            let message =
                format!("{priority} is out of bounds: give -{TASK_PRIORITY_MAX} to {TASK_PRIORITY_MAX}");
            self.problems.add(format!("{path}.priority"), message);
        }
        for name in child.inputs.keys() {
            check_name(&mut self.problems, &format!("{path}.inputs.{name}"), name);
        }
        let who = format!("job {name:?}");
        let sight = |check: &Self, input: &_| check.sight(name, input);
        // What has no provider is told, and its absence would only be told again.
        let Some((_, foreseen)) = self.inputs(&who, format!("{path}.inputs"), "input", &child.inputs, &sight)
        else {
            return;
        };
        let awaited: Vec<&str> = foreseen.awaited.iter().map(String::as_str).collect();
        let inner = validate_flow(&child.flow, &foreseen.known, &awaited, lookup);
        for mut problem in inner.0 {
            problem.path = match problem.path.strip_prefix("arguments") {
                Some(rest) => format!("{path}.inputs{rest}"),
                None => format!("{path}.{}", problem.path),
            };
            self.problems.0.push(problem);
        }
    }
}
