//! The three actions together, on directories of a test, through crashes at the places where they hurt.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;
use windlass_plugin::trial::Trial;
use windlass_plugin::{Action, Applied, Context, Evidence, Failure};

use crate::publish::{PublishInput, PublishOutput};
use crate::retention::{Plan, Shelf};
use crate::snapshot::{SnapshotInput, SnapshotOutput, SnapshotUndo};
use crate::verify::{VerifyInput, VerifyOutput};

thread_local! {
    /// Stands for `/`: an action has no state of its own.
    static ROOT: RefCell<PathBuf> = RefCell::default();
}

fn root(below: &str) -> PathBuf {
    ROOT.with_borrow(|root| root.join(below))
}

struct Snapshot;
struct Verify;
struct Publish;

impl Action for Snapshot {
    const NAME: &'static str = "snapshot";
    const DESCRIPTION: &'static str = "";
    type Input = SnapshotInput;
    type Output = SnapshotOutput;
    type Undo = SnapshotUndo;

    fn apply(
        context: &Context<'_, SnapshotUndo>,
        input: SnapshotInput,
    ) -> Result<Applied<SnapshotOutput, SnapshotUndo>, Failure> {
        crate::snapshot::take(context, &input, &root("source"), &root("backup")).map(Applied::new)
    }

    fn revert(
        _: &Context<'_, SnapshotUndo>,
        _: SnapshotInput,
        evidence: Evidence<SnapshotOutput, SnapshotUndo>,
    ) -> Result<Option<Value>, Failure> {
        crate::snapshot::remove(&evidence.into_records(), &root("backup")).map(Some)
    }
}

impl Action for Verify {
    const NAME: &'static str = "verify";
    const DESCRIPTION: &'static str = "";
    type Input = VerifyInput;
    type Output = VerifyOutput;
    type Undo = ();

    fn apply(context: &Context<'_, ()>, input: VerifyInput) -> Result<Applied<VerifyOutput, ()>, Failure> {
        crate::verify::check(context, &input, &root("backup")).map(Applied::new)
    }

    fn revert(
        _: &Context<'_, ()>,
        _: VerifyInput,
        _: Evidence<VerifyOutput, ()>,
    ) -> Result<Option<Value>, Failure> {
        Ok(None)
    }
}

impl Action for Publish {
    const NAME: &'static str = "publish";
    const DESCRIPTION: &'static str = "";
    type Input = PublishInput;
    type Output = PublishOutput;
    type Undo = Plan;

    fn apply(
        context: &Context<'_, Plan>,
        input: PublishInput,
    ) -> Result<Applied<PublishOutput, Plan>, Failure> {
        crate::publish::publish(context, &input, &root("backup")).map(Applied::new)
    }

    fn revert(
        _: &Context<'_, Plan>,
        _: PublishInput,
        evidence: Evidence<PublishOutput, Plan>,
    ) -> Result<Option<Value>, Failure> {
        crate::publish::unpublish(&evidence.into_records(), &root("backup")).map(Some)
    }
}

/// A source with some of everything, and an empty backup directory.
fn directories() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    fs::create_dir_all(source.join("deep/er")).unwrap();
    fs::create_dir_all(source.join(".git")).unwrap();
    fs::create_dir_all(directory.path().join("backup")).unwrap();
    fs::write(source.join("one.txt"), "one").unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::write(source.join(".git/index"), "left out").unwrap();
    fs::write(source.join("deep/er/big"), "0123456789abcdef".repeat(200_000)).unwrap();
    fs::write(source.join(format!("deep/{}", "long".repeat(60))), "a name longer than a tar header takes")
        .unwrap();
    std::os::unix::fs::symlink("one.txt", source.join("link")).unwrap();
    ROOT.set(directory.path().into());
    directory
}

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_300_000 + second)
}

fn snapshot_input() -> Value {
    json!({ "exclude": [".git"], "name_prefix": "site" })
}

fn snapshot(second: u64) -> SnapshotOutput {
    Trial::<Snapshot>::new().fired_for(at(second)).apply(&snapshot_input()).unwrap()
}

/// A snapshot, published; its trial, its input and its output.
fn publish(second: u64, keep: u32) -> (Trial<Publish>, Value, PublishOutput) {
    let input = json!({ "archive": snapshot(second).archive, "keep": keep });
    let mut trial = Trial::<Publish>::new().with_key(&format!("publish {second}"));
    let output = trial.apply(&input).unwrap();
    (trial, input, output)
}

/// Every file below the backup directory.
fn backups() -> BTreeSet<String> {
    let tree = crate::walk::walk(&root("backup"), &[]).unwrap();
    tree.entries.into_iter().map(|entry| entry.path).collect()
}

