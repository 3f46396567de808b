//! Which flow is meant: one in a file, or one that a host keeps under a name.

use std::path::Path;

use windlass_proto::v1;

use crate::problem::Problem;

/// Ends of names of files with flows.
const ENDS: [&str; 3] = [".json", ".yaml", ".yml"];

/// Where a flow is.
#[derive(Debug, PartialEq)]
pub enum Place {
    File,
    Stored(v1::FlowReference),
}

impl Place {
    /// What exists, ends as files with flows do, or is `-`, is a file; anything else a name.
    pub fn of(text: &str) -> Result<Self, Problem> {
        let lower = text.to_ascii_lowercase();
        // Pipes too, but no folder: one may be called as a flow is.
        let exists = Path::new(text).metadata().is_ok_and(|found| !found.is_dir());
        if text == "-" || exists || ENDS.iter().any(|end| lower.ends_with(end)) {
            return Ok(Self::File);
        }
        parse(text).map(Self::Stored).map_err(|what| {
            Problem::usage(what).advise("a file that exists, or NAME[@REVISION] of `windlass flow list`")
        })
    }
}

/// `NAME` or `NAME@REVISION`, where a file may be meant as well.
pub fn parse(text: &str) -> Result<v1::FlowReference, String> {
    read(text, "is neither a file that exists nor the name of a flow")
}

/// `NAME` or `NAME@REVISION`, in a document.
pub fn named(text: &str) -> Result<v1::FlowReference, String> {
    read(text, "is not the name of a stored flow: write NAME or NAME@REVISION, or a flow in its place")
}

fn read(text: &str, otherwise: &str) -> Result<v1::FlowReference, String> {
    let (name, revision) = match text.split_once('@') {
        None => (text, Some(0)),
        Some((name, number)) => (name, number.parse().ok().filter(|number| *number > 0)),
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    match revision {
        _ if !is_name(name) => Err(format!("{text:?} {otherwise}")),
        None => Err(format!("{text:?} has no number behind the @: write NAME@REVISION, such as {name}@3")),
        Some(revision) => Ok(v1::FlowReference { name: name.to_owned(), revision }),
    }
}

/// As `parse` reads it.
pub fn written(reference: &v1::FlowReference) -> String {
    match reference.revision {
        0 => reference.name.clone(),
        revision => format!("{}@{revision}", reference.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, revision: u32) -> Place {
        Place::Stored(v1::FlowReference { name: name.to_owned(), revision })
    }

    #[test]
    fn what_is_no_file_is_a_name() {
        assert_eq!(Place::of("nightly").unwrap(), stored("nightly", 0));
        assert_eq!(Place::of("nightly@3").unwrap(), stored("nightly", 3));
        for file in ["-", "not-there.json", "a/b.YAML", "x.yml"] {
            assert_eq!(Place::of(file).unwrap(), Place::File, "{file}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Place::of(file.path().to_str().unwrap()).unwrap(), Place::File);
        // A folder of the name of a flow is not in its way.
        let folder = tempfile::tempdir_in(".").unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(Place::of(name).unwrap(), stored(name, 0));
    }

    #[test]
    fn what_is_neither_is_told() {
        for bad in ["flows/nightly", "nightly@", "nightly@0", "nightly@x", "@3", "two words"] {
            let problem = Place::of(bad).unwrap_err();
            assert_eq!(problem.exit, crate::exit::Exit::Usage);
            assert!(problem.what.contains(bad), "{problem}");
        }
        for text in ["nightly", "nightly@12"] {
            assert_eq!(written(&parse(text).unwrap()), text);
        }
    }
}
