//! What guests print lands in the logbook of the attempt, bounded.

use serde_json::{Value, json};
use windlass_tests::harness::TestHost;
use windlass_tests::work::{Shape as _, flow, literal, task};

/// Every printed line of a job: task, attempt, source, text.
async fn printed(host: &TestHost, job: &str) -> Vec<(String, u32, String, String)> {
    let entries = host.entries(job).await.into_iter().filter(|entry| entry.kind == "task.printed");
    let lines = entries.flat_map(|entry| {
        let data: Value = serde_json::from_str(&entry.data_json).expect("data is JSON");
        let lines = data["lines"].as_array().expect("printed lines").clone();
        lines.into_iter().map(move |line| {
            let text = |name: &str| line[name].as_str().expect("a text").to_owned();
            (entry.task.clone(), entry.attempt, text("source"), text("text"))
        })
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stdout_stderr_and_log_lines_land_in_the_logbook_of_the_attempt() {
    let host = TestHost::start().await;
    let print = task("p", "print")
        .with("stdout", literal(json!("first\nsecond é\nno newline")))
        .with("stderr", literal(json!("to stderr\n")))
        .with("log", literal(json!("logged")));
    let job = host.run(flow([task("before", "ok"), print])).await;
    let lines = printed(&host, &job.id).await;
    assert!(lines.iter().all(|(task, attempt, _, _)| task == "p" && *attempt == 1), "{lines:?}");
    let of = |wanted: &str| {
        let texts =
            lines.iter().filter(|(_, _, source, _)| source == wanted).map(|(_, _, _, text)| text.as_str());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(of("stdout"), ["first", "second é", "no newline"]);
    assert_eq!(of("stderr"), ["to stderr"]);
    assert_eq!(of("info"), ["logged"]);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_prints_without_end_is_bounded_and_not_hurt() {
    let host = TestHost::start().await;
    let flood = "0123456789abcdef\n".repeat(20_000);
    let print = task("p", "print").with("stdout", literal(json!(flood)));
    let job = host.run(flow([print, task("after", "ok")])).await;
    assert_eq!(job.state(), windlass_proto::v1::JobState::Succeeded);
    let lines = printed(&host, &job.id).await;
    assert!(!lines.is_empty() && lines.len() < 20_000, "{} lines", lines.len());
    assert!(lines.iter().any(|(_, _, _, text)| text.contains("dropped")), "what is left out is told");
    host.finish().await;
}
