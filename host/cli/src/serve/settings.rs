//! Settings of a host: resolved, checked, each with its origin.
//!
//! Invariant: a host listens on loopback only, for nobody is authenticated yet.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::parser::{ArgMatches, ValueSource};
use windlass_proto::v1::Access;

use super::file::{self, FileSettings};
use super::{LogFormat, ServeArguments};
use crate::problem::Problem;
use crate::{text, time};

/// Calls mostly wait for what they do elsewhere, and so many share a commit; more at once than this is a decision.
const SLOTS_DEFAULT: u32 = 64;
/// Each slot may hold an instance with its memory; beyond this a host should rather get company.
const SLOTS_MAX: u32 = 1_024;
/// Enough for guests in interpreted languages. A bound: a call takes what it needs.
const MEMORY_DEFAULT: u64 = 256 << 20;
/// No guest starts in less.
const MEMORY_MIN: u64 = 1 << 20;
/// What a 32-bit guest can address.
const MEMORY_MAX: u64 = 4 << 30;
/// Data that steers work; what is larger belongs into a granted directory.
const OUTPUT_DEFAULT: u64 = 1 << 20;
const OUTPUT_MIN: u64 = 1 << 10;
/// Outputs are held in memory and written in one commit.
const OUTPUT_MAX: u64 = 16 << 20;
/// The shortest interval that a cron rule can name.
const INTERVAL_MIN_DEFAULT: Duration = Duration::from_secs(1);
const INTERVAL_MIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// More threads than this on one machine are a mistake.
const GUEST_THREADS_MAX: u32 = 1_024;
/// Holds the hot rows of a hundred thousand jobs.
const STORE_CACHE_DEFAULT: u64 = 64 << 20;
/// Below this the store reads its own inner nodes again and again.
const STORE_CACHE_MIN: u64 = 1 << 20;
const STORE_CACHE_MAX: u64 = 64 << 30;
/// Long for a call, short for whoever waits for a stuck one.
const CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// A call that takes longer should be a job that waits.
const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// What service managers grant by custom before they kill.
const DRAIN_DEFAULT: Duration = Duration::from_secs(30);
const DRAIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A value, and who said so.
#[derive(Debug, Clone)]
pub struct Setting<T> {
    pub value: T,
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Environment(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A directory that operations may be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedDirectory {
    pub path: PathBuf,
    pub access: Access,
}

/// All that a host is told.
#[derive(Debug)]
pub struct Settings {
    pub data_dir: Setting<PathBuf>,
    pub store: Setting<Option<String>>,
    pub listen: Setting<SocketAddr>,
    pub name: Setting<String>,
    pub slots: Setting<u32>,
    pub allow_dirs: Setting<Vec<AllowedDirectory>>,
    pub call_timeout: Setting<Duration>,
    pub memory_max: Setting<u64>,
    pub output_max: Setting<u64>,
    pub interval_min: Setting<Duration>,
    pub guest_threads: Setting<u32>,
    pub store_cache: Setting<u64>,
    /// None: everybody may do everything.
    pub policy: Setting<Option<PathBuf>>,
    pub drain_timeout: Setting<Duration>,
    pub log: Setting<String>,
    pub log_format: Setting<LogFormat>,
}

/// `PATH[:ro|rw]`, read-only unless it says otherwise, absolute.
pub fn allowed_directory(text: &str) -> Result<AllowedDirectory, String> {
    let (path, access) = match text.rsplit_once(':') {
        Some((path, "ro")) => (path, Access::ReadOnly),
        Some((path, "rw")) => (path, Access::ReadWrite),
        _ => (text, Access::ReadOnly),
    };
    if path.is_empty() {
        return Err(format!("{text:?} is not of the form PATH, PATH:ro or PATH:rw"));
    }
    let path = std::path::absolute(path).map_err(|error| format!("{text:?}: {error}"))?;
    Ok(AllowedDirectory { path, access })
}

/// Who says what, in order of precedence.
struct Sources<'a> {
    matches: &'a ArgMatches,
    file: Option<&'a Path>,
}

impl Sources<'_> {
    fn pick<T>(&self, id: &str, given: Option<T>, filed: Option<T>, default: T) -> Setting<T> {
        let (value, origin) = match (given, filed, self.file) {
            (Some(value), _, _) => (value, self.given(id)),
            (None, Some(value), Some(path)) => (value, Origin::File(path.to_owned())),
            _ => (default, Origin::Default),
        };
        Setting { value, origin }
    }

