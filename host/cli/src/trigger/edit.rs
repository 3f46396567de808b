//! What a trigger is made of, from the command line.

use std::time::Duration;

use clap::{Args, ValueEnum};
use prost_types::{FieldMask, Timestamp};
use windlass_proto::v1;
use windlass_proto::v1::schedule::Rule;
use windlass_proto::v1::trigger::Due;

use crate::problem::Problem;
use crate::time;

/// When it is due.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "due", multiple = true)]
pub struct DueArguments {
    /// At an interval, in elapsed time, such as 5m
    #[arg(long, value_parser = time::duration, value_name = "DURATION", conflicts_with_all = ["cron", "event"])]
    every: Option<Duration>,
    /// A time that the interval goes through; default: the start
    #[arg(long, value_parser = time::instant, value_name = "TIME", requires = "every")]
    anchor: Option<Timestamp>,
    /// At times of the calendar: 5 fields, 6 with seconds before, 7 with years after them
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "event")]
    cron: Option<String>,
    /// The time zone of --cron, such as Europe/Berlin; default: UTC
    #[arg(long, value_name = "ZONE", requires = "cron")]
    zone: Option<String>,
    /// Not before this; default: now
    #[arg(long, value_parser = time::instant, value_name = "TIME", conflicts_with = "event")]
    start: Option<Timestamp>,
    /// Not after this
    #[arg(long, value_parser = time::instant, value_name = "TIME", conflicts_with = "event")]
    end: Option<Timestamp>,
    /// On CloudEvents of this type
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Only events of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only events about this subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
}

impl DueArguments {
    fn is_given(&self) -> bool {
        self.is_schedule() || self.is_event()
    }

    fn is_schedule(&self) -> bool {
        self.every.is_some() || self.cron.is_some() || self.start.is_some() || self.end.is_some()
    }

    fn is_event(&self) -> bool {
        self.event.is_some() || self.source.is_some() || self.subject.is_some()
    }
}

/// What becomes of occurrences whose window closed before any host saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CatchUp {
    /// All are dropped
    Skip,
    /// The newest one runs
    Latest,
    /// All run
    All,
}

impl CatchUp {
    fn wire(self) -> i32 {
        match self {
            Self::Skip => v1::CatchUp::Skip,
            Self::Latest => v1::CatchUp::Latest,
            Self::All => v1::CatchUp::All,
        }
        .into()
    }
}

