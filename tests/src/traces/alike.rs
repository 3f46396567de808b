//! The same commands on several stores: whatever they are made of, what they hold is written down alike.

use tokio::sync::mpsc;
use windlass_host::store::{Store, canonical};

use super::author::Author;
use super::cast::Cast;
use super::command::Command;
use crate::dice::Dice;
use crate::model::Model;

/// Commands of one seed.
const COMMANDS: usize = 60;

/// The canonical form of everything in a store.
pub async fn form(store: &dyn Store) -> Vec<u8> {
    let (chunks, mut written) = mpsc::channel::<Vec<u8>>(4);
    let reading = async {
        let mut form = Vec::new();
        while let Some(chunk) = written.recv().await {
            form.extend(chunk);
        }
        form
    };
    let (exported, form) = tokio::join!(canonical::export(store, chunks), reading);
    exported.expect("a whole store can be written down");
    form
}

/// Gives the commands of each seed to every store, one after the other, and to the model; panics where one of them
/// answers otherwise than the model, or is written down otherwise in the end. Nothing is removed between seeds. The
/// form that all have.
pub async fn alike(stores: &[&dyn Store], seeds: std::ops::Range<u64>) -> Vec<u8> {
    let model = Model::default();
    for seed in seeds {
        let cast = Cast::of(seed);
        let mut author = Author::of(cast, Dice::of(seed), false);
        for _ in 0..COMMANDS {
            let command = {
                let state = model.state();
                author.next(&state)
            };
            give(&command, cast, &model, stores).await;
        }
    }
    let expected = form(&model).await;
    for (number, store) in stores.iter().enumerate() {
        let found = form(*store).await;
        let differs = || {
            let pairs = expected.split(|byte| *byte == b'\n').zip(found.split(|byte| *byte == b'\n'));
            let lines = pairs.enumerate().find(|(_, (expected, found))| expected != found);
            lines.map(|(line, (expected, found))| {
                let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
                format!("line {}: {} is not {}", line + 1, text(found), text(expected))
            })
        };
        assert!(found == expected, "store {number} is written down otherwise: {:?}", differs());
    }
    expected
}

async fn give(command: &Command, cast: Cast, model: &Model, stores: &[&dyn Store]) {
    let all = || std::iter::once(model as &dyn Store).chain(stores.iter().copied());
    match command {
        Command::Commit(units) => {
            for unit in units {
                let expected = model.commit(unit.clone()).await.map_err(|error| error.to_string());
                for store in stores {
                    let answer = store.commit(unit.clone()).await.map_err(|error| error.to_string());
                    assert_eq!(answer, expected, "{unit:?}");
                }
            }
        }
        Command::PutBlob(place) => {
            for store in all() {
                store.put_blob(cast.blobs[*place], cast.blob(*place)).await.expect("stored");
            }
        }
        Command::RemoveBlob(place) => {
            for store in all() {
                store.remove_blob(cast.blobs[*place]).await.expect("removed");
            }
        }
        // Of a store alone.
        Command::PutWrongBlob(_) | Command::Restart | Command::Compare => {}
        Command::Slip(_) | Command::Trouble(..) => unreachable!("nothing was to fail"),
    }
}
