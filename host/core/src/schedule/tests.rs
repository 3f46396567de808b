//! Schedules: cron, intervals, zones and their jumps.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a test writes RFC 3339")
}

fn context(now: &str) -> ScheduleContext {
    ScheduleContext { now: at(now), anchor: at(now), floor_ms: INTERVAL_FLOOR_MS }
}

fn cron_spec(expression: &str, zone: &str) -> ScheduleSpec {
    let cadence = CadenceSpec::Cron { expression: expression.to_owned(), zone: Some(zone.to_owned()) };
    ScheduleSpec { cadence, start: None, end: None }
}

fn interval_spec(every_ms: i64) -> ScheduleSpec {
    ScheduleSpec { cadence: CadenceSpec::Interval { every_ms, anchor: None }, start: None, end: None }
}

fn cron(expression: &str, zone: &str) -> Timetable {
    let cadence = Cadence::Cron { expression: expression.to_owned(), zone: zone.to_owned() };
    Schedule { cadence, start: None, end: None }.compile().expect("a test's rule is readable")
}

/// The occurrences after `from`, up to `to`.
fn times(table: &Timetable, from: &str, to: &str) -> Vec<String> {
    let next = |time: &DateTime<Utc>| table.next_after(*time);
    std::iter::successors(table.next_after(at(from)), next)
        .take_while(|time| *time <= at(to))
        .map(|time| time.format("%m-%dT%H:%M:%S").to_string())
        .collect()
}

