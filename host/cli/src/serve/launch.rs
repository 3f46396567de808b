//! The launch: settings become a host, signals become its end.

use std::net::SocketAddr;
use std::path::Path;

use windlass_proto::v1;

use super::settings::{Setting, Settings};
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::problem::Problem;

/// Runs a host until it is asked to stop and has drained.
pub async fn launch(settings: &Settings) -> Result<(), Problem> {
    let host = host(settings)?;
    let shutdown = stop_signal()?;
    windlass_host::serve(host, tell_ready, shutdown)
        .await
        .map_err(|error| Problem::new(Exit::Broken, chain(&error)))
}

fn host(settings: &Settings) -> Result<windlass_host::Settings, Problem> {
    let allowed = settings.allow_dirs.value.iter();
    Ok(windlass_host::Settings {
        data_dir: settings.data_dir.value.clone(),
        database: settings.store.value.as_deref().map(windlass_host::store::PostgresSettings::at),
        listen: settings.listen.value,
        name: settings.name.value.clone(),
        slots: size("slots", settings.slots.value.into())?,
        guest_threads: size("guest_threads", settings.guest_threads.value.into())?,
        memory_bytes_max: settings.memory_max.value,
        output_bytes_max: size("output_max", settings.output_max.value)?,
        call_timeout: settings.call_timeout.value,
        interval_min: settings.interval_min.value,
        drain_timeout: settings.drain_timeout.value,
        store_cache_bytes: size("store_cache", settings.store_cache.value)?,
        allowed_directories: allowed.map(|allowed| (allowed.path.clone(), access(allowed.access))).collect(),
        policy: policy(&settings.policy)?,
    })
}

fn size(name: &str, value: u64) -> Result<usize, Problem> {
    usize::try_from(value)
        .map_err(|_| Problem::usage(format!("{name} = {value} is more than this machine can count")))
}

fn access(access: v1::Access) -> windlass_host::Access {
    match access {
        v1::Access::ReadWrite => windlass_host::Access::ReadWrite,
        v1::Access::ReadOnly | v1::Access::Unspecified => windlass_host::Access::ReadOnly,
    }
}

fn policy(setting: &Setting<Option<std::path::PathBuf>>) -> Result<windlass_host::Policy, Problem> {
    let Some(path) = &setting.value else {
        return Ok(windlass_host::Policy::default());
    };
    read_policy(path).map_err(|what| {
        Problem::usage(format!("the policy {} ({}) cannot be used: {what}", path.display(), setting.origin))
    })
}

fn read_policy(path: &Path) -> Result<windlass_host::Policy, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// One line on standard output: whoever started the host waits for it, and reads the port from it.
fn tell_ready(address: SocketAddr) {
    tracing::info!(%address, "ready");
    if let Err(problem) = Output::new(Format::Table).line(&format!("ready: http://{address}")) {
        tracing::warn!("{}", problem.what);
    }
}

/// Resolves at the first SIGTERM or SIGINT; the second one ends the program at once, which the store survives.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Problem> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen =
        |kind| signal(kind).map_err(|error| Problem::broken(format!("signals cannot be received: {error}")));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop: running calls may finish; a second signal stops at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("asked again: stopping at once; what ran is resumed at the next start");
            std::process::exit(i32::from(Exit::Unavailable as u8));
        });
    })
}

/// An error with what led to it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some errors repeat their source.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
