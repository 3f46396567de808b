//! All three actions as a flow has them, dying at every point, and one release that undoes whatever they did.

use windlass_plugin::{End, Evidence};

use super::points::{POINTS_MAX, dies_at, kept};
use super::*;
use crate::undo::Undo;

/// The tasks of a flow.
struct Flow {
    reserve: Trial<Reserve>,
    configure: Trial<Configure>,
    acquire: ObservedTrial<Acquire>,
}

impl Flow {
    fn new() -> Self {
        let reserve = Trial::new().with_key("reserve");
        let (configure, acquire) =
            (Trial::new().with_key("configure"), ObservedTrial::new().with_key("acquire"));
        Flow { reserve, configure, acquire }
    }

    fn apply(&mut self) -> Result<(), Failure> {
        let address = self.reserve.apply(&json!({ "machine": "web" }))?.address;
        let input = json!({ "machine": "web", "address": address });
        self.configure.apply(&input)?;
        self.acquire.apply(&input).map(drop)
    }

    /// What release is told: as much as there is.
    fn evidence(&self) -> Evidence<BTreeMap<String, Value>, Undo> {
        let mut undo = self.reserve.undo().unwrap();
        undo.extend(self.configure.undo().unwrap());
        undo.extend(self.acquire.undo().unwrap());
        Evidence { end: End::Applied(BTreeMap::new()), undo }
    }
}

#[test]
fn it_undoes_all_three_at_once_wherever_they_died() {
    for point in 0..POINTS_MAX {
        let _ground = ground();
        let before = kept();
        let mut flow = Flow::new();
        let has_died = dies_at(point, || flow.apply());
        let said = Trial::<Release>::new().revert_with(&json!({}), &flow.evidence()).unwrap().unwrap();
        assert_eq!(kept(), before, "dying at {point}");
        if !has_died {
            assert_eq!(said.as_array().unwrap().len(), 3, "{said}");
            assert!(said[0].as_str().unwrap().contains("withdrawn"), "the machine goes first: {said}");
            assert!(point >= 12, "they have {point} points only");
            return;
        }
    }
    panic!("three actions do not need {POINTS_MAX} paths");
}

#[test]
fn it_goes_on_where_it_died_itself() {
    for point in 0..POINTS_MAX {
        let _ground = ground();
        let before = kept();
        let mut flow = Flow::new();
        flow.apply().unwrap();
        let mut release = Trial::<Release>::new();
        let has_died = dies_at(point, || release.revert_with(&json!({}), &flow.evidence()).map(drop));
        release.revert_with(&json!({}), &flow.evidence()).unwrap();
        assert_eq!(kept(), before, "dying at {point}");
        if !has_died {
            assert!(point >= 8, "it has {point} points only");
            return;
        }
    }
    panic!("a release does not need {POINTS_MAX} paths");
}

#[test]
fn it_leaves_the_address_taken_while_the_machine_cannot_be_given_back() {
    let _ground = ground();
    let mut flow = Flow::new();
    flow.apply().unwrap();
    // What is no directory cannot take the withdrawn request.
    put("provider/withdrawn", "in the way");
    let mut release = Trial::<Release>::new();
    let failure = release.revert_with(&json!({}), &flow.evidence()).unwrap_err();
    assert!(matches!(failure, Failure::Broken(_)), "{failure:?}");
    assert_eq!(files("pool/taken").len(), 1, "a machine that runs keeps its address");
    fs::remove_file(at("provider/withdrawn")).unwrap();
    release.revert_with(&json!({}), &flow.evidence()).unwrap();
    assert_eq!(files("pool/taken"), BTreeMap::new());
}

#[test]
fn it_is_no_task() {
    assert_eq!(class(Trial::<Release>::new().apply(&json!({})).unwrap_err()), "release.no_task");
}
