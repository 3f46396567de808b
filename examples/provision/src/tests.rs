//! The actions in directories of a test, dying at every point of their lives.
//!
//! An action asks its place for a path right before each use of a file: there, a test has it die.

mod points;
mod release;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use windlass_plugin::trial::{ObservedTrial, Trial};
use windlass_plugin::{Done, Failure, Observation};

use crate::acquire::AcquireOutput;
use crate::place::Place;

type Reserve = crate::reserve::Reserve<Ground>;
type Configure = crate::configure::Configure<Ground>;
type Acquire = crate::acquire::Acquire<Ground>;
type Release = crate::release::Release<Ground>;

thread_local! {
    /// Stands for `/`.
    static ROOT: RefCell<PathBuf> = RefCell::default();
    /// How often a path may still be asked for before the action dies.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The place of a test.
struct Ground;

impl Place for Ground {
    fn path(path: &str) -> PathBuf {
        if let Some(left) = LEFT.get() {
            assert!(left > 0, "the test has it die here");
            LEFT.set(Some(left - 1));
        }
        ROOT.with_borrow(|root| root.join(path))
    }
}

/// Three free addresses, a configuration, and a provider that has no requests yet.
fn ground() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    ROOT.set(directory.path().into());
    for address in ["10.0.0.10", "10.0.0.11", "10.0.1.10"] {
        put(&format!("pool/free/{address}"), "");
    }
    put("machines/web.json", "{\"made\": \"by hand\"}");
    directory
}

fn at(path: &str) -> PathBuf {
    ROOT.with_borrow(|root| root.join(path))
}

