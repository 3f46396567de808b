//! Output: how answers are shown. Tables for people, JSON for programs, ids for shells.
//!
//! Answers go to standard output, and everything else (progress, notes, problems) to standard error.

use std::io::Write as _;

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, Table, presets};
use serde::Serialize;

use crate::problem::Problem;
use crate::style::{Paint, Tone, tone};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: columns, or one line for each fact about one thing.
    Table,
    /// One JSON document.
    Json,
    /// A JSON document for each thing, each on a line.
    Jsonl,
    /// Ids (of plugins: digests), each on a line.
    Id,
}

/// A thing that can be shown in every format.
pub trait Show: Serialize {
    /// Headings of a list. The one called `STATE` is coloured.
    const COLUMNS: &'static [&'static str];

    /// What names it for a program.
    fn id(&self) -> String;

    /// One cell for each column.
    fn row(&self) -> Vec<String>;

    /// All that people want to know of it; empty facts are not shown.
    fn facts(&self) -> Vec<(&'static str, String)>;
}

/// Where and how answers are shown.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub format: Format,
    /// Of standard output.
    pub paint: Paint,
}

impl Output {
    pub fn new(format: Format) -> Self {
        Self { format, paint: Paint::for_stream(&std::io::stdout()) }
    }

    /// Shows one thing in full.
    pub fn one<T: Show>(&self, thing: &T) -> Result<(), Problem> {
        match self.format {
            Format::Table => self.line(&facts(&thing.facts(), self.paint)),
            Format::Json => self.json(thing),
            Format::Jsonl => self.jsonl(thing),
            Format::Id => self.line(&thing.id()),
        }
    }

    /// Shows a list.
    pub fn many<T: Show>(&self, things: &[T]) -> Result<(), Problem> {
        match self.format {
            Format::Table => self.line(&self.table(things)),
            Format::Json => self.json(&things),
            Format::Jsonl => things.iter().try_for_each(|thing| self.jsonl(thing)),
            Format::Id => things.iter().try_for_each(|thing| self.line(&thing.id())),
        }
    }

    /// Tells people, on standard error, that something was done; programs have the exit code.
    pub fn note(&self, text: &str) {
        if self.format == Format::Table {
            eprintln!("{text}");
        }
    }

    pub fn json(&self, value: &impl Serialize) -> Result<(), Problem> {
        let text = serde_json::to_string_pretty(value).map_err(unwritable)?;
        self.line(&text)
    }

    pub fn jsonl(&self, value: &impl Serialize) -> Result<(), Problem> {
        let text = serde_json::to_string(value).map_err(unwritable)?;
        self.line(&text)
    }

    pub fn line(&self, text: &str) -> Result<(), Problem> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes to standard output at once, so that a pipe sees a watch as it happens.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Problem> {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            // Whoever reads has seen enough, as in `windlass job list | head`: that is no failure.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(Problem::broken(format!("standard output cannot be written: {error}"))),
        }
    }

    fn table<T: Show>(&self, things: &[T]) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        match self.paint {
            Paint::Plain => table.force_no_tty(),
            Paint::Colour => table.enforce_styling(),
        };
        table.set_header(T::COLUMNS.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
        for thing in things {
            table.add_row(T::COLUMNS.iter().zip(thing.row()).map(|(name, text)| cell(name, &text)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt()
    }
}

fn cell(column: &str, text: &str) -> Cell {
    let text = crate::text::one_line(text);
    if column != "STATE" {
        return Cell::new(text);
    }
    let tone = tone(&text);
    let cell = Cell::new(text);
    match tone {
        Tone::Good => cell.fg(Color::Green),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Warn => cell.fg(Color::Yellow),
        Tone::Busy => cell.fg(Color::Cyan),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Plain => cell,
    }
}

/// `name  value` lines, aligned; further lines of a value are indented below its first.
fn facts(facts: &[(&'static str, String)], paint: Paint) -> String {
    let shown = || facts.iter().filter(|(_, value)| !value.is_empty());
    let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = shown().map(|(name, value)| {
        let painted = if *name == "state" {
            paint.state(value, value)
        } else {
            value.replace('\n', &format!("\n{:width$}  ", ""))
        };
        format!("{}  {painted}", paint.dim(&format!("{name:width$}")))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn unwritable(error: serde_json::Error) -> Problem {
    Problem::broken(format!("the answer cannot be written as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        id: &'static str,
        state: &'static str,
    }

    impl Show for Thing {
        const COLUMNS: &'static [&'static str] = &["ID", "STATE"];
        fn id(&self) -> String {
            self.id.to_owned()
        }
        fn row(&self) -> Vec<String> {
            vec![self.id.to_owned(), self.state.to_owned()]
        }
        fn facts(&self) -> Vec<(&'static str, String)> {
            vec![("id", self.id()), ("state", self.state.to_owned())]
        }
    }

    #[test]
    fn tables_are_aligned_and_plain_when_piped() {
        let output = Output { format: Format::Table, paint: Paint::Plain };
        let things = [Thing { id: "1", state: "running" }, Thing { id: "22222", state: "failed" }];
        assert_eq!(output.table(&things), "ID     STATE\n1      running\n22222  failed");
    }

    #[test]
    fn facts_are_aligned_and_empty_ones_are_left_out() {
        let shown = facts(
            &[("id", "1".to_owned()), ("note", String::new()), ("reason", "a\nb".to_owned())],
            Paint::Plain,
        );
        assert_eq!(shown, "id      1\nreason  a\n        b");
    }
}
