//! The life of a plugin: W12, retiring, deleting, downloading, and the compiled form.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, PluginState};
use windlass_tests::harness::{TestHost, code, digest_text};
use windlass_tests::plugins::{backup, fixtures};
use windlass_tests::work::{Shape as _, action, flow, gate, literal, task};

fn delete(plugin: &str) -> v1::DeletePluginRequest {
    v1::DeletePluginRequest { plugin: plugin.to_owned(), etag: String::new() }
}

fn retire(plugin: &str) -> v1::RetirePluginRequest {
    v1::RetirePluginRequest { plugin: plugin.to_owned(), etag: String::new() }
}

fn purge(job: &str) -> v1::PurgeJobRequest {
    v1::PurgeJobRequest { job: job.to_owned(), etag: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w12_a_plugin_that_something_needs_is_not_deleted_and_what_needs_it_is_named() {
    let host = TestHost::start().await;
    let running = host.submit(flow([gate("g")])).await;
    host.until_called(&running, "apply g").await;
    let refused = host.plugins().delete(delete("fixtures@0.1.0")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains(&running), "{refused}");
    host.open_gate("g");
    host.wait(&running).await;
    // It succeeded, and may still be reverted.
    let refused = host.plugins().delete(delete("fixtures@0.1.0")).await.unwrap_err();
    assert!(refused.message().contains(&running), "{refused}");
    assert_eq!(
        host.plugins()
            .get(v1::GetPluginRequest { plugin: "fixtures".to_owned() })
            .await
            .unwrap()
            .into_inner()
            .state(),
        PluginState::Active
    );
    host.jobs().purge(purge(&running)).await.unwrap();

    host.every("hourly", Duration::from_secs(3600)).await;
    let operation = host.bind("one", "hourly", action("ok")).await;
    let refused = host.plugins().delete(delete("fixtures@0.1.0")).await.unwrap_err();
    assert!(refused.message().contains(&operation.id), "{refused}");
    let unbind = v1::DeleteOperationRequest { operation: "one".to_owned(), etag: String::new() };
    host.operations().delete(unbind).await.unwrap();

    // A job that was reverted needs it no more.
    let reverted = host.run(action("fail")).await;
    assert_eq!(reverted.state(), JobState::Reverted);
    host.plugins().delete(delete("fixtures@0.1.0")).await.unwrap();
    assert_eq!(code(host.plugins().delete(delete("fixtures@0.1.0")).await), Code::NotFound);
    assert_eq!(code(host.rerun(&reverted.id).await), Code::InvalidArgument);
    assert_eq!(host.job(&reverted.id).await.state(), JobState::Reverted);
    // The same bytes may come again.
    assert!(!host.upload(fixtures()).await.known);
    assert_eq!(host.run(action("ok")).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_plugin_finishes_and_reverts_what_it_began() {
    let host = TestHost::start().await;
    host.every("hourly", Duration::from_secs(3600)).await;
    host.bind("one", "hourly", action("ok")).await;
    let running = host.submit(flow([gate("g"), task("b", "ok")])).await;
    host.until_called(&running, "apply g").await;
    let retired = host.plugins().retire(retire("fixtures@0.1.0")).await.unwrap().into_inner();
    assert_eq!(retired.state(), PluginState::Retired);
    let again = host.plugins().retire(self::retire(&retired.digest)).await.unwrap().into_inner();
    assert_eq!(again.generation, retired.generation);
    for plugin in ["fixtures", "fixtures@0.1.0"] {
        let refused = host.try_submit(host.spec(windlass_tests::work::action_of(plugin, "ok"))).await;
        assert_eq!(code(refused), Code::InvalidArgument);
    }
    host.open_gate("g");
    assert_eq!(host.wait(&running).await.state(), JobState::Succeeded);
    host.revert(&running).await.unwrap();
    assert_eq!(host.wait(&running).await.state(), JobState::Reverted);
    assert_eq!(host.calls(&running), "apply g, apply b, revert b, revert g");
    // What refers to its digest already goes on.
    host.advance(TimeDelta::hours(1));
    host.until_decided("hourly").await;
    assert_eq!(host.jobs_of("one").await[0].state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_equals_the_upload() {
    let host = TestHost::start().await;
    host.upload(backup()).await;
    for (reference, bytes) in
        [("fixtures", fixtures()), ("backup@0.1.0", backup()), (&digest_text(backup()), backup())]
    {
        let request = v1::DownloadPluginRequest { plugin: reference.to_owned() };
        let mut parts = host.plugins().download(request).await.unwrap().into_inner();
        let Some(v1::download_plugin_response::Part::Start(start)) =
            parts.message().await.unwrap().unwrap().part
        else {
            panic!("a download starts with what it will be");
        };
        assert_eq!((start.digest, start.size_bytes), (digest_text(bytes), bytes.len() as u64));
        let mut received = Vec::new();
        while let Some(message) = parts.message().await.unwrap() {
            let Some(v1::download_plugin_response::Part::Chunk(chunk)) = message.part else {
                panic!("chunks follow")
            };
            received.extend_from_slice(&chunk);
        }
        assert!(received == bytes, "{reference}");
    }
    assert_eq!(
        code(host.plugins().download(v1::DownloadPluginRequest { plugin: "none".to_owned() }).await),
        Code::NotFound
    );
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_compiles_nothing_and_a_compiled_form_that_was_touched_is_made_again() {
    let mut host = TestHost::start().await;
    assert_eq!(host.run(action("ok")).await.state(), JobState::Succeeded);
    let compiled = || {
        let entries =
            std::fs::read_dir(host.path().join("compiled")).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
            .collect::<Vec<_>>()
    };
    let [form] = &compiled()[..] else { panic!("one compiled form") };
    let form = form.clone();
    let modified = |path: &std::path::Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let before = modified(&form);
    host.restart().await;
    assert_eq!(host.run(action("ok")).await.state(), JobState::Succeeded);
    assert_eq!(modified(&form), before);

    host.stop().await;
    let mut bytes = std::fs::read(&form).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&form, &bytes).unwrap();
    host.restart().await;
    let job = host.submit(flow([task("a", "ok").with("value", literal(json!(1)))])).await;
    // The host finds out when it is called, and says so in a retry.
    host.until_holds("the job does not end", async || {
        host.advance(TimeDelta::seconds(2));
        host.state(&job).await == JobState::Succeeded
    })
    .await;
    assert_eq!(host.calls(&job), "apply a");
    host.stop().await;
    std::fs::remove_file(&form).unwrap();
    host.restart().await;
    assert_eq!(host.run(action("ok")).await.state(), JobState::Succeeded);
    host.finish().await;
}
