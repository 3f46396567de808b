//! A job and the interpreter of its flow: the same happens to both, and after each both must say the same.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

use super::draft::ARGUMENT;
use super::happening::{GOOD, Happening, outcome, published};
use super::told::{End, Mark, Moment, Seat};
use super::walk::{Interpreter, Request, Why};
use crate::call::{self, Direction};
use crate::decide::create::Timing;
use crate::decide::outcome::CallName;
use crate::decide::tests::bench::{Bench, W1, midnight, spec};
use crate::decide::wait::Verdict;
use crate::flow::Flow;
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::{Cause, JobSpec, JobState};
use crate::payload::Payload;

/// Runs that an operator opens, at most: the rest is no different.
const RUNS_MAX: usize = 4;

/// How a random job is run.
#[derive(Debug, Clone)]
pub struct Manner {
    pub room: usize,
    pub never_revert: bool,
    pub timeout_ms: Option<u64>,
}

pub fn bench(flow: Flow, manner: &Manner) -> Bench {
    let arguments = Map::from_iter([(ARGUMENT.to_owned(), json!(1))]);
    let Manner { room, never_revert, timeout_ms } = *manner;
    let spec = JobSpec { arguments, never_revert, timeout_ms, ..spec() };
    let mut bench = Bench::of_flow(flow, spec, Timing::default());
    bench.room = room;
    bench
}

/// See the module.
pub struct Pair {
    pub bench: Bench,
    interpreter: Interpreter,
    room: usize,
    /// Hosts that died in a row, with nothing known of a call in between.
    lost: u32,
    /// Calls that were compared.
    seen: BTreeSet<(Seat, u32, u32, u32)>,
}

impl Pair {
    /// Runs both to the end.
    pub fn run(flow: Flow, manner: &Manner, happenings: &[Happening]) -> Self {
        let arguments = [(ARGUMENT.to_owned(), json!(1))].into_iter().collect();
        let mut interpreter = Interpreter::new(&flow, arguments, manner.room);
        interpreter.never_revert = manner.never_revert;
        interpreter.timeout = manner.timeout_ms;
        let mut bench = bench(flow, manner);
        interpreter.start();
        bench.claim();
        let mut pair = Self { bench, interpreter, room: manner.room, lost: 0, seen: BTreeSet::new() };
        let mut happenings = happenings.iter();
        for _ in 0..RUNS_MAX {
            pair.run_on(&mut happenings);
            let operator = happenings.find(|happening| happening.is_of_ended());
            if !operator.is_some_and(|happening| pair.open_again(happening)) {
                break;
            }
        }
        pair.run_on(&mut [].iter());
        pair
    }

    fn run_on(&mut self, happenings: &mut std::slice::Iter<'_, Happening>) {
        loop {
            self.compare();
            if self.interpreter.end.is_some() {
                break;
            }
            self.give(happenings.next());
        }
        self.compare_ends();
    }

    fn give(&mut self, happening: Option<&Happening>) {
        match happening {
            Some(Happening::Pass(ms)) => self.pass(*ms),
            Some(Happening::Answer(which, is_asked, is_approved)) => {
                self.answer(which, *is_asked, *is_approved)
            }
            Some(Happening::Publish(type_, number)) => self.publish(*type_, *number),
            happening if self.interpreter.is_suspended => self.go_on_from_rest(happening),
            Some(Happening::Suspend) => {
                self.interpreter.ask(Request::Suspend);
                drop(self.bench.decide(|d| d.suspend()));
            }
            Some(Happening::Cancel(mode)) => {
                self.interpreter.ask(Request::Cancel(*mode));
                drop(self.bench.decide(|d| d.cancel(*mode, "enough".into())));
                self.wake();
            }
            // One more lost claim would quarantine the job: another suite's matter.
            Some(Happening::Crash) if self.is_calling() && self.lost < crate::decide::CLAIMS_LOST_MAX => {
                self.lost += 1;
                self.bench.crash();
                self.interpreter.crash();
            }
            Some(Happening::Undo(which, number)) if self.is_calling() => self.undo(which, *number),
            Some(Happening::Finish(which, how, number)) if self.is_calling() => {
                self.finish(Some(which), (*how, *number));
            }
            None if self.is_calling() => self.finish(None, GOOD),
            Some(Happening::Finish(..)) | None => {
                let wake = self.interpreter.wake.expect("it waits");
                self.pass(wake.saturating_sub(self.interpreter.now));
            }
            Some(_) => {}
        }
    }

    fn is_calling(&self) -> bool {
        !self.interpreter.calling().is_empty()
    }

    fn pass(&mut self, ms: Moment) {
        self.interpreter.now += ms;
        self.bench.pass(TimeDelta::milliseconds(ms as i64));
        self.interpreter.go_on();
        self.wake();
    }

