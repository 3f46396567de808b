//! Manifests: read from a component, and checked before anybody relies on them.

use windlass_core::plugin::{ActionManifest, Manifest};

/// Names travel in keys, tables and file names.
const NAME_BYTES_MAX: usize = 64;

/// The format that this host understands.
const FORMAT: u32 = 1;

/// The manifest among the sections found.
///
/// # Errors
/// What is wrong, for people: none or several manifests, not the JSON expected, a rule broken.
pub(super) fn read(sections: &[&[u8]]) -> Result<Manifest, String> {
    let section = match sections {
        [section] => section,
        [] => return Err("there is none; add the custom section windlass:manifest".to_owned()),
        several => return Err(format!("there are {} of them; leave one", several.len())),
    };
    let manifest: Manifest = serde_json::from_slice(section).map_err(|error| error.to_string())?;
    check(&manifest)?;
    Ok(manifest)
}

fn check(manifest: &Manifest) -> Result<(), String> {
    if manifest.manifest != FORMAT {
        return Err(format!("its format is {}; this host reads {FORMAT}", manifest.manifest));
    }
    check_name("name", &manifest.name)?;
    if !is_semantic_version(&manifest.version) {
        return Err(format!("the version {:?} is not a semantic version such as 1.0.0", manifest.version));
    }
    if manifest.actions.is_empty() {
        return Err("it has no action; a plugin needs at least one".to_owned());
    }
    for (index, action) in manifest.actions.iter().enumerate() {
        check_name("action", &action.name)?;
        if manifest.actions[..index].iter().any(|earlier| earlier.name == action.name) {
            return Err(format!("the action {:?} is there twice", action.name));
        }
        check_schemas(action)?;
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let is_allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_allowed) {
        return Err(format!(
            "the {what} {name:?} is not 1 to {NAME_BYTES_MAX} of a-z, 0-9, '-', '_' and '.'"
        ));
    }
    Ok(())
}

/// A JSON Schema is an object or a boolean. Whether it compiles is for the core to say.
fn check_schemas(action: &ActionManifest) -> Result<(), String> {
    for (side, schema) in [("input", &action.input), ("output", &action.output)] {
        if !schema.is_object() && !schema.is_boolean() {
            return Err(format!("the {side} of the action {:?} is not a JSON Schema", action.name));
        }
    }
    Ok(())
}

/// Semantic Versioning 2.0.0.
fn is_semantic_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let is_number = |part: &str| is_digits(part) && (part == "0" || !part.starts_with('0'));
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && pre.is_none_or(|pre| {
            pre.split('.').all(|part| is_word(part) && (!is_digits(part) || is_number(part)))
        })
        && build.is_none_or(|build| build.split('.').all(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sound() -> Value {
        json!({
            "manifest": 1, "name": "backup", "version": "1.2.0-rc.1+5",
            "actions": [
                {"name": "snapshot", "input": {"type": "object"}, "output": true},
                {"name": "verify", "input": {}, "output": {}, "reversible": false},
            ],
        })
    }

    fn read_value(value: &Value) -> Result<Manifest, String> {
        read(&[value.to_string().as_bytes()])
    }

    #[test]
    fn a_sound_manifest_is_read() {
        let manifest = read_value(&sound()).unwrap();
        assert_eq!(manifest.name, "backup");
        assert!(manifest.action("snapshot").unwrap().reversible);
        assert!(!manifest.action("verify").unwrap().reversible);
        // A manifest from before there were observers says nothing of them.
        assert!(!manifest.action("snapshot").unwrap().observed);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let cases = [
            ("/manifest", json!(2), "format"),
            ("/name", json!("Back up"), "name"),
            ("/name", json!(""), "name"),
            ("/version", json!("1.2"), "version"),
            ("/version", json!("01.2.3"), "version"),
            ("/version", json!("1.2.3-"), "version"),
            ("/actions", json!([]), "no action"),
            ("/actions/1/name", json!("snapshot"), "twice"),
            ("/actions/0/name", json!("a".repeat(65)), "action"),
            ("/actions/0/input", json!("object"), "input"),
            ("/actions/0/output", json!(null), "output"),
        ];
        for (at, value, expected) in cases {
            let mut manifest = sound();
            *manifest.pointer_mut(at).unwrap() = value;
            let problem = read_value(&manifest).unwrap_err();
            assert!(problem.contains(expected), "{at}: {problem}");
        }
    }

    #[test]
    fn one_manifest_is_needed_and_no_more() {
        let bytes = sound().to_string();
        assert!(read(&[]).unwrap_err().contains("none"));
        assert!(read(&[bytes.as_bytes(), bytes.as_bytes()]).unwrap_err().contains("2 of them"));
        assert!(read(&[b"{"]).is_err());
        let mut unknown = sound();
        unknown["colour"] = json!("blue");
        assert!(read_value(&unknown).unwrap_err().contains("colour"));
    }
}
