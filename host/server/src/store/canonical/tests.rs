//! What the form promises: it reads what it writes, and refuses everything else with the line.

use std::io::Cursor;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::store::{Exported, RedbStore, Store, UniqueKey};
use sample::{fill, small};

mod sample;

/// What is done to a line.
type Edit<'a> = &'a dyn Fn(&str) -> String;

/// The form of a store with one of everything.
async fn form() -> Vec<u8> {
    let store = RedbStore::open_in_memory().expect("opens");
    fill(&store).await;
    written(&store).await.expect("it can be written down")
}

async fn written(store: &dyn Store) -> Result<Vec<u8>, ExportError> {
    let (chunks, mut received) = tokio::sync::mpsc::channel(4);
    let collected = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = received.recv().await {
            bytes.extend(chunk);
        }
        bytes
    };
    let (exported, bytes) = tokio::join!(export(store, chunks), collected);
    exported.map(|_| bytes)
}

fn items(form: &[u8]) -> Result<Vec<Read>, ReadError> {
    let mut reader = Reader::begin(form)?;
    let mut items = Vec::new();
    while let Some(read) = reader.next()? {
        items.push(read);
    }
    Ok(items)
}

fn rewritten(items: Vec<Read>) -> Vec<u8> {
    let mut writer = Writer::begin();
    items.into_iter().for_each(|read| writer.write(read.item).expect("it was written before"));
    let mut bytes = writer.take();
    bytes.extend(writer.end().expect("it is whole").0);
    bytes
}

/// The lines, with one of them changed, and a last line that fits them.
fn edited(form: &[u8], line: usize, edit: impl Fn(&str) -> String) -> Vec<u8> {
    let text = std::str::from_utf8(form).expect("it is text");
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    lines[line - 1] = edit(&lines[line - 1]);
    let mut last: serde_json::Value =
        serde_json::from_str(&lines.pop().expect("it has a last line")).expect("JSON");
    let rest = lines.concat();
    last["end"]["sha256"] = windlass_core::id::Digest(Sha256::digest(&rest).into()).to_string().into();
    format!("{rest}{last}\n").into_bytes()
}

/// The number of the first line that begins so.
fn line_of(form: &[u8], begin: &str) -> usize {
    let text = std::str::from_utf8(form).expect("it is text");
    1 + text.lines().position(|line| line.starts_with(begin)).expect("there is such a line")
}

#[tokio::test]
async fn what_is_written_is_read_and_written_again_the_same() {
    let form = form().await;
    let items = items(&form).expect("it is whole");
    assert_eq!(rewritten(items), form);
}

#[tokio::test]
async fn a_form_has_every_kind_of_line() {
    let form = form().await;
    let words = [
        "{\"format\":",
        "{\"blob\":",
        "{\"piece\":",
        "{\"plugin\":",
        "{\"trigger\":",
        "{\"operation\":",
        "{\"host\":",
        "{\"flow\":",
        "{\"job\":",
        "{\"instance\":",
        "{\"entry\":",
        "{\"note\":",
        "{\"key\":",
        "{\"end\":",
    ];
    words.iter().for_each(|word| assert!(line_of(&form, word) > 0));
}

#[test]
fn a_form_that_is_cut_anywhere_is_refused_with_the_line() {
    let form = sample::form_of_a_small_store();
    for len in 0..form.len() {
        let line = 1 + form[..len].iter().filter(|byte| **byte == b'\n').count() as u64;
        let error = items(&form[..len]).expect_err("it is not whole");
        assert_eq!(error.line, line, "{len} bytes: {error}");
        assert!(error.what.contains("cut"), "{error}");
    }
}

#[test]
fn a_form_of_which_any_byte_is_changed_is_refused() {
    let form = sample::form_of_a_small_store();
    for at in 0..form.len() {
        let mut damaged = form.to_vec();
        damaged[at] ^= 1;
        assert!(items(&damaged).is_err(), "byte {at}");
    }
}

