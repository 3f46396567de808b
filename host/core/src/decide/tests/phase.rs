//! Phases: exact traces.

use super::bench::broken;
use super::scope::{bench, run, short};
use super::shape::{Shape, flow_of, nested, own_revert, t};
use crate::call::Direction::Apply;
use crate::flow::{Flow, Pattern};
use crate::job::JobState;
use crate::phase::Phase;

use Pattern::{Graph, Linear, Unordered};
use Phase::{Acquire, Configure, Reserve};

/// In no order of definition; `free` is in no phase.
fn flow() -> Flow {
    let configure = nested("c", Unordered, [t("c1"), t("c2")]).phase(Configure);
    flow_of(
        Graph,
        [
            t("q1").phase(Acquire),
            configure,
            t("free"),
            t("r1").phase(Reserve),
            t("q2").phase(Acquire),
            t("r2").phase(Reserve),
        ],
    )
}

#[test]
fn all_of_a_phase_is_applied_before_any_of_the_next_begins() {
    let mut bench = bench(flow());
    bench.claim();
    assert_eq!(bench.calling(), "free r1 r2");
    bench.finish_task("r1");
    assert_eq!(bench.calling(), "free r2", "the other holds it up");
    bench.finish_task("r2");
    assert_eq!(bench.calling(), "c1 c2 free", "what is in no phase holds nothing up");
    bench.finish_task("c2");
    bench.finish_task("c1");
    assert_eq!(bench.calling(), "q1 free q2");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn they_are_undone_the_other_way_round_with_one_slot_and_with_many() {
    for (room, trace) in [
        (0, "free r1 r2 c1 c2 q1 q2 q2! -q2 -free -q1 -c2 -c1 -r2 -r1"),
        (16, "free r1 r2 c1 c2 q1 q2 q2! -q2 -free -q1 -c2 -c1 -r2 -r1"),
    ] {
        let mut bench = bench(flow()).script("q2", Apply, &[broken()]);
        bench.room = room;
        assert_eq!(bench.run(), JobState::Reverted);
        assert_eq!(short(&bench), trace, "{room}");
    }
    let mut bench = bench(flow());
    bench.run();
    bench.decide(|d| d.revert("undo it".into())).expect("it succeeded");
    bench.claim();
    assert_eq!(bench.calling(), "q1 free q2");
    ["q1", "q2"].into_iter().for_each(|task| bench.finish_task(task));
    assert_eq!(bench.calling(), "c1 c2 free");
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn a_failure_in_a_phase_keeps_the_next_from_beginning() {
    let (trace, state, _) = run(bench(flow()).script("c1", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("free r1 r2 c1 c1! -free -c1 -r2 -r1", JobState::Reverted));
}

#[test]
fn phases_are_released_as_a_whole_where_their_flow_is() {
    let machine = nested("m", Graph, [t("q").phase(Acquire), t("r").phase(Reserve), t("c").phase(Configure)]);
    let flow = flow_of(Linear, [t("a"), machine.reverts(own_revert())]);
    let (trace, state, _) = run(bench(flow).script("q", Apply, &[broken()]));
    assert_eq!((trace.as_str(), state), ("a r c q q! -m.revert -a", JobState::Reverted));
}
