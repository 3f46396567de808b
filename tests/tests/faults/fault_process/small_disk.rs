//! A small file system of its own, for a disk that is really full. Needs the right to mount one.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Unmounted when it is dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// None, with a word to whoever reads the output, where this user may not mount.
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={mebibytes}m,mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            refused => {
                assert!(std::env::var_os("CI").is_none(), "CI must try it on a real disk: {refused:?}");
                println!("not tried on a real disk: a tmpfs cannot be mounted here ({refused:?})");
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// No byte may be changed from now on.
    pub fn make_read_only(&self) {
        let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()).status();
        assert!(remounted.expect("`mount` can be run").success());
    }

    /// Takes all room that there is, but for less than a page. Removing the file gives it back.
    pub fn fill(&self) -> PathBuf {
        const PAGE: [u8; 4096] = [0xA5; 4096];
        let path = self.path().join("ballast");
        let mut file = File::options().create(true).append(true).open(&path).expect("a file can be made");
        while file.write_all(&PAGE).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a host that a failing test leaves behind has files open.
        if let Err(error) = Command::new("umount").arg("-l").arg(self.path()).status() {
            println!("{} stays mounted: {error}", self.path().display());
        }
    }
}
