//! The manifest: what a plugin says of itself, as a file beside its `Cargo.toml`, kept true by a test.
//!
//! People write `name`, `description` and `grants`. The version comes from `Cargo.toml`, the actions from the Rust
//! types. [`crate::export!`] makes the test `the_manifest_fits_the_actions`, which fails when the file says anything
//! else; `WINDLASS_MANIFEST=write cargo test` writes the file, and creates it for a new plugin.
//!
//! Invariant: the file that is built into the component is the one that the test has read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::action::Action;
use crate::observed::ObservedAction;

/// The format that this SDK writes.
const FORMAT: u32 = 1;

/// Set to `write`, the test writes the manifest instead of comparing it.
const MODE_VARIABLE: &str = "WINDLASS_MANIFEST";

/// Differences told one by one. More say no more than that the file is an old one.
const DIFFERENCES_MAX: usize = 20;

/// Only strings as keys, and nothing that JSON lacks.
const HAS_JSON: &str = "a manifest has a JSON form";

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the manifest: 1.
    pub manifest: u32,
    pub name: String,
    /// Semantic version.
    pub version: String,
    #[serde(default)]
    pub description: String,
    pub actions: Vec<ActionManifest>,
    #[serde(default)]
    pub grants: AskedGrants,
}

/// One action, as the manifest describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionManifest {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the arguments.
    pub input: Value,
    /// JSON Schema of the output.
    pub output: Value,
    pub reversible: bool,
    /// Whether its apply may be accepted, and is then observed: see [`ObservedAction`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
}

/// What the plugin asks to be granted. It tells people what to grant; it grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedGrants {
    #[serde(default)]
    pub directories: Vec<AskedDirectory>,
}

/// A directory that the plugin expects to find.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedDirectory {
    /// Absolute, such as `/source`.
    pub guest_path: String,
    pub access: Access,
    #[serde(default)]
    pub description: String,
}

/// What the plugin does in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// The crate that the manifest belongs to: what [`crate::export!`] takes from cargo.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Where its `Cargo.toml` is.
    pub directory: &'static str,
    /// The manifest's path from there.
    pub file: &'static str,
    pub name: &'static str,
    pub version: &'static str,
    pub description: &'static str,
}

/// Why a manifest cannot be built in as it is.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{file}: cannot be read ({source}); create it with `{MODE_VARIABLE}=write cargo test`")]
    Unreadable { file: PathBuf, source: std::io::Error },
    #[error("{file}: cannot be written")]
    Unwritable { file: PathBuf, source: std::io::Error },
    #[error("{file}: not a manifest: {source}; correct it, or delete it and create it anew")]
    Malformed { file: PathBuf, source: serde_json::Error },
    #[error("two actions are called {0:?}: names are unique in a plugin")]
    Duplicate(String),
    #[error(
        "{file}: does not fit the plugin:{differences}\nrun `{MODE_VARIABLE}=write cargo test` and commit the file"
    )]
    Differs { file: PathBuf, differences: String },
}

impl ActionManifest {
    /// What the types of an action say.
    pub fn of<A: Action>() -> Self {
        let observed = false;
        Self::told::<A::Input, A::Output>(A::NAME, A::DESCRIPTION, A::REVERSIBLE, observed)
    }

    /// What the types of an observed action say.
    pub fn observed<A: ObservedAction>() -> Self {
        let observed = true;
        Self::told::<A::Input, A::Output>(A::NAME, A::DESCRIPTION, A::REVERSIBLE, observed)
    }

    fn told<Input: JsonSchema, Output: JsonSchema>(
        name: &str,
        description: &str,
        reversible: bool,
        observed: bool,
    ) -> Self {
        let (input, output) = (input_schema::<Input>(), output_schema::<Output>());
        ActionManifest {
            name: name.into(),
            description: description.into(),
            input,
            output,
            reversible,
            observed,
        }
    }
}

