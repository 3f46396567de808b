#![doc = include_str!("front_page.md")]

mod action;
mod component;
mod context;
mod dispatch;
mod failure;
mod host;
mod journal;
mod log;
pub mod manifest;
mod observed;
pub mod trial;

pub use action::{Action, Applied, End, Evidence, NoHandle, Partial, UndoRecord};
pub use context::{Context, Prior, TaskFault};
pub use failure::{Failure, Fault};
pub use journal::{JournalError, Stop};
pub use log::Level;
pub use observed::{Accepted, Done, Observation, ObservedAction};

#[doc(hidden)]
pub use log::write as __log;

/// JSON Schema, from the types of an action. Derive it with `#[derive(windlass_plugin::JsonSchema)]` and
/// `#[schemars(crate = "windlass_plugin::schemars")]`, or add schemars to the plugin's own dependencies.
pub use schemars::{self, JsonSchema};

/// The generated bindings of the WIT package. Only for [`export!`]: they change with the package.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "windlass_plugin::bindings",
    });
}

/// The observer alone, which a plugin with observed actions exports as well. Its types are those of [`bindings`].
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all)]
pub mod observing {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package windlass:sdk;
            world observing { export windlass:plugin/observer@1.0.0; }
        ",
        world: "windlass:sdk/observing",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "windlass_plugin::observing",
        with: { "windlass:plugin/types@1.0.0": crate::bindings::windlass::plugin::types },
    });
}

/// What [`export!`] expands to. Not for plugins to call.
#[doc(hidden)]
pub mod exporting {
    pub use crate::component::{apply, observe, revert};
    pub use crate::dispatch::Entry;
}

/// Makes the crate a plugin: one line, at the top of its `lib.rs`.
///
/// ```ignore
/// windlass_plugin::export!(manifest = "manifest.json", [Snapshot, Verify, Publish]);
/// windlass_plugin::export!(manifest = "manifest.json", [Reserve, Configure], observed = [Acquire]);
/// ```
///
/// Built for `wasm32-wasip2`, it exports the executor interface, which dispatches to the [`Action`]s by their
/// names, and puts the manifest, a file beside `Cargo.toml`, into the component. With [`ObservedAction`]s, it exports
/// the observer interface, too. Under `cargo test` it becomes a
/// test that fails when the manifest does not fit the actions, and that writes the manifest when the environment
/// says `WINDLASS_MANIFEST=write`: see [`manifest`].
#[macro_export]
macro_rules! export {
    (manifest = $manifest:literal, [$($action:ty),+ $(,)?] $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::__export_executor!($manifest, [$($crate::exporting::Entry::of::<$action>()),+]);
        };

        $crate::__check_manifest!($manifest, [$($crate::manifest::ActionManifest::of::<$action>()),+]);
    };
    (
        manifest = $manifest:literal,
        [$($action:ty),* $(,)?],
        observed = [$($observed:ty),+ $(,)?] $(,)?
    ) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::__export_executor!($manifest, [
                $($crate::exporting::Entry::of::<$action>(),)*
                $($crate::exporting::Entry::observed::<$observed>()),+
            ]);

            use $crate::observing::exports::windlass::plugin::observer;

            impl observer::Guest for Component {
                fn observe(
                    call: observer::Call,
                    input: observer::Payload,
                    evidence: observer::Evidence,
                ) -> Result<observer::Observation, observer::Fault> {
                    $crate::exporting::observe(ACTIONS, call, input, evidence)
                }
            }

            $crate::observing::export_component!(Component with_types_in $crate::observing);
        };

        $crate::__check_manifest!($manifest, [
            $($crate::manifest::ActionManifest::of::<$action>(),)*
            $($crate::manifest::ActionManifest::observed::<$observed>()),+
        ]);
    };
}

/// A part of what [`export!`] expands to: the manifest in the component, and `Component` with its executor.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_executor {
    ($manifest:literal, [$($entry:expr),+]) => {
        const MANIFEST_FILE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $manifest));

        // The host reads the manifest from here, so an upload never runs the plugin.
        #[allow(unsafe_code)]
        #[used]
        #[unsafe(link_section = "windlass:manifest")]
        static MANIFEST: [u8; MANIFEST_FILE.len()] = {
            let mut copy = [0; MANIFEST_FILE.len()];
            copy.copy_from_slice(MANIFEST_FILE);
            copy
        };

        const ACTIONS: &[$crate::exporting::Entry] = &[$($entry),+];

        use $crate::bindings::exports::windlass::plugin::executor;

        struct Component;

        impl executor::Guest for Component {
            fn apply(
                call: executor::Call,
                input: executor::Payload,
            ) -> Result<executor::Done, executor::Failure> {
                $crate::exporting::apply(ACTIONS, call, input)
            }

            fn revert(
                call: executor::Call,
                input: executor::Payload,
                evidence: executor::Evidence,
            ) -> Result<Option<executor::Payload>, executor::Failure> {
                $crate::exporting::revert(ACTIONS, call, input, evidence)
            }
        }

        $crate::bindings::export_component!(Component with_types_in $crate::bindings);
    };
}

/// A part of what [`export!`] expands to: the test that compares the manifest with the actions.
#[doc(hidden)]
#[macro_export]
macro_rules! __check_manifest {
    ($manifest:literal, [$($action:expr),+]) => {
        #[cfg(test)]
        #[test]
        fn the_manifest_fits_the_actions() {
            let package = $crate::manifest::Package {
                directory: env!("CARGO_MANIFEST_DIR"),
                file: $manifest,
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                description: env!("CARGO_PKG_DESCRIPTION"),
            };
            if let Err(error) = $crate::manifest::check_or_write(&package, [$($action),+].into()) {
                panic!("{error}");
            }
        }
    };
}
