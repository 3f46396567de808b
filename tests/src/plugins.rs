//! The plugins that the suites run, as built for WebAssembly, and variants of them.
//!
//! A component is a sequence of sections, each an id, a length and its bytes; the manifest is a custom section of the
//! component or of a core module in it. That is all that is known here of the format.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use tokio::sync::OnceCell;
use windlass_core::id::Digest;
use windlass_host::executors::Executors;
use windlass_host::executors::wasm::{Settings, WasmExecutors};

/// Of the name and version of the fixtures' manifest.
pub const FIXTURES: &str = "fixtures";

const MANIFEST_SECTION: &[u8] = b"windlass:manifest";
const HEADER_BYTES: usize = 8;
const CUSTOM_SECTION: u8 = 0;
/// Of a component: a core module in it.
const MODULE_SECTION: u8 = 1;

/// The fixture plugin.
pub fn fixtures() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| read("windlass_fixtures.wasm"))
}

/// The backup example.
pub fn backup() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| read("windlass_example_backup.wasm"))
}

/// The provisioning example.
pub fn provision() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| read("windlass_example_provision.wasm"))
}

/// The directory that cargo builds into, found from the running test.
pub fn target_directory() -> PathBuf {
    let program = std::env::current_exe().expect("the running test has a path");
    let found = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    found.unwrap_or_else(|| panic!("{} is in no target directory of cargo", program.display())).to_owned()
}

fn read(name: &str) -> Vec<u8> {
    let path = target_directory().join("wasm32-wasip2/release").join(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{} cannot be read ({error}): build the plugins with `make plugins`", path.display())
    })
}

/// The component with its manifest edited: another plugin that behaves alike.
pub fn with_manifest(component: &[u8], edit: impl Fn(&mut Value)) -> Vec<u8> {
    let mut edits = 0;
    let edited = map_sections(component, &mut |id, section| {
        let (name, content) = named(id, section)?;
        if name != MANIFEST_SECTION {
            return None;
        }
        edits += 1;
        let mut manifest = serde_json::from_slice(content).expect("the manifest is JSON");
        edit(&mut manifest);
        Some(custom(name, manifest.to_string().as_bytes()))
    });
    assert_eq!(edits, 1, "a plugin has one manifest");
    edited
}

/// The component under another version.
pub fn with_version(component: &[u8], version: &str) -> Vec<u8> {
    with_manifest(component, |manifest| manifest["version"] = version.into())
}

/// The component with so many bytes more that mean nothing.
pub fn with_padding(component: &[u8], bytes: usize) -> Vec<u8> {
    let mut padded = component.to_vec();
    push_section(&mut padded, CUSTOM_SECTION, &custom(b"padding", &vec![b'p'; bytes]));
    padded
}

/// The component with every occurrence of a name replaced by one as long.
pub fn with_renamed(component: &[u8], name: &str, by: &str) -> Vec<u8> {
    assert_eq!(name.len(), by.len(), "lengths are part of the format");
    let mut renamed = component.to_vec();
    let places: Vec<_> =
        (0..=renamed.len() - name.len()).filter(|at| renamed[*at..].starts_with(name.as_bytes())).collect();
    assert!(!places.is_empty(), "the component does not contain {name}");
    for at in places {
        renamed[at..at + name.len()].copy_from_slice(by.as_bytes());
    }
    renamed
}

/// Gives a section's new content; none where it stays as it is.
type MapSection<'a> = &'a mut dyn FnMut(u8, &[u8]) -> Option<Vec<u8>>;

fn map_sections(module: &[u8], map: MapSection<'_>) -> Vec<u8> {
    let (header, mut rest) = module.split_at(HEADER_BYTES);
    let is_component = header[6] == 1;
    let mut mapped = header.to_vec();
    while let Some((&id, after_id)) = rest.split_first() {
        let (length, after_length) = read_leb(after_id);
        let (section, behind) = after_length.split_at(length);
        rest = behind;
        let replaced = map(id, section);
        let section = match replaced {
            Some(replaced) => replaced,
            None if is_component && id == MODULE_SECTION => map_sections(section, map),
            None => section.to_vec(),
        };
        push_section(&mut mapped, id, &section);
    }
    mapped
}

fn named(id: u8, section: &[u8]) -> Option<(&[u8], &[u8])> {
    if id != CUSTOM_SECTION {
        return None;
    }
    let (length, rest) = read_leb(section);
    Some(rest.split_at(length))
}

fn custom(name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    push_leb(&mut section, name.len());
    section.extend_from_slice(name);
    section.extend_from_slice(content);
    section
}

fn push_section(bytes: &mut Vec<u8>, id: u8, section: &[u8]) {
    bytes.push(id);
    push_leb(bytes, section.len());
    bytes.extend_from_slice(section);
}

fn read_leb(bytes: &[u8]) -> (usize, &[u8]) {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (value, &bytes[index + 1..]);
        }
    }
    panic!("the component ends within a number");
}

fn push_leb(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Puts the compiled form of the fixtures into a host's cache directory: they are compiled once for all tests of a
/// target directory, and each host still has a cache of its own.
pub async fn seed_cache(cache: &Path) {
    static SEED: OnceCell<PathBuf> = OnceCell::const_new();
    let seed = SEED.get_or_init(compile_seed).await;
    std::fs::create_dir_all(cache).expect("the cache directory can be made");
    let digest = Digest::of(fixtures()).to_string();
    let digest = digest.rsplit(':').next().unwrap_or_default();
    for entry in std::fs::read_dir(seed).expect("the seed can be listed") {
        let entry = entry.expect("the seed can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        // Another test program may be writing one aside, and an earlier build left forms of other fixtures.
        if name.starts_with('.') || name.ends_with(".cwasm") && !name.starts_with(digest) {
            continue;
        }
        std::fs::copy(entry.path(), cache.join(entry.file_name())).expect("a compiled form can be copied");
    }
}

async fn compile_seed() -> PathBuf {
    let directory = target_directory().join("windlass-tests");
    let seed = directory.join("compiled");
    std::fs::create_dir_all(&seed).expect("the target directory can be written");
    // Other test programs may be at it as well.
    let turn = std::fs::File::create(directory.join("compiled.lock")).expect("the lock can be made");
    turn.lock().expect("the lock can be taken");
    let digest = Digest::of(fixtures());
    let executors = WasmExecutors::new(Settings::new(&seed)).expect("the sandbox can be set up");
    if !executors.is_prepared(digest) {
        executors.prepare(digest, fixtures().to_vec(), &|_| {}).await.expect("the fixtures compile");
    }
    seed
}
