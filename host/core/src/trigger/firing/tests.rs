//! Firings: every nominal time is decided once, in order.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::super::tests::{MINUTE_MS, at, clock, create, cron, every, fire, told};
use super::*;
use crate::schedule::{CadenceSpec, INTERVAL_FLOOR_MS, ScheduleSpec};
use crate::trigger::{KindSpec, TriggerSpec};

#[test]
fn t12_each_occurrence_is_decided_once() {
    let trigger = create(&every(MINUTE_MS), clock("07:00:00"));
    let first = fire(&trigger, clock("07:02:30"));
    assert_eq!(told(&first), [("07:01".to_owned(), Verdict::Run), ("07:02".to_owned(), Verdict::Run)]);
    assert_eq!(first.trigger.next_due, Some(clock("07:03:00")));
    let again = fire(&first.trigger, clock("07:02:30"));
    assert_eq!((told(&again), again.trigger), (vec![], first.trigger));
}

#[test]
fn missed_occurrences_follow_the_catch_up_rule() {
    use Verdict::{CatchUp as Caught, Dropped, Run};
    let verdicts = |catch_up, now: &str| {
        let spec = TriggerSpec { catch_up, window_ms: Some(30 * MINUTE_MS), ..cron("0 * * * *") };
        let firing = fire(&create(&spec, clock("06:30:00")), clock(now));
        firing.occurrences.iter().map(|due| due.verdict).collect::<Vec<_>>()
    };
    // 07:00 to 09:00 are due; the windows of all are closed at 09:45, that of 09:00 is open at 09:30.
    assert_eq!(verdicts(CatchUp::Skip, "09:45:00"), [Dropped, Dropped, Dropped]);
    assert_eq!(verdicts(CatchUp::Latest, "09:45:00"), [Dropped, Dropped, Caught]);
    assert_eq!(verdicts(CatchUp::All, "09:45:00"), [Caught, Caught, Caught]);
    assert_eq!(verdicts(CatchUp::Skip, "09:30:00"), [Dropped, Dropped, Run]);
    assert_eq!(verdicts(CatchUp::Latest, "09:30:00"), [Dropped, Dropped, Run]);
    assert_eq!(verdicts(CatchUp::All, "09:30:00"), [Caught, Caught, Run]);
}

#[test]
fn beyond_a_thousand_missed_one_gap_stands_for_the_older_ones() {
    for spec in [every(MINUTE_MS), cron("* * * * *")] {
        let spec = TriggerSpec { catch_up: CatchUp::All, window_ms: Some(MINUTE_MS), ..spec };
        let trigger = create(&spec, at("2026-11-20T00:00:00Z"));
        // 1,440 in a day; the windows of the last two are open.
        let firing = fire(&trigger, at("2026-11-21T00:00:00Z"));
        let gap = firing.gap.clone().unwrap();
        assert_eq!((gap.from, gap.to), (at("2026-11-20T00:01:00Z"), at("2026-11-20T07:18:00Z")));
        assert_eq!((gap.count, firing.occurrences.len()), (438, 1_002));
        assert_eq!(firing.occurrences[0].occurrence.nominal, at("2026-11-20T07:19:00Z"));
        assert_eq!(firing.occurrences.iter().filter(|due| due.verdict == Verdict::Run).count(), 2);
    }
}

#[test]
fn two_days_of_seconds_are_counted_in_bounded_calls() {
    let trigger = create(&cron("* * * * * *"), at("2026-11-20T00:00:00Z"));
    let now = at("2026-11-22T00:00:00Z");
    let (mut at_hand, mut counted, mut calls) = (trigger, 0, 0);
    loop {
        let firing = at_hand.fire(now, 500).unwrap();
        counted += firing.gap.as_ref().map_or(0, |gap| gap.count) + firing.occurrences.len() as u64;
        calls += 1;
        at_hand = firing.trigger;
        if !firing.more {
            break;
        }
    }
    assert_eq!((counted, at_hand.high_water), (2 * 86_400, now));
    assert!(calls < 12, "{calls}");
    // An interval is counted at once, however long.
    let trigger = create(&every(1_000), at("2000-01-01T00:00:00Z"));
    let firing = trigger.fire(at("2026-01-01T00:00:00Z"), 10).unwrap();
    assert!(firing.gap.unwrap().count > 800_000_000 && firing.more);
}

#[test]
fn batches_are_bounded_and_say_whether_there_is_more() {
    let trigger = create(&every(MINUTE_MS), clock("07:00:00"));
    let first = trigger.fire(clock("07:05:00"), 2).unwrap();
    assert_eq!(
        (first.occurrences.len(), first.more, first.trigger.next_due),
        (2, true, Some(clock("07:03:00")))
    );
    let second = first.trigger.fire(clock("07:05:00"), 3).unwrap();
    assert_eq!((second.occurrences.len(), second.more), (3, false));
    assert_eq!(trigger.fire(clock("07:05:00"), 0).unwrap().occurrences.len(), 1);
}