/// The rest of a trigger.
#[derive(Debug, Clone, Default, Args)]
pub struct TriggerArguments {
    /// How late a job may start before it is dropped; default: 30m
    #[arg(long, value_parser = time::duration, value_name = "DURATION")]
    window: Option<Duration>,
    /// What becomes of times that no host saw; default: latest
    #[arg(long, value_enum, value_name = "POLICY")]
    catch_up: Option<CatchUp>,
    /// A label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = crate::arguments::pair)]
    labels: Vec<(String, String)>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// A trigger to be created.
pub fn created(name: String, due: &DueArguments, more: &TriggerArguments) -> Result<v1::Trigger, Problem> {
    Ok(v1::Trigger {
        name,
        description: more.description.clone().unwrap_or_default(),
        labels: more.labels.iter().cloned().collect(),
        due: Some(if due.is_event() {
            Due::Event(subscription(due)?)
        } else {
            Due::Schedule(schedule(due)?)
        }),
        window: more.window.map(time::wire),
        catch_up: more.catch_up.map(CatchUp::wire).unwrap_or_default(),
        ..v1::Trigger::default()
    })
}

/// A schedule of its own.
pub fn schedule(due: &DueArguments) -> Result<v1::Schedule, Problem> {
    if due.is_event() {
        return Err(Problem::usage("an event has no times: give --every or --cron"));
    }
    let rule = rule(due).ok_or_else(|| {
        Problem::usage("nothing says when it is due")
            .advise("--every 5m, --cron \"0 3 * * *\" or --event TYPE")
    })?;
    Ok(v1::Schedule { rule: Some(rule), start_time: due.start, end_time: due.end })
}

fn rule(due: &DueArguments) -> Option<Rule> {
    if let Some(every) = due.every {
        return Some(Rule::Interval(v1::Interval { every: Some(time::wire(every)), anchor: due.anchor }));
    }
    due.cron.as_ref().map(|expression| {
        Rule::Cron(v1::Cron {
            expression: expression.clone(),
            time_zone: due.zone.clone().unwrap_or_default(),
        })
    })
}

fn subscription(due: &DueArguments) -> Result<v1::EventSubscription, Problem> {
    let event = due.event.clone().ok_or_else(|| {
        Problem::usage("--source and --subject narrow an event: say which with --event TYPE")
    })?;
    Ok(v1::EventSubscription {
        r#type: event,
        source: due.source.clone().unwrap_or_default(),
        subject: due.subject.clone().unwrap_or_default(),
    })
}

/// A trigger with what was given instead of what it had, and the names of what changes.
pub fn updated(
    before: v1::Trigger,
    rename: Option<String>,
    due: &DueArguments,
    more: &TriggerArguments,
    etag: Option<String>,
) -> Result<v1::UpdateTriggerRequest, Problem> {
    let mut trigger = before;
    let mut paths = Vec::new();
    if let Some(etag) = etag {
        trigger.etag = etag;
    }
    if let Some(name) = rename {
        trigger.name = name;
        paths.push("name");
    }
    if let Some(description) = &more.description {
        trigger.description.clone_from(description);
        paths.push("description");
    }
    if !more.labels.is_empty() {
        trigger.labels = more.labels.iter().cloned().collect();
        paths.push("labels");
    }
    if let Some(window) = more.window {
        trigger.window = Some(time::wire(window));
        paths.push("window");
    }
    if let Some(catch_up) = more.catch_up {
        trigger.catch_up = catch_up.wire();
        paths.push("catch_up");
    }
    if due.is_given() {
        let (changed, path) = changed_due(trigger.due.take(), due)?;
        trigger.due = Some(changed);
        paths.push(path);
    }
    if paths.is_empty() {
        return Err(Problem::usage("nothing says what to change"));
    }
    Ok(v1::UpdateTriggerRequest {
        trigger: Some(trigger),
        update_mask: Some(FieldMask { paths: paths.into_iter().map(str::to_owned).collect() }),
    })
}

fn changed_due(before: Option<Due>, due: &DueArguments) -> Result<(Due, &'static str), Problem> {
    match before {
        Some(Due::Schedule(mut schedule)) if !due.is_event() => {
            schedule.rule = rule(due).or(schedule.rule);
            schedule.start_time = due.start.or(schedule.start_time);
            schedule.end_time = due.end.or(schedule.end_time);
            Ok((Due::Schedule(schedule), "schedule"))
        }
        Some(Due::Event(mut event)) if !due.is_schedule() => {
            let given = |given: &Option<String>, before: String| given.clone().unwrap_or(before);
            event.r#type = given(&due.event, event.r#type);
            event.source = given(&due.source, event.source);
            event.subject = given(&due.subject, event.subject);
            Ok((Due::Event(event), "event"))
        }
        _ => Err(Problem::usage("a schedule stays a schedule, and an event subscription one")
            .advise("create another trigger, and bind the operation to it")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        due: DueArguments,
        #[command(flatten)]
        more: TriggerArguments,
    }

    fn line(words: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once(&"x").chain(words))
    }

    #[test]
    fn a_trigger_is_an_interval_a_cron_rule_or_an_event() {
        let given = line(&["--every", "5m", "--window", "1m"]).unwrap();
        let trigger = created("t".to_owned(), &given.due, &given.more).unwrap();
        let Some(Due::Schedule(schedule)) = trigger.due else {
            panic!("not a schedule");
        };
        assert!(matches!(schedule.rule, Some(Rule::Interval(_))));
        assert_eq!(trigger.window.unwrap().seconds, 60);

        let given = line(&["--cron", "0 3 * * *", "--zone", "Europe/Berlin"]).unwrap();
        let Some(Rule::Cron(cron)) = schedule_of(&given).rule else {
            panic!("not a cron rule");
        };
        assert_eq!(cron.time_zone, "Europe/Berlin");

        let given = line(&["--event", "file.landed", "--source", "/in"]).unwrap();
        let trigger = created("t".to_owned(), &given.due, &given.more).unwrap();
        assert!(matches!(trigger.due, Some(Due::Event(_))));
    }

    fn schedule_of(line: &Line) -> v1::Schedule {
        schedule(&line.due).unwrap()
    }

    #[test]
    fn rules_exclude_each_other() {
        assert!(line(&["--every", "5m", "--cron", "* * * * *"]).is_err());
        assert!(line(&["--every", "5m", "--event", "x"]).is_err());
        assert!(line(&["--zone", "UTC"]).is_err());
        let nothing = line(&[]).unwrap();
        assert!(created("t".to_owned(), &nothing.due, &nothing.more).is_err());
    }

    #[test]
    fn an_update_names_what_changes_and_keeps_the_rest() {
        let given = line(&["--every", "5m", "--start", "2026-11-21T08:00:00Z"]).unwrap();
        let mut before = created("t".to_owned(), &given.due, &given.more).unwrap();
        before.etag = "e1".to_owned();
        let change = line(&["--end", "2026-11-22T08:00:00Z"]).unwrap();

        let request = updated(before, None, &change.due, &change.more, None).unwrap();

        assert_eq!(request.update_mask.unwrap().paths, ["schedule"]);
        let trigger = request.trigger.unwrap();
        assert_eq!(trigger.etag, "e1");
        let Some(Due::Schedule(schedule)) = trigger.due else {
            panic!("not a schedule");
        };
        assert!(schedule.rule.is_some() && schedule.start_time.is_some());
        assert!(schedule.end_time.is_some());
    }

    #[test]
    fn a_schedule_does_not_become_an_event() {
        let given = line(&["--every", "5m"]).unwrap();
        let before = created("t".to_owned(), &given.due, &given.more).unwrap();
        let change = line(&["--event", "x"]).unwrap();
        assert!(updated(before, None, &change.due, &change.more, None).is_err());
    }
}
