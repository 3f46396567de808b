//! Status codes: chosen here, once per error, with the details that a client can act on.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use windlass_core::problem::Problems;
use windlass_proto::v1;

use crate::engine::{EngineError, ExportError, StoreFailure};

use crate::registry::{AdmitError, PrepareError, UploadError};

/// When to try again what was too early: long enough for a store to be reopened, short for a person.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bytes of problems in one answer. Details travel in a header, and clients refuse more than 16 KiB of these.
const PROBLEMS_BYTES_MAX: usize = 6 << 10;
/// Bytes of one message: the header that carries it may need three for each.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

impl From<EngineError> for Status {
    fn from(error: EngineError) -> Self {
        let message = bounded(&error.to_string());
        match error {
            EngineError::NotFound { kind, id } => {
                let details = ErrorDetails::with_resource_info(kind, bounded(&id), "", &message);
                Self::with_error_details(Code::NotFound, message, details)
            }
            EngineError::Invalid(problems) => invalid(&problems),
            EngineError::Precondition { subject, .. } => {
                let details = ErrorDetails::with_precondition_failure_violation("STATE", subject, &message);
                Self::with_error_details(Code::FailedPrecondition, message, details)
            }
            EngineError::Exists { kind, id, .. } => {
                let details = ErrorDetails::with_resource_info(kind, bounded(&id), "", &message);
                Self::with_error_details(Code::AlreadyExists, message, details)
            }
            EngineError::Stale { .. } => Self::aborted(message),
            EngineError::Denied(_) => Self::permission_denied(message),
            EngineError::Busy { .. } => again(Code::Aborted, message),
            EngineError::Storage(failure) => of_store(&failure),
        }
    }
}

impl From<UploadError> for Status {
    fn from(error: UploadError) -> Self {
        let message = bounded(&error.to_string());
        let problem = |path: &str| {
            let mut problems = Problems::default();
            problems.add(path, &message);
            invalid(&problems)
        };
        match error {
            UploadError::Engine(error) => error.into(),
            UploadError::Digest { .. } => problem("start.digest"),
            UploadError::Admit(AdmitError::NotAComponent(_) | AdmitError::OtherVersion { .. }) => {
                problem("component")
            }
            UploadError::Admit(AdmitError::Manifest(_)) => problem("component.manifest"),
            UploadError::Admit(AdmitError::MissingObserver { .. }) => problem("component.exports"),
            UploadError::Admit(AdmitError::MissingExports(names)) => {
                each(&names, "component.exports", "is missing: a plugin exports it")
            }
            UploadError::Admit(AdmitError::ForbiddenImports(names)) => {
                each(&names, "component.imports", "is not on the published list: no plugin may import it")
            }
            UploadError::Prepare(PrepareError::Compile { .. }) => problem("component"),
            UploadError::Prepare(PrepareError::Cache { source, .. }) => match source.kind() {
                std::io::ErrorKind::StorageFull => Self::resource_exhausted(message),
                _ => again(Code::Unavailable, format!("{message}: {source}")),
            },
        }
    }
}

fn each(names: &[String], place: &str, what: &str) -> Status {
    let mut problems = Problems::default();
    for name in names {
        problems.add(format!("{place}.{name}"), what);
    }
    invalid(&problems)
}

fn of_store(failure: &StoreFailure) -> Status {
    let message = bounded(&failure.to_string());
    match failure {
        StoreFailure::Full => Status::resource_exhausted(message),
        StoreFailure::Down(_) => again(Code::Unavailable, message),
        StoreFailure::Corrupt(_) => Status::data_loss(message),
    }
}

/// A backup is not whole.
pub(super) fn of_export(error: &ExportError) -> Status {
    match error {
        ExportError::Store(failure) => of_store(failure),
        ExportError::Corrupt(_) => Status::data_loss(bounded(&error.to_string())),
        ExportError::Unfinished(_) => Status::failed_precondition(error.to_string()),
        ExportError::Gone => Status::cancelled(error.to_string()),
    }
}

