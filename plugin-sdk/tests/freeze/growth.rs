//! Whether one version of the package only adds to another, and where it does not.
//!
//! Invariant: where nothing is found, a host of the newer version takes every plugin that was built for the older one. The
//! reasons are at the top of `wit/windlass.wit`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::contract::{Contract, Interface, RESULT, Shape, Sides};

/// Of what was added to a version that is kept.
const RAISE: &str = "the version is frozen: raise it";

/// Every place where the current package does more than add to a frozen version.
pub fn violations(frozen: &Contract, current: &Contract) -> Vec<String> {
    let mut found = Vec::new();
    if current.version.major != frozen.version.major || current.version < frozen.version {
        let rule = "make it a later one with the same first number, or no plugin of the frozen one is taken";
        found.push(format!("the version is {}: {rule}", current.version));
    }
    let is_same_version = current.version == frozen.version;
    let exported: BTreeSet<_> = frozen.worlds.values().flat_map(|world| &world.exports).collect();
    for (name, interface) in &frozen.interfaces {
        let fixed = match (is_same_version, exported.contains(name)) {
            (true, _) => Some(RAISE),
            (false, true) => Some("plugins export it, and those of before lack that: make another interface"),
            (false, false) => None,
        };
        match current.interfaces.get(name) {
            Some(now) => compare_interfaces(name, interface, now, fixed, &mut found),
            None => found.push(format!("the interface {name} is gone")),
        }
    }
    for (name, world) in &frozen.worlds {
        match current.worlds.get(name) {
            Some(now) => compare_worlds(name, world, now, is_same_version, &mut found),
            None => found.push(format!("the world {name} is gone")),
        }
    }
    if is_same_version {
        let new =
            added(&frozen.interfaces, &current.interfaces).chain(added(&frozen.worlds, &current.worlds));
        found.extend(new.map(|name| format!("{name} was added, and {RAISE}")));
    }
    found
}

fn compare_worlds(
    name: &str,
    frozen: &Sides,
    current: &Sides,
    is_same_version: bool,
    found: &mut Vec<String>,
) {
    for (verb, frozen, current) in
        [("imports", &frozen.imports, &current.imports), ("exports", &frozen.exports, &current.exports)]
    {
        found
            .extend(frozen.difference(current).map(|gone| format!("the world {name} {verb} {gone} no more")));
    }
    found.extend(current.exports.difference(&frozen.exports).map(|export| {
        let rule = "which plugins of before lack: make another world that includes this one";
        format!("the world {name} demands the export {export}, {rule}")
    }));
    let imports = current.imports.difference(&frozen.imports).filter(|_| is_same_version);
    found.extend(imports.map(|import| format!("the world {name} imports {import}, and {RAISE}")));
}

/// `fixed`: why nothing may be added to it.
fn compare_interfaces(
    name: &str,
    frozen: &Interface,
    current: &Interface,
    fixed: Option<&str>,
    found: &mut Vec<String>,
) {
    let kinds =
        [("type", &frozen.types, &current.types), ("function", &frozen.functions, &current.functions)];
    for (kind, frozen, current) in kinds {
        for (item, shape) in frozen {
            match current.get(item) {
                Some(now) => compare_shapes(&format!("{kind} {name}.{item}"), shape, now, found),
                None => found.push(format!("the {kind} {name}.{item} is gone")),
            }
        }
        if let Some(why) = fixed {
            let added = added(frozen, current);
            found
                .extend(added.map(|item| format!("the {kind} {name}.{item} was added to {name}, and {why}")));
        }
    }
}

fn added<'a, T>(
    frozen: &'a BTreeMap<String, T>,
    current: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = &'a String> {
    current.keys().filter(|item| !frozen.contains_key(*item))
}

fn compare_shapes(item: &str, frozen: &Shape, current: &Shape, found: &mut Vec<String>) {
    if frozen == current {
        return;
    }
    let mut tell = |what: &dyn Display| found.push(format!("the {item} {what}"));
    if frozen.kind != current.kind {
        return tell(&format!("is of the kind {}, and was of the kind {}", current.kind, frozen.kind));
    }
    let (before, now) = (found_in(frozen), found_in(current));
    let named = |name: &str| match name {
        RESULT => name.to_owned(),
        name => format!("the {} {name}", frozen.part),
    };
    for (name, ty) in &frozen.parts {
        match now.get(name) {
            None => tell(&format!("has {} no more", named(name))),
            Some(other) if *other != ty => tell(&format!("has {} as {other}, which was {ty}", named(name))),
            Some(_) => {}
        }
    }
    for (name, _) in current.parts.iter().filter(|(name, _)| !before.contains_key(name)) {
        tell(&format!("has {} more", named(name)));
    }
    if before == now {
        tell(&format!("has its {}s in another order", frozen.part));
    }
}

fn found_in(shape: &Shape) -> BTreeMap<&String, &String> {
    shape.parts.iter().map(|(name, ty)| (name, ty)).collect()
}
