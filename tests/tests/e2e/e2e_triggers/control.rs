//! What people do with triggers: T13, pausing, firing by hand, preview, updates, and what is refused at creation.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::trigger::Due;
use windlass_proto::v1::{JobState, TriggerState};
use windlass_tests::harness::{TestHost, code, cron, field_paths, interval};
use windlass_tests::work::{action, duration, instant, timestamp};

const MINUTE: Duration = Duration::from_secs(60);

fn delete(trigger: &str) -> v1::DeleteTriggerRequest {
    v1::DeleteTriggerRequest { trigger: trigger.to_owned(), etag: String::new() }
}

fn fire(trigger: &str, request_id: &str) -> v1::FireTriggerRequest {
    v1::FireTriggerRequest { trigger: trigger.to_owned(), request_id: request_id.to_owned() }
}

fn pause(trigger: &str, etag: &str) -> v1::PauseTriggerRequest {
    v1::PauseTriggerRequest {
        trigger: trigger.to_owned(),
        note: "holidays".to_owned(),
        etag: etag.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t13_a_bound_trigger_is_not_deleted() {
    let host = TestHost::start().await;
    host.every("minutely", MINUTE).await;
    let operation = host.bind("one", "minutely", action("ok")).await;
    let refused = host.triggers().delete(delete("minutely")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains(&operation.id) || refused.message().contains("one"), "{refused}");

    let unbind = v1::DeleteOperationRequest { operation: operation.id.clone(), etag: String::new() };
    let tombstone = host.operations().delete(unbind).await.unwrap().into_inner();
    assert_eq!(tombstone.state(), v1::OperationState::Deleted);
    host.triggers().delete(delete("minutely")).await.unwrap();
    assert_eq!(code(host.triggers().delete(delete("minutely")).await), Code::NotFound);
    host.advance(TimeDelta::minutes(5));
    host.run(action("ok")).await;
    assert_eq!(host.ledger().len(), 1);
    // The tombstone is still found by its id.
    let get = v1::GetOperationRequest { operation: operation.id };
    assert_eq!(host.operations().get(get).await.unwrap().into_inner().state(), v1::OperationState::Deleted);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_time_has_no_occurrences() {
    let mut host = TestHost::start().await;
    let start = host.now();
    let trigger = host.every("minutely", MINUTE).await;
    host.bind("one", "minutely", action("ok")).await;
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    let paused = host
        .triggers()
        .pause(pause("minutely", &host.trigger("minutely").await.etag))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((paused.state(), paused.pause_note.as_str()), (TriggerState::Paused, "holidays"));
    assert_eq!(code(host.triggers().pause(pause("minutely", &trigger.etag)).await), Code::Aborted);
    let again = host.triggers().pause(pause("minutely", "")).await.unwrap().into_inner();
    assert_eq!(again.generation, paused.generation, "pausing a paused trigger changes nothing");

    host.advance(TimeDelta::minutes(3));
    host.restart().await;
    host.settle_at(host.now() + TimeDelta::seconds(30)).await;
    let resume = v1::ResumeTriggerRequest { trigger: "minutely".to_owned(), etag: String::new() };
    assert_eq!(host.triggers().resume(resume).await.unwrap().into_inner().state(), TriggerState::Active);
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    let nominal: Vec<_> = host
        .jobs_of("one")
        .await
        .iter()
        .map(|job| instant(job.expect_start_time.as_ref()).unwrap())
        .collect();
    assert_eq!(nominal, [start + TimeDelta::minutes(1), start + TimeDelta::minutes(5)]);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firing_by_hand_makes_one_job_of_each_enabled_operation_once_per_request() {
    let host = TestHost::start().await;
    host.every("hourly", Duration::from_secs(3600)).await;
    for name in ["one", "two", "off"] {
        host.bind(name, "hourly", action("ok")).await;
    }
    let disable = v1::DisableOperationRequest { operation: "off".to_owned(), etag: String::new() };
    host.operations().disable(disable).await.unwrap();
    let mut jobs = host.triggers().fire(fire("hourly", "r1")).await.unwrap().into_inner().job_ids;
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        let job = host.wait(job).await;
        assert_eq!(job.state(), JobState::Succeeded);
        let origin = job.origin.unwrap();
        assert!(origin.manual);
        assert_eq!(origin.request_id, "r1");
    }
    // Repeated, it gives what the first one made.
    let mut again = host.triggers().fire(fire("hourly", "r1")).await.unwrap().into_inner().job_ids;
    again.sort();
    jobs.sort();
    assert_eq!(again, jobs);
    assert_eq!(host.triggers().fire(fire("hourly", "")).await.unwrap().into_inner().job_ids.len(), 2);
    assert_eq!(host.triggers().fire(fire("hourly", "")).await.unwrap().into_inner().job_ids.len(), 2);
    assert_eq!(host.jobs_of("one").await.len(), 3);
    assert_eq!(host.jobs_of("off").await.len(), 0);

    host.on_event("on-event", "x", "").await;
    assert_eq!(code(host.triggers().fire(fire("on-event", "")).await), Code::FailedPrecondition);
    assert_eq!(code(host.triggers().fire(fire("nowhere", "")).await), Code::NotFound);
    // Paused time has no occurrences, asked for or not.
    host.triggers().pause(pause("hourly", "")).await.unwrap();
    assert_eq!(code(host.triggers().fire(fire("hourly", "")).await), Code::FailedPrecondition);
    host.finish().await;
}

async fn preview(host: &TestHost, request: v1::PreviewTriggerRequest) -> Vec<DateTime<Utc>> {
    let times = host.triggers().preview(request).await.unwrap().into_inner().times;
    times.iter().map(|at| instant(Some(at)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_tells_the_times_that_are_fired_later() {
    let host = TestHost::start().await;
    let trigger =
        host.create_trigger(cron("workdays", "15 9 * * MON-FRI", "America/New_York")).await.unwrap();
    let Some(Due::Schedule(schedule)) = trigger.due.clone() else { panic!("it has a schedule") };
    let of_trigger = v1::preview_trigger_request::Subject::Trigger("workdays".to_owned());
    let of_schedule = v1::preview_trigger_request::Subject::Schedule(schedule);
    let ask = |subject, count| v1::PreviewTriggerRequest { subject: Some(subject), count, after_time: None };
    let times = preview(&host, ask(of_trigger.clone(), 4)).await;
    assert_eq!(
        times,
        ["2030-01-01T14:15:00Z", "2030-01-02T14:15:00Z", "2030-01-03T14:15:00Z", "2030-01-04T14:15:00Z"]
            .map(|at| at.parse::<DateTime<Utc>>().unwrap())
    );
    assert_eq!(preview(&host, ask(of_schedule, 4)).await, times);
    assert_eq!(preview(&host, ask(of_trigger.clone(), 0)).await.len(), 10);
    let after =
        v1::PreviewTriggerRequest { after_time: Some(timestamp(times[2])), ..ask(of_trigger.clone(), 1) };
    assert_eq!(preview(&host, after).await, times[3..]);
    assert_eq!(code(host.triggers().preview(ask(of_trigger, 1_001)).await), Code::InvalidArgument);
    assert_eq!(host.trigger("workdays").await.next_time, Some(timestamp(times[0])));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_replaces_the_pending_time_and_fires_no_old_generation() {
    let host = TestHost::start().await;
    let start = host.now();
    let trigger = host.every("t", MINUTE).await;
    host.bind("one", "t", action("ok")).await;
    let wanted =
        v1::Trigger { id: trigger.id.clone(), etag: trigger.etag.clone(), ..interval("t", 10 * MINUTE) };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["schedule".to_owned()] });
    let request = v1::UpdateTriggerRequest { trigger: Some(wanted), update_mask };
    let updated = host.triggers().update(request.clone()).await.unwrap().into_inner();
    assert_eq!(updated.generation, trigger.generation + 1);
    assert_eq!(instant(updated.next_time.as_ref()), Some(start + TimeDelta::minutes(10)));
    assert_eq!(code(host.triggers().update(request).await), Code::Aborted);

    host.settle_at(start + TimeDelta::minutes(9)).await;
    assert_eq!(host.jobs_of("one").await.len(), 0);
    host.advance(TimeDelta::minutes(1));
    host.until_decided("t").await;
    let jobs = host.jobs_of("one").await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].origin.as_ref().unwrap().trigger_generation, 2);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_trigger_is_refused_by_its_field_and_nothing_is_stored() {
    let host = TestHost::bare().await;
    let start = host.now();
    let bounded = |end: TimeDelta| {
        let mut trigger = interval("t", MINUTE);
        let Some(Due::Schedule(schedule)) = &mut trigger.due else { panic!("it has a schedule") };
        schedule.start_time = Some(timestamp(start + TimeDelta::hours(1)));
        schedule.end_time = Some(timestamp(start + TimeDelta::hours(1) + end));
        trigger
    };
    let window = |window| v1::Trigger { window: Some(duration(window)), ..interval("t", MINUTE) };
    for (trigger, field) in [
        (cron("t", "", ""), "trigger.schedule.cron.expression"),
        (cron("t", "61 * * * *", ""), "trigger.schedule.cron.expression"),
        (cron("t", "0 0 30 2 *", ""), "trigger.schedule.cron.expression"),
        (cron("t", "* * * * *", "Mars/Olympus"), "trigger.schedule.cron.time_zone"),
        (interval("t", Duration::from_millis(10)), "trigger.schedule.interval.every"),
        (interval("no spaces", MINUTE), "trigger.name"),
        (bounded(TimeDelta::zero()), "trigger.schedule"),
        (window(Duration::ZERO), "trigger.window"),
        (window(Duration::from_secs(10 * 366 * 86_400)), "trigger.window"),
        (v1::Trigger { due: None, ..interval("t", MINUTE) }, "trigger"),
    ] {
        let refused = host.create_trigger(trigger.clone()).await.expect_err(&format!("{trigger:?}"));
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(field_paths(&refused).iter().any(|path| path.starts_with(field)), "{field}: {refused:?}");
    }
    let list = host.triggers().list(v1::ListTriggersRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.triggers, []);
    host.every("t", MINUTE).await;
    assert_eq!(code(host.create_trigger(interval("t", MINUTE)).await), Code::AlreadyExists);
    host.finish().await;
}
