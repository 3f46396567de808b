//! The effect ledger: what the fixtures really did, a line for each call, written before the call did anything else.

use std::path::Path;

use serde_json::Value;

/// The file in the granted directory.
pub const FILE: &str = "ledger.jsonl";

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerLine {
    /// `apply`, `observe` or `revert`.
    pub kind: String,
    pub action: String,
    pub job: String,
    pub task: String,
    pub iteration: Vec<u32>,
    /// The idempotency key.
    pub key: String,
    pub attempt: u32,
    /// Which try of the scope around it.
    pub scope_attempt: u32,
    /// `none`, `failed` or `interrupted`.
    pub prior: String,
    pub fence: u64,
    pub input: Value,
    /// Of a revert or an observation: `{"end": ..., "undo": [...]}`.
    pub evidence: Value,
    /// Of a revert: the failures of the job, by task.
    pub failures: Value,
}

impl LedgerLine {
    fn parse(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).expect("a line of the ledger is JSON");
        let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{name} of {line}")).to_owned();
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("a number of {line}"));
        let small = |value: &Value| u32::try_from(number(value)).expect("attempts and rounds are small");
        Self {
            kind: text("kind"),
            action: text("action"),
            job: text("job"),
            task: text("task"),
            iteration: line["iteration"].as_array().into_iter().flatten().map(small).collect(),
            key: text("key"),
            attempt: small(&line["attempt"]),
            scope_attempt: small(&line["scope_attempt"]),
            prior: text("prior"),
            fence: number(&line["fence"]),
            input: line["input"].clone(),
            evidence: line["evidence"].clone(),
            failures: line["failures"].clone(),
        }
    }

    /// Such as `apply b`.
    pub fn call(&self) -> String {
        let rounds: String = self.iteration.iter().map(|round| format!("#{round}")).collect();
        format!("{} {}{rounds}", self.kind, self.task)
    }
}

/// Every call so far, in the order in which they began. A line that is being written is not one yet.
pub fn read(directory: &Path) -> Vec<LedgerLine> {
    match std::fs::read_to_string(directory.join(FILE)) {
        Ok(ledger) => {
            ledger.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(LedgerLine::parse).collect()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("the ledger cannot be read: {error}"),
    }
}
