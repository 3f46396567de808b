//! Jobs that nobody submits: of a schedule, and of an event.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use windlass_proto::v1;
use windlass_proto::v1::schedule::Rule;
use windlass_proto::v1::trigger::Due;

use super::Play;
use crate::{flow, text};

const EVERY: Duration = Duration::from_secs(2);
/// How many times of the schedule are watched.
const TIMES: usize = 2;
const EVENT_TYPE: &str = "org.example.release.tagged";
const EVENT_SOURCE: &str = "/demo";

/// Act 3.
pub async fn on_a_schedule(play: &mut Play<'_>) -> anyhow::Result<()> {
    let screen = play.screen;
    screen.act(3, &format!("A schedule: every {} seconds", EVERY.as_secs()))?;
    let interval = v1::Interval { every: Some(EVERY.try_into()?), anchor: None };
    let schedule = v1::Schedule { rule: Some(Rule::Interval(interval)), ..v1::Schedule::default() };
    let trigger = trigger(play, "every-few-seconds", Due::Schedule(schedule)).await?;
    let operation = play.operation("backup", &trigger).await?;
    let source = play.stage.source.display();
    screen.say(&format!("operation backup: snapshot > verify > publish of {source}"))?;
    let excluded = crate::stage::EXCLUDED.join(" and ");
    screen.say(&format!("without {excluded}; the newest {} archives are kept", flow::KEEP))?;

    // Not until they end: where the source holds gigabytes, the next ones would pile up behind them.
    play.log
        .until(|log| log.jobs.values().filter(|seen| seen.operation == operation).count() >= TIMES)
        .await?;
    let request = v1::PauseTriggerRequest {
        trigger,
        note: "the demo goes on with other things".to_owned(),
        ..v1::PauseTriggerRequest::default()
    };
    play.client.triggers().pause(request).await.context("the trigger cannot be paused")?;
    // A time may have come before the pause.
    let made = jobs_of(play, &operation).await?;
    for job in &made {
        play.log.until_ended(&job.id).await?;
    }
    check_times(play, &made).await?;
    let published = play.published()?;
    ensure!(published == made.len().min(flow::KEEP), "{published} archives are published");
    screen.checked(&format!("the trigger is paused; published: {}", text::count(published as u64, "archive")))
}

/// Act 4.
pub async fn on_an_event(play: &mut Play<'_>) -> anyhow::Result<()> {
    let screen = play.screen;
    screen.act(4, "An event, which triggers one more")?;
    let subscription = v1::EventSubscription {
        r#type: EVENT_TYPE.to_owned(),
        source: EVENT_SOURCE.to_owned(),
        ..v1::EventSubscription::default()
    };
    let trigger = trigger(play, "on-release", Due::Event(subscription)).await?;
    play.operation("backup-of-release", &trigger).await?;
    let event = v1::CloudEvent {
        id: "release-1".to_owned(),
        source: EVENT_SOURCE.to_owned(),
        r#type: EVENT_TYPE.to_owned(),
        ..v1::CloudEvent::default()
    };
    let (outcome, jobs) = publish(play, &event).await?;
    ensure!(outcome == v1::EventOutcome::Accepted, "the event was not accepted: {}", outcome.as_str_name());
    let [job] = jobs.as_slice() else {
        bail!("the event should make one job, and made {}", jobs.len());
    };
    screen.say(&format!("published: a CloudEvent of type {EVENT_TYPE}; it made one job"))?;
    let state = play.log.until_ended(job).await?;
    ensure!(state == "succeeded", "{} should succeed, and is {state}", play.log.name(job));
    let (outcome, jobs) = publish(play, &event).await?;
    ensure!(outcome == v1::EventOutcome::Duplicate && jobs.is_empty(), "the event was taken twice");
    screen.checked("the same event published again: a duplicate, which made no job")
}

async fn trigger(play: &Play<'_>, name: &str, due: Due) -> anyhow::Result<String> {
    let trigger = v1::Trigger { name: name.to_owned(), due: Some(due), ..v1::Trigger::default() };
    let request = v1::CreateTriggerRequest { trigger: Some(trigger) };
    let answer = play.client.triggers().create(request).await;
    Ok(answer.with_context(|| format!("the trigger {name} was not taken"))?.into_inner().id)
}

async fn publish(play: &Play<'_>, event: &v1::CloudEvent) -> anyhow::Result<(v1::EventOutcome, Vec<String>)> {
    let request = v1::PublishEventsRequest { events: vec![event.clone()] };
    let answer = play.client.events().publish(request).await.context("the event was not taken")?.into_inner();
    let [result] = answer.results.as_slice() else {
        bail!("one event was published, and {} results came back", answer.results.len());
    };
    Ok((result.outcome(), result.job_ids.clone()))
}

/// The jobs of an operation, oldest first.
async fn jobs_of(play: &Play<'_>, operation: &str) -> anyhow::Result<Vec<v1::Job>> {
    let request = v1::ListJobsRequest { operation: operation.to_owned(), ..v1::ListJobsRequest::default() };
    let answer = play.client.jobs().list(request).await.context("the list of jobs")?.into_inner();
    ensure!(answer.next_page_token.is_empty(), "the schedule made more jobs than fit on a page");
    Ok(answer.jobs.into_iter().rev().collect())
}

/// One job for each time of the schedule, started at its time, and succeeded.
async fn check_times(play: &Play<'_>, made: &[v1::Job]) -> anyhow::Result<()> {
    let mut due = Vec::new();
    let mut late = Vec::new();
    for job in made {
        let job = play.client.job(&job.id).await?.job;
        ensure!(
            job.state() == v1::JobState::Succeeded,
            "{} should have succeeded, and is {}",
            play.log.name(&job.id),
            job.state().as_str_name()
        );
        let nominal = text::instant(job.expect_start_time.as_ref())?;
        let started = text::instant(job.start_time.as_ref())?;
        due.push(nominal);
        late.push((started - nominal).to_std().context("a job started before its time")?);
    }
    for (one, next) in due.iter().zip(due.iter().skip(1)) {
        let apart = *next - *one;
        ensure!(apart.to_std()? == EVERY, "two times of the schedule are {apart} apart");
    }
    let latest = late.into_iter().max().context("the schedule made no job")?;
    let number = text::count(made.len() as u64, "job");
    play.screen.checked(&format!(
        "{number}, due {} s apart, each started within {} of its time",
        EVERY.as_secs(),
        text::duration(latest + Duration::from_millis(1))
    ))
}