    fn given(&self, id: &str) -> Origin {
        match self.matches.value_source(id) {
            Some(ValueSource::EnvVariable) => Origin::Environment(format!("WINDLASS_{}", id.to_uppercase())),
            _ => Origin::Flag,
        }
    }
}

/// Resolves and checks every setting.
pub fn resolve(arguments: ServeArguments, matches: &ArgMatches) -> Result<Settings, Problem> {
    let path = arguments.config.clone();
    let filed = match &path {
        Some(path) => file::read(path)?,
        None => FileSettings::default(),
    };
    let from = Sources { matches, file: path.as_deref() };
    let a = arguments;
    let allowed = (!a.allow_dirs.is_empty()).then_some(a.allow_dirs);
    let filed_dirs = filed.allow_dirs.map(|dirs| dirs.into_iter().map(|it| it.0).collect());
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::command::PORT));
    let settings = Settings {
        data_dir: absolute(from.pick("data_dir", a.data_dir, filed.data_dir, PathBuf::new()))?,
        store: from.pick("store", a.store.map(Some), filed.store.map(Some), None),
        listen: from.pick("listen", a.listen, filed.listen, listen),
        name: from.pick("name", a.name, filed.name, machine_name()),
        slots: from.pick("slots", a.slots, filed.slots, SLOTS_DEFAULT),
        allow_dirs: from.pick("allow_dirs", allowed, filed_dirs, Vec::new()),
        call_timeout: from.pick(
            "call_timeout",
            a.call_timeout,
            filed.call_timeout.map(|it| it.0),
            CALL_TIMEOUT_DEFAULT,
        ),
        memory_max: from.pick("memory_max", a.memory_max, filed.memory_max.map(|it| it.0), MEMORY_DEFAULT),
        output_max: from.pick("output_max", a.output_max, filed.output_max.map(|it| it.0), OUTPUT_DEFAULT),
        interval_min: from.pick(
            "interval_min",
            a.interval_min,
            filed.interval_min.map(|it| it.0),
            INTERVAL_MIN_DEFAULT,
        ),
        guest_threads: from.pick("guest_threads", a.guest_threads, filed.guest_threads, cores()),
        store_cache: from.pick(
            "store_cache",
            a.store_cache,
            filed.store_cache.map(|it| it.0),
            STORE_CACHE_DEFAULT,
        ),
        policy: from.pick("policy", a.policy.map(Some), filed.policy.map(Some), None),
        drain_timeout: from.pick(
            "drain_timeout",
            a.drain_timeout,
            filed.drain_timeout.map(|it| it.0),
            DRAIN_DEFAULT,
        ),
        log: from.pick("log", a.log, filed.log, "info".to_owned()),
        log_format: from.pick("log_format", a.log_format, filed.log_format, LogFormat::Text),
    };
    settings.check()?;
    Ok(settings)
}

/// The data directory, absolute; by default among the state of the user.
fn absolute(mut data_dir: Setting<PathBuf>) -> Result<Setting<PathBuf>, Problem> {
    if data_dir.origin == Origin::Default {
        data_dir.value = state_directory()?;
    }
    data_dir.value = std::path::absolute(&data_dir.value)
        .map_err(|error| Problem::usage(format!("data_dir {:?}: {error}", data_dir.value)))?;
    Ok(data_dir)
}

/// As the XDG base directory specification says.
pub fn state_directory() -> Result<PathBuf, Problem> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = match (named("XDG_STATE_HOME"), named("HOME")) {
        (Some(state), _) => PathBuf::from(state),
        (None, Some(home)) => Path::new(&home).join(".local/state"),
        (None, None) => {
            return Err(Problem::usage("nothing says where to keep the data")
                .advise("--data-dir DIR, or WINDLASS_DATA_DIR"));
        }
    };
    Ok(state.join("windlass"))
}

/// One where the machine does not say.
fn cores() -> u32 {
    std::thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok()).unwrap_or(1)
}

/// What the machine calls itself, or the program's name where it does not say.
fn machine_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "windlass".to_owned())
}

