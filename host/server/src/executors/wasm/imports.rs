//! The published list: what a plugin may import, the export that it must have, and the one that it may have; and the
//! version of the contract that all of this is of.
//!
//! Everything on the list is linked for every plugin, denied by default where it reaches outside: ordinary guests
//! import much of WASI whatever they use.

use semver::Version;
use wasmparser::names::{ComponentName, ComponentNameKind};

/// The WIT package that plugins are built for.
const PACKAGE: &str = "windlass:plugin";

/// The version of the package that this host speaks. It takes components of an older minor version too, for a version
/// only adds to the one before it.
pub(super) const SPOKEN: Version = Version::new(1, 0, 0);

/// The export that makes a component a plugin.
pub(super) const EXECUTOR: &str = "windlass:plugin/executor@1.0.0";

/// The export of a plugin with actions that are observed.
pub(super) const OBSERVER: &str = "windlass:plugin/observer@1.0.0";

/// Every interface that a plugin may import. Versions are matched as semantic versions: `@0.2.0` stands for 0.2.x.
const PUBLISHED_IMPORTS: &[&str] = &[
    "windlass:plugin/types@1.0.0",
    "windlass:plugin/journal@1.0.0",
    "windlass:plugin/job@1.0.0",
    "windlass:plugin/log@1.0.0",
    "wasi:cli/environment@0.2.0",
    "wasi:cli/exit@0.2.0",
    "wasi:cli/stdin@0.2.0",
    "wasi:cli/stdout@0.2.0",
    "wasi:cli/stderr@0.2.0",
    "wasi:cli/terminal-input@0.2.0",
    "wasi:cli/terminal-output@0.2.0",
    "wasi:cli/terminal-stdin@0.2.0",
    "wasi:cli/terminal-stdout@0.2.0",
    "wasi:cli/terminal-stderr@0.2.0",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:filesystem/preopens@0.2.0",
    "wasi:filesystem/types@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/types@0.2.0",
    "wasi:io/error@0.2.0",
    "wasi:io/poll@0.2.0",
    "wasi:io/streams@0.2.0",
    "wasi:random/insecure@0.2.0",
    "wasi:random/insecure-seed@0.2.0",
    "wasi:random/random@0.2.0",
    "wasi:sockets/instance-network@0.2.0",
    "wasi:sockets/ip-name-lookup@0.2.0",
    "wasi:sockets/network@0.2.0",
    "wasi:sockets/tcp@0.2.0",
    "wasi:sockets/tcp-create-socket@0.2.0",
    "wasi:sockets/udp@0.2.0",
    "wasi:sockets/udp-create-socket@0.2.0",
];

/// The published list, for the command line and the documentation.
pub fn published_imports() -> &'static [&'static str] {
    PUBLISHED_IMPORTS
}

/// Whether a plugin may import this.
pub(super) fn is_published(import: &str) -> bool {
    PUBLISHED_IMPORTS.iter().any(|published| is_compatible(import, published))
}

/// The version of the package that one of these names has, where this host does not speak it.
pub(super) fn other_version<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    names.into_iter().find_map(|name| {
        let (package, rest) = name.split_once('/')?;
        if package != PACKAGE {
            return None;
        }
        let version = rest.split_once('@').map(|(_, version)| version);
        let is_spoken = version.and_then(|version| Version::parse(version).ok()).is_some_and(|version| {
            // Whatever its last number: that is of comments alone.
            let added_to = Version::new(version.major, version.minor, 0);
            version.pre.is_empty() && added_to.major == SPOKEN.major && added_to <= SPOKEN
        });
        (!is_spoken).then(|| version.unwrap_or("without a version").to_owned())
    })
}

/// Whether both name the same interface in versions that stand for each other: equal majors from 1.0 on, equal
/// minors before that, equal patches before 0.1.
pub(super) fn is_compatible(name: &str, other: &str) -> bool {
    name == other || matches!((lookup_key(name), lookup_key(other)), (Some(one), Some(two)) if one == two)
}

/// The interface with as much of its version as compatible versions share.
fn lookup_key(name: &str) -> Option<(String, [u64; 3])> {
    let parsed = ComponentName::new(name, 0).ok()?;
    let ComponentNameKind::Interface(interface) = parsed.kind() else {
        return None;
    };
    let version = interface.version(None).ok()??;
    if !version.pre.is_empty() {
        return None;
    }
    let track = match (version.major, version.minor, version.patch) {
        (0, 0, patch) => [0, 0, patch],
        (0, minor, _) => [0, minor, 0],
        (major, _, _) => [major, 0, 0],
    };
    Some((name.split('@').next()?.to_owned(), track))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatible_versions_stand_for_each_other() {
        for version in ["0.2.0", "0.2.3", "0.2.12", "0.2.99"] {
            assert!(is_published(&format!("wasi:cli/environment@{version}")), "{version}");
        }
        assert!(is_compatible("windlass:plugin/executor@1.0.7", EXECUTOR));
    }

    #[test]
    fn what_is_not_published_is_not_importable() {
        for name in [
            "wasi:cli/environment@0.3.0",
            "wasi:cli/environment@0.2.0-rc-2023-11-10",
            "wasi:cli/environment",
            "wasi:nn/graph@0.2.0",
            "windlass:plugin/secrets@1.0.0",
            "environment",
            "",
        ] {
            assert!(!is_published(name), "{name}");
        }
        assert!(!is_compatible("windlass:plugin/executor@2.0.0", EXECUTOR));
    }

    #[test]
    fn a_component_of_a_newer_minor_or_another_major_version_is_of_another_version() {
        let names =
            |version: &str| [format!("windlass:plugin/types{version}"), "wasi:cli/exit@0.2.0".to_owned()];
        for version in ["@1.0.0", "@1.0.9"] {
            assert_eq!(other_version(names(version).iter().map(String::as_str)), None, "{version}");
        }
        for version in ["0.1.0", "1.1.0", "1.0.0-rc.1", "2.0.0"] {
            let other = other_version(names(&format!("@{version}")).iter().map(String::as_str));
            assert_eq!(other.as_deref(), Some(version));
        }
        let other = other_version(names("").iter().map(String::as_str));
        assert_eq!(other.as_deref(), Some("without a version"));
        assert_eq!(other_version(["other:plugin/executor@9.0.0", "windlass:plugins/x@9.0.0"]), None);
    }
}
