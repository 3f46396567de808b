//! Schedules: one job per occurrence and operation whatever happens, windows (C14), catching up, cron and zones.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use windlass_proto::v1;
use windlass_proto::v1::{CauseKind, JobState};
use windlass_tests::harness::{HostOptions, TestHost, cron, interval};
use windlass_tests::work::{action, duration, flow, gate, instant};

const MINUTE: Duration = Duration::from_secs(60);

fn nominal(jobs: &[v1::Job]) -> Vec<DateTime<Utc>> {
    jobs.iter().map(|job| instant(job.expect_start_time.as_ref()).unwrap()).collect()
}

fn minutes(host_start: DateTime<Utc>, count: i64) -> Vec<DateTime<Utc>> {
    (1..=count).map(|minute| host_start + TimeDelta::minutes(minute)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interval_makes_one_job_per_occurrence_and_operation_whatever_restarts() {
    let mut host = TestHost::start().await;
    let start = host.now();
    host.every("minutely", MINUTE).await;
    for operation in ["one", "two"] {
        host.bind(operation, "minutely", action("ok")).await;
    }
    for step in 0..4 {
        host.advance(TimeDelta::minutes(1));
        match step {
            // Decided, or not yet: the restart finds out.
            1 => host.restart().await,
            2 => host.crash().await,
            _ => {}
        }
        host.until_decided("minutely").await;
    }
    for operation in ["one", "two"] {
        let jobs = host.jobs_of(operation).await;
        assert_eq!(nominal(&jobs), minutes(start, 4));
        assert!(jobs.iter().all(|job| job.state() == JobState::Succeeded));
        for job in &jobs {
            let origin = job.origin.as_ref().unwrap();
            assert!(!origin.manual && !origin.operation.is_empty() && origin.trigger_generation == 1);
        }
    }
    // A call that was under way in the crash is made again, under its key.
    let keys: std::collections::BTreeSet<_> = host.ledger().into_iter().map(|line| line.key).collect();
    assert_eq!(keys.len(), 8);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn occurrences_that_come_at_once_are_each_made() {
    let host = TestHost::start().await;
    let start = host.now();
    host.every("minutely", MINUTE).await;
    host.bind("one", "minutely", action("ok")).await;
    host.advance(TimeDelta::minutes(12));
    host.until_decided("minutely").await;
    assert_eq!(nominal(&host.jobs_of("one").await), minutes(start, 12));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_fires_nothing_twice() {
    let mut host = TestHost::start().await;
    let start = host.now();
    host.every("minutely", MINUTE).await;
    host.bind("one", "minutely", action("ok")).await;
    host.advance(TimeDelta::minutes(3));
    host.until_decided("minutely").await;
    assert_eq!(host.jobs_of("one").await.len(), 3);
    host.clock.set(start);
    host.restart().await;
    host.settle_at(start + TimeDelta::minutes(3)).await;
    assert_eq!(host.jobs_of("one").await.len(), 3);
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    assert_eq!(nominal(&host.jobs_of("one").await), minutes(start, 4));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_a_job_whose_turn_comes_after_its_window_is_dropped() {
    let host = TestHost::start_with(HostOptions { slots: 1, ..HostOptions::default() }).await;
    let trigger =
        v1::Trigger { window: Some(duration(Duration::from_secs(30))), ..interval("minutely", MINUTE) };
    host.create_trigger(trigger).await.unwrap();
    host.bind("one", "minutely", action("ok")).await;
    let blocking = host.submit(flow([gate("g")])).await;
    host.until_called(&blocking, "apply g").await;
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    host.advance(TimeDelta::seconds(31));
    host.open_gate("g");

    let [job] = &host.jobs_of("one").await[..] else { panic!("one occurrence was due") };
    assert_eq!(job.state(), JobState::Dropped);
    assert_eq!(job.cause.as_ref().unwrap().kind(), CauseKind::Window);
    assert_eq!(host.calls(&job.id), "");
    assert_eq!((&job.start_time, job.trigger_time.is_some(), job.end_time.is_some()), (&None, true, true));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_missed_occurrences_are_dropped_or_caught_up_as_the_trigger_says() {
    let mut host = TestHost::start().await;
    let start = host.now();
    for (name, catch_up) in
        [("skip", v1::CatchUp::Skip), ("latest", v1::CatchUp::Latest), ("all", v1::CatchUp::All)]
    {
        let window = Some(duration(Duration::from_secs(10)));
        let trigger = v1::Trigger { window, catch_up: catch_up.into(), ..interval(name, MINUTE) };
        host.create_trigger(trigger).await.unwrap();
        host.bind(&format!("of-{name}"), name, action("ok")).await;
    }
    host.stop().await;
    host.advance(TimeDelta::seconds(4 * 60 + 30));
    host.restart().await;
    for (name, ran) in [("skip", vec![]), ("latest", vec![4]), ("all", vec![1, 2, 3, 4])] {
        host.until_decided(name).await;
        let jobs = host.jobs_of(&format!("of-{name}")).await;
        assert_eq!(nominal(&jobs), minutes(start, 4), "{name}: none disappears");
        let succeeded: Vec<_> =
            (1..).zip(&jobs).filter(|(_, job)| job.state() == JobState::Succeeded).collect();
        assert_eq!(succeeded.iter().map(|(minute, _)| *minute).collect::<Vec<_>>(), ran, "{name}");
        for job in jobs.iter().filter(|job| job.state() != JobState::Succeeded) {
            assert_eq!(job.state(), JobState::Dropped);
            assert_eq!(job.cause.as_ref().unwrap().kind(), CauseKind::Window);
        }
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cron_trigger_fires_at_its_civil_times_across_a_zone_jump() {
    let host = TestHost::start().await;
    // In Berlin the clock goes from 02:00 to 03:00 on 2030-03-31.
    host.clock.set("2030-03-29T12:00:00Z".parse().unwrap());
    host.create_trigger(cron("nightly", "30 2 * * *", "Europe/Berlin")).await.unwrap();
    host.create_trigger(cron("seconds", "*/20 0 12 * * *", "")).await.unwrap();
    host.bind("one", "nightly", action("ok")).await;
    host.bind("two", "seconds", action("ok")).await;
    for _ in 0..80 {
        host.advance(TimeDelta::hours(1));
        host.until_decided("nightly").await;
    }
    let expected: Vec<DateTime<Utc>> =
        ["2030-03-30T01:30:00Z", "2030-03-31T01:00:00Z", "2030-04-01T00:30:00Z"]
            .map(|at| at.parse().unwrap())
            .into();
    assert_eq!(nominal(&host.jobs_of("one").await), expected);
    host.until_decided("seconds").await;
    let of_seconds = nominal(&host.jobs_of("two").await);
    let first: DateTime<Utc> = "2030-03-29T12:00:20Z".parse().unwrap();
    assert_eq!(of_seconds[..2], [first, first + TimeDelta::seconds(20)]);
    assert_eq!(of_seconds.len(), 2 + 3 * 3);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_has_ended_is_exhausted_and_an_update_revives_it() {
    let host = TestHost::start().await;
    let start = host.now();
    let mut trigger = interval("twice", MINUTE);
    let Some(v1::trigger::Due::Schedule(schedule)) = &mut trigger.due else { panic!("it has a schedule") };
    schedule.end_time = Some(windlass_tests::work::timestamp(start + TimeDelta::seconds(150)));
    host.create_trigger(trigger.clone()).await.unwrap();
    host.bind("one", "twice", action("ok")).await;
    host.advance(TimeDelta::minutes(10));
    host.until_decided("twice").await;
    assert_eq!(nominal(&host.jobs_of("one").await), minutes(start, 2));
    let exhausted = host.trigger("twice").await;
    assert_eq!((exhausted.state(), exhausted.next_time), (v1::TriggerState::Exhausted, None));
    let refused = host.create_operation(host.operation("late", "twice", action("ok"))).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);

    let mut revived = interval("twice", MINUTE);
    revived.id = exhausted.id;
    let update_mask = Some(prost_types::FieldMask { paths: vec!["schedule".to_owned()] });
    let request = v1::UpdateTriggerRequest { trigger: Some(revived), update_mask };
    // The window of the last occurrence is open for half an hour.
    host.advance(TimeDelta::minutes(40));
    let updated = host.triggers().update(request).await.unwrap().into_inner();
    assert_eq!((updated.state(), updated.generation), (v1::TriggerState::Active, 2));
    host.advance(TimeDelta::minutes(1));
    host.until_decided("twice").await;
    assert_eq!(host.jobs_of("one").await.len(), 3);
    host.finish().await;
}
