//! What the fixture `remote` begins elsewhere: files below the ledger, by which a test says what has become of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn file(ledger: &Path, name: &str) -> PathBuf {
    ledger.join("remote").join(name)
}

/// Says what has become of it, such as `{"present": OUTPUT}`; until then that is unknown.
pub fn say(ledger: &Path, name: &str, said: &Value) {
    let said_of_it = file(ledger, &format!("{name}.json"));
    // Aside first: an observer may look at any time.
    let aside = file(ledger, &format!(".{name}"));
    std::fs::create_dir_all(ledger.join("remote")).expect("a directory below the ledger");
    std::fs::write(&aside, said.to_string()).expect("a file below the ledger");
    std::fs::rename(aside, said_of_it).expect("a file below the ledger");
}

/// Whether it has begun, and was not called off.
pub fn has(ledger: &Path, name: &str) -> bool {
    file(ledger, &format!("{name}.begun")).is_file()
}

/// It is gone, and nobody called it off.
pub fn forget(ledger: &Path, name: &str) {
    std::fs::remove_file(file(ledger, &format!("{name}.begun"))).expect("it has begun");
}
