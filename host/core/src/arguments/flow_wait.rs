//! Waits: everything that is wrong with what they wait for.

use super::flow_check::{Check, Lookup, Sight, bound};
use super::name::check_text;
use crate::decide::wait::time_of;
use crate::event::ATTRIBUTE_BYTES_MAX;
use crate::flow::Input;
use crate::wait::{Approval, EVENT, EventWait, Until, WAIT_MS_MAX, Wait};

/// Who may answer one approval.
pub const PRINCIPALS_MAX: usize = 64;
/// Bytes of what an approval asks.
pub const MESSAGE_BYTES_MAX: usize = 4_096;

impl Check<'_> {
    pub fn wait(&mut self, path: &str, wait: &Wait, lookup: Lookup<'_>) {
        self.provides(path, &wait.provides);
        let path = format!("{path}.{}", wait.until.word());
        if let Some(timeout_ms) = wait.until.timeout_ms() {
            bound(&mut self.problems, &format!("{path}.timeout_ms"), timeout_ms, 1, WAIT_MS_MAX);
        }
        match &wait.until {
            Until::Passed { ms } => bound(&mut self.problems, &path, *ms, 1, WAIT_MS_MAX),
            Until::Time(input) => self.time(&format!("{path}.until"), &wait.name, input),
            Until::Event(event) => self.event(&path, &wait.name, event),
            Until::Approval(approval) => self.approval(&path, approval),
            Until::Child(child) => self.child(&path, &wait.name, child, lookup),
        }
    }

    fn time(&mut self, path: &str, wait: &str, input: &Input) {
        match self.sight(wait, input) {
            Sight::Known(value) if time_of(&value).is_none() => {
                let message =
                    format!("{value} is no time: give text as RFC 3339 writes it, or Unix milliseconds");
                self.problems.add(path, message);
            }
            Sight::Known(_) | Sight::Awaited => {}
            Sight::Absent => self.problems.add(path, "is given by nobody: an optional name may be missing"),
            Sight::Missing(reason) => {
                self.problems.add(path, format!("wait {wait:?} has no provider for its time: {reason}"));
            }
        }
    }

    fn event(&mut self, path: &str, wait: &str, event: &EventWait) {
        let optional = [("source", &event.source), ("subject", &event.subject)];
        let given = optional.into_iter().filter_map(|(field, text)| Some((field, text.as_ref()?)));
        for (field, text) in [("type", &event.type_)].into_iter().chain(given) {
            let path = format!("{path}.{field}");
            if text.is_empty() {
                self.problems.add(path, "is empty: give a value or leave it out");
            } else if text.len() > ATTRIBUTE_BYTES_MAX {
                self.problems.add(path, format!("has {} bytes: at most {ATTRIBUTE_BYTES_MAX}", text.len()));
            }
        }
        if let Some(condition) = &event.condition {
            self.expression(&format!("{path}.match"), condition, &|check, read| {
                let input = Input::Optional(read.to_owned());
                read == EVENT || matches!(check.sight(wait, &input), Sight::Known(_) | Sight::Awaited)
            });
        }
    }

    fn approval(&mut self, path: &str, approval: &Approval) {
        let bytes = approval.message.len();
        if bytes == 0 || bytes > MESSAGE_BYTES_MAX {
            let message = format!("has {bytes} bytes: say what is asked, in 1 to {MESSAGE_BYTES_MAX}");
            self.problems.add(format!("{path}.message"), message);
        }
        if approval.principals.len() > PRINCIPALS_MAX {
            let message = format!("are {}: at most {PRINCIPALS_MAX}", approval.principals.len());
            self.problems.add(format!("{path}.principals"), message);
        }
        for (index, principal) in approval.principals.iter().enumerate() {
            check_text(&mut self.problems, &format!("{path}.principals[{index}]"), principal);
        }
    }
}