fn class(failure: Failure) -> String {
    failure.fault().class.clone()
}

#[test]
fn ordinary_tools_open_an_archive_and_find_the_source_in_it() {
    let directory = directories();
    let taken = snapshot(0);
    assert_eq!((taken.files, taken.links, taken.directories), (4, 1, 2));
    let target = directory.path().join("target");
    fs::create_dir(&target).unwrap();
    let archive = root("backup").join(&taken.archive);
    run(Command::new("tar").arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(&target));
    run(Command::new("zstd").arg("-tq").arg("--no-progress").stdin(fs::File::open(&archive).unwrap()));
    run(Command::new("diff").args(["-r", "--no-dereference", "-x", ".git"]).arg(root("source")).arg(&target));
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("one.txt"));
}

fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?} is needed for this test: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

#[test]
fn the_same_source_gives_the_same_archive() {
    let _directory = directories();
    assert_eq!(snapshot(0).sha256, snapshot(1).sha256);
    assert_eq!(backups().len(), 2);
}

#[test]
fn discard_removes_what_all_snapshots_of_a_flow_left_and_applies_nothing() {
    let _directory = directories();
    let undo = [snapshot(0), snapshot(1)].map(|taken| SnapshotUndo { partial: taken.archive });
    assert_eq!(backups().len(), 2);
    crate::snapshot::remove(&undo, &root("backup")).unwrap();
    assert!(backups().is_empty());
    let refused = Trial::<crate::Discard>::new().apply(&json!({})).unwrap_err();
    assert_eq!(class(refused), "action.undoes_only");
}

#[test]
fn a_second_attempt_writes_the_same_file_and_revert_leaves_nothing() {
    let _directory = directories();
    let mut trial = Trial::<Snapshot>::new().fired_for(at(0));
    trial.apply(&snapshot_input()).unwrap();
    trial.lose_outcome();
    trial.apply(&snapshot_input()).unwrap();
    assert_eq!(backups().len(), 1);
    assert_eq!(trial.undo().unwrap().len(), 2);
    assert_eq!(trial.progress().last().unwrap().0, 1.0);
    trial.revert(&snapshot_input()).unwrap();
    assert!(backups().is_empty());
    trial.revert(&snapshot_input()).unwrap();
}

#[test]
fn no_file_is_written_before_its_undo_record() {
    let _directory = directories();
    let mut trial = Trial::<Snapshot>::new();
    trial.refuse_writes_after(0);
    assert!(matches!(trial.apply(&snapshot_input()), Err(Failure::Retry { .. })));
    assert!(backups().is_empty());
}

#[test]
fn a_source_outside_of_the_granted_directory_is_rejected() {
    let _directory = directories();
    for source in ["..", "/etc", "deep/../.."] {
        let failure = Trial::<Snapshot>::new().apply(&json!({ "source": source })).unwrap_err();
        assert!(matches!(&failure, Failure::Reject(fault) if fault.class == "input.invalid"), "{failure:?}");
    }
    let below = Trial::<Snapshot>::new().apply(&json!({ "source": "deep" })).unwrap();
    assert_eq!((below.files, below.directories), (2, 1));
}

#[test]
fn verify_accepts_what_snapshot_wrote() {
    let _directory = directories();
    let taken = snapshot(0);
    let input = json!({
        "archive": taken.archive, "sha256": taken.sha256, "files": taken.files, "bytes": taken.bytes,
        "expect_files_min": 4,
    });
    let verified = Trial::<Verify>::new().apply(&input).unwrap();
    assert_eq!((verified.sha256, verified.archive_bytes), (taken.sha256, taken.archive_bytes));
}

#[test]
fn verify_names_what_is_wrong() {
    let _directory = directories();
    let taken = snapshot(0);
    let verify = |wanted: Value| {
        let mut input = json!({ "archive": taken.archive });
        input.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
        class(Trial::<Verify>::new().apply(&input).unwrap_err())
    };
    assert_eq!(verify(json!({ "expect_files_min": 5 })), "archive.too_few_files");
    assert_eq!(verify(json!({ "sha256": "00" })), "archive.differs");
    assert_eq!(verify(json!({ "files": 3 })), "archive.differs");
    assert_eq!(verify(json!({ "archive": "x-20260101T000000.000Z-00000000.tar.zst" })), "archive.missing");

    let archive = root("backup").join(&taken.archive);
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    fs::write(&archive, &bytes).unwrap();
    assert_eq!(verify(json!({})), "archive.damaged");
    fs::write(&archive, &bytes[..middle]).unwrap();
    assert_eq!(verify(json!({})), "archive.damaged");
}

