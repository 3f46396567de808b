//! Grants: what an operation asks for, held against what the host's operator allows.
//!
//! Invariant: a directory that passes is at or below an allowed one after every symbolic link and `..` is resolved,
//! and is opened by that resolved path.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use windlass_core::call::{Access, DirectoryGrant, Grants};

use super::settings::Settings;

/// Directories of one call: each costs the host an open file.
const DIRECTORIES_MAX: usize = 32;

/// Guest paths are short names such as `/source`.
const GUEST_PATH_BYTES_MAX: usize = 255;

/// Why a grant cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error("the directory {path} is not available on this host; create it, or correct the grant")]
    Missing {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not a directory; grant a directory")]
    NotADirectory { path: String },
    #[error("the directory {path} is granted by a relative path; give an absolute one")]
    Relative { path: String },
    #[error("the directory {path} is outside what this host allows; its operator can allow it")]
    Outside { path: String },
    #[error("the directory {path} may only be read on this host; grant it read-only")]
    ReadOnly { path: String },
    #[error("the guest path {path:?} cannot be used: {reason}")]
    GuestPath { path: String, reason: &'static str },
    #[error("{count} directories are granted; at most {DIRECTORIES_MAX} can be")]
    TooMany { count: usize },
    #[error("{asked} bytes of memory are granted; this host gives 65536 to {bytes_max}")]
    Memory { asked: u64, bytes_max: u64 },
}

/// A grant that passed: the resolved path on the host, what the guest sees, the access.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub host: PathBuf,
    pub guest: String,
    pub access: Access,
}

impl Directory {
    /// The directory, opened, and a path that leads to it and nowhere else while the file is open.
    ///
    /// Another guest may rename or replace what is in a directory granted to it. What is opened is compared with what
    /// was checked, so that a link put there in between leads nowhere.
    #[cfg(target_os = "linux")]
    pub(super) fn open(&self) -> io::Result<(fs::File, PathBuf)> {
        use std::os::fd::AsRawFd;
        let file = fs::File::open(&self.host)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        if fs::read_link(&path)? != self.host {
            return Err(io::Error::other("it was replaced while it was opened"));
        }
        Ok((file, path))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn open(&self) -> io::Result<(fs::File, PathBuf)> {
        Ok((fs::File::open(&self.host)?, self.host.clone()))
    }
}

/// Asks the file system: not for async threads where there are directories.
pub(super) fn check(settings: &Settings, grants: &Grants) -> Result<Vec<Directory>, GrantError> {
    let bytes_max = settings.memory_bytes_max;
    if let Some(asked) = grants.memory_bytes_max.filter(|asked| !(65_536..=bytes_max).contains(asked)) {
        return Err(GrantError::Memory { asked, bytes_max });
    }
    if grants.directories.len() > DIRECTORIES_MAX {
        return Err(GrantError::TooMany { count: grants.directories.len() });
    }
    let mut directories: Vec<Directory> = Vec::with_capacity(grants.directories.len());
    for grant in &grants.directories {
        check_guest_path(&grant.guest_path, &directories)?;
        directories.push(directory(settings, grant)?);
    }
    Ok(directories)
}

fn check_guest_path(path: &str, earlier: &[Directory]) -> Result<(), GrantError> {
    let refuse = |reason| Err(GrantError::GuestPath { path: path.to_owned(), reason });
    if !path.starts_with('/') || path.len() > GUEST_PATH_BYTES_MAX {
        return refuse("it must be absolute and at most 255 bytes long");
    }
    if path.contains('\0') || path.split('/').any(|part| matches!(part, "." | "..")) {
        return refuse("it must name a directory without '.', '..' and NUL");
    }
    if earlier.iter().any(|other| other.guest == path) {
        return refuse("it is granted twice");
    }
    Ok(())
}

fn directory(settings: &Settings, grant: &DirectoryGrant) -> Result<Directory, GrantError> {
    let path = grant.host_path.clone();
    if !Path::new(&path).is_absolute() {
        return Err(GrantError::Relative { path });
    }
    let host = match fs::canonicalize(&path) {
        Ok(host) => host,
        Err(source) => return Err(GrantError::Missing { path, source }),
    };
    match allowed_access(settings, &host) {
        None => Err(GrantError::Outside { path }),
        Some(Access::ReadOnly) if grant.access == Access::ReadWrite => Err(GrantError::ReadOnly { path }),
        Some(_) if !host.is_dir() => Err(GrantError::NotADirectory { path }),
        Some(_) => Ok(Directory { host, guest: grant.guest_path.clone(), access: grant.access }),
    }
}

/// The most that any allowed directory permits here.
fn allowed_access(settings: &Settings, host: &Path) -> Option<Access> {
    settings
        .allowed_directories
        .iter()
        // An allowed directory that is missing allows nothing.
        .filter(|(allowed, _)| fs::canonicalize(allowed).is_ok_and(|allowed| host.starts_with(allowed)))
        .map(|(_, access)| *access)
        .reduce(|one, other| if one == Access::ReadWrite { one } else { other })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(host: &Path, guest: &str, access: Access) -> Grants {
        let host_path = host.to_str().unwrap().to_owned();
        let directories = vec![DirectoryGrant { host_path, guest_path: guest.to_owned(), access }];
        Grants { directories, memory_bytes_max: None }
    }

    /// `base/allowed/below`, `base/outside`, and settings that allow the first.
    fn ground(access: Access) -> (tempfile::TempDir, Settings) {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("allowed/below")).unwrap();
        fs::create_dir(base.path().join("outside")).unwrap();
        let mut settings = Settings::new(base.path().join("cache"));
        settings.allowed_directories = vec![(base.path().join("allowed"), access)];
        (base, settings)
    }

