//! Triggers: their life, and what they refuse.

use super::*;
use crate::event::tests::event;
use crate::schedule::{CadenceSpec, INTERVAL_FLOOR_MS, ScheduleSpec};
use uuid::Uuid;

const ID: TriggerId = TriggerId(Uuid::from_u128(1));
pub(super) const MINUTE_MS: i64 = 60_000;

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a test writes RFC 3339")
}

/// A time of 2026-11-21.
pub(super) fn clock(time: &str) -> DateTime<Utc> {
    at(&format!("2026-11-21T{time}Z"))
}

fn spec(cadence: CadenceSpec) -> TriggerSpec {
    let schedule = ScheduleSpec { cadence, start: None, end: None };
    TriggerSpec {
        name: "nightly".to_owned(),
        owner: "ann".to_owned(),
        description: String::new(),
        labels: Default::default(),
        kind: KindSpec::Schedule(schedule),
        window_ms: None,
        catch_up: CatchUp::default(),
    }
}

pub(super) fn every(every_ms: i64) -> TriggerSpec {
    spec(CadenceSpec::Interval { every_ms, anchor: None })
}

pub(super) fn cron(expression: &str) -> TriggerSpec {
    spec(CadenceSpec::Cron { expression: expression.to_owned(), zone: None })
}

fn bounded(mut spec: TriggerSpec, start: Option<&str>, end: Option<&str>) -> TriggerSpec {
    let KindSpec::Schedule(schedule) = &mut spec.kind else { panic!("a test bounds schedules only") };
    schedule.start = start.map(str::to_owned);
    schedule.end = end.map(str::to_owned);
    spec
}

pub(super) fn create(spec: &TriggerSpec, now: DateTime<Utc>) -> Trigger {
    Trigger::create(ID, spec, INTERVAL_FLOOR_MS, now).expect("a test's trigger is valid")
}

fn events(type_: &str, source: Option<&str>) -> TriggerSpec {
    let filter = EventFilter { type_: type_.to_owned(), source: source.map(str::to_owned), subject: None };
    TriggerSpec { kind: KindSpec::Events(filter), ..every(1_000) }
}

/// What a firing decided, as `HH:MM` and the verdict.
pub(super) fn told(firing: &Firing) -> Vec<(String, Verdict)> {
    firing
        .occurrences
        .iter()
        .map(|due| (due.occurrence.nominal.format("%H:%M").to_string(), due.verdict))
        .collect()
}

pub(super) fn fire(trigger: &Trigger, now: DateTime<Utc>) -> Firing {
    trigger.fire(now, 10_000).expect("a test's schedule is known here")
}

#[test]
fn t01_a_trigger_is_due_after_its_creation_and_never_at_its_start() {
    let trigger = create(&bounded(cron("* * * * *"), Some("2026-11-21T08:00:00Z"), None), clock("07:00:00"));
    assert_eq!(trigger.next_due, Some(clock("08:01:00")));
    // A start that has passed makes nothing due in retrospect.
    let trigger = create(&bounded(cron("* * * * *"), Some("2026-11-21T08:00:00Z"), None), clock("09:00:00"));
    assert_eq!(trigger.next_due, Some(clock("09:01:00")));
    assert_eq!(create(&every(MINUTE_MS), clock("07:00:30")).next_due, Some(clock("07:01:30")));
}

#[test]
fn t02_t07_t08_t10_every_problem_is_told_at_once_with_its_path() {
    let mut spec = bounded(cron(""), Some("7"), None);
    spec.name = "a/b".to_owned();
    spec.owner = String::new();
    spec.window_ms = Some(999);
    let problems = Trigger::create(ID, &spec, INTERVAL_FLOOR_MS, clock("07:00:00")).unwrap_err();
    let paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["name", "owner", "window_ms", "schedule.start", "schedule.cron.expression"]);
    let problems = Trigger::create(ID, &every(1_500), 2_000, clock("07:00:00")).unwrap_err();
    assert!(problems.to_string().contains("floor of 2000 ms"), "{problems}");
}

#[test]
fn t10_a_window_out_of_bounds_is_refused_with_the_bounds() {
    for window_ms in [0, -1, 999, 366 * 24 * 3_600_000 + 1, i64::MAX] {
        let spec = TriggerSpec { window_ms: Some(window_ms), ..every(MINUTE_MS) };
        let problems = Trigger::create(ID, &spec, INTERVAL_FLOOR_MS, clock("07:00:00")).unwrap_err();
        assert_eq!(problems.0[0].path, "window_ms");
        assert!(problems.0[0].message.contains("give 1000 to 31622400000 ms"), "{problems}");
    }
    assert_eq!(create(&every(MINUTE_MS), clock("07:00:00")).window_ms, 1_800_000);
}

