//! Uploads: what is sent and what is not, and W09: what is refused, by name, with nothing registered.

use serde_json::json;
use tonic::{Code, Status};
use windlass_proto::v1;
use windlass_proto::v1::{JobState, PluginState, UploadPhase};
use windlass_tests::harness::{HostOptions, TestHost, code, digest_text, field_paths, try_upload};
use windlass_tests::plugins::{fixtures, with_manifest, with_padding, with_renamed, with_version};
use windlass_tests::work::{action, action_of};

/// `(component)` and `(module)`.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

async fn registered(host: &TestHost) -> Vec<v1::Plugin> {
    host.plugins().list(v1::ListPluginsRequest::default()).await.unwrap().into_inner().plugins
}

async fn refusal(host: &TestHost, component: &[u8]) -> Status {
    let refused = host.try_upload(component).await.expect_err("the upload is refused");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert_eq!(registered(host).await, [], "nothing is registered");
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_checked_compiled_and_ready_to_run() {
    let host = TestHost::bare().await;
    let component = with_version(fixtures(), "7.0.0");
    let uploaded = host.upload(&component).await;
    assert!(!uploaded.known);
    assert_eq!(uploaded.sent_bytes, component.len());
    assert_eq!(uploaded.phases[0], UploadPhase::Receiving);
    assert!(uploaded.phases.contains(&UploadPhase::Compiling), "{:?}", uploaded.phases);
    assert!(uploaded.phases.is_sorted(), "{:?}", uploaded.phases);
    let plugin = uploaded.plugin;
    assert_eq!((plugin.name.as_str(), plugin.version.as_str()), ("fixtures", "7.0.0"));
    assert_eq!((plugin.digest, plugin.size_bytes), (digest_text(&component), component.len() as u64));
    assert_eq!(plugin.actions.len(), 31);
    let observed: Vec<_> = plugin.actions.iter().filter(|action| action.observed).collect();
    assert_eq!(observed.iter().map(|action| action.name.as_str()).collect::<Vec<_>>(), ["remote"]);
    assert_eq!(plugin.asked_directories[0].guest_path, "/ledger");
    let sum = plugin.actions.iter().find(|action| action.name == "sum").unwrap();
    let schema: serde_json::Value = serde_json::from_str(&sum.input_schema_json).unwrap();
    assert_eq!(schema["required"], json!(["x", "y"]));
    assert_eq!(host.run(action("ok")).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_digest_answers_at_once_with_nothing_sent() {
    let mut host = TestHost::start().await;
    let again = host.upload(fixtures()).await;
    assert_eq!((again.known, again.sent_bytes, again.phases), (true, 0, vec![]));
    host.restart().await;
    assert!(host.upload(fixtures()).await.known);
    assert_eq!(registered(&host).await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_not_what_it_declares_is_refused() {
    let host = TestHost::bare().await;
    let (component, size) = (fixtures(), fixtures().len() as u64);
    let digest = digest_text(component);
    for (declared, size, field) in [
        (digest_text(b"other"), size, "start.digest"),
        (digest.clone(), size + 1, "start.size_bytes"),
        (digest.clone(), size - 1, "start.size_bytes"),
        (digest.clone(), 0, "start.size_bytes"),
        ("sha256:nonsense".to_owned(), size, "start.digest"),
    ] {
        let refused = try_upload(host.plugins(), &declared, size, component).await.expect_err(field);
        assert_eq!(
            (refused.code(), field_paths(&refused)),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{refused}"
        );
    }
    let huge = try_upload(host.plugins(), &digest, (64 << 20) + 1, component).await;
    assert_eq!(code(huge), Code::ResourceExhausted);
    assert_eq!(registered(&host).await, []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w09_what_is_no_plugin_is_refused_with_the_names() {
    let host = TestHost::bare().await;
    assert!(refusal(&host, b"no component at all").await.message().contains("not a WebAssembly component"));
    assert!(refusal(&host, EMPTY_MODULE).await.message().contains("without component type information"));
    assert!(refusal(&host, &fixtures()[..fixtures().len() / 2]).await.message().contains("component"));

    let missing = refusal(&host, EMPTY_COMPONENT).await;
    assert!(missing.message().contains("windlass:plugin/executor@1.0.0"), "{missing}");
    let renamed = with_renamed(fixtures(), "windlass:plugin/executor@", "windlass:plugin/executer@");
    let missing = refusal(&host, &renamed).await;
    assert!(missing.message().contains("windlass:plugin/executor@1.0.0"), "{missing}");

    let forbidden = with_renamed(fixtures(), "wasi:cli/environment@", "evil:cli/environment@");
    let refused = refusal(&host, &forbidden).await;
    assert!(field_paths(&refused)[0].contains("evil:cli/environment@"), "{refused:?}");
    let forbidden = with_renamed(&forbidden, "wasi:io/poll@", "evil:io/poll@");
    let refused = refusal(&host, &forbidden).await;
    let paths = field_paths(&refused);
    assert!(
        ["evil:cli/environment@", "evil:io/poll@"].iter().all(|name| paths.iter().any(|p| p.contains(name))),
        "{paths:?}"
    );
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w09_a_plugin_of_another_version_of_the_contract_is_refused_telling_what_to_do() {
    let host = TestHost::bare().await;
    for version in ["0.1.0", "1.1.0", "2.0.0"] {
        let mut other = fixtures().to_vec();
        for interface in ["types", "journal", "job", "log", "executor", "observer"] {
            let named = |version| format!("windlass:plugin/{interface}@{version}");
            other = with_renamed(&other, &named("1.0.0"), &named(version));
        }
        let refused = refusal(&host, &other).await;
        assert_eq!(field_paths(&refused), ["component"], "{refused}");
        for told in
            [&format!("was built for windlass:plugin {version}"), "speaks 1.0.0", "build the plugin anew"]
        {
            assert!(refused.message().contains(told), "{refused}");
        }
    }
    assert_eq!(registered(&host).await, []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w09_a_plugin_that_says_an_action_is_observed_and_has_no_observer_is_refused() {
    let host = TestHost::bare().await;
    let renamed = with_renamed(fixtures(), "windlass:plugin/observer@", "windlass:plugin/observed@");
    let refused = refusal(&host, &renamed).await;
    assert_eq!(field_paths(&refused), ["component.exports"], "{refused}");
    assert!(refused.message().contains("remote is observed"), "{refused}");
    assert!(refused.message().contains("windlass:plugin/observer@1.0.0"), "{refused}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w09_a_plugin_without_a_sound_manifest_is_refused() {
    let host = TestHost::bare().await;
    let nameless = with_renamed(fixtures(), "windlass:manifest", "windlass:manifesd");
    assert!(refusal(&host, &nameless).await.message().contains("manifest"));
    for (at, value) in [
        ("/name", json!("Not A Name")),
        ("/version", json!("one")),
        ("/actions", json!([])),
        ("/actions/0/input", json!({ "type": "no-such-type" })),
        ("/manifest", json!(99)),
    ] {
        let broken = with_manifest(fixtures(), |manifest| *manifest.pointer_mut(at).unwrap() = value.clone());
        let refused = refusal(&host, &broken).await;
        assert!(!field_paths(&refused).is_empty(), "{at}: {refused:?}");
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_under_a_name_and_version_are_refused() {
    let host = TestHost::start().await;
    let other = with_padding(fixtures(), 1);
    let refused = host.try_upload(&other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("fixtures@0.1.0"), "{refused}");
    assert!(refused.message().contains(&digest_text(fixtures())), "{refused}");
    let get = v1::GetPluginRequest { plugin: digest_text(&other) };
    assert_eq!(code(host.plugins().get(get).await), Code::NotFound);
    assert_eq!(registered(&host).await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_uploaded_twice_at_once_are_one_plugin() {
    let host = TestHost::bare().await;
    let component = with_version(fixtures(), "8.0.0");
    let (one, two) = tokio::join!(host.try_upload(&component), host.try_upload(&component));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.plugin.digest, two.plugin.digest);
    assert_eq!(registered(&host).await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_other_bytes_under_one_name_uploaded_at_once_one_is_registered() {
    let host = TestHost::bare().await;
    let component = with_version(fixtures(), "9.0.0");
    let padded = with_padding(&component, 1);
    let (one, two) = tokio::join!(host.try_upload(&component), host.try_upload(&padded));
    let codes: Vec<_> = [one, two].into_iter().filter_map(|answer| Some(answer.err()?.code())).collect();
    assert_eq!(codes, [Code::AlreadyExists]);
    assert_eq!(registered(&host).await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_stands_for_its_highest_active_version() {
    let host = TestHost::start_with(HostOptions::default()).await;
    let newer = host.upload(&with_version(fixtures(), "0.10.0")).await.plugin.digest;
    let older = host.upload(&with_version(fixtures(), "0.9.0")).await.plugin.digest;
    let job = host.run(action("ok")).await;
    assert_eq!(host.task(&job.id, "ok").await.plugin_digest, newer);
    let job = host.run(action_of("fixtures@0.9.0", "ok")).await;
    assert_eq!(host.task(&job.id, "ok").await.plugin_digest, older);
    let retire = v1::RetirePluginRequest { plugin: newer.clone(), etag: String::new() };
    let retired = host.plugins().retire(retire).await.unwrap().into_inner();
    assert_eq!(retired.state(), PluginState::Retired);
    let job = host.run(action("ok")).await;
    assert_eq!(host.task(&job.id, "ok").await.plugin_digest, older);
    assert_eq!(code(host.try_submit(host.spec(action_of(&newer, "ok"))).await), Code::InvalidArgument);
    let versions: Vec<_> = registered(&host).await.into_iter().map(|plugin| plugin.version).collect();
    assert_eq!(versions, ["0.10.0", "0.9.0", "0.1.0"]);
    host.finish().await;
}
