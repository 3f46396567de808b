//! Names: what people may call things.
//!
//! One rule for every name, so that a name is safe in a path, a URL, a log line and a shell.

use crate::problem::Problems;

/// Bytes of a name; fits a column of a table and a file name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of an owner, a principal or a label's value.
pub const TEXT_BYTES_MAX: usize = 256;
/// Labels of one thing; they are indexed, so they are few.
pub const LABELS_MAX: usize = 32;

/// Plugins are told the labels of a job as attributes of each call, beside what hosts may come to say of it themselves.
const HOST_LABELS: &str = "host.";

/// Adds a problem unless `name` is 1 to [`NAME_BYTES_MAX`] of letters, digits, `.`, `_` and `-`, the first one a
/// letter, a digit or `_`, and no UUID: a name and an id are taken in the same places.
pub fn check_name(problems: &mut Problems, path: &str, name: &str) {
    let is_safe = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    let is_begun = name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    if name.is_empty() {
        problems.add(path, "is empty: give a name");
    } else if name.len() > NAME_BYTES_MAX {
        problems.add(path, format!("has {} bytes: a name has at most {NAME_BYTES_MAX}", name.len()));
    } else if !is_safe || !is_begun {
        let rule = "letters, digits, '.', '_' and '-', beginning with a letter, a digit or '_'";
        problems.add(path, format!("{name:?} is not a name: use {rule}"));
    } else if uuid::Uuid::try_parse(name).is_ok() {
        problems.add(path, format!("{name:?} is a UUID, as ids are: use a name"));
    }
}

/// Adds a problem unless `text` is one line of 1 to [`TEXT_BYTES_MAX`] bytes.
pub fn check_text(problems: &mut Problems, path: &str, text: &str) {
    if text.is_empty() {
        problems.add(path, "is empty: give a value");
    } else if text.len() > TEXT_BYTES_MAX {
        problems.add(path, format!("has {} bytes: at most {TEXT_BYTES_MAX}", text.len()));
    } else if text.chars().any(char::is_control) {
        problems.add(path, "has control characters: leave them out");
    }
}

/// Adds a problem for every label that is no name with a value of one line (which may be empty) or has one of the host's
/// own names, and one when there are too many.
pub fn check_labels<'a>(
    problems: &mut Problems,
    path: &str,
    labels: impl Iterator<Item = (&'a String, &'a String)>,
) {
    let mut count = 0;
    for (key, value) in labels {
        count += 1;
        let path = format!("{path}.{key}");
        check_name(problems, &path, key);
        if key.starts_with(HOST_LABELS) {
            let rule = format!("labels that begin with {HOST_LABELS:?} are the host's own: use another name");
            problems.add(&path, rule);
        }
        if !value.is_empty() {
            check_text(problems, &path, value);
        }
    }
    if count > LABELS_MAX {
        problems.add(path, format!("are {count}: at most {LABELS_MAX}"));
    }
}

/// Bytes of a description: a page of text for people.
pub const DESCRIPTION_BYTES_MAX: usize = 4_096;

/// Adds what is wrong with a text for people; it may be empty.
pub fn check_description(problems: &mut Problems, path: &str, text: &str) {
    if text.len() > DESCRIPTION_BYTES_MAX {
        problems.add(path, format!("has {} bytes: at most {DESCRIPTION_BYTES_MAX}", text.len()));
    }
}