    /// What hosts do by themselves: they begin what is due.
    fn wake(&mut self) {
        self.bench.decide(|d| d.wake());
        match self.bench.job.status.state {
            JobState::Ready => self.bench.claim(),
            state if state.is_claimed() => {
                self.bench.room = self.room.saturating_sub(self.bench.job.in_flight_count());
                self.bench.decide(|d| d.proceed(W1)).expect("it is claimed");
                self.bench.room = self.room;
            }
            _ => {}
        }
    }

    fn go_on_from_rest(&mut self, happening: Option<&Happening>) {
        let cancel = if let Some(Happening::Cancel(mode)) = happening { Some(*mode) } else { None };
        match cancel {
            Some(mode) => self.bench.decide(|d| d.cancel(mode, "enough".into())).expect("it is suspended"),
            None => self.bench.decide(|d| d.resume()).expect("it is suspended"),
        }
        self.lost = 0;
        self.interpreter.go_on_from_rest(cancel);
        self.wake();
    }

    fn answer(&mut self, which: &Index, is_asked: bool, is_approved: bool) {
        let asked = self.interpreter.asked();
        if asked.is_empty() {
            return;
        }
        let seat = which.get(&asked);
        let name = self.name_of(seat);
        let principal = if is_asked { "ann" } else { "eve" };
        let verdict = Verdict { is_approved, principal: principal.to_owned(), comment: String::new() };
        let given = self.bench.decide(|d| d.answer(&name.task, &name.iteration, verdict));
        let is_taken = self.interpreter.answer(seat, principal, is_approved);
        assert_eq!(given.is_ok(), is_taken, "{principal} answers {name}: {given:?}");
        self.wake();
    }

    fn publish(&mut self, type_: u8, number: u8) {
        let event = published(type_, number);
        self.bench.decide(|d| d.deliver(&event));
        self.interpreter.publish(&event);
        self.wake();
    }

    /// Asks for a job that has ended to go on. False where nothing comes of it.
    fn open_again(&mut self, happening: &Happening) -> bool {
        let is_open = match happening {
            Happening::Retry => {
                drop(self.bench.decide(|d| d.retry("again".into())));
                self.interpreter.retry()
            }
            Happening::Revert => {
                drop(self.bench.decide(|d| d.revert("undo it".into())));
                self.interpreter.revert()
            }
            Happening::Resolve(which, resolution) => {
                let stuck = self.interpreter.stuck();
                if stuck.is_empty() {
                    return false;
                }
                let seat = which.get(&stuck);
                let name = self.name_of(seat);
                let resolved = self
                    .bench
                    .decide(|d| d.resolve(&name.task, &name.iteration, *resolution, "seen to".into()));
                resolved.expect("its revert failed");
                self.interpreter.decide_about(seat, *resolution);
                true
            }
            _ => panic!("that is not for a job that has ended"),
        };
        assert_eq!(self.bench.job.status.state == JobState::Ready, is_open, "{}", self.bench.trace());
        if is_open {
            self.lost = 0;
            self.bench.claim();
        }
        is_open
    }

    fn call(&self, seat: &Seat) -> CallName {
        let name = self.name_of(seat);
        CallName::of(&self.bench.job.instances[&name])
    }

    fn undo(&mut self, which: &Index, number: u8) {
        let calling = self.interpreter.calling();
        let seat = which.get(&calling);
        let undo = Payload::json(&json!(format!("ahead {number}")));
        let call = self.call(seat);
        self.interpreter.leave_undo(seat, &undo);
        self.bench.decide(|d| d.record_undo(&call, undo)).expect("it is under way");
    }

    fn finish(&mut self, which: Option<&Index>, drawn: (u8, u8)) {
        let calling = self.interpreter.calling();
        let seat = &calling[which.map_or(0, |which| which.index(calling.len()))];
        let call = self.call(seat);
        let outcome = outcome(drawn, call.function);
        // What the calls under way leave of the room.
        self.bench.room = self.room.saturating_sub(calling.len() - 1);
        self.lost = 0;
        self.interpreter.finish(seat, &outcome);
        self.bench.finish_with(&call, outcome).expect("it is under way");
        self.bench.room = self.room;
    }

    fn name_of(&self, (called, path): &Seat) -> InstanceName {
        InstanceName { task: self.interpreter.names.called[*called].clone(), iteration: path.clone() }
    }

    fn compare(&mut self) {
        let calling = self.interpreter.calling();
        let names: Vec<_> = calling.iter().map(|seat| self.name_of(seat).to_string()).collect();
        let (status, trace) = (&self.bench.job.status, self.bench.trace());
        assert_eq!(self.bench.calling(), names.join(" "), "{trace}");
        assert_eq!(status.state == JobState::Suspended, self.interpreter.is_suspended, "{trace}");
        let alarm = status.alarm().map(|alarm| (alarm - midnight()).num_milliseconds() as Moment);
        assert_eq!(alarm, self.interpreter.wake, "when it wakes: {trace}");
        if self.interpreter.end.is_none() {
            assert_eq!(status.claims_lost, self.lost, "hosts lost in a row: {trace}");
        }
        for seat in calling {
            let told = &self.interpreter.told[&seat];
            if self.seen.insert((seat.clone(), told.calls, told.looks, told.undo_calls)) {
                self.compare_call(&seat);
            }
        }
    }

