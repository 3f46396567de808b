//! What the program is asked for.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use windlass_tests::plugins::target_directory;

pub const USAGE: &str = "\
Measures a host as its clients see it, beside the floor of the same run.

bench [--quick] [--only NAME]... [--rounds N] [--span SECONDS] [--json FILE] [--gate] [--list] [-- SERVE_ARGUMENT...]

  --quick        small sizes and one round: a minute or two in all
  --only NAME    only this workload; repeatable
  --rounds N     so many rounds, in the place of five (three for what takes long)
  --span SECONDS how long each rate is measured
  --json FILE    where the figures are written [default: bench.json in cargo's target directory]
  --gate         ends with status 1 where a target is not met
  --list         the names of the workloads
  -- ARGUMENT... passed on to `windlass serve`";

/// A run of the program.
#[derive(Debug, Clone)]
pub struct Arguments {
    pub is_quick: bool,
    pub only: Vec<String>,
    pub rounds: Option<usize>,
    pub span: Option<Duration>,
    pub json: PathBuf,
    pub is_gate: bool,
    pub is_list: bool,
    /// For `windlass serve`.
    pub serve: Vec<String>,
}

impl Arguments {
    pub fn parse(mut given: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            is_quick: false,
            only: Vec::new(),
            rounds: None,
            span: None,
            json: target_directory().join("bench.json"),
            is_gate: false,
            is_list: false,
            serve: Vec::new(),
        };
        while let Some(word) = given.next() {
            let mut value = || given.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
            match word.as_str() {
                "--quick" => arguments.is_quick = true,
                "--gate" => arguments.is_gate = true,
                "--list" => arguments.is_list = true,
                "--only" => arguments.only.push(value()?),
                "--rounds" => arguments.rounds = Some(number(&word, &value()?)?),
                "--span" => {
                    let seconds = number(&word, &value()?)?;
                    arguments.span = Some(Duration::from_secs(seconds.try_into()?));
                }
                "--json" => arguments.json = value()?.into(),
                "--" => arguments.serve.extend(given.by_ref()),
                _ => bail!("{word:?} is not known\n\n{USAGE}"),
            }
        }
        Ok(arguments)
    }
}

fn number(word: &str, value: &str) -> Result<usize> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => bail!("{word} {value:?}: give a whole number from 1 on"),
    }
}