#[test]
fn t06_t11_the_last_occurrence_exhausts_and_an_exhausted_trigger_takes_no_operation() {
    let trigger = create(&bounded(cron("0 8 * * *"), None, Some("2026-11-21T08:00:00Z")), clock("07:00:00"));
    assert_eq!(trigger.check_bind(clock("07:00:00")), Ok(()));
    // The end passed while nobody looked.
    assert_eq!(trigger.check_bind(clock("09:00:00")), Err(TriggerRefused::Exhausted { trigger: ID }));
    let firing = fire(&trigger, clock("08:00:00"));
    assert_eq!(told(&firing), [("08:00".to_owned(), Verdict::Run)]);
    assert_eq!((firing.trigger.state.clone(), firing.trigger.next_due), (TriggerState::Exhausted, None));
    assert_eq!(firing.trigger.check_bind(clock("08:00:00")), Err(TriggerRefused::Exhausted { trigger: ID }));
    assert!(told(&fire(&firing.trigger, clock("09:00:00"))).is_empty());
    // An update gives it a future again.
    let updated = firing.trigger.update(&cron("0 9 * * *"), INTERVAL_FLOOR_MS, clock("08:31:00")).unwrap();
    assert_eq!((updated.state, updated.next_due), (TriggerState::Active, Some(clock("09:00:00"))));
}

#[test]
fn t13_a_bound_trigger_is_not_deleted() {
    let trigger = create(&every(MINUTE_MS), clock("07:00:00"));
    let operation = OperationId(Uuid::from_u128(9));
    let refused = trigger.check_delete(&[(operation, "backup")]).unwrap_err();
    assert!(refused.to_string().contains(&format!("operation backup ({operation})")), "{refused}");
    assert_eq!(trigger.check_delete(&[]), Ok(()));
}

#[test]
fn t17_an_update_replaces_the_pending_time_and_never_fires_the_old_generation() {
    let trigger = create(&cron("0 9 * * *"), clock("07:00:00"));
    let updated = trigger.update(&cron("0 10 * * *"), INTERVAL_FLOOR_MS, clock("07:30:00")).unwrap();
    assert_eq!((updated.generation, updated.next_due), (2, Some(clock("10:00:00"))));
    assert_eq!(updated.high_water, clock("07:30:00"));
    assert!(told(&fire(&updated, clock("09:30:00"))).is_empty());
    let fired = fire(&updated, clock("10:00:00"));
    assert_eq!(fired.occurrences[0].occurrence.generation, 2);
    // What is due and not decided would disappear.
    let refused = trigger.update(&cron("0 10 * * *"), INTERVAL_FLOOR_MS, clock("09:00:00")).unwrap_err();
    assert_eq!(refused, TriggerRefused::Undecided { trigger: ID, next_due: clock("09:00:00") });
}

#[test]
fn an_update_without_future_times_or_of_another_kind_is_refused() {
    let trigger = create(&cron("0 9 * * *"), clock("07:00:00"));
    let ended = bounded(cron("0 9 * * *"), None, Some("2026-11-21T07:10:00Z"));
    for spec in [ended, cron("0 0 30 2 *"), events("a", None)] {
        let refused = trigger.update(&spec, INTERVAL_FLOOR_MS, clock("07:30:00")).unwrap_err();
        assert!(matches!(refused, TriggerRefused::Invalid(_)), "{refused}");
    }
}

#[test]
fn an_update_may_not_start_inside_an_open_window() {
    let hourly = fire(&create(&cron("0 * * * *"), clock("07:30:00")), clock("08:00:00")).trigger;
    let often = cron("*/5 * * * *");
    let refused = hourly.update(&often, INTERVAL_FLOOR_MS, clock("08:10:00")).unwrap_err();
    let expected = TriggerRefused::WindowOpen {
        trigger: ID,
        nominal: clock("08:00:00"),
        until: clock("08:30:00"),
        first: clock("08:15:00"),
    };
    assert_eq!(refused, expected);
    let later = bounded(often.clone(), Some("2026-11-21T08:29:00Z"), None);
    assert_eq!(
        hourly.update(&later, INTERVAL_FLOOR_MS, clock("08:10:00")).unwrap().next_due,
        Some(clock("08:30:00"))
    );
    assert!(hourly.update(&often, INTERVAL_FLOOR_MS, clock("08:31:00")).is_ok());
    // A window longer than the interval does not lock the trigger: the old schedule would be due by then anyway.
    let minutely = fire(&create(&cron("* * * * *"), clock("07:59:30")), clock("08:00:00")).trigger;
    assert!(minutely.update(&often, INTERVAL_FLOOR_MS, clock("08:00:10")).is_ok());
}

