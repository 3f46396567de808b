//! The backup: what a running host keeps, as it sends it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use windlass_proto::v1;

use super::kept::Kept;
use crate::problem::Problem;
use crate::session::Session;
use crate::style::Paint;

/// While bytes are on their way. How many there will be nobody knows.
const BAR: &str = "{spinner:.cyan} backing up {binary_total_bytes} {binary_bytes_per_sec} {elapsed}";
/// How often the spinner moves.
const SPIN_EVERY: Duration = Duration::from_millis(120);

pub async fn run(session: &Session, file: &str) -> Result<(), Problem> {
    // Before the host is asked: a file that cannot be written is told first.
    let mut kept = Kept::begin(file)?;
    let mut answers = session.store().backup(v1::BackupStoreRequest {}).await?.into_inner();
    let bar = bar();
    while let Some(answer) = answers.message().await? {
        kept.take(&answer.chunk)?;
        if let Some(bar) = &bar {
            bar.set_length(kept.bytes());
        }
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let said = kept.end()?;
    session.output.note(&said);
    Ok(())
}

/// Only on a terminal.
fn bar() -> Option<ProgressBar> {
    let is_terminal = Paint::for_stream(&std::io::stderr()) == Paint::Colour;
    is_terminal.then(|| {
        let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style);
        bar.enable_steady_tick(SPIN_EVERY);
        bar
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_a_style() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