/// The client took nothing for so long, or not everything within it.
pub(super) fn too_slow(limit: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "the backup was not taken within {limit:?}: write it to a faster disk, or over a faster line"
    ))
}

/// All places are taken.
pub(super) fn busy(what: &str) -> Status {
    again(Code::ResourceExhausted, what.to_owned())
}

/// The host stops; another, or its successor, will answer.
pub(super) fn draining(advice: &str) -> Status {
    again(Code::Unavailable, format!("the host is stopping: {advice}"))
}

fn again(code: Code, message: String) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(RETRY_AFTER)))
}

/// Every problem with its field, as far as a header has room; how many more there are otherwise.
pub(super) fn invalid(problems: &Problems) -> Status {
    let mut violations = Vec::new();
    let mut left = PROBLEMS_BYTES_MAX;
    for problem in &problems.0 {
        let violation = FieldViolation::new(bounded(&problem.path), bounded(&problem.message));
        let bytes = violation.field.len() + violation.description.len();
        if bytes > left {
            let more = problems.0.len() - violations.len();
            violations
                .push(FieldViolation::new("", format!("there are {more} more problems: solve these first")));
            break;
        }
        left -= bytes;
        violations.push(violation);
    }
    let message = match problems.0.as_slice() {
        [] => "the request is not valid".to_owned(),
        [only] => bounded(&format!("{}: {}", only.path, only.message)),
        [first, rest @ ..] => {
            let problems = if rest.len() == 1 { "problem" } else { "problems" };
            bounded(&format!("{}: {}; and {} more {problems}", first.path, first.message, rest.len()))
        }
    };
    Status::with_error_details(Code::InvalidArgument, message, ErrorDetails::with_bad_request(violations))
}

/// A status as data, for one request of a batch.
pub(super) fn refusal(status: &Status) -> v1::Refusal {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or(&[]);
    v1::Refusal {
        code: status.code().into(),
        message: status.message().to_owned(),
        violations: violations
            .iter()
            .map(|violation| v1::FieldViolation {
                field: violation.field.clone(),
                description: violation.description.clone(),
            })
            .collect(),
    }
}

/// As much of a text as fits into a header.
fn bounded(text: &str) -> String {
    if text.len() <= MESSAGE_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_code_and_its_details() {
        let status = Status::from(EngineError::not_found("job", "7"));
        assert_eq!(status.code(), Code::NotFound);
        let details = status.get_error_details();
        assert_eq!(details.resource_info().map(|info| info.resource_name.as_str()), Some("7"));

        let status = Status::from(EngineError::precondition("job 7", "job 7 has ended"));
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "job 7 has ended"));
        assert!(status.get_error_details().has_precondition_failure_violations());

        let cases: [(EngineError, Code, bool); 5] = [
            (EngineError::Stale { subject: "job 7".to_owned() }, Code::Aborted, false),
            (EngineError::Busy { subject: "job 7".to_owned() }, Code::Aborted, true),
            (StoreFailure::Full.into(), Code::ResourceExhausted, false),
            (StoreFailure::Down("reopening".to_owned()).into(), Code::Unavailable, true),
            (StoreFailure::Corrupt("a row".to_owned()).into(), Code::DataLoss, false),
        ];
        for (error, code, says_when) in cases {
            let status = Status::from(error);
            assert_eq!(status.code(), code);
            assert_eq!(status.get_error_details().retry_info().is_some(), says_when, "{code:?}");
        }
    }

    #[test]
    fn problems_keep_their_fields_and_never_outgrow_a_header() {
        let mut problems = Problems::default();
        (0..1_000).for_each(|n| problems.add(format!("flow.tasks[{n}].plugin"), "ä".repeat(200)));
        let status = invalid(&problems);
        assert_eq!(status.code(), Code::InvalidArgument);
        let refusal = refusal(&status);
        assert_eq!(refusal.violations[1].field, "flow.tasks[1].plugin");
        let last = refusal.violations.last().unwrap();
        assert!(last.description.contains("more problems"), "{last:?}");
        assert!(status.details().len() < 12 << 10, "{}", status.details().len());
    }
}
