//! What a component says of itself on its surface, read without compiling or running it.

use wasmparser::{Encoding, Parser, Payload, Validator};
use windlass_core::plugin::MANIFEST_SECTION;

use crate::executors::AdmitError;

/// The surface of a valid component.
#[derive(Debug, Default)]
pub(super) struct Surface<'a> {
    pub imports: Vec<&'a str>,
    pub exports: Vec<&'a str>,
    /// The manifest sections, at any depth.
    pub manifests: Vec<&'a [u8]>,
}

/// How every WebAssembly binary begins.
const MAGIC: &[u8] = b"\0asm";

/// Whether the bytes begin a component or a core module.
pub(super) fn encoding(bytes: &[u8]) -> Result<Encoding, AdmitError> {
    if !bytes.starts_with(MAGIC) {
        return Err(AdmitError::NotAComponent("it does not begin with \"\\0asm\"".to_owned()));
    }
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        Some(Err(error)) => Err(unreadable(&error)),
        Some(Ok(_)) | None => {
            Err(AdmitError::NotAComponent("it does not begin as WebAssembly does".to_owned()))
        }
    }
}

/// Validates the component and reads its surface.
pub(super) fn surface(component: &[u8]) -> Result<Surface<'_>, AdmitError> {
    Validator::new().validate_all(component).map_err(|error| unreadable(&error))?;
    let mut surface = Surface::default();
    // Depth 0 is the component itself; what it holds has imports and exports of its own.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| unreadable(&error))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    surface.imports.push(import.map_err(|error| unreadable(&error))?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    surface.exports.push(export.map_err(|error| unreadable(&error))?.name.name);
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                surface.manifests.push(section.data());
            }
            _ => {}
        }
    }
    Ok(surface)
}

/// What a core module imports from: the names of the modules, each once.
pub(super) fn core_imports(module: &[u8]) -> Result<Vec<String>, AdmitError> {
    let mut modules = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(section) = payload.map_err(|error| unreadable(&error))? {
            for import in section.into_imports() {
                let name = import.map_err(|error| unreadable(&error))?.module.to_owned();
                if !modules.contains(&name) {
                    modules.push(name);
                }
            }
        }
    }
    Ok(modules)
}

fn unreadable(error: &wasmparser::BinaryReaderError) -> AdmitError {
    AdmitError::NotAComponent(error.to_string())
}
