//! Leaves the debug information out of the component: it is most of its size, and the names that traps are told by
//! stay. The workspace's release profile keeps it for the host.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=--strip-debug");
    }
}
