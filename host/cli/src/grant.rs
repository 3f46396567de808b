//! Grants: what work may touch, on the command line and in answers.

use clap::Args;
use serde::Serialize;
use windlass_proto::v1;

use crate::text;

/// What the work may touch.
#[derive(Debug, Clone, Default, Args)]
pub struct GrantArguments {
    /// A directory that the plugin may use, by the name that it sees; repeatable
    #[arg(long = "grant-dir", value_name = "HOST:GUEST:ro|rw", value_parser = directory)]
    directories: Vec<v1::DirectoryGrant>,
    /// The most memory that one call may use, such as 256MiB
    #[arg(long = "grant-memory", value_name = "SIZE", value_parser = text::parse_bytes)]
    memory_bytes_max: Option<u64>,
}

impl GrantArguments {
    pub fn is_given(&self) -> bool {
        !self.directories.is_empty() || self.memory_bytes_max.is_some()
    }

    pub fn wire(&self) -> Option<v1::Grants> {
        self.is_given().then(|| v1::Grants {
            directories: self.directories.clone(),
            memory_bytes_max: self.memory_bytes_max,
        })
    }
}

/// `HOST:GUEST:ro|rw`. The path on the host is made absolute, since the host runs elsewhere.
pub fn directory(text: &str) -> Result<v1::DirectoryGrant, String> {
    let refused = || format!("{text:?} is not of the form HOST:GUEST:ro or HOST:GUEST:rw");
    let (paths, access) = text.rsplit_once(':').ok_or_else(refused)?;
    let (host_path, guest_path) = paths.rsplit_once(':').ok_or_else(refused)?;
    let access = match access {
        "ro" => v1::Access::ReadOnly,
        "rw" => v1::Access::ReadWrite,
        _ => return Err(refused()),
    };
    if host_path.is_empty() || !guest_path.starts_with('/') {
        return Err(format!("{text:?}: GUEST must be an absolute path, such as /source"));
    }
    let host_path = std::path::absolute(host_path).map_err(|error| format!("{text:?}: {error}"))?;
    let host_path = host_path.to_str().ok_or_else(|| format!("{text:?} is not UTF-8"))?;
    Ok(v1::DirectoryGrant {
        host_path: host_path.to_owned(),
        guest_path: guest_path.to_owned(),
        access: access.into(),
    })
}

/// How grants are shown.
#[derive(Serialize)]
pub struct GrantsView {
    directories: Vec<DirectoryView>,
    memory_bytes_max: Option<u64>,
}

#[derive(Serialize)]
struct DirectoryView {
    host_path: String,
    guest_path: String,
    access: &'static str,
}

impl GrantsView {
    pub fn of(grants: Option<&v1::Grants>) -> Self {
        let directories = grants.map(|grants| grants.directories.as_slice());
        Self {
            directories: directories
                .unwrap_or_default()
                .iter()
                .map(|grant| DirectoryView {
                    host_path: grant.host_path.clone(),
                    guest_path: grant.guest_path.clone(),
                    access: text::access(grant.access()),
                })
                .collect(),
            memory_bytes_max: grants.and_then(|grants| grants.memory_bytes_max),
        }
    }

    /// One line for each grant.
    pub fn lines(&self) -> String {
        let directories = self
            .directories
            .iter()
            .map(|grant| format!("{} as {}, {}", grant.host_path, grant.guest_path, grant.access));
        let memory = self.memory_bytes_max.map(|bytes| format!("{} of memory", text::bytes(bytes)));
        directories.chain(memory).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_absolute_and_their_access_is_said() {
        let grant = directory("/data:/source:ro").unwrap();
        assert_eq!(grant.host_path, "/data");
        assert_eq!(grant.guest_path, "/source");
        assert_eq!(grant.access(), v1::Access::ReadOnly);
        assert!(directory("data:/source:rw").unwrap().host_path.ends_with("/data"));
        assert_eq!(directory("/a:b:/source:rw").unwrap().host_path, "/a:b");
        for bad in ["/data", "/data:/source", "/data:/source:x", ":/source:ro", "/data:source:ro"] {
            assert!(directory(bad).is_err(), "{bad}");
        }
    }
}
