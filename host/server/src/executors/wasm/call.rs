//! One attempt: a fresh store, a fresh instance, one call, an outcome.
//!
//! The deadline is kept twice: by epochs, which stop a guest that computes, and by a timer around the whole attempt,
//! which stops one that waits in a host function. Guests that compute yield at every tick.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::Instance;
use wasmtime::{Result, Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;
use windlass_core::call::{Call, End, Evidence, Function, Grants, Outcome};
use windlass_core::fault::{Fault, HOST_UNAVAILABLE};

use super::compiled::Ready;
use super::grants::GrantError;
use super::interruption::DeadlinePassed;
use super::print::Printer;
use super::store_data::{CallState, Facts};
use super::{WasmExecutors, answer, convert, grants, interruption, store_data};
use crate::executors::Journal;

/// How long an instantiation may keep its lane. Start functions are guest code: one that loops must not hold up the
/// instantiation of others until its deadline.
const LANE_HOLD_MAX: Duration = Duration::from_millis(20);

/// What a guest may hand over in one host call, beside its output: files are written in such pieces. Bounds what
/// the host copies before it can look at sizes.
const HOST_CALL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Longer deadlines are taken as this: the clock's arithmetic stays sound, and no call lasts a year.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// See [`Executors::call`](crate::executors::Executors::call).
pub(super) async fn run(executors: &WasmExecutors, call: Call, journal: Arc<dyn Journal>) -> Outcome {
    let Some(ready) = executors.compiled.get(&executors.linker, call.plugin).await else {
        let message =
            format!("plugin {} has no sound compiled form on this host; it is made again", call.plugin);
        return Outcome::Retry { fault: Fault::new(HOST_UNAVAILABLE, message), after_ms: None };
    };
    let printer = Printer::new(journal.clone());
    let wasi = match wasi(executors, &call.grants, &printer).await {
        Ok(wasi) => wasi,
        // Nothing ran: the grant is refused, not the work undone.
        Err(refused) => {
            return Outcome::Reject { fault: unavailable(&refused) };
        }
    };
    // Never closed while the executors are there.
    let Ok(_slot) = executors.slots.acquire().await else {
        let fault = Fault::new(HOST_UNAVAILABLE, "the host is shutting down");
        return Outcome::Retry { fault, after_ms: None };
    };
    let outcome = attempt(executors, &ready, call, journal, &printer, wasi).await;
    printer.finish();
    outcome
}

/// What the guest may see, checked now: directories come and go.
async fn wasi(executors: &WasmExecutors, asked: &Grants, printer: &Printer) -> Result<WasiCtx, GrantError> {
    if asked.directories.is_empty() {
        grants::check(&executors.settings, asked)?;
        return store_data::wasi(printer, &[]);
    }
    let (settings, asked, printer) = (executors.settings.clone(), asked.clone(), printer.clone());
    tokio::task::spawn_blocking(move || store_data::wasi(&printer, &grants::check(&settings, &asked)?))
        .await
        .unwrap_or_else(|panic| {
            Err(GrantError::Missing {
                path: "granted to this call".to_owned(),
                source: std::io::Error::other(panic),
            })
        })
}

fn unavailable(refused: &GrantError) -> Fault {
    let mut fault = Fault::new(HOST_UNAVAILABLE, refused.to_string());
    fault.causes.extend(std::error::Error::source(refused).map(ToString::to_string));
    fault
}

async fn attempt(
    executors: &WasmExecutors,
    ready: &Ready,
    mut call: Call,
    journal: Arc<dyn Journal>,
    printer: &Printer,
    wasi: WasiCtx,
) -> Outcome {
    let settings = &executors.settings;
    let timeout = call.timeout.min(TIMEOUT_MAX);
    let deadline = Instant::now() + timeout;
    let memory_bytes_max = call.grants.memory_bytes_max.unwrap_or(settings.memory_bytes_max);
    let facts = Facts {
        journal,
        printer: printer.clone(),
        function: call.function,
        failures: std::mem::take(&mut call.failures),
        deadline,
        output_bytes_max: settings.output_bytes_max,
        memory_bytes_max,
    };
    let mut store = store(executors, CallState::new(facts, wasi), deadline);
    let guest = guest(executors, ready, &mut store, call, timeout);
    let ended = tokio::time::timeout_at(deadline.into(), guest).await;
    match ended {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => {
            let memory_bytes_max = store.data().limit.was_reached().then_some(memory_bytes_max);
            interruption::outcome(&error, timeout, memory_bytes_max)
        }
        Err(_) => interruption::timed_out(timeout),
    }
}

fn store(executors: &WasmExecutors, state: CallState, deadline: Instant) -> Store<CallState> {
    let mut store = Store::new(executors.compiled.engine(), state);
    store.limiter(|state| &mut state.limit);
    store.set_hostcall_fuel(HOST_CALL_BYTES_MAX.saturating_add(executors.settings.output_bytes_max));
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if Instant::now() >= deadline {
            return Err(DeadlinePassed.into());
        }
        // Tokio's own yield lets the runtime look at its timers and sockets, a mere wake-up does not.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

/// The guest's part: everything in here may trap, loop or wait for ever.
async fn guest(
    executors: &WasmExecutors,
    ready: &Ready,
    store: &mut Store<CallState>,
    call: Call,
    timeout: Duration,
) -> Result<Outcome> {
    let instance = instantiate(executors, ready, store).await?;
    let exports = &ready.plugin;
    let told = convert::to_guest_call(&call, timeout);
    let input = convert::to_guest_payload(call.input);
    let bytes_max = executors.settings.output_bytes_max;
    // Without evidence, nobody knows.
    let unknown = || Evidence { end: End::Interrupted, undo: Vec::new() };
    let evidence = convert::to_guest_evidence(call.evidence.unwrap_or_else(unknown));
    match (call.function, &exports.observer) {
        (Function::Apply, observer) => {
            let executor = exports.executor.load(&mut *store, &instance)?;
            let answer = executor.call_apply(store, &told, &input).await?;
            Ok(answer::applied(answer, observer.is_some(), bytes_max))
        }
        (Function::Revert, _) => {
            let executor = exports.executor.load(&mut *store, &instance)?;
            let answer = executor.call_revert(store, &told, &input, &evidence).await?;
            Ok(answer::reverted(answer, bytes_max))
        }
        (Function::Observe, Some(observer)) => {
            let observer = observer.load(&mut *store, &instance)?;
            let answer = observer.call_observe(store, &told, &input, &evidence).await?;
            Ok(answer::observed(answer, bytes_max))
        }
        (Function::Observe, None) => Ok(answer::not_observable()),
    }
}

async fn instantiate(
    executors: &WasmExecutors,
    ready: &Ready,
    store: &mut Store<CallState>,
) -> Result<Instance> {
    let lane = executors.lanes.acquire().await?;
    let mut instantiation = std::pin::pin!(ready.plugin.instance.instantiate_async(store));
    match tokio::time::timeout(LANE_HOLD_MAX, &mut instantiation).await {
        Ok(instance) => instance,
        Err(_) => {
            drop(lane);
            instantiation.await
        }
    }
}
