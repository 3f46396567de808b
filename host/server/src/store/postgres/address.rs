//! The address of a database: what a URL asks for, as far as the driver does not know it itself.
//!
//! Invariant: no error tells a password.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::failure;
use super::open::DatabaseError;
use super::settings::{CONNECT_MAX, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, PostgresSettings};

/// How much of TLS is asked for. The words and their meaning are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// Never.
    Disable,
    /// Where the server offers it, without asking who it is.
    Prefer,
    /// Or no connection; who it is only where root certificates are named.
    Require,
    /// The server's certificate descends from a root.
    VerifyRoot,
    /// It does, and names the host.
    VerifyFull,
}

/// What a URL, or a string of keywords, says.
pub(super) struct Address {
    pub config: Config,
    pub security: Security,
    pub root_certificates: Option<PathBuf>,
    /// Hosts and database, for messages.
    pub shown: String,
}

impl Address {
    pub fn of(settings: &PostgresSettings) -> Result<Self, DatabaseError> {
        let refused = |reason: String| DatabaseError::Address { reason };
        let (rest, mode, root) = taken_apart(&settings.url);
        let security = security(mode.as_deref()).map_err(refused)?;
        let mut config: Config =
            rest.parse().map_err(|error: tokio_postgres::Error| refused(failure::text(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(refused("it names no host: write postgres://host/database".to_owned()));
        }
        config.ssl_mode(match security {
            Security::Disable => SslMode::Disable,
            Security::Prefer => SslMode::Prefer,
            Security::Require | Security::VerifyRoot | Security::VerifyFull => SslMode::Require,
        });
        if config.get_user().is_none() {
            return Err(refused("it names no user: write postgres://user@host/database".to_owned()));
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        config.keepalives_idle(KEEPALIVE_IDLE).keepalives_interval(KEEPALIVE_INTERVAL);
        config.application_name("windlass");
        let root_certificates = settings.root_certificates.clone().or(root.map(PathBuf::from));
        let shown = shown(&config);
        Ok(Self { config, security, root_certificates, shown })
    }
}

fn security(mode: Option<&str>) -> Result<Security, String> {
    match mode {
        Some("disable") => Ok(Security::Disable),
        None | Some("prefer") => Ok(Security::Prefer),
        Some("require") => Ok(Security::Require),
        Some("verify-ca") => Ok(Security::VerifyRoot),
        Some("verify-full") => Ok(Security::VerifyFull),
        Some(other) => Err(format!(
            "sslmode={other} is unknown: give disable, prefer, require, verify-ca or verify-full"
        )),
    }
}

/// The address without what the driver does not know: `sslmode` and `sslrootcert`.
fn taken_apart(url: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut root) = (None, None);
    let mut keep = |pair: &&str| match pair.split_once('=') {
        Some(("sslmode", value)) => {
            mode = Some(value.to_owned());
            false
        }
        Some(("sslrootcert", value)) => {
            root = Some(decoded(value));
            false
        }
        _ => true,
    };
    let rest = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let kept: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).filter(&mut keep).collect();
        if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }
    } else {
        url.split_whitespace().filter(&mut keep).collect::<Vec<_>>().join(" ")
    };
    (rest, mode, root)
}

/// Percent-encoding undone, as far as a path needs it.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn shown(config: &Config) -> String {
    let hosts: Vec<_> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or("");
    format!("database {database} on {}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, String> {
        Address::of(&PostgresSettings::at(url)).map_err(|error| error.to_string())
    }

    #[test]
    fn tls_is_asked_for_in_the_words_of_libpq() {
        for (query, security, mode) in [
            ("", Security::Prefer, SslMode::Prefer),
            ("?sslmode=disable", Security::Disable, SslMode::Disable),
            ("?sslmode=require&connect_timeout=3", Security::Require, SslMode::Require),
            ("?connect_timeout=3&sslmode=verify-ca", Security::VerifyRoot, SslMode::Require),
            ("?sslmode=verify-full&sslrootcert=/etc/ssl/a%20b.pem", Security::VerifyFull, SslMode::Require),
        ] {
            let address = address(&format!("postgres://u:p@db.example/ops{query}")).expect(query);
            assert_eq!((address.security, address.config.get_ssl_mode()), (security, mode), "{query}");
            assert_eq!(address.shown, "database ops on db.example");
            if query.contains("sslrootcert") {
                assert_eq!(address.root_certificates, Some(PathBuf::from("/etc/ssl/a b.pem")));
            }
        }
        let keywords = address("host=/run/pg user=u dbname=d sslmode=disable").expect("keywords");
        assert_eq!(keywords.security, Security::Disable);
        assert_eq!(keywords.shown, "database d on /run/pg");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, word) in [
            ("postgres://u:secret@h/d?sslmode=maybe", "sslmode=maybe"),
            ("postgres://u:secret@h/d?colour=blue", "colour"),
            ("postgres://u:secret@h:port/d", "port"),
            ("postgres:///d?user=u&password=secret", "no host"),
            ("postgres://h/d?password=secret", "no user"),
            ("user=u password=secret", "no host"),
        ] {
            let error = address(url).err().unwrap_or_else(|| panic!("{url} is refused"));
            assert!(error.contains(word), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
