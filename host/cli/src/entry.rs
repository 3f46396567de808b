//! Entries of the logbook, as lines: what a watch and the logbook show.
//!
//! Invariant: one line a fact, whatever a guest printed.

use std::collections::HashMap;

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use windlass_proto::v1;

use crate::job::elapsed;
use crate::style::Paint;
use crate::{text, time};

/// Words of kinds and states are at most so wide, and stay aligned.
const WORD_WIDTH: usize = 13;

/// An entry for a program.
#[derive(Serialize)]
pub struct EntryView {
    sequence: u64,
    time: Option<String>,
    job: String,
    task: String,
    iteration: Vec<u32>,
    attempt: u32,
    epoch: u64,
    actor: String,
    kind: String,
    reason: String,
    state_after: String,
    data: Option<Box<RawValue>>,
}

impl From<&v1::Entry> for EntryView {
    fn from(entry: &v1::Entry) -> Self {
        Self {
            sequence: entry.sequence,
            time: entry.time.as_ref().map(time::rfc3339),
            job: entry.job.clone(),
            task: entry.task.clone(),
            iteration: entry.iteration.clone(),
            attempt: entry.attempt,
            epoch: entry.epoch,
            actor: entry.actor.clone(),
            kind: entry.kind.clone(),
            reason: entry.reason.clone(),
            state_after: entry.state_after.clone(),
            data: text::raw(&entry.data_json),
        }
    }
}

/// Makes lines of entries, and remembers when calls began.
pub struct Lines {
    paint: Paint,
    /// Of the longest name of a task.
    width: usize,
    /// Whether a line tells which job it is about.
    with_job: bool,
    /// When a call of a task instance, or the work on a job (`job`), began.
    began: HashMap<(String, String), Timestamp>,
}

impl Lines {
    pub fn new(paint: Paint, with_job: bool) -> Self {
        Self { paint, width: "job".len(), with_job, began: HashMap::new() }
    }

    /// Makes room for names.
    pub fn align<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            self.width = self.width.max(name.chars().count());
        }
    }

    /// The lines of an entry, without their ends: one, or as many as the guest printed.
    pub fn entry(&mut self, entry: &v1::Entry) -> Vec<String> {
        // What cannot be read is shown as an entry without data.
        let data: Data = serde_json::from_str(&entry.data_json).unwrap_or_default();
        if !data.lines.is_empty() {
            return data.lines.iter().map(|line| self.printed(entry, line)).collect();
        }
        let word = word(entry);
        let tone = if entry.state_after.is_empty() { word.as_str() } else { entry.state_after.as_str() };
        let shown = self.paint.state(tone, &format!("{word:WORD_WIDTH$}"));
        let facts = self.facts(entry, &data);
        let mut line = self.start(entry.time.as_ref(), &entry.job, &subject(entry));
        line.push_str(&shown);
        if !facts.is_empty() {
            line.push_str(&format!("  {}", facts.join(", ")));
        }
        vec![line.trim_end().to_owned()]
    }

    /// Progress, for where lines cannot be replaced.
    pub fn progress(&self, job: &str, update: &v1::ProgressUpdate) -> String {
        let name = update.task.clone().unwrap_or_default();
        let progress = update.progress.clone().unwrap_or_default();
        let subject = text::instance(&name.task, &name.iteration);
        // Progress is not numbered and carries no time: it is from now.
        let now = time::timestamp(chrono::Utc::now());
        let mut line = self.start(Some(&now), job, &subject);
        line.push_str(&format!("{:WORD_WIDTH$}  {}", "progress", percent(&progress)));
        line.trim_end().to_owned()
    }

    fn printed(&self, entry: &v1::Entry, printed: &Printed) -> String {
        let at = time::instant(&printed.at).ok().or(entry.time);
        let mut line = self.start(at.as_ref(), &entry.job, &subject(entry));
        let source = text::one_line(&printed.source);
        line.push_str(&self.paint.dim(&format!("{source:WORD_WIDTH$}")));
        line.push_str(&format!("  | {}", text::one_line(&printed.text)));
        line.trim_end().to_owned()
    }

    fn start(&self, at: Option<&Timestamp>, job: &str, subject: &str) -> String {
        let at = at.map(|at| clock(at, self.paint)).unwrap_or_default();
        let mut line = format!("{}  ", self.paint.dim(&at));
        if self.with_job {
            line.push_str(&format!("{job:36}  "));
        }
        let subject = text::one_line(subject);
        line.push_str(&format!("{subject:width$}  ", width = self.width));
        line
    }

    fn facts(&mut self, entry: &v1::Entry, data: &Data) -> Vec<String> {
        let mut facts = Vec::new();
        if entry.attempt > 1 {
            facts.push(format!("attempt {}", entry.attempt));
        }
        if data.prior.as_deref() == Some("interrupted") {
            facts.push("the last one was interrupted".to_owned());
        }
        if entry.kind == "job.claimed" && entry.epoch > 1 {
            facts.push(format!("epoch {}", entry.epoch));
        }
        if let Some(took) = self.took(entry) {
            facts.push(format!("in {took}"));
        }
        if let Some(fraction) = data.fraction {
            let message = data.message.clone().unwrap_or_default();
            facts.push(percent(&v1::Progress { fraction, message }));
        }
        if !entry.reason.is_empty() {
            facts.push(text::one_line(&entry.reason));
        }
        let next = data.next_try.as_ref().and_then(|at| time::instant(at).ok());
        if let (Some(at), Some(next)) = (&entry.time, next) {
            facts.extend(elapsed(at, &next).map(|pause| format!("again in {}", time::human(pause))));
        }
        facts
    }

    /// How long what an entry ends has taken.
    fn took(&mut self, entry: &v1::Entry) -> Option<String> {
        let key = (entry.job.clone(), subject(entry));
        let at = entry.time?;
        match entry.kind.as_str() {
            "task.applying" | "task.reverting" | "task.child_ordered" => {
                self.began.insert(key, at);
                None
            }
            // A job that changes hands is still the same work.
            "job.claimed" => {
                self.began.entry(key).or_insert(at);
                None
            }
            "task.applied"
            | "task.apply_failed"
            | "task.backoff"
            | "task.reverted"
            | "task.revert_failed"
            | "task.revert_backoff"
            | "job.ended" => {
                let began = self.began.remove(&key)?;
                elapsed(&began, &at).map(time::human)
            }
            _ => None,
        }
    }
}