#[test]
fn x09_a_clock_that_jumps_fires_nothing_twice_and_loses_nothing() {
    let trigger = fire(&create(&every(10 * MINUTE_MS), clock("07:00:00")), clock("07:10:00")).trigger;
    // Back an hour: silence until the time that was decided has passed again.
    for now in ["06:10:00", "06:20:00", "07:10:00"] {
        assert_eq!(fire(&trigger, clock(now)).trigger, trigger);
    }
    assert_eq!(told(&fire(&trigger, clock("07:20:00"))), [("07:20".to_owned(), Verdict::Run)]);
    // Forward an hour: the window decides.
    let ahead = fire(&trigger, clock("08:10:00"));
    let dropped = told(&ahead).into_iter().filter(|(_, verdict)| *verdict == Verdict::Dropped).count();
    assert_eq!((dropped, ahead.occurrences.len()), (2, 6));
    assert!(told(&fire(&ahead.trigger, clock("07:30:00"))).is_empty());
    // An edit or a pause at an earlier time does not lower the mark.
    assert_eq!(
        ahead.trigger.pause("", clock("07:30:00")).unwrap().resume(clock("07:31:00")).unwrap().high_water,
        clock("08:10:00")
    );
    let updated = ahead.trigger.update(&every(20 * MINUTE_MS), INTERVAL_FLOOR_MS, clock("07:30:00")).unwrap();
    assert_eq!(updated.high_water, clock("08:10:00"));
}

const RULES: [&str; 5] = ["* * * * *", "*/7 * * * *", "30 2 * * *", "15,45 */3 * * *", "*/5 * * * * *"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the schedule, the windows, the batches and the instants of polling (some of them back in time): every
    /// nominal time gets one verdict or one place in a gap, in order, and what is left is still ahead.
    #[test]
    fn every_nominal_time_is_decided_once_and_in_order(
        spec in prop_oneof![
            (1_000_i64..5_000_000).prop_map(every),
            prop::sample::select(RULES.to_vec()).prop_map(cron),
        ],
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
        window_ms in 1_000_i64..10_000_000,
        catch_up in prop::sample::select(vec![CatchUp::Skip, CatchUp::Latest, CatchUp::All]),
        batch_max in 1_usize..400,
        begin in 1_770_000_000_i64..1_800_000_000,
        polls in prop::collection::vec(-5_000_i64..20_000, 1..12),
    ) {
        let mut spec = TriggerSpec { window_ms: Some(window_ms), catch_up, ..spec };
        let KindSpec::Schedule(ScheduleSpec { cadence, .. }) = &mut spec.kind else { unreachable!("it goes by time") };
        if let CadenceSpec::Cron { zone: named, .. } = cadence {
            *named = Some(zone.to_owned());
        }
        let begin = DateTime::from_timestamp(begin, 0).unwrap();
        let created = create(&spec, begin);
        let TriggerKind::Schedule(schedule) = &created.kind else { unreachable!("it was created with a schedule") };
        let timetable = schedule.compile().unwrap();
        let (mut trigger, mut now, mut latest) = (created.clone(), begin, begin);
        let mut decided = begin;
        for step in polls {
            now += TimeDelta::seconds(step);
            latest = latest.max(now);
            loop {
                let firing = trigger.fire(now, batch_max).unwrap();
                prop_assert!(firing.occurrences.len() <= batch_max);
                if let Some(gap) = &firing.gap {
                    for nth in 0..gap.count {
                        let next = timetable.next_after(decided).unwrap();
                        prop_assert!(nth > 0 || next == gap.from);
                        decided = next;
                    }
                    prop_assert_eq!(decided, gap.to);
                    prop_assert!(gap.to + TimeDelta::milliseconds(window_ms) < now);
                }
                for due in &firing.occurrences {
                    prop_assert_eq!(Some(due.occurrence.nominal), timetable.next_after(decided));
                    decided = due.occurrence.nominal;
                    prop_assert!(decided <= now);
                    let is_open = now <= decided + TimeDelta::milliseconds(window_ms);
                    prop_assert_eq!(due.verdict == Verdict::Run, is_open);
                }
                trigger = firing.trigger;
                prop_assert_eq!(trigger.next_due, timetable.next_after(decided));
                if !firing.more {
                    break;
                }
            }
            prop_assert!(trigger.next_due.is_none_or(|next| next > now));
        }
        // Nothing up to the latest instant is left out.
        prop_assert!(timetable.next_after(decided).is_none_or(|next| next > latest));
    }
}
