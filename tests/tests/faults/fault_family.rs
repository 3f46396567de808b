//! Child jobs, whatever fails while jobs tell each other what they have to: a child is made once, nothing of it is
//! lost, and a parent says of it what it says itself.
//!
//! A small host on the model of a store. What it tells is told through a guard, every operation of which can fail, be
//! the last of its host, or let others go ahead.

mod household;
mod script;

use std::collections::BTreeSet;

use futures::poll;
use household::{Chosen, Fault, Household, engine};
use script::{FLOWS, Shape};
use windlass_core::entry::Fact;
use windlass_core::fault::HOST_CHILD;
use windlass_core::job::{CancelMode, Cause, JobState};
use windlass_host::engine::EngineError;
use windlass_host::engine::family::Told;
use windlass_host::engine::job::Demand;
use windlass_host::store::{Store as _, StoreFailure};

/// More than all that is told in one life has operations, or is polled.
const STEPS_MAX: u64 = 400;

#[tokio::test]
async fn s10_whatever_fails_while_a_family_tells_each_other_the_end_is_the_same() {
    for shape in FLOWS {
        let undisturbed = Household::of(shape).await.live(Chosen::default()).await;
        assert!(undisturbed > 4, "{shape:?} tells only by {undisturbed} operations");
        let kept = |failure: fn(String) -> StoreFailure| failure("a test says so".to_owned());
        let failures = [kept(StoreFailure::Corrupt), kept(StoreFailure::Down), StoreFailure::Full];
        for failure in failures {
            for fault in [Fault::Before(failure.clone()), Fault::After(failure.clone())] {
                for number in 1..=undisturbed {
                    let household = Household::of(shape).await;
                    household.live(Chosen::failing(number, fault.clone())).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn s10_a_host_that_dies_at_any_operation_while_it_tells_leaves_the_rest_to_the_next_one() {
    let mut died = 0;
    for shape in FLOWS {
        let undisturbed = Household::of(shape).await.live(Chosen::default()).await;
        for number in 1..=undisturbed {
            for fault in [Fault::Dies, Fault::DiesAfter] {
                let household = Household::of(shape).await;
                household.live(Chosen::failing(number, fault)).await;
                died += 1;
            }
        }
    }
    assert!(died > 100, "{died} hosts died");
}

#[tokio::test]
async fn two_hosts_that_tell_at_once_make_one_child_and_tell_each_thing_once() {
    for shape in FLOWS {
        for turns in 0..4 {
            let household = Household::of(shape).await;
            household.live_twice(turns).await;
        }
    }
}

/// A host is held up at each of its steps while the job is cancelled and another host tells the rest: what it does when
/// it goes on makes no child that runs.
#[tokio::test]
async fn a_host_that_comes_late_with_an_order_makes_no_child_that_runs() {
    let mut is_held_up_before_the_birth = false;
    for steps in 0..STEPS_MAX {
        let household = Household::of(Shape::Succeeds).await;
        household.work().await;
        let slow = engine(&household.store, Chosen::polite(1));
        let nobody = BTreeSet::new();
        let mut late = Box::pin(slow.tell_families(&nobody));
        let mut is_over = false;
        for _ in 0..steps {
            if poll!(&mut late).is_ready() {
                is_over = true;
                break;
            }
        }
        let is_made = household.child().await.is_some();
        let demand = Demand::Cancel(CancelMode::Revert);
        household
            .engine
            .demand(household.parent, "local", &[demand], "enough", None)
            .await
            .expect("it waits");
        household.settle().await;
        let before = household.calls();
        if !is_over {
            late.await.expect("nothing fails");
        }
        household.settle().await;
        let parent = household.job(household.parent).await;
        assert_eq!(parent.status.state, JobState::Reverted, "after {steps} steps");
        household.check().await;
        if is_made {
            assert!(is_held_up_before_the_birth, "the first was held up before it made the child");
            return;
        }
        let child = household.child().await.expect("it is made, so that nobody else can");
        assert_eq!(child.status.state, JobState::Cancelled, "after {steps} steps");
        assert_eq!(household.calls(), before, "nothing of it runs, after {steps} steps");
        is_held_up_before_the_birth |= !is_over && steps > 1;
    }
    panic!("a child is made within {STEPS_MAX} steps");
}

/// More orders than are told at a time, of one job.
#[tokio::test]
async fn a_map_of_many_child_jobs_is_told_in_parts_and_comes_to_its_end() {
    let household = Household::of(Shape::Wide).await;
    household.work().await;
    let told = household.engine.tell_families(&BTreeSet::new()).await.expect("nothing fails");
    assert_eq!(told, Told { count: 256, failed: BTreeSet::new() }, "others have their turn");
    household.settle().await;
    household.check_end().await;
    assert_eq!(household.children().await.len(), 300);
}

#[tokio::test]
async fn a_job_that_cannot_tell_keeps_no_other_from_it_and_is_not_tried_again_at_once() {
    let household = Household::of(Shape::Succeeds).await;
    let (first, second) = (household.parent, household.another(2, Shape::Succeeds).await);
    household.work().await;
    // The index, the two jobs, and then the child of the first.
    let fault = Fault::Before(StoreFailure::Corrupt("a row does not decode".to_owned()));
    let failing = engine(&household.store, Chosen::failing(4, fault));
    let told = failing.tell_families(&BTreeSet::new()).await.expect("the rest can be told");
    assert_eq!(told, Told { count: 1, failed: BTreeSet::from([first]) });
    assert_eq!(household.store.untold(None, 9).await.expect("readable"), [first]);
    let told = failing.tell_families(&told.failed).await.expect("nobody has anything to tell");
    assert_eq!(told, Told::default());
    household.settle().await;
    for job in [first, second] {
        assert_eq!(household.job(job).await.status.state, JobState::Succeeded);
    }
}

#[tokio::test]
async fn a_child_that_cannot_be_made_is_a_failure_of_its_node() {
    let household = Household::of(Shape::Large).await;
    household.settle().await;
    let parent = household.job(household.parent).await;
    assert_eq!(parent.status.state, JobState::Reverted);
    let Some(Cause::Task { fault, .. }) = &parent.status.cause else { panic!("{:?}", parent.status.cause) };
    assert_eq!(fault.class, HOST_CHILD);
    for part in ["cannot be made", "arguments are", "granted directory"] {
        assert!(fault.message.contains(part), "{part:?} is not in {}", fault.message);
    }
    assert!(household.children().await.is_empty());
    household.check().await;
}

#[tokio::test]
async fn a_child_is_purged_after_its_parent_and_a_parent_when_its_children_know_of_its_end() {
    let household = Household::of(Shape::Succeeds).await;
    household.settle().await;
    let (parent, child) = (household.parent, household.child().await.expect("it was made").id());
    let refused = household.engine.purge(child, "local", None).await.expect_err("its parent may undo it");
    assert!(matches!(refused, EngineError::Precondition { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&format!("a child of job {parent}")), "{refused}");
    household.engine.purge(parent, "local", None).await.expect("nobody waits for it");
    household.engine.purge(child, "local", None).await.expect("its parent is gone");

    let household = Household::of(Shape::Succeeds).await;
    household.work().await;
    let demand = Demand::Cancel(CancelMode::Leave);
    household.engine.demand(household.parent, "local", &[demand], "enough", None).await.expect("it waits");
    let refused =
        household.engine.purge(household.parent, "local", None).await.expect_err("its child would go on");
    assert!(refused.to_string().contains("do not know yet that it has ended"), "{refused}");
    household.settle().await;
    household.check().await;
    household.engine.purge(household.parent, "local", None).await.expect("its child knows");
}

#[tokio::test]
async fn an_end_that_nobody_wants_to_know_any_more_is_told_all_the_same() {
    let household = Household::of(Shape::Succeeds).await;
    household.work().await;
    household.engine.tell_families(&BTreeSet::new()).await.expect("nothing fails");
    let child = household.child().await.expect("it is made").id();
    let demand = Demand::Cancel(CancelMode::Leave);
    household.engine.demand(household.parent, "local", &[demand], "enough", None).await.expect("it waits");
    household.engine.tell_families(&BTreeSet::new()).await.expect("nothing fails");
    household.engine.purge(household.parent, "local", None).await.expect("its child knows");
    household.settle().await;
    let told = household.entries(child).await;
    assert!(told.iter().any(|entry| matches!(entry.fact, Fact::ParentTold { .. })), "{told:#?}");
    assert_eq!(household.store.untold(None, 9).await.expect("readable"), []);
}
