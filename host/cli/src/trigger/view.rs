//! How a trigger is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use windlass_proto::v1;
use windlass_proto::v1::schedule::Rule;
use windlass_proto::v1::trigger::Due;

use crate::output::Show;
use crate::{text, time};

#[derive(Serialize)]
pub struct TriggerView {
    id: String,
    name: String,
    description: String,
    owner: String,
    labels: BTreeMap<String, String>,
    state: String,
    pause_note: String,
    schedule: Option<ScheduleView>,
    event: Option<EventView>,
    window: Option<String>,
    catch_up: String,
    next_time: Option<String>,
    last_time: Option<String>,
    operation_count: u32,
    create_time: Option<String>,
    update_time: Option<String>,
    generation: u64,
    etag: String,
}

#[derive(Serialize)]
struct ScheduleView {
    every: Option<String>,
    anchor: Option<String>,
    cron: Option<String>,
    time_zone: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
}

#[derive(Serialize)]
struct EventView {
    r#type: String,
    source: String,
    subject: String,
}

impl From<&v1::Trigger> for TriggerView {
    fn from(trigger: &v1::Trigger) -> Self {
        let (schedule, event) = match &trigger.due {
            Some(Due::Schedule(schedule)) => (Some(ScheduleView::from(schedule)), None),
            Some(Due::Event(event)) => (None, Some(EventView::from(event))),
            None => (None, None),
        };
        Self {
            id: trigger.id.clone(),
            name: trigger.name.clone(),
            description: trigger.description.clone(),
            owner: trigger.owner.clone(),
            labels: trigger.labels.clone(),
            state: text::word(trigger.state().as_str_name(), "TRIGGER_STATE_"),
            pause_note: trigger.pause_note.clone(),
            schedule,
            event,
            window: trigger.window.as_ref().map(written),
            catch_up: text::word(trigger.catch_up().as_str_name(), "CATCH_UP_"),
            next_time: trigger.next_time.as_ref().map(time::rfc3339),
            last_time: trigger.last_time.as_ref().map(time::rfc3339),
            operation_count: trigger.operation_count,
            create_time: trigger.create_time.as_ref().map(time::rfc3339),
            update_time: trigger.update_time.as_ref().map(time::rfc3339),
            generation: trigger.generation,
            etag: trigger.etag.clone(),
        }
    }
}

fn written(duration: &prost_types::Duration) -> String {
    time::written(time::of_wire(duration))
}

impl From<&v1::Schedule> for ScheduleView {
    fn from(schedule: &v1::Schedule) -> Self {
        let (interval, cron) = match &schedule.rule {
            Some(Rule::Interval(interval)) => (Some(interval), None),
            Some(Rule::Cron(cron)) => (None, Some(cron)),
            None => (None, None),
        };
        Self {
            every: interval.and_then(|it| it.every.as_ref().map(written)),
            anchor: interval.and_then(|it| it.anchor.as_ref().map(time::rfc3339)),
            cron: cron.map(|it| it.expression.clone()),
            time_zone: cron
                .map(|it| if it.time_zone.is_empty() { "UTC".to_owned() } else { it.time_zone.clone() }),
            start_time: schedule.start_time.as_ref().map(time::rfc3339),
            end_time: schedule.end_time.as_ref().map(time::rfc3339),
        }
    }
}

impl From<&v1::EventSubscription> for EventView {
    fn from(event: &v1::EventSubscription) -> Self {
        Self { r#type: event.r#type.clone(), source: event.source.clone(), subject: event.subject.clone() }
    }
}

impl TriggerView {
    fn due(&self) -> String {
        if let Some(schedule) = &self.schedule {
            return schedule.line();
        }
        self.event.as_ref().map(EventView::line).unwrap_or_default()
    }
}

impl ScheduleView {
    fn line(&self) -> String {
        match (&self.every, &self.cron, &self.time_zone) {
            (Some(every), _, _) => format!("every {every}"),
            (None, Some(cron), Some(zone)) => format!("cron {cron} ({zone})"),
            _ => String::new(),
        }
    }
}

impl EventView {
    fn line(&self) -> String {
        let mut line = format!("event {}", self.r#type);
        if !self.source.is_empty() {
            line.push_str(&format!(" from {}", self.source));
        }
        if !self.subject.is_empty() {
            line.push_str(&format!(" about {}", self.subject));
        }
        line
    }
}

impl Show for TriggerView {
    const COLUMNS: &'static [&'static str] = &["NAME", "STATE", "DUE", "NEXT", "OPERATIONS", "ID"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.state.clone(),
            self.due(),
            self.next_time.clone().unwrap_or_default(),
            self.operation_count.to_string(),
            self.id.clone(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let schedule = self.schedule.as_ref();
        let bound = |pick: fn(&ScheduleView) -> &Option<String>| {
            schedule.and_then(|it| pick(it).clone()).unwrap_or_default()
        };
        vec![
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("description", self.description.clone()),
            ("state", self.state.clone()),
            ("note", self.pause_note.clone()),
            ("due", self.due()),
            ("anchor", bound(|it| &it.anchor)),
            ("start", bound(|it| &it.start_time)),
            ("end", bound(|it| &it.end_time)),
            ("window", self.window.clone().unwrap_or_default()),
            ("catch up", self.catch_up.clone()),
            ("next", self.next_time.clone().unwrap_or_default()),
            ("last", self.last_time.clone().unwrap_or_default()),
            ("operations", self.operation_count.to_string()),
            ("labels", text::labels(&self.labels)),
            ("owner", self.owner.clone()),
            ("created", self.create_time.clone().unwrap_or_default()),
            ("etag", self.etag.clone()),
        ]
    }
}
