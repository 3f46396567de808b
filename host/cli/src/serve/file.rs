//! The file with settings: TOML, every setting optional, unknown names refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::LogFormat;
use super::settings::{AllowedDirectory, allowed_directory};
use crate::problem::Problem;

/// What a file says. The names are those of the flags.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    pub data_dir: Option<PathBuf>,
    pub store: Option<String>,
    pub listen: Option<SocketAddr>,
    pub name: Option<String>,
    pub slots: Option<u32>,
    pub allow_dirs: Option<Vec<Directory>>,
    pub call_timeout: Option<Span>,
    pub memory_max: Option<Size>,
    pub output_max: Option<Size>,
    pub interval_min: Option<Span>,
    pub guest_threads: Option<u32>,
    pub store_cache: Option<Size>,
    pub policy: Option<PathBuf>,
    pub drain_timeout: Option<Span>,
    pub log: Option<String>,
    pub log_format: Option<LogFormat>,
}

/// `5m`.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub Duration);

/// `256MiB`.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

/// `/srv/data:ro`.
#[derive(Debug, Clone)]
pub struct Directory(pub AllowedDirectory);

macro_rules! written {
    ($name:ident, $parse:path) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).map(Self).map_err(serde::de::Error::custom)
            }
        }
    };
}

written!(Span, crate::time::duration);
written!(Size, crate::text::parse_bytes);
written!(Directory, allowed_directory);

/// Reads a file that must be there.
pub fn read(path: &Path) -> Result<FileSettings, Problem> {
    let file = config::File::from(path).format(config::FileFormat::Toml).required(true);
    config::Config::builder().add_source(file).build().and_then(config::Config::try_deserialize).map_err(
        |error| {
            Problem::usage(format!("the configuration file {} cannot be used: {error}", path.display()))
                .advise("`windlass serve --help` names every setting")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FileSettings, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("windlass.toml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|problem| problem.what)
    }

    #[test]
    fn a_file_says_what_it_wants_and_nothing_else() {
        let file = parse(
            "listen = \"127.0.0.1:9000\"\nslots = 4\ncall_timeout = \"90s\"\n\
             memory_max = \"64MiB\"\nallow_dirs = [\"/srv:ro\", \"/out:rw\"]\nlog_format = \"json\"\n",
        )
        .unwrap();
        assert_eq!(file.slots, Some(4));
        assert_eq!(file.call_timeout.unwrap().0, Duration::from_secs(90));
        assert_eq!(file.memory_max.unwrap().0, 64 << 20);
        assert_eq!(file.allow_dirs.unwrap().len(), 2);
        assert_eq!(file.log_format, Some(LogFormat::Json));
        assert!(file.drain_timeout.is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("slot = 4", "slot"),
            ("slots = \"many\"", "slots"),
            ("call_timeout = \"soon\"", "soon"),
            ("listen = \"here\"", "listen"),
            ("slots = ", "windlass.toml"),
        ] {
            let what = parse(text).unwrap_err();
            assert!(what.contains(word), "{text}: {what}");
        }
        assert!(read(Path::new("/nowhere/windlass.toml")).is_err());
    }
}