/// What the action reads: a type with `#[serde(deny_unknown_fields)]` says `additionalProperties: false`.
fn input_schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// What the action writes.
fn output_schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// Checks the file, or writes it if the environment says `WINDLASS_MANIFEST=write`.
pub fn check_or_write(package: &Package, actions: Vec<ActionManifest>) -> Result<(), ManifestError> {
    match std::env::var_os(MODE_VARIABLE) {
        Some(mode) if mode == "write" => write(package, actions),
        _ => check(package, actions),
    }
}

/// Whether the file says what the package and the actions say.
pub fn check(package: &Package, actions: Vec<ActionManifest>) -> Result<(), ManifestError> {
    let file = path(package);
    let found = read(&file)?;
    let wanted = fitted(found.clone(), package, actions)?;
    let differences = differences(&to_value(&found), &to_value(&wanted));
    if differences.is_empty() { Ok(()) } else { Err(ManifestError::Differs { file, differences }) }
}

/// Writes the file: what people wrote stays, the rest comes from the package and the actions.
pub fn write(package: &Package, actions: Vec<ActionManifest>) -> Result<(), ManifestError> {
    let file = path(package);
    let found = match read(&file) {
        Err(ManifestError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            fresh(package)
        }
        found => found?,
    };
    let manifest = fitted(found, package, actions)?;
    let mut text = serde_json::to_string_pretty(&manifest).expect(HAS_JSON);
    text.push('\n');
    std::fs::write(&file, text).map_err(|source| ManifestError::Unwritable { file, source })
}

fn path(package: &Package) -> PathBuf {
    Path::new(package.directory).join(package.file)
}

fn read(file: &Path) -> Result<Manifest, ManifestError> {
    let text =
        std::fs::read(file).map_err(|source| ManifestError::Unreadable { file: file.into(), source })?;
    serde_json::from_slice(&text).map_err(|source| ManifestError::Malformed { file: file.into(), source })
}

/// The manifest of a plugin that has none yet: people edit its name, description and grants.
fn fresh(package: &Package) -> Manifest {
    Manifest {
        manifest: FORMAT,
        name: package.name.into(),
        version: package.version.into(),
        description: package.description.into(),
        actions: Vec::new(),
        grants: AskedGrants::default(),
    }
}

fn fitted(
    found: Manifest,
    package: &Package,
    actions: Vec<ActionManifest>,
) -> Result<Manifest, ManifestError> {
    let duplicate = actions
        .iter()
        .enumerate()
        .find(|(at, action)| actions[..*at].iter().any(|earlier| earlier.name == action.name));
    if let Some((_, action)) = duplicate {
        return Err(ManifestError::Duplicate(action.name.clone()));
    }
    Ok(Manifest { manifest: FORMAT, version: package.version.into(), actions, ..found })
}

fn to_value(manifest: &Manifest) -> Value {
    serde_json::to_value(manifest).expect(HAS_JSON)
}

/// One line for each place where the two differ, by JSON pointer.
fn differences(found: &Value, wanted: &Value) -> String {
    let mut places = Vec::new();
    compare("", found, wanted, &mut places);
    let mut text = String::new();
    for place in places.iter().take(DIFFERENCES_MAX) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {place}");
    }
    if places.len() > DIFFERENCES_MAX {
        let _ = write!(text, "\n  and {} more", places.len() - DIFFERENCES_MAX);
    }
    text
}

