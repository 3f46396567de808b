//! A data directory that cannot be used: in use, not writable, corrupt. A clear error, and nothing is changed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use windlass_tests::crash::process::{Ended, serve_command, start as start_host, windlass, windlass_program};
use windlass_tests::crash::site::Site;
use windlass_tests::work::gate;

use super::small_disk::SmallDisk;
use super::{spec, start, stopped_well, submit_gated, succeed};

/// What `windlass --help` says of something that broke.
const BROKEN: i32 = 7;
const ROOT: u32 = 0;
/// Nobody, on every Linux.
const NOBODY: u32 = 65_534;

/// It refused to serve, and told what is wrong with what, and what to do.
fn refused(ended: &Ended, path: &Path, words: &[&str]) {
    assert_eq!(ended.status.code(), Some(BROKEN), "{ended:#?}");
    assert!(ended.printed.is_empty(), "{ended:#?}");
    let path = path.display().to_string();
    for word in words.iter().copied().chain([path.as_str()]) {
        assert!(ended.errors.contains(word), "no {word:?} in {ended:#?}");
    }
}

async fn refused_by(command: Command, site: &Site) -> Ended {
    start_host(command, site.path()).await.refused()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_in_use_is_refused_and_its_host_goes_on() {
    let site = Site::fresh().await;
    let host = start(&site, &[]).await;
    let second = windlass(&site, [""; 0]).await.refused();
    refused(&second, &site.store_file(), &["in use by another process", "choose another data directory"]);
    let mut client = host.client().await.expect("the first one serves");
    let job =
        client.submit(spec(&site, vec![gate("a")]), "").await.expect("it is taken").job.expect("a job").id;
    site.open_gate("a");
    client.wait(&job).await.expect("the first one runs jobs");
    stopped_well(&host.terminate().await);
    // Free now.
    stopped_well(&windlass(&site, [""; 0]).await.ready().terminate().await);
}

/// `windlass serve` by a user who may write nothing here but what everybody may.
fn as_stranger(site: &Site, data: &Path) -> Command {
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    open(site.path());
    // The target directory may be where only its owner can go.
    let program = site.path().join("windlass");
    std::fs::copy(windlass_program(), &program).expect("the program can be copied");
    let mut command = serve_command(&program, data, &site.ledger(), [""; 0]);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir(site.path());
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let probe = tempfile::NamedTempFile::new().expect("a file");
    probe.as_file().metadata().expect("it has an owner").uid() == ROOT
}

fn make_read_only(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o555)).expect("it is ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_may_not_be_written_is_refused() {
    let site = Site::fresh().await;
    make_read_only(&site.data());
    let ended = refused_by(as_stranger(&site, &site.data()), &site).await;
    refused(&ended, &site.data(), &["not writable", "choose another data directory"]);
    assert!(!site.store_file().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_cannot_be_made_is_refused() {
    let site = Site::fresh().await;
    make_read_only(&site.data());
    let missing = site.data().join("deeper");
    let ended = refused_by(as_stranger(&site, &missing), &site).await;
    refused(&ended, &missing, &["cannot be created", "may be written"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_is_a_file_is_refused() {
    let site = Site::fresh().await;
    let file = site.path().join("file");
    std::fs::write(&file, "mine").expect("it can be written");
    let command = serve_command(&windlass_program(), &file, &site.ledger(), [""; 0]);
    let ended = refused_by(command, &site).await;
    refused(&ended, &file, &[]);
    assert_eq!(std::fs::read(&file).expect("it is there"), b"mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_on_a_read_only_disk_is_refused_and_nothing_is_lost() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let site = Site::fresh().await;
    let data = disk.path().join("data");
    let serve = || serve_command(&windlass_program(), &data, &site.ledger(), [""; 0]);
    stopped_well(&start_host(serve(), site.path()).await.ready().terminate().await);
    disk.make_read_only();
    let before = files(&data);
    let ended = refused_by(serve(), &site).await;
    refused(&ended, &data, &["not writable"]);
    assert_eq!(files(&data), before);
}

/// Every file of a directory, by content.
pub fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_file() {
            let content = std::fs::read(&path).expect("it can be read");
            files.push((path, content));
        }
    }
    files.sort();
    files
}

/// A store with a job that succeeded, of a host that stopped.
async fn site_with_a_job() -> Site {
    let site = Site::fresh().await;
    let host = start(&site, &[]).await;
    let mut client = host.client().await.expect("it serves");
    site.open_gate("a");
    let job =
        client.submit(spec(&site, vec![gate("a")]), "").await.expect("it is taken").job.expect("a job").id;
    client.wait(&job).await.expect("it ends");
    stopped_well(&host.terminate().await);
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_store_is_refused_whatever_is_wrong_with_it_and_stays_as_it_is() {
    const PAGE_BYTES: usize = 4096;
    let site = site_with_a_job().await;
    let good = std::fs::read(site.store_file()).expect("it is there");
    let pages = |edit: &dyn Fn(&mut [u8])| {
        let mut bytes = good.clone();
        bytes.chunks_mut(PAGE_BYTES).for_each(edit);
        bytes
    };
    let damaged = [
        ("text", b"this is not a store\n".repeat(1_000)),
        ("zeros", vec![0; good.len()]),
        ("a bit of every page", pages(&|page| page[page.len() / 2] ^= 1)),
        (
            "the end of every page",
            pages(&|page| {
                let end = page.len() - 64;
                page[end..].fill(0x5A);
            }),
        ),
        ("half of it is gone", good[..good.len() / 2].to_vec()),
        ("the header", {
            let mut bytes = good.clone();
            bytes[..64].fill(0xFF);
            bytes
        }),
    ];
    for (what, bytes) in damaged {
        std::fs::write(site.store_file(), &bytes).expect("it can be written");
        let ended = windlass(&site, [""; 0]).await.refused();
        println!("{what}: {}", ended.errors.lines().last().unwrap_or_default());
        refused(&ended, &site.store_file(), &["corrupt", "restore a backup"]);
        let after = std::fs::read(site.store_file()).expect("it is there");
        assert!(after == bytes, "{what}: the file was changed");
    }
    // Nothing else was touched: the good store is as good as it was.
    std::fs::write(site.store_file(), &good).expect("it can be written");
    let host = windlass(&site, [""; 0]).await.ready();
    let jobs = host.client().await.expect("it serves").list().await.expect("they can be listed");
    assert_eq!(jobs.len(), 1);
    stopped_well(&host.terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_making_was_interrupted_is_made_anew() {
    let site = Site::fresh().await;
    std::fs::write(site.store_file(), b"").expect("it can be written");
    std::fs::write(site.data().join("windlass.redb.new"), b"half a sto").expect("it can be written");
    stopped_well(&windlass(&site, [""; 0]).await.ready().terminate().await);
    assert!(!site.data().join("windlass.redb.new").exists());
    // And found again.
    stopped_well(&windlass(&site, [""; 0]).await.ready().terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_of_a_killed_host_needs_its_log_and_whoever_opens_it_first_takes_it_in() {
    let site = Site::fresh().await;
    let host = start(&site, &[]).await;
    let job = submit_gated(&host, &site).await;
    host.kill().await;
    let (log, aside) = (site.store_file().with_added_extension("wal"), site.path().join("aside"));
    std::fs::rename(&log, &aside).expect("the log is there");
    let ended = windlass(&site, [""; 0]).await.refused();
    refused(&ended, &log, &["is not there", "put the log back"]);
    std::fs::rename(&aside, &log).expect("it is put back");
    let mut check = Command::new(windlass_program());
    let check =
        check.args(["store", "check", "--data-dir"]).arg(site.data()).output().await.expect("it runs");
    assert!(
        check.status.success() && String::from_utf8_lossy(&check.stderr).contains("jobs: 1"),
        "{check:?}"
    );
    assert!(!log.exists(), "the store is whole without it");
    site.open_gate("a");
    succeed(windlass(&site, [""; 0]).await.ready(), &site, &job).await;
}
