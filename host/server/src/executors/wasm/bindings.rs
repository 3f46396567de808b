//! The contract's types in Rust, generated from the WIT package, and what is linked for every plugin.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Result, format_err};

use super::imports::EXECUTOR;
use super::store_data::CallState;

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit",
    world: "windlass:plugin/plugin",
    imports: { "windlass:plugin/journal": async },
    exports: { default: async },
});

pub(super) use windlass::plugin::{job, journal, log, types};

/// Everything on the published list, for every plugin; what a call may really reach is in its state.
pub(super) fn linker(engine: &Engine) -> Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Plugin::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Resolves imports and looks up exports, once for all calls.
///
/// # Errors
/// An import that this host has in another type, an export that is not what the contract says.
pub(super) fn prepare(linker: &Linker<CallState>, component: &Component) -> Result<PluginPre<CallState>> {
    check_executor(component)?;
    PluginPre::new(linker.instantiate_pre(component)?)
}

/// The generated bindings compare types only when there is an instance, and admission must not make one.
fn check_executor(component: &Component) -> Result<()> {
    let engine = component.engine();
    let ty = component.component_type();
    let executor = match ty.get_export(engine, EXECUTOR).map(|export| export.ty) {
        Some(ComponentItem::ComponentInstance(instance)) => instance,
        Some(_) | None => {
            return Err(format_err!("the component lacks the required export {EXECUTOR}"));
        }
    };
    let cx = ty.instance_type();
    function(&executor, engine, "apply")?
        .typecheck::<(types::Call, types::Payload), (std::result::Result<types::Done, types::Failure>,)>(&cx)
        .map_err(|error| error.context(format!("the type of {EXECUTOR}.apply is not the contract's")))?;
    function(&executor, engine, "revert")?
        .typecheck::<
            (types::Call, types::Payload, types::Evidence),
            (std::result::Result<Option<types::Payload>, types::Failure>,),
        >(&cx)
        .map_err(|error| error.context(format!("the type of {EXECUTOR}.revert is not the contract's")))
}

fn function(
    executor: &ComponentInstance,
    engine: &Engine,
    name: &str,
) -> Result<wasmtime::component::types::ComponentFunc> {
    match executor.get_export(engine, name).map(|export| export.ty) {
        Some(ComponentItem::ComponentFunc(function)) => Ok(function),
        Some(_) | None => Err(format_err!("the component lacks the required export {EXECUTOR}.{name}")),
    }
}
