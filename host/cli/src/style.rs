//! Style: colour for people, and none for programs.

use std::io::IsTerminal;

use clap::builder::styling::{AnsiColor, Style};

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Colour,
}

impl Paint {
    /// Colour on a terminal, unless the environment asks for none (<https://no-color.org>).
    pub fn for_stream(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if stream.is_terminal() && !refused { Self::Colour } else { Self::Plain }
    }

    pub fn good(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    pub fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    pub fn warn(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    pub fn busy(self, text: &str) -> String {
        self.paint(AnsiColor::Cyan.on_default(), text)
    }

    pub fn strong(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    /// By what a state, or the last word of a kind of entry, means.
    pub fn state(self, state: &str, text: &str) -> String {
        match tone(state) {
            Tone::Good => self.good(text),
            Tone::Bad => self.bad(text),
            Tone::Warn => self.warn(text),
            Tone::Busy => self.busy(text),
            Tone::Dim => self.dim(text),
            Tone::Plain => text.to_owned(),
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("{style}{text}{style:#}"),
        }
    }
}

/// What a state means to whoever looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Warn,
    Busy,
    Dim,
    Plain,
}

/// The tone of a state, or of the last word of a kind of entry.
pub fn tone(state: &str) -> Tone {
    match state {
        "succeeded" | "applied" | "active" | "live" | "accepted" => Tone::Good,
        "failed" | "apply_failed" | "revert_failed" | "quarantined" | "dead" => Tone::Bad,
        "reverting" | "reverted" | "backoff" | "in_doubt" | "suspended" | "suspending" | "cancelled"
        | "dropped" | "superseded" | "skipped_revert" | "paused" | "suspect" | "draining" => Tone::Warn,
        "running" | "applying" | "observing" | "started" | "ready" | "triggered" => Tone::Busy,
        "printed" | "logged" | "noted" | "retired" | "exhausted" | "deleted" | "gone" => Tone::Dim,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paint_changes_nothing() {
        assert_eq!(Paint::Plain.state("failed", "failed"), "failed");
        assert!(Paint::Colour.state("failed", "failed").starts_with('\u{1b}'));
    }
}