#[test]
fn publish_keeps_the_newest_and_its_revert_brings_all_back() {
    let _directory = directories();
    fs::write(root("backup/notes.tar.zst"), "of somebody else").unwrap();
    let kept: Vec<_> = (0..3).map(|second| publish(second, 3).2.archive).collect();
    let before = backups();
    let (mut trial, input, output) = publish(3, 2);
    assert_eq!((output.retired.as_slice(), output.kept), (&kept[..2], 2));
    assert!(backups().contains("notes.tar.zst"));

    trial.revert(&input).unwrap();
    let mut after = backups();
    assert!(after.remove(input["archive"].as_str().unwrap()), "unpublished");
    assert_eq!(after, before);
    trial.revert(&input).unwrap();
}

#[test]
fn publish_goes_on_wherever_it_was_interrupted() {
    for done in 0..4 {
        let _directory = directories();
        let older: Vec<_> = (0..2).map(|second| publish(second, 9).2.archive).collect();
        let archive = snapshot(2).archive;
        let (name, _) = crate::name::ArchiveName::parse(&archive).unwrap();
        let backup = root("backup");
        let input = json!({ "archive": archive, "keep": 1 });
        let mut trial = Trial::<Publish>::new().with_key("interrupted");

        // The first attempt has written its undo record, and so many of its renames.
        let plan = Shelf::new(&backup).plan(&name, "interrupted", 1).unwrap();
        trial.refuse_writes_after(0);
        trial.apply(&input).unwrap_err();
        trial.accept_writes();
        trial.lose_outcome();
        let trash = backup.join(".trash").join(&plan.trash);
        if done > 0 {
            fs::rename(backup.join(&plan.partial), backup.join(&plan.published)).unwrap();
        }
        for archive in older.iter().take(done - done.min(1)) {
            fs::create_dir_all(&trash).unwrap();
            fs::rename(backup.join(archive), trash.join(archive)).unwrap();
        }

        let output = trial.apply(&input).unwrap();
        assert_eq!((output.retired, output.kept), (older.clone(), 1), "interrupted after {done}");
        trial.revert(&input).unwrap();
        let expected: BTreeSet<_> = older.into_iter().chain([archive]).collect();
        assert_eq!(backups(), expected, "interrupted after {done}");
    }
}

#[test]
fn revert_undoes_a_publish_that_never_ended() {
    let _directory = directories();
    let older = publish(0, 9).2.archive;
    let archive = snapshot(1).archive;
    let (name, _) = crate::name::ArchiveName::parse(&archive).unwrap();
    let backup = root("backup");
    let plan = Shelf::new(&backup).plan(&name, "lost", 1).unwrap();
    fs::rename(backup.join(&plan.partial), backup.join(&plan.published)).unwrap();
    crate::publish::unpublish(&[plan.clone(), plan], &backup).unwrap();
    assert_eq!(backups(), BTreeSet::from([older, archive]));
}

#[test]
fn the_next_publish_empties_the_trash_and_the_earlier_revert_says_so() {
    let _directory = directories();
    publish(0, 1);
    let (mut earlier, earlier_input, output) = publish(1, 1);
    assert_eq!(output.retired.len(), 1);
    let (mut latest, latest_input, _) = publish(2, 1);
    let before = backups();
    let failure = earlier.revert(&earlier_input).unwrap_err();
    assert!(matches!(&failure, Failure::Reject(fault) if fault.class == "archive.retired"), "{failure:?}");
    assert_eq!(backups(), before);

    latest.revert(&latest_input).unwrap();
    let failure = earlier.revert(&earlier_input).unwrap_err();
    assert!(matches!(&failure, Failure::Reject(fault) if fault.class == "trash.emptied"), "{failure:?}");
}

#[test]
fn publish_rejects_what_is_not_there_to_be_published() {
    let _directory = directories();
    let published = publish(0, 1).2.archive;
    let failure = Trial::<Publish>::new().apply(&json!({ "archive": published })).unwrap_err();
    assert_eq!(class(failure), "input.invalid");
    let failure =
        Trial::<Publish>::new().apply(&json!({ "archive": format!("{published}.partial") })).unwrap_err();
    assert_eq!(class(failure), "archive.exists");
    let missing = "site-20260101T000000.000Z-00000000.tar.zst.partial";
    let failure = Trial::<Publish>::new().apply(&json!({ "archive": missing })).unwrap_err();
    assert_eq!(class(failure), "archive.missing");
    let failure = Trial::<Publish>::new().apply(&json!({ "archive": missing, "keep": 0 })).unwrap_err();
    assert_eq!(class(failure), "input.invalid");
}
