//! Every point at which an action may fail or die, in its apply and in its revert: undone, nothing is left; tried again,
//! it comes out as if nothing had been.

use std::panic::{AssertUnwindSafe, catch_unwind};

use windlass_plugin::Action;
use windlass_plugin::trial::{ObservedTrial, Trial};

use super::*;

/// More than any of these actions asks for a path, or writes to the journal.
pub(super) const POINTS_MAX: u32 = 64;

/// A task instance of any of the actions.
trait Life {
    fn apply(&mut self) -> Result<(), Failure>;
    fn revert(&mut self) -> Result<(), Failure>;
    /// The host died: nobody knows how the call ended.
    fn lose_outcome(&mut self);
    fn refuse_writes_after(&mut self, writes: u32);
    fn accept_writes(&mut self);
}

impl<A: Action> Life for (Trial<A>, Value) {
    fn apply(&mut self) -> Result<(), Failure> {
        self.0.apply(&self.1).map(drop)
    }

    fn revert(&mut self) -> Result<(), Failure> {
        self.0.revert(&self.1).map(drop)
    }

    fn lose_outcome(&mut self) {
        self.0.lose_outcome();
    }

    fn refuse_writes_after(&mut self, writes: u32) {
        self.0.refuse_writes_after(writes);
    }

    fn accept_writes(&mut self) {
        self.0.accept_writes();
    }
}

impl Life for (ObservedTrial<Acquire>, Value) {
    fn apply(&mut self) -> Result<(), Failure> {
        self.0.apply(&self.1).map(drop)
    }

    fn revert(&mut self) -> Result<(), Failure> {
        self.0.revert(&self.1).map(drop)
    }

    fn lose_outcome(&mut self) {
        self.0.lose_outcome();
    }

    fn refuse_writes_after(&mut self, writes: u32) {
        self.0.refuse_writes_after(writes);
    }

    fn accept_writes(&mut self) {
        self.0.accept_writes();
    }
}

fn reserve() -> impl Life {
    (Trial::<Reserve>::new(), json!({ "machine": "web" }))
}

fn configure() -> impl Life {
    (Trial::<Configure>::new(), web())
}

fn configure_anew() -> impl Life {
    (Trial::<Configure>::new(), json!({ "machine": "db", "address": "10.0.0.11" }))
}

fn acquire() -> impl Life {
    (ObservedTrial::<Acquire>::new(), web())
}

/// What an undone action must leave as it was. A request that was withdrawn stays, for the provider to see.
pub(super) fn kept() -> BTreeMap<String, String> {
    let mut files = files("");
    files.retain(|path, _| !path.starts_with("provider/withdrawn/"));
    files
}

/// Whether the call died before it came to its end.
pub(super) fn dies_at(point: u32, call: impl FnOnce() -> Result<(), Failure>) -> bool {
    LEFT.set(Some(point));
    let ended = catch_unwind(AssertUnwindSafe(call));
    LEFT.set(None);
    match ended {
        Ok(ended) => {
            ended.unwrap();
            false
        }
        Err(_) => true,
    }
}

/// Has an apply die at each of its points; gives how many there are.
fn dying<L: Life>(new: impl Fn() -> L, then: impl Fn(&mut L, &BTreeMap<String, String>)) -> u32 {
    for point in 0..POINTS_MAX {
        let _ground = ground();
        let before = kept();
        let mut life = new();
        if !dies_at(point, || life.apply()) {
            return point;
        }
        life.lose_outcome();
        then(&mut life, &before);
    }
    panic!("an action does not need {POINTS_MAX} paths");
}

fn is_undone_wherever_it_died<L: Life>(new: impl Fn() -> L) {
    let points = dying(&new, |life, before| {
        life.revert().unwrap();
        assert_eq!(&kept(), before);
    });
    assert!(points >= 4, "it has {points} points only");
}

/// Also where the revert dies, at any of its points, after an apply that succeeded.
fn is_undone_wherever_its_revert_died<L: Life>(new: impl Fn() -> L) {
    for point in 0..POINTS_MAX {
        let _ground = ground();
        let before = kept();
        let mut life = new();
        life.apply().unwrap();
        assert_ne!(kept(), before);
        let has_died = dies_at(point, || life.revert());
        life.revert().unwrap();
        assert_eq!(kept(), before, "dying at {point}");
        if !has_died {
            assert!(point >= 2, "it has {point} points only");
            return;
        }
    }
    panic!("a revert does not need {POINTS_MAX} paths");
}

/// A second attempt, wherever the first one died, comes to what one attempt comes to, and is undone as that is.
fn comes_to_the_same_when_tried_again<L: Life>(new: impl Fn() -> L) {
    let ground_of_one = ground();
    new().apply().unwrap();
    let expected = kept();
    drop(ground_of_one);
    dying(&new, |life, before| {
        life.apply().unwrap();
        assert_eq!(kept(), expected);
        life.revert().unwrap();
        assert_eq!(&kept(), before);
    });
}

/// The journal refuses a write: nothing that was not recorded is done.
fn does_nothing_that_is_not_recorded<L: Life>(new: impl Fn() -> L) {
    for writes in 0..POINTS_MAX {
        let _ground = ground();
        let before = kept();
        let mut life = new();
        life.refuse_writes_after(writes);
        if life.apply().is_ok() {
            assert!(writes > 0, "it wrote nothing ahead");
            return;
        }
        life.accept_writes();
        if writes == 0 {
            assert_eq!(kept(), before);
        }
        life.revert().unwrap();
        assert_eq!(kept(), before);
    }
    panic!("an action does not need {POINTS_MAX} records");
}

macro_rules! points {
    ($($module:ident: $new:ident;)+) => {
        $(mod $module {
            use super::*;

            #[test]
            fn is_undone_wherever_it_died() {
                super::is_undone_wherever_it_died($new);
            }

            #[test]
            fn is_undone_wherever_its_revert_died() {
                super::is_undone_wherever_its_revert_died($new);
            }

            #[test]
            fn comes_to_the_same_when_tried_again() {
                super::comes_to_the_same_when_tried_again($new);
            }

            #[test]
            fn does_nothing_that_is_not_recorded() {
                super::does_nothing_that_is_not_recorded($new);
            }
        })+
    };
}

points! {
    an_address: reserve;
    a_configuration_in_the_place_of_another: configure;
    a_configuration_where_there_was_none: configure_anew;
    a_request: acquire;
}
