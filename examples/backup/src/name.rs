//! Names of archives: `<prefix>-<time>-<key>.tar.zst`, with `.partial` behind it until it is published.
//!
//! Invariant: the name follows from the nominal time of the job and the idempotency key, so that another attempt
//! writes the same file, and names of one prefix sort by time.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use sha2::{Digest, Sha256};

const PUBLISHED: &str = ".tar.zst";
const PARTIAL: &str = ".tar.zst.partial";
const TIME_FORMAT: &str = "%Y%m%dT%H%M%S%.3fZ";
/// `20261121T221504.123Z`.
const TIME_LENGTH: usize = 20;
/// Hexadecimal digits of the key's hash: beside a time in milliseconds, enough to tell two jobs apart.
const KEY_LENGTH: usize = 8;
/// Leaves room for the rest in a file name of 255 bytes.
const PREFIX_LENGTH_MAX: usize = 64;

/// The name of an archive, published or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveName {
    prefix: String,
    /// The time and the key, `-` between them.
    rest: String,
}

/// Text that does not name an archive of this plugin.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    #[error(
        "{0:?} is no prefix: use 1 to {PREFIX_LENGTH_MAX} letters, digits, `_`, `-` or `.`, and begin with a letter or digit"
    )]
    Prefix(String),
    #[error("the time that the job was due for is not within the years 1970 to 9999")]
    Time,
    #[error("{0:?} is not the name of an archive that this plugin makes: pass on what snapshot returned")]
    Archive(String),
}

impl ArchiveName {
    pub fn new(prefix: &str, fired_for: SystemTime, key: &str) -> Result<Self, NameError> {
        if !is_prefix(prefix) {
            return Err(NameError::Prefix(prefix.into()));
        }
        let since = fired_for.duration_since(UNIX_EPOCH).ok();
        let milliseconds = since.and_then(|since| i64::try_from(since.as_millis()).ok());
        let time = milliseconds.and_then(DateTime::from_timestamp_millis);
        let time = time.map(|time| time.format(TIME_FORMAT).to_string()).filter(|time| is_time(time));
        let time = time.ok_or(NameError::Time)?;
        Ok(ArchiveName { prefix: prefix.into(), rest: format!("{time}-{}", digest(key, KEY_LENGTH)) })
    }

    /// The archive that a file is, by the file's name; whether it is published.
    pub fn parse(file: &str) -> Result<(Self, bool), NameError> {
        let wrong = || NameError::Archive(file.into());
        let (stem, is_published) = match file.strip_suffix(PARTIAL) {
            Some(stem) => (stem, false),
            None => (file.strip_suffix(PUBLISHED).ok_or_else(wrong)?, true),
        };
        let at = stem.len().checked_sub(TIME_LENGTH + KEY_LENGTH + 2).ok_or_else(wrong)?;
        let (prefix, rest) = stem.split_at_checked(at).ok_or_else(wrong)?;
        let rest = rest.strip_prefix('-').ok_or_else(wrong)?;
        let (time, key) = rest.split_at_checked(TIME_LENGTH).ok_or_else(wrong)?;
        let key = key.strip_prefix('-').ok_or_else(wrong)?;
        let is_key = key.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_prefix(prefix) || !is_time(time) || !is_key {
            return Err(wrong());
        }
        Ok((ArchiveName { prefix: prefix.into(), rest: rest.into() }, is_published))
    }

    pub fn partial(&self) -> String {
        format!("{self}{PARTIAL}")
    }

    pub fn published(&self) -> String {
        format!("{self}{PUBLISHED}")
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.prefix, self.rest)
    }
}

/// The first hexadecimal digits of a key's hash: a key may be any text, a file name may not.
pub fn digest(key: &str, length: usize) -> String {
    let mut digits = crate::metered::hexadecimal(&Sha256::digest(key));
    digits.truncate(length);
    digits
}

fn is_prefix(prefix: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    prefix.len() <= PREFIX_LENGTH_MAX
        && prefix.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && prefix.bytes().all(is_inner)
}

fn is_time(time: &str) -> bool {
    const SHAPE: &[u8; TIME_LENGTH] = b"00000000T000000.000Z";
    time.len() == TIME_LENGTH
        && time.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            sign => byte == *sign,
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fired_for(milliseconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_name_says_when_and_survives_parsing() {
        let name = ArchiveName::new("site-a.db", fired_for(1_795_300_504_007), "key").unwrap();
        assert!(name.partial().starts_with("site-a.db-20261121T"), "{}", name.partial());
        assert!(name.partial().contains(".007Z-"), "{}", name.partial());
        assert_eq!(ArchiveName::parse(&name.partial()), Ok((name.clone(), false)));
        assert_eq!(ArchiveName::parse(&name.published()), Ok((name, true)));
    }

    #[test]
    fn names_of_one_prefix_sort_by_time() {
        let name = |milliseconds| ArchiveName::new("b", fired_for(milliseconds), "key").unwrap();
        assert!(name(999) < name(1_000) && name(1_000) < name(86_400_000));
    }

    #[test]
    fn what_is_not_of_this_plugin_is_no_name() {
        for file in ["", "a.tar.zst", "../x-20261121T221504.123Z-00112233.tar.zst", "notes.txt", "é.tar.zst"]
        {
            assert!(ArchiveName::parse(file).is_err(), "{file}");
        }
        let never = fired_for(u64::MAX);
        assert_eq!(ArchiveName::new("b", never, "key"), Err(NameError::Time));
        for prefix in ["", ".hidden", "a/b", "naïve", &"x".repeat(65)] {
            assert!(ArchiveName::new(prefix, fired_for(0), "key").is_err(), "{prefix}");
        }
    }
}