#[tokio::test]
async fn a_line_that_is_wrong_is_named() {
    let form = form().await;
    let cases: [(&str, Edit<'_>, i64, &str); 9] = [
        ("{\"job\"", &|line| line.replacen("\"spec\"", "\"spice\"", 1), 0, "unknown field `spice`"),
        ("{\"flow\"", &|_| String::new(), 0, "no flow is before it"),
        ("{\"flow\"", &|line| line.replacen("\"act\"", "\"other\"", 1), 1, "and the flow before it is"),
        ("{\"blob\"", &|_| String::new(), 0, "a piece of no blob"),
        ("{\"entry\"", &|line| line.repeat(2), 1, "does not come after"),
        ("{\"piece\"", &|_| "{\"piece\":\"AAAA\"}\n".to_owned(), 2, "has ended with"),
        ("{\"host\"", &|_| String::new(), -1, "it counts"),
        ("{\"key\"", &|line| line.replacen("\"taken\"", "\"token\"", 1), 0, "unknown field `token`"),
        ("{\"instance\"", &|_| "{\"instants\":1}\n".to_owned(), 0, "unknown variant `instants`"),
    ];
    for (begin, edit, behind, what) in cases {
        let line = line_of(&form, begin);
        let edited = edited(&form, line, edit);
        let lines = edited.iter().filter(|byte| **byte == b'\n').count() as i64;
        let expected = if behind < 0 { lines } else { line as i64 + behind };
        let error = items(&edited).expect_err("it was edited");
        assert!(error.what.contains(what), "{begin}: {error}");
        assert_eq!(error.line as i64, expected, "{begin}: {error}");
    }
}

#[test]
fn foreign_and_newer_files_are_refused_at_the_first_line() {
    let cases: [(&[u8], &str); 6] = [
        (b"", "cut"),
        (b"\xFF\xD8\xFF\xE0\n", "this is no export of a store"),
        (b"{\"format\":\"windlass store\"}\n", "this is no export of a store"),
        (b"{\"format\":\"other\",\"version\":1}\n", "its format is \"other\""),
        (
            b"{\"format\":\"windlass store\",\"version\":4}\n",
            "this windlass knows 1 to 3: use the one that wrote it",
        ),
        (b"{\"format\":\"windlass store\",\"version\":0}\n", "has the version 0"),
    ];
    for (file, what) in cases {
        let error = items(file).expect_err("it is no form");
        assert_eq!(error.line, 1);
        assert!(error.what.contains(what), "{error}");
    }
}

#[tokio::test]
async fn a_form_of_an_older_version_is_read_and_written_as_one_of_this() {
    let form = form().await;
    for older in [1, 2] {
        let version = format!("\"version\":{older}");
        let older = edited(&form, 1, |line| line.replace("\"version\":3", &version));
        assert_ne!(older, form);
        assert_eq!(rewritten(items(&older).expect("it is whole")), form);
    }
}

#[tokio::test]
async fn nothing_may_follow_the_last_line() {
    let mut form = form().await;
    let line = form.iter().filter(|byte| **byte == b'\n').count() as u64;
    form.push(b'\n');
    let error = items(&form).expect_err("there is more");
    assert_eq!((error.line, error.what.contains("more behind")), (line, true), "{error}");
}

#[test]
fn where_a_store_cuts_its_blobs_does_not_show() {
    let bytes = vec![7; 3 * PIECE_BYTES + 1];
    let digest = windlass_core::id::Digest::of(&bytes);
    let form = |cut: usize| {
        let mut writer = Writer::begin();
        writer.write(Exported::Blob { digest, size_bytes: bytes.len() as u64 }).expect("in order");
        bytes.chunks(cut).for_each(|piece| writer.write(Exported::Piece(piece.to_vec())).expect("in order"));
        let mut form = writer.take();
        form.extend(writer.end().expect("whole").0);
        form
    };
    let expected = form(bytes.len());
    for cut in [1_000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1] {
        assert_eq!(form(cut), expected);
    }
    assert_eq!(items(&expected).expect("whole").len(), 5);
}

#[test]
fn a_writer_refuses_what_a_reader_would() {
    let key = |id: &str| Exported::Key {
        key: UniqueKey::Event { source: "s".to_owned(), id: id.to_owned() },
        taken: Some(sample::at(1)),
        job: sample::job_id(1),
    };
    let mut writer = Writer::begin();
    writer.write(key("b")).expect("in order");
    assert!(matches!(writer.write(key("a")), Err(WriteError::Disorder { .. })));
    assert!(matches!(writer.write(key("b")), Err(WriteError::Disorder { .. })));
    assert!(matches!(writer.write(Exported::Piece(vec![1])), Err(WriteError::Disorder { .. })));
    let broken = Exported::Broken("table x".to_owned());
    assert_eq!(writer.write(broken), Err(WriteError::Broken("table x".to_owned())));
}

#[tokio::test]
async fn a_store_whose_import_has_not_ended_is_not_exported() {
    let store = RedbStore::open_in_memory().expect("opens");
    small(&store).await;
    sample::put(&store, sample::import()).await;
    let refused = written(&store).await;
    assert!(matches!(refused, Err(ExportError::Unfinished(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_imported_is_exported_the_same() {
    let form = form().await;
    let store = RedbStore::open_in_memory().expect("opens");
    let counts = import(&store, sample::at(99), Cursor::new(form.clone())).await.expect("it is whole");
    assert_eq!((counts.blobs, counts.records, counts.jobs, counts.notes, counts.keys), (1, 4, 2, 3, 8));
    assert_eq!(written(&store).await.expect("it can be written down"), form);
    let refused = import(&store, sample::at(99), Cursor::new(form)).await;
    assert_eq!(
        refused.expect_err("it is not empty").to_string(),
        "the store is not empty: it has 1 plugin, 1 trigger, 1 operation, 1 host, 2 jobs; import into an empty one"
    );
}

#[tokio::test]
async fn a_foreign_file_leaves_the_store_empty_and_a_cut_one_leaves_it_marked() {
    let store = RedbStore::open_in_memory().expect("opens");
    let refused = import(&store, sample::at(99), Cursor::new(b"foreign\n".to_vec())).await;
    assert!(matches!(refused, Err(ImportError::Read(ReadError { line: 1, .. }))), "{refused:?}");
    assert!(unfinished(&store).await.expect("readable").is_none());
    let form = sample::form_of_a_small_store();
    let cut = import(&store, sample::at(99), Cursor::new(form[..form.len() - 1].to_vec())).await;
    assert!(matches!(cut, Err(ImportError::Read(_))), "{cut:?}");
    assert!(unfinished(&store).await.expect("readable").is_some());
    let again = import(&store, sample::at(99), Cursor::new(form.to_vec())).await;
    assert!(matches!(again, Err(ImportError::Unfinished(_))), "{again:?}");
    let refused = written(&store).await;
    assert!(matches!(refused, Err(ExportError::Unfinished(_))), "{refused:?}");
}

#[tokio::test]
async fn a_job_that_its_entries_do_not_make_is_refused_with_its_line() {
    let form = sample::form_of_a_small_store();
    let cases: [(&str, Edit<'_>, &str); 3] = [
        (
            "{\"job\"",
            &|line| line.replacen("\"priority\":0", "\"priority\":7", 1),
            "priority is 0, and 7 is told",
        ),
        (
            "{\"instance\"",
            &|line| line.replacen("\"attempt\":1", "\"attempt\":2", 1),
            "attempt is 1, and 2 is told",
        ),
        (
            "{\"entry\"",
            &|line| line.replacen("\"sequence\":1", "\"sequence\":2", 1),
            "the entry before it is 0",
        ),
    ];
    for (begin, edit, what) in cases {
        let begun = line_of(form, begin);
        let line = if begin.contains("entry") { begun } else { line_of(form, "{\"job\"") };
        let mut edited = edited(form, begun, edit);
        if begin.contains("entry") {
            // Its neighbour would be out of order first.
            let text = String::from_utf8(edited).expect("it is text");
            edited = text.replacen("\"sequence\":2,\"at\"", "\"sequence\":3,\"at\"", 2).into_bytes();
        }
        let store = RedbStore::open_in_memory().expect("opens");
        let refused = import(&store, sample::at(99), Cursor::new(edited)).await.expect_err("it was edited");
        let text = refused.to_string();
        assert!(text.starts_with(&format!("line {line}: job ")) && text.contains(what), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), as_form in any::<bool>()) {
        let mut form = Vec::new();
        if as_form {
            form.extend_from_slice(b"{\"format\":\"windlass store\",\"version\":3}\n");
        }
        form.extend(bytes);
        prop_assert!(items(&form).is_err());
    }

    #[test]
    fn no_order_of_lines_makes_the_reader_panic(picks in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>(), any::<u8>()), 1..20)) {
        let form = sample::form_of_a_small_store();
        let lines: Vec<&[u8]> = form.split_inclusive(|byte| *byte == b'\n').collect();
        let mut mixed = lines[0].to_vec();
        for (line, at, byte) in picks {
            let mut line = line.get(&lines).to_vec();
            let at = usize::from(at) % (2 * line.len());
            if let Some(changed) = line.get_mut(at) {
                *changed = byte;
            }
            mixed.extend(line);
        }
        drop(items(&mixed));
    }
}