impl Settings {
    fn check(&self) -> Result<(), Problem> {
        if let Some(url) = &self.store.value {
            check_database(url, &self.store.origin)?;
        }
        if !self.listen.value.ip().is_loopback() {
            return Err(Problem::usage(format!(
                "listen = {} ({}) is no loopback address: nobody is authenticated yet, so whoever \
                 reaches the host may do everything",
                self.listen.value, self.listen.origin
            ))
            .advise("127.0.0.1:PORT or [::1]:PORT, and a tunnel for those who are elsewhere"));
        }
        bounded("slots", &self.slots, 1, SLOTS_MAX, u32::to_string)?;
        bounded("memory_max", &self.memory_max, MEMORY_MIN, MEMORY_MAX, |size| text::bytes(*size))?;
        bounded("output_max", &self.output_max, OUTPUT_MIN, OUTPUT_MAX, |size| text::bytes(*size))?;
        bounded("guest_threads", &self.guest_threads, 1, GUEST_THREADS_MAX, u32::to_string)?;
        bounded("store_cache", &self.store_cache, STORE_CACHE_MIN, STORE_CACHE_MAX, |size| {
            text::bytes(*size)
        })?;
        let span = |span: &Duration| time::written(*span);
        let least = Duration::from_millis(1);
        bounded("call_timeout", &self.call_timeout, least, CALL_TIMEOUT_MAX, span)?;
        bounded("interval_min", &self.interval_min, least, INTERVAL_MIN_MAX, span)?;
        bounded("drain_timeout", &self.drain_timeout, Duration::ZERO, DRAIN_MAX, span)
    }

    /// A file that says the same, each value with its origin.
    pub fn render(&self) -> String {
        let directories: Vec<String> = self.allow_dirs.value.iter().map(directory).collect();
        let log_format = match self.log_format.value {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let span = |span: &Setting<Duration>| quoted(&time::written(span.value));
        let size = |size: &Setting<u64>| quoted(&text::written_bytes(size.value));
        let lines = [
            ("data_dir", quoted(&self.data_dir.value.to_string_lossy()), &self.data_dir.origin),
            ("listen", quoted(&self.listen.value.to_string()), &self.listen.origin),
            ("name", quoted(&self.name.value), &self.name.origin),
            ("slots", self.slots.value.to_string(), &self.slots.origin),
            ("allow_dirs", format!("[{}]", directories.join(", ")), &self.allow_dirs.origin),
            ("call_timeout", span(&self.call_timeout), &self.call_timeout.origin),
            ("memory_max", size(&self.memory_max), &self.memory_max.origin),
            ("output_max", size(&self.output_max), &self.output_max.origin),
            ("interval_min", span(&self.interval_min), &self.interval_min.origin),
            ("guest_threads", self.guest_threads.value.to_string(), &self.guest_threads.origin),
            ("store_cache", size(&self.store_cache), &self.store_cache.origin),
            ("drain_timeout", span(&self.drain_timeout), &self.drain_timeout.origin),
            ("log", quoted(&self.log.value), &self.log.origin),
            ("log_format", quoted(log_format), &self.log_format.origin),
        ];
        // TOML has no word for nothing: a policy that nobody named is a comment.
        let policy = match &self.policy.value {
            Some(path) => ("policy", quoted(&path.to_string_lossy()), &self.policy.origin),
            None => ("# policy", "everybody may do everything".to_owned(), &self.policy.origin),
        };
        let store = match &self.store.value {
            Some(url) => ("store", quoted(&without_password(url)), &self.store.origin),
            None => ("# store", "a file in the data directory".to_owned(), &self.store.origin),
        };
        let shown = lines.into_iter().chain([policy, store]).map(|(name, value, origin)| {
            let pair = format!("{name} = {value}");
            format!("{pair:40}  # {origin}\n")
        });
        shown.collect()
    }
}

/// Refuses what is no address of a database.
pub fn check_database(url: &str, origin: impl fmt::Display) -> Result<(), Problem> {
    if ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Ok(());
    }
    let what = format!("store = {:?} ({origin}) is no address of a database", without_password(url));
    Err(Problem::usage(what)
        .advise("postgres://USER@HOST/DATABASE; for a store in a file leave it out, and give --data-dir"))
}

/// The address for people: what may be a password is left out.
fn without_password(url: &str) -> String {
    let hidden = |text: &str| if text.is_empty() { String::new() } else { "***".to_owned() };
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (base, query) = rest.split_once('?').map_or((rest, None), |(base, query)| (base, Some(query)));
    let base = match base.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, password)) => format!("{user}:{}@{host}", hidden(password)),
            None => base.to_owned(),
        },
        None => base.to_owned(),
    };
    let query = query.map(|query| {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name @ "password", value)) => format!("{name}={}", hidden(value)),
            _ => pair.to_owned(),
        });
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{base}{}", query.unwrap_or_default())
}