fn refusals(spec: &ScheduleSpec, context: ScheduleContext) -> Vec<String> {
    let problems = Schedule::validate(spec, context).expect_err("the specification is wrong");
    problems.0.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
fn t01_the_first_occurrence_is_strictly_after_the_start() {
    let mut spec = cron_spec("* * * * *", "UTC");
    spec.start = Some("2026-11-21T08:00:00Z".to_owned());
    let schedule = Schedule::validate(&spec, context("2026-11-01T00:00:00Z")).unwrap();
    assert_eq!(schedule.next_after(at("2026-11-01T00:00:00Z")), Ok(Some(at("2026-11-21T08:01:00Z"))));
    assert_eq!(schedule.next_after(at("2026-11-21T08:00:00Z")), Ok(Some(at("2026-11-21T08:01:00Z"))));

    let mut spec = interval_spec(60_000);
    spec.start = Some("2026-11-21T08:00:30Z".to_owned());
    let schedule = Schedule::validate(&spec, context("2026-11-01T00:00:00Z")).unwrap();
    assert_eq!(schedule.next_after(at("2026-11-01T00:00:00Z")), Ok(Some(at("2026-11-21T08:01:30Z"))));
}

#[test]
fn t02_an_empty_or_malformed_cron_expression_is_refused_by_name() {
    let now = context("2026-11-01T00:00:00Z");
    for (expression, words) in [
        ("", "is empty"),
        ("   ", "is empty"),
        ("* * * *", "has 4 fields"),
        ("* * * * * * * *", "has 8 fields"),
        ("61 * * * *", "the minute field \"61\""),
        ("0 25 * * *", "the hour field \"25\""),
        ("* * * * * xyz", "the day of the week field \"xyz\""),
        (", * * * *", "the minute field names no value"),
        ("@fortnightly", "the pattern"),
        ("0 3 * * é", "characters"),
        ("0 0 30 2 *", "no such date or time will ever come"),
        ("0 0 0 1 1 * 2020", "no such date or time will ever come"),
    ] {
        let refused = refusals(&cron_spec(expression, "UTC"), now);
        assert_eq!(refused.len(), 1, "{expression:?}: {refused:?}");
        assert!(refused[0].starts_with("schedule.cron.expression: "), "{refused:?}");
        assert!(refused[0].contains(words), "{expression:?}: {refused:?}");
    }
}

#[test]
fn t07_more_often_than_the_floor_is_refused_with_the_floor() {
    let now = ScheduleContext { floor_ms: 60_000, ..context("2026-11-01T00:00:00Z") };
    for spec in
        [interval_spec(59_999), cron_spec("*/30 * * * * *", "UTC"), cron_spec("0,59 0,1 * * * *", "UTC")]
    {
        let refused = refusals(&spec, now);
        assert!(refused[0].contains("floor of 60000 ms"), "{refused:?}");
    }
    Schedule::validate(&interval_spec(60_000), now).unwrap();
    Schedule::validate(&cron_spec("* * * * *", "UTC"), now).unwrap();
    for every in [0, -1, i64::MIN, i64::MAX, 999] {
        assert_eq!(refusals(&interval_spec(every), context("2026-11-01T00:00:00Z")).len(), 1, "{every}");
    }
}

#[test]
fn t08_a_start_that_is_empty_or_unparsable_or_a_number_is_told_apart() {
    let mut told = Vec::new();
    for start in ["", "tomorrow", "1700000000"] {
        let mut spec = cron_spec("* * * * *", "UTC");
        spec.start = Some(start.to_owned());
        let refused = refusals(&spec, context("2026-11-01T00:00:00Z"));
        assert!(refused[0].starts_with("schedule.start: "), "{refused:?}");
        told.extend(refused);
    }
    assert!(
        told[0].contains("is empty") && told[1].contains("is not a time") && told[2].contains("is a number")
    );
}

#[test]
fn t09_an_end_that_is_not_after_the_start_is_refused() {
    for end in ["2026-11-21T08:00:00Z", "2026-11-21T07:00:00Z"] {
        let mut spec = cron_spec("* * * * *", "UTC");
        spec.start = Some("2026-11-21T08:00:00Z".to_owned());
        spec.end = Some(end.to_owned());
        let refused = refusals(&spec, context("2026-11-01T00:00:00Z"));
        assert!(refused[0].starts_with("schedule.end: ") && refused[0].contains("is not after the start"));
    }
}

#[test]
fn every_problem_of_a_schedule_is_told_at_once() {
    let mut spec = cron_spec("61 * * * *", "Mars/Olympus");
    spec.start = Some("soon".to_owned());
    spec.end = Some("12".to_owned());
    assert_eq!(refusals(&spec, context("2026-11-01T00:00:00Z")).len(), 4);
}

#[test]
fn a_schedule_that_ended_or_ends_before_its_first_occurrence_is_refused() {
    let now = context("2026-11-21T08:00:00Z");
    let mut spec = cron_spec("0 3 * * *", "UTC");
    for (end, words) in
        [("2026-11-21T07:00:00Z", "has passed"), ("2026-11-21T09:00:00Z", "not after the end")]
    {
        spec.end = Some(end.to_owned());
        let refused = refusals(&spec, now);
        assert!(refused[0].contains(words), "{refused:?}");
    }
    // The end itself may be an occurrence.
    spec.end = Some("2026-11-22T03:00:00Z".to_owned());
    let schedule = Schedule::validate(&spec, now).unwrap();
    assert_eq!(schedule.preview(now.now, 9), Ok(vec![at("2026-11-22T03:00:00Z")]));
}

#[test]
fn five_six_and_seven_fields_are_read() {
    let from = "2026-11-21T00:00:00Z";
    for (expression, first) in [
        ("30 4 * * *", "2026-11-21T04:30:00Z"),
        ("15 30 4 * * *", "2026-11-21T04:30:15Z"),
        ("15 30 4 1 1 * 2030", "2030-01-01T04:30:15Z"),
        ("@daily", "2026-11-22T00:00:00Z"),
        ("0 0 L * *", "2026-11-30T00:00:00Z"),
    ] {
        assert_eq!(cron(expression, "UTC").next_after(at(from)), Some(at(first)), "{expression}");
    }
}

#[test]
fn t24_a_fixed_time_in_a_gap_fires_once_at_its_end() {
    // Berlin jumps from 02:00 to 03:00 (01:00 UTC) on 2026-03-29.
    let berlin = |rule| times(&cron(rule, "Europe/Berlin"), "2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z");
    assert_eq!(berlin("30 2 * * *"), ["03-28T01:30:00", "03-29T01:00:00", "03-30T00:30:00"]);
    // Two times in one gap are one instant; so are a time in the gap and its end.
    assert_eq!(berlin("0,30 2 29 3 *"), ["03-29T01:00:00"]);
    assert_eq!(berlin("0 2,3 29 3 *"), ["03-29T01:00:00"]);
    // A gap that ends on the next day does not swallow the occurrence.
    let nuuk = cron("30 23 * * 6", "America/Nuuk");
    assert_eq!(times(&nuuk, "2026-03-27T00:00:00Z", "2026-03-30T00:00:00Z"), ["03-29T01:00:00"]);
}

#[test]
fn t24_a_fixed_time_that_comes_twice_fires_the_first_time() {
    // Berlin returns from 03:00 to 02:00 (01:00 UTC) on 2026-10-25.
    let berlin = |rule| times(&cron(rule, "Europe/Berlin"), "2026-10-23T22:00:00Z", "2026-10-26T22:00:00Z");
    assert_eq!(berlin("30 2 * * *"), ["10-24T00:30:00", "10-25T00:30:00", "10-26T01:30:00"]);
    assert_eq!(
        berlin("0,30 2,3 25 10 *"),
        ["10-25T00:00:00", "10-25T00:30:00", "10-25T02:00:00", "10-25T02:30:00"]
    );
    // Asked in the second pass, the next is tomorrow's.
    let daily = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(daily.next_after(at("2026-10-25T01:15:00Z")), Some(at("2026-10-26T01:30:00Z")));
}

#[test]
fn t24_a_wildcard_rule_follows_elapsed_time() {
    let berlin = |rule, from, to| times(&cron(rule, "Europe/Berlin"), from, to);
    let night = berlin("*/30 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z");
    assert_eq!(night, ["03-29T00:30:00", "03-29T01:00:00", "03-29T01:30:00", "03-29T02:00:00"]);
    let night = berlin("30 * * * *", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z");
    assert_eq!(night, ["10-24T23:30:00", "10-25T00:30:00", "10-25T01:30:00", "10-25T02:30:00"]);
    assert_eq!(berlin("*/15 2 * * *", "2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z").len(), 8);
    assert_eq!(berlin("*/15 2 * * *", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z").len(), 0);
}

#[test]
fn t24_half_an_hour_of_daylight_saving() {
    // Lord Howe: 02:00 -> 02:30 on 2026-10-04 (15:30 UTC the day before), 02:00 -> 01:30 on 2026-04-05 (15:00 UTC).
    let howe = |rule, from, to| times(&cron(rule, "Australia/Lord_Howe"), from, to);
    assert_eq!(howe("15 2 * * *", "2026-10-03T12:00:00Z", "2026-10-04T12:00:00Z"), ["10-03T15:30:00"]);
    assert_eq!(howe("45 1 * * *", "2026-04-04T12:00:00Z", "2026-04-05T12:00:00Z"), ["04-04T14:45:00"]);
    let night = howe("*/15 * * * *", "2026-04-04T14:00:00Z", "2026-04-04T16:00:00Z");
    assert_eq!(night.len(), 8);
    assert_eq!(howe("*/15 * * * *", "2026-10-03T14:00:00Z", "2026-10-03T16:00:00Z").len(), 8);
}

#[test]
fn a_day_that_never_was_has_no_occurrence_and_ends_nothing() {
    // Apia went from 2011-12-29 24:00 (-10) to 2011-12-31 00:00 (+14), at 10:00 UTC on the 30th.
    let apia = |rule| times(&cron(rule, "Pacific/Apia"), "2011-12-29T00:00:00Z", "2011-12-31T12:00:00Z");
    assert_eq!(apia("30 2 * * *"), ["12-29T12:30:00", "12-30T12:30:00"]);
    assert_eq!(apia("30 2 30 12 *"), Vec::<String>::new());
    let yearly = cron("0 0 30 12 *", "Pacific/Apia");
    assert_eq!(yearly.next_after(at("2011-06-01T00:00:00Z")), Some(at("2012-12-29T10:00:00Z")));
    assert_eq!(
        cron("0 * * * *", "Pacific/Apia").next_after(at("2011-12-30T10:00:00Z")),
        Some(at("2011-12-30T11:00:00Z"))
    );
}

#[test]
fn the_search_ends_at_the_horizon() {
    assert_eq!(cron("0 0 30 2 *", "Europe/Berlin").next_after(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(cron("* * 30 2 *", "Europe/Berlin").next_after(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(
        cron("*/5 * 29 2 +MON", "Europe/Berlin").next_after(at("2026-01-01T00:00:00Z")),
        Some(at("2044-02-28T23:00:00Z"))
    );
    assert_eq!(
        cron("* * * * * * 2999", "Europe/Berlin").next_after(at("2026-01-01T00:00:00Z")),
        Some(at("2998-12-31T23:00:00Z"))
    );
    assert_eq!(cron("* * * * *", "UTC").next_after(DateTime::<Utc>::MAX_UTC), None);
    assert_eq!(cron("* * * * *", "UTC").next_after(DateTime::<Utc>::MIN_UTC), None);
}

#[test]
fn skimming_counts_all_but_the_newest() {
    let minutely = cron("* * * * *", "UTC");
    let mut spec = interval_spec(60_000);
    spec.end = Some("2026-11-21T02:00:00Z".to_owned());
    let interval = Schedule::validate(&spec, context("2026-11-21T00:00:00Z")).unwrap().compile().unwrap();
    let (from, before) = (at("2026-11-21T00:00:00Z"), at("2026-11-21T01:00:00Z"));
    for table in [&minutely, &interval] {
        // 00:01 to 00:59: the end of the stretch is not in it.
        let skimmed = table.skim(from, before, 10).unwrap();
        assert_eq!((skimmed.first, skimmed.last), (at("2026-11-21T00:01:00Z"), at("2026-11-21T00:49:00Z")));
        assert_eq!((skimmed.count, skimmed.is_complete), (49, true));
        assert_eq!(table.skim(from, before, 59), None);
    }
    // An end that is an occurrence counts.
    assert_eq!(interval.skim(from, at("2026-11-22T00:00:00Z"), 0).unwrap().count, 120);
}

#[test]
fn a_stored_schedule_reads_back() {
    let schedule =
        Schedule::validate(&cron_spec("0 3 * * *", "Europe/Berlin"), context("2026-11-01T00:00:00Z"))
            .unwrap();
    let bytes = rmp_serde::to_vec_named(&schedule).unwrap();
    assert_eq!(rmp_serde::from_slice::<Schedule>(&bytes).unwrap(), schedule);
}

const RULES: [&str; 6] =
    ["*/7 * * * *", "30 2 * * *", "0,30 1-3 * * *", "15 */2 * * *", "45 1 * * 0", "*/20 2 * * * *"];
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Pacific/Apia"];

proptest! {
    #[test]
    fn no_text_makes_the_cron_reader_panic(text in "[0-9*,/?LWJANMONSU#+@ -]{0,40}|.{0,20}") {
        let _ = civil::parse(&text);
    }

    #[test]
    fn stepping_meets_what_asking_anywhere_meets(
        rule in prop::sample::select(RULES.to_vec()),
        zone in prop::sample::select(ZONES.to_vec()),
        from in 1_300_000_000_i64..1_800_000_000,
        ahead in 0_i64..200_000,
    ) {
        let rule = CronRule::new(rule, zone).unwrap();
        let next = rule.next_after(from).unwrap();
        prop_assert!(next > from);
        // Whatever instant before the next one is asked from, the answer is the same.
        let between = from + ahead % (next - from);
        prop_assert_eq!(rule.next_after(between), Some(next));
    }
}
