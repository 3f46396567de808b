//! Core modules: with component type information they are made into components, without it they are refused.

use serde_json::json;
use tonic::Code;
use wasmparser::{Parser, Payload};
use windlass_proto::v1::JobState;
use windlass_tests::harness::{TestHost, digest_text};
use windlass_tests::plugins::{fixtures, with_version};
use windlass_tests::work::action;
use wit_component::{DecodedWasm, StringEncoding, decode, embed_component_metadata};

/// The first core module inside a component: the guest itself.
fn core_module(component: &[u8]) -> Vec<u8> {
    let mut payloads = Parser::new(0).parse_all(component);
    let module = payloads.find_map(|payload| match payload.expect("the component is well-formed") {
        Payload::ModuleSection { unchecked_range, .. } => Some(component[unchecked_range].to_vec()),
        _ => None,
    });
    module.expect("a component has a core module")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_module_with_component_types_is_made_into_a_component() {
    let host = TestHost::bare().await;
    let component = with_version(fixtures(), "9.0.0");
    let DecodedWasm::Component(resolve, world) = decode(&component).expect("it is a component") else {
        panic!("the fixtures are a component");
    };
    let mut module = core_module(&component);
    let refused = host.try_upload(&module).await.expect_err("it says nothing of its types");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("its types can be told");
    let uploaded = host.upload(&module).await;
    assert_eq!((uploaded.plugin.name.as_str(), uploaded.plugin.version.as_str()), ("fixtures", "9.0.0"));
    assert_ne!(uploaded.plugin.digest, digest_text(&module), "what is kept is the component");
    let job = host.run_with(action("ok"), json!({"value": 3})).await;
    assert_eq!(job.state(), JobState::Succeeded, "{job:?}");
    // The same module makes the same component.
    assert_eq!(host.upload(&module).await.plugin.digest, uploaded.plugin.digest);
    host.finish().await;
}
