//! The live log: what happens to jobs, as it happens, from the logbook's tail.
//!
//! Invariant: an entry is seen once, whatever happens to the host: the cursor outlives the connection.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::timeout;
use tonic::Streaming;
use windlass_proto::v1;

use crate::client::Client;
use crate::screen::Screen;
use crate::text;

/// A job that works writes progress at least this often, even where its source holds gigabytes.
const SILENCE_MAX: Duration = Duration::from_secs(5 * 60);
/// Of the names of tasks and of what happens to them.
const TASK_WIDTH: usize = 8;
const WORD_WIDTH: usize = 12;

/// What was seen of a job.
pub struct Seen {
    /// In order of appearance, from 1.
    pub number: usize,
    pub operation: String,
    /// Whether it has ended, and how.
    pub ended: Option<String>,
    /// When the work on it, and the calls of its tasks, began.
    began: BTreeMap<String, DateTime<Utc>>,
}

/// The tail, and what it told.
pub struct Log {
    client: Client,
    screen: Screen,
    cursor: String,
    stream: Streaming<v1::TailEntriesResponse>,
    pub jobs: BTreeMap<String, Seen>,
}

impl Log {
    /// From now on, on a host that has no job yet.
    pub async fn open(client: Client, screen: Screen) -> anyhow::Result<Self> {
        // A list answers at once where a tail would go on: what happens after it is not missed.
        let listed = client.logbook().list(v1::ListEntriesRequest::default()).await;
        let cursor = listed.context("the logbook")?.into_inner().cursor;
        let stream = tail(&client, cursor.clone()).await?;
        Ok(Self { client, screen, cursor, stream, jobs: BTreeMap::new() })
    }

    /// Goes on with another host, after what the last one told.
    pub async fn reconnect(&mut self, client: Client) -> anyhow::Result<()> {
        self.stream = tail(&client, self.cursor.clone()).await?;
        self.client = client;
        Ok(())
    }

    /// Shows entries until `is_enough`.
    pub async fn until(&mut self, mut is_enough: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        let mut last = Instant::now();
        while !is_enough(self) {
            let patience = SILENCE_MAX.saturating_sub(last.elapsed());
            let answer = timeout(patience, self.stream.message()).await;
            let answer =
                answer.with_context(|| format!("nothing has happened for {} s", SILENCE_MAX.as_secs()))?;
            let answer = answer.context("the tail of the logbook")?.context("the host ended the tail")?;
            if !answer.entries.is_empty() {
                last = Instant::now();
            }
            for entry in &answer.entries {
                self.see(entry).await?;
            }
            self.cursor = answer.cursor;
        }
        Ok(())
    }

    /// Shows entries until a job has ended. How it ended.
    pub async fn until_ended(&mut self, job: &str) -> anyhow::Result<String> {
        self.until(|log| log.jobs.get(job).is_some_and(|seen| seen.ended.is_some())).await?;
        let ended = self.jobs.get(job).and_then(|seen| seen.ended.clone());
        ended.with_context(|| format!("the end of {job} was lost"))
    }

    /// `job 3`.
    pub fn name(&self, job: &str) -> String {
        match self.jobs.get(job) {
            Some(seen) => format!("job {}", seen.number),
            None => format!("job {job}"),
        }
    }

    async fn see(&mut self, entry: &v1::Entry) -> anyhow::Result<()> {
        let data: Value = match entry.data_json.as_str() {
            "" => Value::Null,
            json => serde_json::from_str(json).with_context(|| format!("the data of {}", entry.kind))?,
        };
        let mut facts = Vec::new();
        if !self.jobs.contains_key(&entry.job) {
            facts.push(self.meet(&entry.job).await?);
        }
        let at = text::instant(entry.time.as_ref())?;
        let Some(seen) = self.jobs.get_mut(&entry.job) else {
            bail!("the job {} was not met", entry.job);
        };
        let took = seen.take(entry, at);
        if entry.kind == "job.ended" {
            seen.ended = Some(entry.state_after.clone());
        }
        let number = seen.number;
        if !is_shown(entry) {
            return Ok(());
        }
        facts.extend(took.map(|took| format!("in {}", text::duration(took))));
        facts.extend(told(entry, &data));
        let word = if entry.kind == "job.ended" { &entry.state_after } else { last_part(&entry.kind) };
        let shown = self.screen.by_meaning(word, &format!("{:WORD_WIDTH$}", word.replace('_', " ")));
        let clock = self.screen.dim(&text::clock(at));
        let line =
            format!("   {clock}  job {number:<2}  {:TASK_WIDTH$}  {shown}  {}", entry.task, facts.join(", "));
        self.screen.line(line.trim_end())
    }

