//! The screen: what the demo prints, in colour on a terminal and plain elsewhere.

use std::io::{IsTerminal, Write as _};

use anyhow::Context as _;
use clap::builder::styling::{AnsiColor, Style};

/// Where lines go, and whether they are coloured.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    is_coloured: bool,
}

impl Screen {
    pub fn of_stdout() -> Self {
        Self { is_coloured: is_coloured(&std::io::stdout()) }
    }

    pub fn of_stderr() -> Self {
        Self { is_coloured: is_coloured(&std::io::stderr()) }
    }

    /// The heading of an act.
    pub fn act(self, number: u32, title: &str) -> anyhow::Result<()> {
        let heading = format!("{number}  {title}");
        self.line(&format!("\n{}", self.paint(Style::new().bold(), &heading)))
    }

    /// A fact.
    pub fn say(self, text: &str) -> anyhow::Result<()> {
        self.line(&format!("   {text}"))
    }

    /// A fact that was checked.
    pub fn checked(self, text: &str) -> anyhow::Result<()> {
        self.line(&format!("   {} {text}", self.good("ok")))
    }

    pub fn line(self, text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .context("standard output cannot be written")
    }

    pub fn strong(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    pub fn good(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    pub fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    fn warn(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    fn busy(self, text: &str) -> String {
        self.paint(AnsiColor::Cyan.on_default(), text)
    }

    /// Text in the colour of what happened: a kind of entry without its first part, or a state.
    pub fn by_meaning(self, meaning: &str, text: &str) -> String {
        match meaning {
            "succeeded" | "applied" => self.good(text),
            "failed" | "apply_failed" | "revert_failed" | "claim_lost" => self.bad(text),
            "reverted" | "unwinding" | "in_doubt" | "backoff" => self.warn(text),
            "created" | "applying" => self.busy(text),
            _ => text.to_owned(),
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.is_coloured { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// On a terminal, unless the environment asks for none (<https://no-color.org>).
fn is_coloured(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !refused
}
