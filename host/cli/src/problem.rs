//! Problems: what went wrong, where, and what to do about it.
//!
//! Everything that a client verb cannot do becomes a `Problem`; the program prints one and ends with its code.

use std::error::Error as _;
use std::fmt;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::exit::Exit;
use crate::style::Paint;

/// Why a command could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub exit: Exit,
    /// What is wrong, naming the thing.
    pub what: String,
    /// Where exactly: a field path, or what stands in the way, and what of it.
    pub places: Vec<(String, String)>,
    /// What to do.
    pub advice: Option<String>,
}

impl Problem {
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), places: Vec::new(), advice: None }
    }

    /// The command line, or a file that it names, is wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The host did not keep to the contract.
    pub fn broken(what: impl Into<String>) -> Self {
        Self::new(Exit::Broken, what)
    }

    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Says which host it was, where that may be the mistake.
    pub fn of_host(mut self, host: &str) -> Self {
        if self.exit == Exit::Unavailable {
            self.places.insert(0, ("host".to_owned(), host.to_owned()));
        }
        self
    }

    /// The whole text, for standard error.
    pub fn render(&self, paint: Paint) -> String {
        let mut text = format!("{} {}", paint.bad("error:"), self.what);
        for (place, what) in &self.places {
            text.push_str("\n  ");
            if !place.is_empty() {
                text.push_str(&paint.strong(place));
                text.push_str(": ");
            }
            text.push_str(what);
        }
        if let Some(advice) = &self.advice {
            text.push_str(&format!("\n{} {advice}", paint.dim("try:")));
        }
        text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Paint::Plain))
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        if let Some(problem) = unreachable(&status) {
            return problem;
        }
        let details = status.get_error_details();
        let mut problem = Self::new(Exit::of(status.code()), said(&status));
        problem.places = places(&details);
        // The only thing that is wrong stands in the message already.
        if matches!(problem.places.as_slice(), [(place, what)] if status.message() == format!("{place}: {what}"))
        {
            problem.places.clear();
        }
        problem.advice = advice(status.code(), &details);
        problem
    }
}

/// The transport's own failures, which came over no wire: they have a source, and the last one says it best.
fn unreachable(status: &Status) -> Option<Problem> {
    let mut cause: &dyn std::error::Error = status.source()?;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let problem = Problem::new(Exit::Unavailable, format!("the host cannot be reached: {cause}"));
    Some(problem.advise("`windlass serve` starts a host; --host or WINDLASS_HOST says where it is"))
}

/// The host's own words; a status without any is told by its code.
fn said(status: &Status) -> String {
    if status.message().is_empty() {
        status.code().description().to_owned()
    } else {
        status.message().to_owned()
    }
}

fn places(details: &ErrorDetails) -> Vec<(String, String)> {
    let fields = details.bad_request().into_iter().flat_map(|bad| {
        bad.field_violations.iter().map(|violation| (violation.field.clone(), violation.description.clone()))
    });
    let conditions = details.precondition_failure().into_iter().flat_map(|bad| {
        bad.violations.iter().map(|violation| (violation.subject.clone(), violation.description.clone()))
    });
    let quotas = details.quota_failure().into_iter().flat_map(|bad| {
        bad.violations.iter().map(|violation| (violation.subject.clone(), violation.description.clone()))
    });
    fields.chain(conditions).chain(quotas).collect()
}

fn advice(code: Code, details: &ErrorDetails) -> Option<String> {
    let kind = details.resource_info().map(|info| info.resource_type.as_str());
    match code {
        Code::NotFound => kind
            .filter(|kind| ["plugin", "trigger", "operation", "flow", "job", "host"].contains(kind))
            .map(|kind| format!("`windlass {kind} list` shows what there is")),
        Code::Aborted => Some("read it again, and repeat with its new etag or revision".to_owned()),
        Code::Unavailable => Some(match details.retry_info().and_then(|info| info.retry_delay) {
            Some(pause) => format!("again in {}", crate::time::human(pause)),
            None => "again in a moment; the host's log says what it waits for".to_owned(),
        }),
        Code::Unimplemented => {
            Some("a `windlass` of the same version as the host (`windlass host list`)".to_owned())
        }
        Code::Internal | Code::Unknown | Code::DataLoss => Some("the host's log, which says more".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("job.work.action.plugin", "no plugin is called \"x\"");
        details.add_bad_request_violation("job.arguments_json", "/keep: not an integer");
        let status = Status::with_error_details(Code::InvalidArgument, "the job has 2 problems", details);

        let problem = Problem::from(status);

        assert_eq!(problem.exit, Exit::Refused);
        assert_eq!(
            problem.to_string(),
            "error: the job has 2 problems\n  job.work.action.plugin: no plugin is called \"x\"\n  \
             job.arguments_json: /keep: not an integer"
        );
    }

    #[test]
    fn what_is_missing_comes_with_where_to_look() {
        let details = ErrorDetails::with_resource_info("job", "42", "", "");
        let status = Status::with_error_details(Code::NotFound, "there is no job 42", details);

        let problem = Problem::from(status);

        assert_eq!(problem.exit, Exit::NotFound);
        assert_eq!(problem.advice.as_deref(), Some("`windlass job list` shows what there is"));
    }

    #[test]
    fn a_status_without_words_is_told_by_its_code() {
        assert!(!Problem::from(Status::new(Code::Internal, "")).what.is_empty());
    }
}