#[test]
fn paused_time_has_no_occurrences() {
    let trigger = create(&every(MINUTE_MS), clock("07:00:00"));
    let paused = trigger.pause("maintenance", clock("07:00:30")).unwrap();
    assert_eq!((paused.next_due, paused.generation), (None, 2));
    assert!(told(&fire(&paused, clock("07:05:00"))).is_empty());
    assert_eq!(paused.pause("maintenance", clock("07:06:00")), Ok(paused.clone()));
    let noted = paused.pause("until noon", clock("07:06:00")).unwrap();
    assert_eq!(noted.state, TriggerState::Paused { note: "until noon".to_owned() });
    let resumed = paused.resume(clock("07:10:30")).unwrap();
    assert_eq!(resumed.next_due, Some(clock("07:11:00")));
    assert_eq!(resumed.resume(clock("07:10:40")), Ok(resumed.clone()));
    assert_eq!(told(&fire(&resumed, clock("07:11:00"))), [("07:11".to_owned(), Verdict::Run)]);
    assert!(matches!(trigger.pause("", clock("07:01:00")), Err(TriggerRefused::Undecided { .. })));
    assert!(matches!(trigger.pause(&"x".repeat(1_025), clock("07:00:30")), Err(TriggerRefused::Invalid(_))));
}

#[test]
fn a_schedule_that_ended_during_a_pause_is_exhausted_by_resuming() {
    let trigger = create(&bounded(every(MINUTE_MS), None, Some("2026-11-21T07:05:00Z")), clock("07:00:00"));
    let resumed = trigger.pause("", clock("07:00:30")).unwrap().resume(clock("08:00:00")).unwrap();
    assert_eq!(resumed.state, TriggerState::Exhausted);
    assert_eq!(resumed.resume(clock("08:00:00")), Err(TriggerRefused::Exhausted { trigger: ID }));
    assert_eq!(resumed.pause("", clock("08:00:00")), Err(TriggerRefused::Exhausted { trigger: ID }));
}

#[test]
fn a_person_fires_a_schedule_but_neither_a_paused_nor_an_event_trigger() {
    let trigger = create(&every(MINUTE_MS), clock("07:00:00"));
    let occurrence = trigger.fire_now("r1", clock("07:00:10.000500")).unwrap();
    assert_eq!((occurrence.nominal, occurrence.generation), (clock("07:00:10"), 1));
    assert_eq!(occurrence.origin, Origin::Manual { request_id: "r1".to_owned() });
    let paused = trigger.pause("", clock("07:00:30")).unwrap();
    assert_eq!(paused.fire_now("r2", clock("07:00:31")), Err(TriggerRefused::Paused { trigger: ID }));
    assert!(matches!(trigger.fire_now("", clock("07:00:10")), Err(TriggerRefused::Invalid(_))));
    let waiting = create(&events("a", None), clock("07:00:00"));
    assert_eq!(waiting.fire_now("r", clock("07:00:10")), Err(TriggerRefused::WaitsForEvents { trigger: ID }));
}

#[test]
fn events_match_by_all_that_the_filter_gives() {
    let now = clock("07:00:00");
    let any = create(&events("file.closed", None), now);
    let from = create(&events("file.closed", Some("/a")), now);
    let (a, b) = (event("file.closed", "/a", "1"), event("file.closed", "/b", "1"));
    assert!(any.matches(&a) && any.matches(&b) && from.matches(&a) && !from.matches(&b));
    assert!(!any.matches(&event("file.opened", "/a", "1")));
    let mut by_subject = events("file.closed", None);
    if let KindSpec::Events(filter) = &mut by_subject.kind {
        filter.subject = Some("x".to_owned());
    }
    let by_subject = create(&by_subject, now);
    assert!(!by_subject.matches(&a));
    assert!(by_subject.matches(&CloudEvent { subject: Some("x".to_owned()), ..a.clone() }));
    let occurrence = any.on_event(&a, now).unwrap();
    assert_eq!(occurrence.origin, Origin::Event { source: "/a".to_owned(), id: "1".to_owned() });
    assert_eq!(any.pause("", now).unwrap().on_event(&a, now), None);
    assert!(!create(&every(1_000), now).matches(&a));
    assert!(told(&fire(&any, clock("08:00:00"))).is_empty());
}

#[test]
fn a_stored_trigger_reads_back_and_one_that_this_host_cannot_evaluate_stays() {
    let mut trigger = fire(&create(&cron("0 * * * *"), clock("07:00:00")), clock("08:00:00")).trigger;
    for stored in [trigger.clone(), create(&events("a", Some("b")), clock("07:00:00"))] {
        let bytes = rmp_serde::to_vec_named(&stored).unwrap();
        assert_eq!(rmp_serde::from_slice::<Trigger>(&bytes).unwrap(), stored);
    }
    if let TriggerKind::Schedule(Schedule { cadence: crate::schedule::Cadence::Cron { zone, .. }, .. }) =
        &mut trigger.kind
    {
        *zone = "Mars/Olympus".to_owned();
    }
    assert!(matches!(trigger.fire(clock("09:00:00"), 9), Err(ScheduleError::UnknownZone { .. })));
}
