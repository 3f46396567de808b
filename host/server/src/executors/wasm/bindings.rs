//! The contract's types in Rust, generated from the WIT package, and what is linked for every plugin.

use wasmtime::component::types::{
    Component as ComponentType, ComponentFunc, ComponentInstance, ComponentItem,
};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Engine, Result, format_err};

use super::imports::{self, EXECUTOR, OBSERVER};
use super::store_data::CallState;

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit",
    world: "windlass:plugin/observed-plugin",
    imports: { "windlass:plugin/journal": async },
    exports: { default: async },
});

pub(super) use exports::windlass::plugin::{executor, observer};
pub(super) use windlass::plugin::{job, journal, log, types};

/// A plugin with its imports resolved and its exports looked up, once for all calls.
pub(super) struct Prepared {
    pub instance: InstancePre<CallState>,
    pub executor: executor::GuestIndices,
    /// None where the plugin has no observer.
    pub observer: Option<observer::GuestIndices>,
}

/// Everything on the published list, for every plugin; what a call may really reach is in its state.
pub(super) fn linker(engine: &Engine) -> Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    ObservedPlugin::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Resolves imports and looks up exports.
///
/// # Errors
/// An import that this host has in another type, an export that is not what the contract says.
pub(super) fn prepare(linker: &Linker<CallState>, component: &Component) -> Result<Prepared> {
    let ty = component.component_type();
    check_executor(component.engine(), &ty)?;
    let has_observer = ty.exports(component.engine()).any(|(name, _)| imports::is_compatible(name, OBSERVER));
    if has_observer {
        check_observer(component.engine(), &ty)?;
    }
    let instance = linker.instantiate_pre(component)?;
    let executor = executor::GuestIndices::new(&instance)?;
    let observer = has_observer.then(|| observer::GuestIndices::new(&instance)).transpose()?;
    Ok(Prepared { instance, executor, observer })
}

/// The generated bindings compare types only when there is an instance, and admission must not make one.
fn check_executor(engine: &Engine, ty: &ComponentType) -> Result<()> {
    let executor = interface(ty, engine, EXECUTOR)?;
    let cx = ty.instance_type();
    function(&executor, engine, EXECUTOR, "apply")?
        .typecheck::<(types::Call, types::Payload), (std::result::Result<types::Done, types::Failure>,)>(&cx)
        .map_err(|error| error.context(format!("the type of {EXECUTOR}.apply is not the contract's")))?;
    function(&executor, engine, EXECUTOR, "revert")?
        .typecheck::<
            (types::Call, types::Payload, types::Evidence),
            (std::result::Result<Option<types::Payload>, types::Failure>,),
        >(&cx)
        .map_err(|error| error.context(format!("the type of {EXECUTOR}.revert is not the contract's")))
}

fn check_observer(engine: &Engine, ty: &ComponentType) -> Result<()> {
    let observer = interface(ty, engine, OBSERVER)?;
    function(&observer, engine, OBSERVER, "observe")?
        .typecheck::<
            (types::Call, types::Payload, types::Evidence),
            (std::result::Result<observer::Observation, types::Fault>,),
        >(&ty.instance_type())
        .map_err(|error| error.context(format!("the type of {OBSERVER}.observe is not the contract's")))
}

fn interface(ty: &ComponentType, engine: &Engine, name: &str) -> Result<ComponentInstance> {
    match ty.get_export(engine, name).map(|export| export.ty) {
        Some(ComponentItem::ComponentInstance(instance)) => Ok(instance),
        Some(_) | None => Err(format_err!("the component does not export the interface {name}")),
    }
}

fn function(
    interface: &ComponentInstance,
    engine: &Engine,
    interface_name: &str,
    name: &str,
) -> Result<ComponentFunc> {
    match interface.get_export(engine, name).map(|export| export.ty) {
        Some(ComponentItem::ComponentFunc(function)) => Ok(function),
        Some(_) | None => Err(format_err!("the component lacks the required export {interface_name}.{name}")),
    }
}