    /// A job that is seen for the first time: where it comes from.
    async fn meet(&mut self, id: &str) -> anyhow::Result<String> {
        let job = self.client.job(id).await?.job;
        let origin = job.origin.unwrap_or_default();
        let from = match (origin.operation.as_str(), origin.event_id.as_str()) {
            ("", _) => "submitted".to_owned(),
            (_, "") => {
                let due = text::instant(job.expect_start_time.as_ref())?;
                format!("by its schedule, due {}", text::clock(due))
            }
            (_, event) => format!("for the event {event} of {}", origin.event_source),
        };
        let number = self.jobs.len() + 1;
        let seen = Seen { number, operation: origin.operation, ended: None, began: BTreeMap::new() };
        self.jobs.insert(id.to_owned(), seen);
        Ok(from)
    }
}

impl Seen {
    /// Remembers when things begin, and tells how long what ends has taken.
    fn take(&mut self, entry: &v1::Entry, at: DateTime<Utc>) -> Option<Duration> {
        match entry.kind.as_str() {
            "job.claimed" => {
                // A job that changes hands is still the same work.
                self.began.entry(String::new()).or_insert(at);
                None
            }
            "task.applying" | "task.reverting" => {
                self.began.insert(entry.task.clone(), at);
                None
            }
            "task.applied" | "task.apply_failed" | "task.reverted" | "task.revert_failed" | "job.ended" => {
                // A task that had nothing to undo was not called.
                (at - self.began.remove(&entry.task)?).to_std().ok()
            }
            _ => None,
        }
    }
}

async fn tail(client: &Client, cursor: String) -> anyhow::Result<Streaming<v1::TailEntriesResponse>> {
    let request = v1::TailEntriesRequest { cursor, kinds: Vec::new() };
    Ok(client.logbook().tail(request).await.context("the tail of the logbook")?.into_inner())
}

/// The rest is in the logbook, which the demo prints at its end.
fn is_shown(entry: &v1::Entry) -> bool {
    match entry.kind.as_str() {
        "task.applying" => entry.attempt > 1,
        "job.created" | "job.claim_lost" | "job.unwinding" | "job.ended" | "task.in_doubt"
        | "task.backoff" | "task.applied" | "task.apply_failed" | "task.reverted" | "task.revert_failed" => {
            true
        }
        _ => false,
    }
}

/// What an entry tells beside its kind.
fn told(entry: &v1::Entry, data: &Value) -> Vec<String> {
    let mut facts = Vec::new();
    if entry.attempt > 1 {
        facts.push(format!("attempt {}", entry.attempt));
    }
    if let Some(prior) = data["prior"].as_str().filter(|prior| *prior != "none") {
        facts.push(format!("the one before it: {prior}"));
    }
    // The unwinding says why; the end would say it again.
    if !entry.reason.is_empty() && !matches!(entry.kind.as_str(), "job.ended" | "job.unwinding") {
        facts.push(entry.reason.clone());
    }
    let output = &data["output"]["value"];
    match (entry.kind.as_str(), entry.task.as_str()) {
        ("task.applied", "snapshot") => {
            if let (Some(files), Some(bytes), Some(packed)) =
                (output["files"].as_u64(), output["bytes"].as_u64(), output["archive_bytes"].as_u64())
            {
                let (files, bytes, packed) =
                    (text::count(files, "file"), text::bytes(bytes), text::bytes(packed));
                facts.push(format!("{files}, {bytes}, packed {packed}"));
            }
        }
        ("task.applied", "publish") => {
            facts.extend(output["archive"].as_str().map(str::to_owned));
            let retired = output["retired"].as_array().map_or(0, Vec::len);
            if retired > 0 {
                facts.push(format!("{} retired", text::count(retired as u64, "older archive")));
            }
        }
        ("task.reverted", _) => {
            let removed = output["removed"].as_array().into_iter().flatten().filter_map(Value::as_str);
            facts.extend(removed.map(|name| format!("removed {name}")));
        }
        _ => {}
    }
    facts
}

fn last_part(kind: &str) -> &str {
    kind.rsplit('.').next().unwrap_or(kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_second_attempt_is_told_with_what_is_known_of_the_first() {
        let entry = v1::Entry { kind: "task.applying".to_owned(), attempt: 2, ..v1::Entry::default() };
        assert!(is_shown(&entry));
        let facts = told(&entry, &json!({ "prior": "interrupted" }));
        assert_eq!(facts, ["attempt 2", "the one before it: interrupted"]);
    }

    #[test]
    fn what_a_revert_removed_is_told() {
        let entry = v1::Entry {
            kind: "task.reverted".to_owned(),
            task: "snapshot".to_owned(),
            ..v1::Entry::default()
        };
        let data =
            json!({ "output": { "media_type": "application/json", "value": { "removed": ["a.partial"] } } });
        assert_eq!(told(&entry, &data), ["removed a.partial"]);
    }
}