    #[test]
    fn allowed_directories_and_what_is_below_them_may_be_granted() {
        let (base, settings) = ground(Access::ReadWrite);
        for path in ["allowed", "allowed/below", "outside/../allowed"] {
            let checked = check(&settings, &grant(&base.path().join(path), "/d", Access::ReadWrite)).unwrap();
            assert!(checked[0].host.starts_with(fs::canonicalize(base.path().join("allowed")).unwrap()));
        }
    }

    #[test]
    fn what_is_outside_is_refused_however_it_is_named() {
        let (base, settings) = ground(Access::ReadWrite);
        std::os::unix::fs::symlink(base.path().join("outside"), base.path().join("allowed/link")).unwrap();
        for path in ["outside", "allowed/../outside", "allowed/link", "allowed/.."] {
            let refused =
                check(&settings, &grant(&base.path().join(path), "/d", Access::ReadOnly)).unwrap_err();
            assert!(matches!(refused, GrantError::Outside { .. }), "{path}: {refused}");
        }
        let beside = base.path().join("allowed-too");
        fs::create_dir(&beside).unwrap();
        assert!(check(&settings, &grant(&beside, "/d", Access::ReadOnly)).is_err());
    }

    #[test]
    fn access_is_never_more_than_allowed() {
        let (base, settings) = ground(Access::ReadOnly);
        let path = base.path().join("allowed");
        assert!(check(&settings, &grant(&path, "/d", Access::ReadOnly)).is_ok());
        let refused = check(&settings, &grant(&path, "/d", Access::ReadWrite)).unwrap_err();
        assert!(matches!(refused, GrantError::ReadOnly { .. }), "{refused}");
    }

    #[test]
    fn missing_relative_and_odd_paths_are_refused_by_name() {
        let (base, settings) = ground(Access::ReadWrite);
        let missing = base.path().join("allowed/missing");
        let refused = check(&settings, &grant(&missing, "/d", Access::ReadOnly)).unwrap_err();
        assert!(refused.to_string().contains(missing.to_str().unwrap()), "{refused}");
        assert!(matches!(
            check(&settings, &grant(Path::new("allowed"), "/d", Access::ReadOnly)),
            Err(GrantError::Relative { .. })
        ));
        let allowed = base.path().join("allowed");
        for guest in ["d", "", "/d/../e", "/d/\0"] {
            assert!(check(&settings, &grant(&allowed, guest, Access::ReadOnly)).is_err(), "{guest:?}");
        }
        let mut twice = grant(&allowed, "/d", Access::ReadOnly);
        twice.directories.push(twice.directories[0].clone());
        assert!(check(&settings, &twice).is_err());
    }

    #[test]
    fn memory_is_granted_up_to_the_hosts_limit() {
        let (_base, settings) = ground(Access::ReadOnly);
        let asking = |bytes| Grants { directories: Vec::new(), memory_bytes_max: Some(bytes) };
        assert!(check(&settings, &asking(settings.memory_bytes_max)).is_ok());
        assert!(check(&settings, &asking(settings.memory_bytes_max + 1)).is_err());
        assert!(check(&settings, &asking(0)).is_err());
    }
}
