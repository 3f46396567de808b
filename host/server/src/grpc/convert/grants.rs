//! Grants.

use windlass_core::call::{Access, DirectoryGrant, Grants};
use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::known;

pub fn grants(problems: &mut Problems, path: &str, grants: Option<v1::Grants>) -> Grants {
    let Some(grants) = grants else { return Grants::default() };
    let directories = grants.directories.into_iter().enumerate().map(|(index, directory)| {
        let path = format!("{path}.directories[{index}].access");
        DirectoryGrant {
            host_path: directory.host_path,
            guest_path: directory.guest_path,
            access: access(problems, &path, directory.access),
        }
    });
    Grants { directories: directories.collect(), memory_bytes_max: grants.memory_bytes_max }
}

fn access(problems: &mut Problems, path: &str, access: i32) -> Access {
    match known(problems, path, access) {
        Some(v1::Access::ReadOnly) | None => Access::ReadOnly,
        Some(v1::Access::ReadWrite) => Access::ReadWrite,
        Some(v1::Access::Unspecified) => {
            problems.add(path, "is not given: say read-only or read-write");
            Access::ReadOnly
        }
    }
}

pub fn to_wire(grants: &Grants) -> v1::Grants {
    let directories = grants.directories.iter().map(|directory| v1::DirectoryGrant {
        host_path: directory.host_path.clone(),
        guest_path: directory.guest_path.clone(),
        access: access_to_wire(directory.access).into(),
    });
    v1::Grants { directories: directories.collect(), memory_bytes_max: grants.memory_bytes_max }
}

pub fn access_to_wire(access: Access) -> v1::Access {
    match access {
        Access::ReadOnly => v1::Access::ReadOnly,
        Access::ReadWrite => v1::Access::ReadWrite,
    }
}
