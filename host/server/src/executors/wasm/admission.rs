//! Admission: whether an upload may be registered, found out without running or compiling it.

use wasmparser::{Encoding, Parser, Payload};
use windlass_core::plugin::Manifest;
use wit_component::ComponentEncoder;

use crate::executors::wasm::{component, imports, manifest};
use crate::executors::{Admission, AdmitError};

/// What wit-bindgen and its like call the section with a core module's component types.
const TYPE_SECTION_PREFIX: &str = "component-type";

/// Checks what it is, what it was built for, its exports, its imports and its manifest, in this order.
pub(super) fn admit(upload: Vec<u8>) -> Result<Admission, AdmitError> {
    let component = match component::encoding(&upload)? {
        Encoding::Component => upload,
        Encoding::Module => componentise(&upload)?,
    };
    let surface = component::surface(&component)?;
    if let Some(built_for) = imports::other_version(surface.exports.iter().chain(&surface.imports).copied()) {
        return Err(AdmitError::OtherVersion { built_for, spoken: imports::SPOKEN });
    }
    if !surface.exports.iter().any(|name| imports::is_compatible(name, imports::EXECUTOR)) {
        return Err(AdmitError::MissingExports(vec![imports::EXECUTOR.to_owned()]));
    }
    let forbidden: Vec<String> = surface
        .imports
        .iter()
        .filter(|name| !imports::is_published(name))
        .map(|name| (*name).to_owned())
        .collect();
    if !forbidden.is_empty() {
        return Err(AdmitError::ForbiddenImports(forbidden));
    }
    let manifest = manifest::read(&surface.manifests).map_err(AdmitError::Manifest)?;
    check_observer(&manifest, &surface.exports)?;
    Ok(Admission { manifest, component })
}

/// An action that may begin what finishes elsewhere needs somebody who can be asked what became of it.
fn check_observer(manifest: &Manifest, exports: &[&str]) -> Result<(), AdmitError> {
    let observed = manifest.actions.iter().filter(|action| action.observed);
    let actions: Vec<String> = observed.map(|action| action.name.clone()).collect();
    if actions.is_empty() || exports.iter().any(|name| imports::is_compatible(name, imports::OBSERVER)) {
        return Ok(());
    }
    Err(AdmitError::MissingObserver { observer: imports::OBSERVER, actions })
}

/// Makes a core module with component type information into a component.
fn componentise(module: &[u8]) -> Result<Vec<u8>, AdmitError> {
    let preview1: Vec<String> =
        component::core_imports(module)?.into_iter().filter(|name| is_preview1(name)).collect();
    if !preview1.is_empty() {
        return Err(AdmitError::ForbiddenImports(preview1));
    }
    if !has_component_types(module) {
        return Err(AdmitError::NotAComponent(
            "it is a core module without component type information; build it for wasm32-wasip2".to_owned(),
        ));
    }
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(false).encode())
        .map_err(|error| AdmitError::NotAComponent(format!("it cannot be made into a component: {error:#}")))
}

/// WASI 0.1 needs an adapter, which is the toolchain's to add.
fn is_preview1(module: &str) -> bool {
    module.starts_with("wasi_")
}

fn has_component_types(module: &[u8]) -> bool {
    Parser::new(0)
        .parse_all(module)
        .any(|payload| matches!(payload, Ok(Payload::CustomSection(section)) if section.name().starts_with(TYPE_SECTION_PREFIX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(component)` and `(module)`.
    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

    /// A core module that imports the function `name` from `module`.
    fn importing(module: &str, name: &str) -> Vec<u8> {
        let mut section = vec![1, module.len() as u8];
        section.extend(module.bytes());
        section.push(name.len() as u8);
        section.extend(name.bytes());
        section.extend([0, 0]);
        let mut bytes = EMPTY_MODULE.to_vec();
        bytes.extend([1, 4, 1, 0x60, 0, 0, 2, section.len() as u8]);
        bytes.extend(section);
        bytes
    }

    #[test]
    fn what_is_not_wasm_is_refused() {
        for upload in [&b""[..], b"hello", b"\0asm", &EMPTY_COMPONENT[..6]] {
            assert!(matches!(admit(upload.to_vec()), Err(AdmitError::NotAComponent(_))), "{upload:?}");
        }
    }

    /// A component that imports an instance without anything in it under this name.
    fn component_importing(name: &str) -> Vec<u8> {
        let mut bytes = EMPTY_COMPONENT.to_vec();
        bytes.extend([7, 3, 1, 0x42, 0]);
        bytes.extend([10, name.len() as u8 + 5, 1, 0, name.len() as u8]);
        bytes.extend(name.bytes());
        bytes.extend([5, 0]);
        bytes
    }

    #[test]
    fn a_component_of_another_version_of_the_package_is_refused_telling_what_to_do() {
        for version in ["0.1.0", "1.1.0", "2.0.0"] {
            let component = component_importing(&format!("windlass:plugin/types@{version}"));
            assert_eq!(
                admit(component).unwrap_err().to_string(),
                format!(
                    "the component was built for windlass:plugin {version}, and this host speaks 1.0.0 and every older 1.x: \
                     build the plugin anew with the WIT package or the SDK of this host, or upload it to a host that speaks \
                     what it was built for"
                )
            );
        }
        let error = admit(component_importing("windlass:plugin/types@1.0.0")).unwrap_err();
        assert!(matches!(error, AdmitError::MissingExports(_)), "{error}");
    }

    #[test]
    fn a_component_without_the_executor_is_refused_naming_it() {
        let error = admit(EMPTY_COMPONENT.to_vec()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the component lacks the required export windlass:plugin/executor@1.0.0"
        );
    }

    #[test]
    fn an_observed_action_without_an_observer_is_refused_naming_it() {
        let action = |name: &str, observed: bool| serde_json::json!({ "name": name, "input": true, "output": true, "observed": observed });
        let manifest = serde_json::json!({
            "manifest": 1, "name": "machines", "version": "1.0.0",
            "actions": [action("configure", false), action("acquire", true)],
        });
        let manifest: Manifest = serde_json::from_value(manifest).unwrap();
        let error = check_observer(&manifest, &[imports::EXECUTOR]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the manifest says that acquire is observed, and the component does not export \
             windlass:plugin/observer@1.0.0: export it, or say `observed: false`"
        );
        check_observer(&manifest, &[imports::EXECUTOR, "windlass:plugin/observer@1.0.3"]).unwrap();
        let plain = Manifest { actions: manifest.actions[..1].to_vec(), ..manifest };
        check_observer(&plain, &[imports::EXECUTOR]).unwrap();
    }

    #[test]
    fn a_core_module_without_component_types_is_refused() {
        let error = admit(EMPTY_MODULE.to_vec()).unwrap_err();
        assert!(error.to_string().contains("without component type information"), "{error}");
    }

    #[test]
    fn a_module_for_wasi_preview1_is_refused_naming_it() {
        let error = admit(importing("wasi_snapshot_preview1", "proc_exit")).unwrap_err();
        assert!(
            matches!(&error, AdmitError::ForbiddenImports(names) if names == &["wasi_snapshot_preview1"]),
            "{error}"
        );
    }
}