fn compare(at: &str, found: &Value, wanted: &Value, places: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            for (key, value) in wanted {
                match found.get(key) {
                    Some(other) => compare(&format!("{at}/{key}"), other, value, places),
                    None => places.push(format!("{at}/{key} is missing")),
                }
            }
            let extra = found.keys().filter(|key| !wanted.contains_key(*key));
            places.extend(extra.map(|key| format!("{at}/{key} is not in the plugin")));
        }
        (Value::Array(found), Value::Array(wanted)) if found.len() == wanted.len() => {
            for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                compare(&format!("{at}/{index}"), found, wanted, places);
            }
        }
        (Value::Array(found), Value::Array(wanted)) => {
            places.push(format!("{at} has {} elements, the plugin {}", found.len(), wanted.len()));
        }
        _ if found == wanted => {}
        _ => places.push(format!("{at} is {found}, in the plugin {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema matters")]
    struct Strict {
        name: String,
        #[serde(default)]
        count: u32,
    }

    fn action<T: JsonSchema>(name: &str) -> ActionManifest {
        ActionManifest::told::<T, T>(name, "", true, false)
    }

    /// The directory lives as long as the test's process.
    fn package(version: &'static str) -> Package {
        let directory = tempfile::tempdir().unwrap().keep();
        let directory = Box::leak(directory.to_str().unwrap().to_owned().into_boxed_str());
        Package { directory, file: "manifest.json", name: "names", version, description: "Reserves names" }
    }

    #[test]
    fn a_manifest_that_was_written_fits() {
        let package = package("0.1.0");
        assert!(matches!(check(&package, vec![]), Err(ManifestError::Unreadable { .. })));
        write(&package, vec![action::<Strict>("reserve")]).unwrap();
        check(&package, vec![action::<Strict>("reserve")]).unwrap();
    }

    #[test]
    fn a_changed_type_is_told_by_its_place() {
        let package = package("0.1.0");
        write(&package, vec![action::<Strict>("reserve")]).unwrap();
        let error = check(&package, vec![action::<u32>("reserve")]).unwrap_err().to_string();
        assert!(error.contains("/actions/0/input/type"), "{error}");
        assert!(error.contains("WINDLASS_MANIFEST=write cargo test"), "{error}");
        let error = check(&package, vec![]).unwrap_err().to_string();
        assert!(error.contains("/actions has 1 elements, the plugin 0"), "{error}");
    }

    #[test]
    fn what_people_wrote_stays_and_the_version_follows_the_package() {
        let first = package("0.1.0");
        write(&first, vec![action::<u32>("reserve")]).unwrap();
        let mut manifest = read(&path(&first)).unwrap();
        manifest.name = "my-names".into();
        let names = AskedDirectory {
            guest_path: "/names".into(),
            access: Access::ReadWrite,
            description: String::new(),
        };
        manifest.grants.directories.push(names.clone());
        std::fs::write(path(&first), to_value(&manifest).to_string()).unwrap();
        let next = Package { version: "0.2.0", ..first };
        assert!(check(&next, vec![action::<u32>("reserve")]).is_err());
        write(&next, vec![action::<u32>("reserve")]).unwrap();
        let manifest = read(&path(&next)).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("my-names", "0.2.0"));
        assert_eq!(manifest.grants.directories, [names]);
    }

    #[test]
    fn a_type_that_denies_unknown_fields_says_so_and_requires_what_has_no_default() {
        let schema = input_schema::<Strict>();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], serde_json::json!(["name"]));
    }

    #[test]
    fn only_an_observed_action_is_said_to_be_one() {
        let plain = to_json(&action::<u32>("reserve"));
        assert!(plain.get("observed").is_none(), "a manifest from before stays as it is: {plain}");
        assert!(!serde_json::from_value::<ActionManifest>(plain).unwrap().observed);
        let observed = to_json(&ActionManifest { observed: true, ..action::<u32>("acquire") });
        assert_eq!(observed["observed"], true);
    }

    fn to_json(action: &ActionManifest) -> Value {
        serde_json::to_value(action).unwrap()
    }

    #[test]
    fn two_actions_of_one_name_are_an_error() {
        let actions = vec![action::<u32>("reserve"), action::<u32>("reserve")];
        let error = write(&package("0.1.0"), actions).unwrap_err();
        assert!(matches!(error, ManifestError::Duplicate(name) if name == "reserve"));
    }
}
