//! Field masks: which fields an update replaces.

use prost_types::FieldMask;
use windlass_core::problem::Problems;

/// Adds a problem unless the mask names fields, and only such as can be replaced. Answers what it names.
pub fn fields<'a>(problems: &mut Problems, mask: Option<&'a FieldMask>, known: &[&str]) -> Vec<&'a str> {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if paths.is_empty() {
        problems.add("update_mask", format!("is empty: name what to replace, of {}", known.join(", ")));
    }
    for path in paths.iter().filter(|path| !known.contains(&path.as_str())) {
        problems
            .add("update_mask", format!("{path:?} cannot be replaced: name some of {}", known.join(", ")));
    }
    paths.iter().map(String::as_str).collect()
}