fn directory(allowed: &AllowedDirectory) -> String {
    let access = match allowed.access {
        Access::ReadWrite => "rw",
        Access::ReadOnly | Access::Unspecified => "ro",
    };
    quoted(&format!("{}:{access}", allowed.path.display()))
}

/// A basic string of TOML, which JSON's strings are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn bounded<T: PartialOrd>(
    name: &str,
    setting: &Setting<T>,
    least: T,
    most: T,
    shown: impl Fn(&T) -> String,
) -> Result<(), Problem> {
    if setting.value >= least && setting.value <= most {
        return Ok(());
    }
    Err(Problem::usage(format!(
        "{name} = {} ({}) is out of bounds: from {} to {}",
        shown(&setting.value),
        setting.origin,
        shown(&least),
        shown(&most)
    )))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::command::Cli;

    fn resolved(words: &[&str]) -> Result<Settings, Problem> {
        let words = ["windlass", "serve", "--data-dir", "/data"].iter().chain(words);
        let matches = Cli::command().try_get_matches_from(words).unwrap();
        let matches = matches.subcommand_matches("serve").unwrap();
        let arguments = ServeArguments::from_arg_matches(matches).unwrap();
        resolve(arguments, matches)
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("windlass.toml");
        std::fs::write(&path, "slots = 4\ndrain_timeout = \"20s\"\n").unwrap();
        let config = path.to_str().unwrap();

        let settings = resolved(&["--config", config, "--slots", "5"]).unwrap();

        assert_eq!((settings.slots.value, settings.slots.origin), (5, Origin::Flag));
        assert_eq!(settings.drain_timeout.value, Duration::from_secs(20));
        assert_eq!(settings.drain_timeout.origin, Origin::File(path));
        assert_eq!(settings.call_timeout.origin, Origin::Default);
    }

    #[test]
    fn only_loopback_is_listened_on() {
        assert!(resolved(&["--listen", "[::1]:7423"]).is_ok());
        let problem = resolved(&["--listen", "0.0.0.0:7423"]).unwrap_err();
        assert!(problem.what.contains("loopback"), "{problem}");
    }

    #[test]
    fn bounds_are_named() {
        for (words, word) in [
            (["--slots", "0"], "1024"),
            (["--output-max", "1B"], "1.0 KiB"),
            (["--memory-max", "1KiB"], "4.0 GiB"),
        ] {
            let problem = resolved(&words).unwrap_err();
            assert!(problem.what.contains(word), "{problem}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let settings = resolved(&["--allow-dir", "/srv:rw", "--allow-dir", "/in"]).unwrap();
        let text = settings.render();
        assert!(text.contains("allow_dirs = [\"/srv:rw\", \"/in:ro\"]"), "{text}");
        assert!(text.contains("# flag\n") && text.contains("# default\n"), "{text}");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("windlass.toml");
        std::fs::write(&path, &text).unwrap();
        let again = resolved(&["--config", path.to_str().unwrap()]).unwrap();
        assert_eq!(again.allow_dirs.value, settings.allow_dirs.value);
        assert_eq!(again.memory_max.value, settings.memory_max.value);
        assert_eq!(again.call_timeout.value, settings.call_timeout.value);
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://u:p%40ss@h:5432/d?sslmode=require", "postgres://u:***@h:5432/d?sslmode=require"),
            ("postgres://u@h/d?password=p&user=x", "postgres://u@h/d?password=***&user=x"),
            ("postgresql:///d?host=/run/pg", "postgresql:///d?host=/run/pg"),
        ] {
            assert_eq!(without_password(url), shown);
            let text = resolved(&["--store", url]).unwrap().render();
            assert!(text.contains(&format!("store = \"{shown}\"")), "{text}");
        }
        let problem = resolved(&["--store", "mysql://u:secret@h/d"]).unwrap_err();
        assert!(problem.what.contains("mysql://u:***@h/d"), "{problem}");
    }

    #[test]
    fn directories_are_read_only_unless_they_say_otherwise() {
        assert_eq!(allowed_directory("/a").unwrap().access, Access::ReadOnly);
        assert_eq!(allowed_directory("/a:rw").unwrap().access, Access::ReadWrite);
        assert_eq!(allowed_directory("/a:b").unwrap().path, Path::new("/a:b"));
        assert!(allowed_directory(":rw").is_err());
    }
}