/// What lines tell of an entry's data.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    lines: Vec<Printed>,
    fraction: Option<f32>,
    message: Option<String>,
    prior: Option<String>,
    next_try: Option<String>,
}

/// A line that a guest printed or logged.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Printed {
    at: String,
    source: String,
    text: String,
}

/// The time of day on a terminal, and the whole time for programs and files.
fn clock(at: &Timestamp, paint: Paint) -> String {
    match (paint, time::of_timestamp(at)) {
        (Paint::Colour, Some(at)) => at.with_timezone(&chrono::Local).format("%H:%M:%S%.3f").to_string(),
        _ => time::rfc3339(at),
    }
}

/// What an entry is about.
fn subject(entry: &v1::Entry) -> String {
    if entry.task.is_empty() { "job".to_owned() } else { text::instance(&entry.task, &entry.iteration) }
}

/// What happened, in a word or two.
fn word(entry: &v1::Entry) -> String {
    let word = match entry.kind.as_str() {
        // How it ended says more than that it did.
        "job.ended" if !entry.state_after.is_empty() => &entry.state_after,
        kind => kind.split_once('.').map_or(kind, |(_, word)| word),
    };
    text::one_line(&word.replace('_', " "))
}

/// `42 %  message`.
pub fn percent(progress: &v1::Progress) -> String {
    let percent = f64::from(progress.fraction.clamp(0.0, 1.0)) * 100.0;
    let line = format!("{percent:3.0} %  {}", text::one_line(&progress.message));
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seconds: i64, task: &str, kind: &str, after: &str) -> v1::Entry {
        v1::Entry {
            time: Some(Timestamp { seconds, nanos: 0 }),
            job: "j".to_owned(),
            task: task.to_owned(),
            kind: kind.to_owned(),
            state_after: after.to_owned(),
            attempt: u32::from(!task.is_empty()),
            ..v1::Entry::default()
        }
    }

    #[test]
    fn a_watch_is_one_aligned_line_a_fact() {
        let mut lines = Lines::new(Paint::Plain, false);
        lines.align(["snapshot", "publish-all"]);
        let shown: Vec<String> = [
            entry(0, "", "job.claimed", ""),
            entry(1, "snapshot", "task.applying", "applying"),
            entry(3, "snapshot", "task.applied", "applied"),
            entry(4, "", "job.ended", "succeeded"),
        ]
        .iter()
        .flat_map(|entry| lines.entry(entry))
        .collect();
        assert_eq!(
            shown,
            [
                "1970-01-01T00:00:00.000Z  job          claimed",
                "1970-01-01T00:00:01.000Z  snapshot     applying",
                "1970-01-01T00:00:03.000Z  snapshot     applied        in 2.00s",
                "1970-01-01T00:00:04.000Z  job          succeeded      in 4.00s",
            ]
        );
    }

    #[test]
    fn attempts_reasons_and_pauses_are_told() {
        let mut lines = Lines::new(Paint::Plain, true);
        let mut failed = entry(9, "a", "task.backoff", "backoff");
        failed.attempt = 3;
        failed.reason = "net.down: no route\nto host".to_owned();
        failed.data_json = r#"{"next_try":"1970-01-01T00:00:11Z"}"#.to_owned();
        let line = &lines.entry(&failed)[0];
        assert!(
            line.ends_with("backoff        attempt 3, net.down: no route to host, again in 2.00s"),
            "{line}"
        );
        assert!(line.contains("  j   "), "{line}");
    }

    #[test]
    fn what_a_guest_prints_is_a_line_each_and_stays_there() {
        let mut lines = Lines::new(Paint::Plain, false);
        let mut printed = entry(9, "a", "task.printed", "");
        printed.data_json = r#"{"lines":[
            {"at":"1970-01-01T00:00:08Z","source":"stdout","text":"one"},
            {"at":"1970-01-01T00:00:09Z","source":"warn","text":"two\u001b[2J\nthree"}]}"#
            .to_owned();
        assert_eq!(
            lines.entry(&printed),
            [
                "1970-01-01T00:00:08.000Z  a    stdout         | one",
                "1970-01-01T00:00:09.000Z  a    warn           | two\u{fffd}[2J three",
            ]
        );
    }

    #[test]
    fn progress_is_a_percentage() {
        let progress = v1::Progress { fraction: 0.5, message: "half".to_owned() };
        assert_eq!(percent(&progress), " 50 %  half");
    }

    #[test]
    fn entries_are_written_for_programs_with_their_data() {
        let mut noted = entry(9, "a", "task.undo_recorded", "");
        noted.data_json = r#"{"n":1.10}"#.to_owned();
        let json = serde_json::to_string(&EntryView::from(&noted)).unwrap();
        assert!(json.contains(r#""data":{"n":1.10}"#), "{json}");
    }
}