fn put(path: &str, text: &str) {
    let path = at(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Every file below a directory, with what is in it.
fn files(below: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    collect(&at(below), &mut files);
    files
}

fn collect(directory: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let name = ROOT.with_borrow(|root| path.strip_prefix(root).unwrap().display().to_string());
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

fn answer(answer: &Value) {
    let requests = files("provider/requests");
    let request = requests.keys().next().expect("there is a request");
    put(&request.replace("requests", "answers"), &answer.to_string());
}

fn web() -> Value {
    json!({ "machine": "web", "address": "10.0.0.10" })
}

fn class(failure: Failure) -> String {
    failure.fault().class.clone()
}

#[test]
fn an_address_is_taken_once_and_found_again_by_its_taker() {
    let _ground = ground();
    let input = json!({ "machine": "web" });
    let mut first = Trial::<Reserve>::new().with_key("first");
    assert_eq!(first.apply(&input).unwrap().address, "10.0.0.10");
    first.lose_outcome();
    assert_eq!(first.apply(&input).unwrap().address, "10.0.0.10");
    let mut second = Trial::<Reserve>::new().with_key("second");
    assert_eq!(second.apply(&input).unwrap().address, "10.0.0.11");
    let mut third = Trial::<Reserve>::new().with_key("third");
    let wanted = json!({ "machine": "db", "prefix": "10.0.0." });
    let empty = third.apply(&wanted).unwrap_err();
    assert!(matches!(&empty, Failure::Retry { fault, .. } if fault.class == "pool.empty"), "{empty:?}");
    first.revert(&input).unwrap();
    assert_eq!(third.apply(&wanted).unwrap().address, "10.0.0.10");
}

#[test]
fn of_many_that_reserve_at_once_each_gets_an_address_of_its_own() {
    const MANY: usize = 16;
    let directory = ground();
    for number in 0..MANY {
        put(&format!("pool/free/10.1.0.{number:03}"), "");
    }
    let reserve = |number: usize| {
        ROOT.set(directory.path().into());
        let input = json!({ "machine": "web", "prefix": "10.1." });
        Trial::<Reserve>::new().with_key(&format!("task {number}")).apply(&input).map(|taken| taken.address)
    };
    let mut taken: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..MANY).map(|number| scope.spawn(move || reserve(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), MANY);
    assert_eq!(class(reserve(MANY).unwrap_err()), "pool.empty");
}

#[test]
fn undoing_a_configuration_restores_what_was_there_and_never_what_somebody_wrote_since() {
    let _ground = ground();
    let before = files("machines");
    let input = json!({ "machine": "web", "address": "10.0.0.10", "settings": { "role": "proxy" } });
    let mut trial = Trial::<Configure>::new();
    assert_eq!(trial.apply(&input).unwrap().file, "web.json");
    let written: Value = serde_json::from_str(&files("machines")["machines/web.json"]).unwrap();
    assert_eq!((&written["address"], &written["settings"]["role"]), (&json!("10.0.0.10"), &json!("proxy")));
    trial.revert(&input).unwrap();
    assert_eq!(files("machines"), before);

    let mut trial = Trial::<Configure>::new();
    trial.apply(&input).unwrap();
    put("machines/web.json", "somebody else's");
    let said = trial.revert(&input).unwrap().unwrap();
    assert_eq!(files("machines")["machines/web.json"], "somebody else's");
    assert!(said[0].as_str().unwrap().contains("somebody else's by now"), "{said}");
}

#[test]
fn a_machine_is_accepted_observed_until_it_is_ready_and_given_back() {
    let _ground = ground();
    let mut trial = ObservedTrial::<Acquire>::new();
    let Done::Accepted(accepted) = trial.apply(&web()).unwrap() else { panic!("it takes its time") };
    assert_eq!(accepted.undo, None, "the undo record was written before the request");
    let request = files("provider/requests");
    assert!(request.values().all(|request| request.contains("10.0.0.10") && request.contains("small")));

    assert_eq!(trial.observe(&web()).unwrap(), Observation::unknown());
    answer(&json!({ "later": 60 }));
    let later = std::time::Duration::from_secs(60);
    assert_eq!(trial.observe(&web()).unwrap(), Observation::unknown_for(later));
    answer(&json!("half an ans"));
    assert_eq!(trial.observe(&web()).unwrap_err().class, "answer.malformed");
    answer(&json!({ "ready": { "serial": "M-7", "address": "10.9.9.9" } }));
    assert!(matches!(trial.observe(&web()).unwrap(), Observation::Drifted(Some(_))));
    answer(&json!({ "ready": { "serial": "M-7" } }));
    let output = AcquireOutput { serial: "M-7".into() };
    assert_eq!(trial.observe(&web()).unwrap(), Observation::Present(output));

    trial.revert(&web()).unwrap();
    trial.revert(&web()).unwrap();
    assert_eq!(files("provider/requests"), BTreeMap::new());
    assert_eq!(files("provider/withdrawn").len(), 1, "the provider is told to take it back");
}

#[test]
fn a_machine_that_is_refused_has_failed_and_its_request_is_withdrawn() {
    let _ground = ground();
    let mut trial = ObservedTrial::<Acquire>::new();
    trial.apply(&web()).unwrap();
    trial.lose_outcome();
    answer(&json!({ "refused": "there are no more of this size" }));
    let Observation::Failed(fault) = trial.observe(&web()).unwrap() else { panic!("it is refused") };
    assert_eq!(
        (fault.class.as_str(), fault.message.as_str()),
        ("machine.refused", "there are no more of this size")
    );
    trial.revert(&web()).unwrap();
    assert_eq!(files("provider/requests"), BTreeMap::new());
}

#[test]
fn what_is_in_doubt_is_found_by_its_key() {
    let _ground = ground();
    let mut trial = ObservedTrial::<Acquire>::new();
    let Observation::Absent(Some(fault)) = trial.observe(&web()).unwrap() else { panic!("nobody asked") };
    assert_eq!(fault.class, "request.missing");
    trial.apply(&web()).unwrap();
    trial.lose_outcome();
    assert_eq!(trial.observe(&web()).unwrap(), Observation::unknown());
    answer(&json!({ "ready": { "serial": "M-7" } }));
    assert!(matches!(trial.observe(&web()).unwrap(), Observation::Present(_)));
    trial.lose_outcome();
    // Applied again instead: there is still one request, and it is answered.
    assert!(matches!(trial.apply(&web()).unwrap(), Done::Applied(_)));
    assert_eq!(files("provider/requests").len(), 1);
}

#[test]
fn names_that_would_leave_the_directories_are_rejected() {
    let _ground = ground();
    let before = files("");
    let long = "x".repeat(65);
    for machine in ["", "../web", "a/b", ".hidden", "naïve", &long] {
        let input = json!({ "machine": machine, "address": "10.0.0.10" });
        assert_eq!(class(Trial::<Configure>::new().apply(&input).unwrap_err()), "input.invalid");
        assert_eq!(class(ObservedTrial::<Acquire>::new().apply(&input).unwrap_err()), "input.invalid");
        let input = json!({ "machine": machine });
        assert_eq!(class(Trial::<Reserve>::new().apply(&input).unwrap_err()), "input.invalid");
    }
    assert_eq!(files(""), before);
}