    /// A call that has just begun: what it is told.
    fn compare_call(&self, seat: &Seat) {
        let (bench, interpreter) = (&self.bench, &self.interpreter);
        let (name, told, trace) = (self.name_of(seat), &interpreter.told[seat], bench.trace());
        let direction = if told.mark == Mark::Undoing { Direction::Revert } else { Direction::Apply };
        let input = bench.job.input(&name, direction).ok();
        assert_eq!(input, interpreter.input(seat.0, &seat.1, direction), "of {name}: {trace}");
        let evidence = bench.job.evidence(&name).expect("it was begun");
        let undo: Vec<_> = evidence.undo.iter().filter_map(|record| record.undo.value()).collect();
        let (end, told_undo) = match interpreter.names.flow_of(seat.0) {
            Some(flow) => {
                let around = interpreter.names.around[flow].len();
                let path = &seat.1[..around];
                (interpreter.end_of_whole(flow, path), interpreter.undo_of_whole(flow, path, told))
            }
            None => (Some(told.end.clone()), told.undo.clone()),
        };
        assert_eq!(undo, told_undo, "the undo records that {name} is told of: {trace}");
        if let Some(end) = end {
            assert_eq!(end_of(evidence.end), end, "how what {name} undoes ended: {trace}");
        }
    }

    fn compare_ends(&self) {
        let (bench, interpreter) = (&self.bench, &self.interpreter);
        let (job, trace) = (&bench.job, bench.trace());
        assert_eq!(Some(job.status.state), interpreter.end, "{trace}");
        assert_eq!(job.status.cause.as_ref().map(why), interpreter.cause, "{:?} {trace}", job.status.cause);
        let residue = interpreter.residue().into_iter().map(|seat| self.name_of(&seat).to_string());
        let residue: Vec<_> = residue.filter(|_| job.status.state == JobState::Failed).collect();
        assert_eq!(bench.residue(), residue, "{trace}");
        let ends = |instance: &TaskInstance| {
            let calls = (instance.attempt, instance.observations, instance.revert_attempt);
            (instance.name.to_string(), mark_of(instance), calls)
        };
        let told = interpreter.told.iter().map(|(seat, told)| {
            (self.name_of(seat).to_string(), told.mark, (told.calls, told.looks, told.undo_calls))
        });
        let told: Vec<_> = told.collect();
        let own_reverts = job.own_reverts().flat_map(|name| job.instances_of(name));
        let ended = job.task_instances().chain(own_reverts).map(ends);
        assert_eq!(ended.collect::<Vec<_>>(), told, "{trace}");
    }
}

fn why(cause: &Cause) -> Why {
    match cause {
        Cause::Task { .. } => Why::Task,
        Cause::Timeout => Why::Late,
        Cause::Cancelled { .. } => Why::Cancelled,
        Cause::Requested { .. } => Why::Asked,
        Cause::Permission { .. }
        | Cause::NoMatch { .. }
        | Cause::Invalid { .. }
        | Cause::Superseded
        | Cause::Window
        | Cause::Overlap => panic!("nothing like that happened: {cause:?}"),
    }
}

fn end_of(end: call::End) -> End {
    let value = |payload: Payload| -> Value { payload.value().expect("it is JSON") };
    match end {
        call::End::Applied(output) => End::Applied(value(output)),
        call::End::Accepted(handle) => End::Accepted(value(handle)),
        call::End::Failed { fault, handle } => End::Failed(fault.class, handle.map(value)),
        call::End::Interrupted => End::Interrupted,
        call::End::Partial { outputs, failure, is_interrupted } => {
            End::Partial { outputs: value(outputs), has_failed: failure.is_some(), is_interrupted }
        }
    }
}

fn mark_of(instance: &TaskInstance) -> Mark {
    match instance.state {
        TaskState::Skipped => Mark::Skipped,
        TaskState::Applying => Mark::Applying,
        TaskState::Observing if instance.next_try.is_some() => Mark::Elsewhere,
        TaskState::Observing => Mark::Looking,
        TaskState::Waiting => Mark::Waiting,
        TaskState::Backoff => Mark::Again,
        TaskState::InDoubt => Mark::Doubt,
        TaskState::ApplyFailed => Mark::Failed(instance.is_undone_at_once()),
        TaskState::Applied if instance.is_wait => Mark::Passed,
        TaskState::Applied => Mark::Applied,
        TaskState::Reverting if instance.next_try.is_some() => Mark::UndoAgain,
        TaskState::Reverting => Mark::Undoing,
        TaskState::Reverted => Mark::Undone,
        TaskState::RevertFailed => Mark::Stuck,
        TaskState::Accepted => Mark::LetBe(true),
        TaskState::SkippedRevert => Mark::LetBe(false),
        TaskState::Pending => panic!("what is pending has no instance"),
    }
}
