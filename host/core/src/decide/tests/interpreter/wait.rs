//! The interpreter, waiting: sleeps, events and approvals.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::frame::Frame;
use super::told::{Answer, End, Mark, Moment, Seat, Told};
use super::walk::Interpreter;
use crate::decide::tests::bench::midnight;
use crate::event::CloudEvent;
use crate::expression::Expression;
use crate::flow::{Input, Leaf};
use crate::wait::{EVENT, Until, Wait};

/// 366 days: what sleeps longer is no sleep.
const FURTHEST: i64 = 366 * 24 * 3_600 * 1_000;

impl Interpreter {
    fn wait(&self, wait: usize) -> &Wait {
        match self.flow.leaves().nth(wait) {
            Some(Leaf::Wait(wait)) => wait,
            _ => panic!("it is no wait"),
        }
    }

    /// Begins a wait, or ends one that is over.
    pub fn go_on_waiting(&mut self, frame: &Frame<'_>, index: usize) {
        let seat = self.seat(frame, index);
        let mut told = match self.told.get(&seat) {
            Some(told) if told.mark == Mark::Waiting => self.over(&seat, told.clone()),
            Some(told) if told.mark == Mark::Undone => {
                let told = self.waiting(&seat, Told::of(Mark::Waiting, self.told.len()));
                let seat = self.anew(&seat, frame.path.len());
                self.told.insert(seat, told);
                return;
            }
            known => {
                let told = known.cloned().unwrap_or_else(|| Told::of(Mark::Waiting, self.told.len()));
                self.waiting(&seat, told)
            }
        };
        told.run = self.number;
        self.told.insert(seat, told);
    }

    fn waiting(&self, seat: &Seat, told: Told) -> Told {
        let (calls, next) = (told.calls + 1, Some(self.until(seat)));
        Told { mark: Mark::Waiting, calls, answer: None, next, run: self.number, ..told }
    }

    fn until(&self, seat: &Seat) -> Moment {
        match &self.wait(seat.0).until {
            Until::Passed { ms } => self.now + ms,
            // What is no time, or past, is no wait.
            Until::Time(input) => self.time(seat, input).map_or(self.now, |ms| ms.max(0) as Moment),
            Until::Event(event) => self.now + event.timeout_ms,
            Until::Approval(approval) => self.now + approval.timeout_ms,
            Until::Child(_) => unreachable!("no valid flow here has child jobs"),
        }
    }

    fn over(&self, seat: &Seat, told: Told) -> Told {
        let wait = self.wait(seat.0);
        let given = match (&told.answer, &wait.until) {
            (Some(Answer::Yes(given)), _) => Ok(given.clone()),
            (Some(Answer::No), _) => Err("host.refused"),
            (None, Until::Event(_) | Until::Approval(_)) => Err("host.no_answer"),
            (None, Until::Child(_)) => unreachable!("no valid flow here has child jobs"),
            (None, Until::Passed { .. }) => Ok(slept(self.now as i64)),
            (None, Until::Time(input)) => self.time(seat, input).map(slept).ok_or("host.time"),
        };
        let mut told = Told { next: None, ..told };
        match given {
            Ok(given) => {
                told.end = End::Applied(given.clone());
                told.output = Some(given);
                told.mark = Mark::Passed;
            }
            Err(class) => told.fail(class, true, self.now),
        }
        told
    }

    /// The time that an input gives, in milliseconds since the job was made.
    fn time(&self, (wait, path): &Seat, input: &Input) -> Option<i64> {
        let began = midnight().timestamp_millis();
        let ms = match self.resolve(&self.names.called[*wait], path, input)? {
            Value::String(text) => DateTime::parse_from_rfc3339(&text).ok()?.timestamp_millis(),
            value => value.as_i64()?,
        };
        Some(ms - began).filter(|ms| *ms <= self.now as i64 + FURTHEST)
    }

    /// Those that wait for an answer, and may have it.
    fn open(&self) -> Vec<Seat> {
        let is_over = self.end.is_some() || self.is_reverting;
        let is_open = |told: &Told| told.mark == Mark::Waiting && told.answer.is_none() && !is_over;
        self.told.iter().filter(|(_, told)| is_open(told)).map(|(seat, _)| seat.clone()).collect()
    }

    /// The approvals that are asked for.
    pub fn asked(&self) -> Vec<Seat> {
        let is_approval = |seat: &Seat| matches!(self.wait(seat.0).until, Until::Approval(_));
        self.open().into_iter().filter(is_approval).collect()
    }

    /// Somebody answers an approval; false where it is none of their business.
    pub fn answer(&mut self, seat: &Seat, principal: &str, is_approved: bool) -> bool {
        let Until::Approval(approval) = &self.wait(seat.0).until else { panic!("it is no approval") };
        if !approval.principals.is_empty() && !approval.principals.iter().any(|asked| asked == principal) {
            return false;
        }
        let given = json!({ "approved": true, "principal": principal, "comment": "" });
        let answer = if is_approved { Answer::Yes(given) } else { Answer::No };
        self.told.get_mut(seat).expect("it was asked").answer = Some(answer);
        self.go_on();
        true
    }

    /// An event goes to every wait that it is meant for, once.
    pub fn publish(&mut self, event: &CloudEvent) {
        let event = event.to_json();
        let is_known = |told: &Told| matches!(&told.answer, Some(Answer::Yes(given)) if (&given["id"], &given["source"]) == (&event["id"], &event["source"]));
        if self.told.values().any(is_known) {
            return;
        }
        for seat in self.open() {
            if self.is_meant(&seat, &event) {
                self.told.get_mut(&seat).expect("it waits").answer = Some(Answer::Yes(event.clone()));
            }
        }
        self.go_on();
    }

    fn is_meant(&self, seat: &Seat, event: &Value) -> bool {
        let wait = self.wait(seat.0);
        let Until::Event(wanted) = &wait.until else { return false };
        let is_holding = |condition: &String| {
            let value = |read: &str| match read {
                EVENT => Some(event.clone()),
                _ => self.resolve(&wait.name, &seat.1, &Input::From(read.to_owned())),
            };
            let condition = Expression::parse(condition).expect("it is CEL");
            condition.holds(value).unwrap_or(false)
        };
        event["type"] == *wanted.type_ && wanted.condition.as_ref().is_none_or(is_holding)
    }
}

/// What a sleep gives that lasted until then.
fn slept(until: i64) -> Value {
    let until: DateTime<Utc> = midnight() + chrono::TimeDelta::milliseconds(until);
    json!({ "until": until.to_rfc3339() })
}
