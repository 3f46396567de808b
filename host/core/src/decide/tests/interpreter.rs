//! Random flows beside a simple interpreter of them: written from the definition, slow, and without a plan. After
//! every event both must have the same calls under way, and in the end the same state, effects and residue.
//!
//! A failure names its seed. `WINDLASS_SEED=n` runs that one alone, `WINDLASS_SEEDS=n` so many, from 0 on.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use super::bench::{Bench, broken, reject, retry, reverted, spec};
use crate::call::{self, Direction, Evidence, Function, Outcome};
use crate::decide::create::Timing;
use crate::decide::outcome::CallName;
use crate::entry::Entry;
use crate::flow::Flow;
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::{CancelMode, JobSpec, JobState};
use crate::payload::Payload;
use draft::{ARGUMENT, ATTEMPTS_MAX, Draft, draft, in_short};
use told::{End, Mark, Seat};
use walk::{Interpreter, Request};

mod back;
mod draft;
mod frame;
mod sight;
mod told;
mod tree;
mod walk;

/// Enough for every pair of constructs to meet, in a few seconds.
const SEEDS: u64 = 500;
/// Smaller cases that are tried after a failure.
const SHRINKS_MAX: u32 = 10_000;
/// Draws of an outcome that is good.
const GOOD: (u8, u8) = (23, 7);

/// What happens to a running job.
impl Interpreter {
    fn finish(&mut self, seat: &Seat, outcome: &Outcome) {
        let told = self.told.get_mut(seat).expect("it is under way");
        if let Outcome::Retry { fault, .. } | Outcome::Reject { fault } | Outcome::Broken { fault } = outcome
        {
            told.class.clone_from(&fault.class);
        }
        told.mark = match (told.mark, outcome) {
            (Mark::Applying, Outcome::Applied { output, .. }) => {
                told.output = output.value();
                Mark::Applied
            }
            (Mark::Applying, Outcome::Retry { .. }) => {
                told.retries += 1;
                if told.retries < ATTEMPTS_MAX { Mark::Again } else { Mark::Failed(false) }
            }
            (Mark::Applying, Outcome::Reject { .. }) => Mark::Failed(told.calls == 1),
            (Mark::Applying, _) => Mark::Failed(false),
            (_, Outcome::Reverted { .. }) => Mark::Undone,
            (_, Outcome::Retry { .. }) => {
                told.undo_retries += 1;
                if told.undo_retries < ATTEMPTS_MAX { Mark::UndoAgain } else { Mark::Stuck }
            }
            (_, _) => Mark::Stuck,
        };
        if told.mark == Mark::Undone && self.names.flow_of(seat.0).is_some() {
            self.undone_by(seat);
        }
        self.go_on();
    }

    fn crash(&mut self) {
        for seat in self.calling() {
            let told = self.told.get_mut(&seat).expect("it is under way");
            told.mark = if told.mark == Mark::Applying { Mark::Doubt } else { Mark::UndoAgain };
        }
        self.go_on();
    }

    /// Calls run. A cancel outranks a suspension; what is being undone is cancelled already.
    fn ask(&mut self, request: Request) {
        match (request, self.request) {
            (Request::Suspend, Some(Request::Cancel(_))) => {}
            (Request::Cancel(CancelMode::Revert), _) if self.is_reverting => self.request = None,
            // It is suspended first: what is being undone cannot be left in the middle.
            (Request::Cancel(CancelMode::Leave), None) if self.is_reverting => {}
            (request, _) => self.request = Some(request),
        }
    }

    /// It is suspended.
    fn go_on_from_rest(&mut self, cancel: Option<CancelMode>) {
        self.is_suspended = false;
        match cancel {
            Some(CancelMode::Leave) => self.leave(),
            Some(CancelMode::Revert) => self.is_reverting = true,
            None => {}
        }
        self.go_on();
    }

    fn told_of(&self, (task, path): &Seat) -> String {
        InstanceName { task: self.names.called[*task].clone(), iteration: path.clone() }.to_string()
    }
}

#[derive(Debug, Clone)]
enum Event {
    Finish(Index, u8, u8),
    Crash,
    Suspend,
    Cancel(CancelMode),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        60 => (any::<Index>(), any::<u8>(), any::<u8>()).prop_map(|(which, how, n)| Event::Finish(which, how, n)),
        3 => Just(Event::Crash),
        2 => Just(Event::Suspend),
        1 => prop_oneof![Just(CancelMode::Revert), Just(CancelMode::Leave)].prop_map(Event::Cancel),
    ]
}

fn outcome((how, number): (u8, u8), direction: Direction) -> Outcome {
    match (how % 24, direction) {
        (0..=2, Direction::Apply) => broken(),
        (3, Direction::Apply) => reject(),
        (4..=5, Direction::Apply) | (1, Direction::Revert) => retry(),
        (_, Direction::Apply) => {
            let list: Vec<_> = (0..number / 4 % 4).collect();
            Outcome::Applied { output: Payload::json(&json!({"n": number % 4, "l": list})), undo: None }
        }
        (0 | 2, Direction::Revert) => broken(),
        (_, Direction::Revert) => reverted(),
    }
}

fn arguments() -> Map<String, Value> {
    Map::from_iter([(ARGUMENT.to_owned(), json!(1))])
}

fn bench(flow: Flow, never_revert: bool) -> Bench {
    Bench::of_flow(flow, JobSpec { arguments: arguments(), never_revert, ..spec() }, Timing::default())
}

/// A job and the interpreter of its flow.
struct Pair {
    bench: Bench,
    interpreter: Interpreter,
    room: usize,
    crashes: u32,
    /// Calls whose input was compared.
    seen: BTreeSet<(Seat, u32, u32)>,
}

impl Pair {
    /// Runs both to the end; gives the kinds of the entries that the job has then.
    fn run(flow: Flow, room: usize, never_revert: bool, events: &[Event]) -> Vec<&'static str> {
        let mut interpreter = Interpreter::new(&flow, arguments().into_iter().collect(), room);
        interpreter.never_revert = never_revert;
        let mut bench = bench(flow, never_revert);
        bench.room = room;
        interpreter.go_on();
        bench.claim();
        let mut pair = Self { bench, interpreter, room, crashes: 0, seen: BTreeSet::new() };
        let mut events = events.iter();
        loop {
            pair.compare();
            if pair.interpreter.end.is_some() {
                break;
            }
            pair.give(events.next());
        }
        pair.compare_ends();
        let is_own = |entry: &Entry| {
            let task = entry.fact.task().map_or("", |task| task.task.as_str());
            task.ends_with(crate::own_revert::SUFFIX)
        };
        let kind = |entry: &Entry| match entry.fact.kind() {
            "task.reverting" if is_own(entry) => "own_revert.reverting",
            "task.reverted" if is_own(entry) => "own_revert.reverted",
            "task.revert_failed" if is_own(entry) => "own_revert.revert_failed",
            "task.reverted" if entry.fact.attempt() == 0 => "task.reverted without a call",
            kind => kind,
        };
        pair.bench.entries.iter().map(kind).collect()
    }

    fn give(&mut self, event: Option<&Event>) {
        let (bench, interpreter) = (&mut self.bench, &mut self.interpreter);
        match event {
            event if interpreter.is_suspended => {
                let cancel = if let Some(Event::Cancel(mode)) = event { Some(*mode) } else { None };
                match cancel {
                    Some(mode) => bench.decide(|d| d.cancel(mode, "enough".into())).expect("it is suspended"),
                    None => bench.decide(|d| d.resume()).expect("it is suspended"),
                }
                interpreter.go_on_from_rest(cancel);
                if bench.job.status.state == JobState::Ready {
                    bench.claim();
                }
            }
            // One more lost claim would quarantine the job: another suite's matter.
            Some(Event::Crash) if self.crashes < crate::decide::CLAIMS_LOST_MAX => {
                self.crashes += 1;
                bench.crash();
                interpreter.crash();
            }
            Some(Event::Crash) => {}
            Some(Event::Suspend) => {
                interpreter.ask(Request::Suspend);
                drop(bench.decide(|d| d.suspend()));
            }
            Some(Event::Cancel(mode)) => {
                interpreter.ask(Request::Cancel(*mode));
                drop(bench.decide(|d| d.cancel(*mode, "enough".into())));
            }
            Some(Event::Finish(which, how, number)) => self.finish(Some(which), (*how, *number)),
            None => self.finish(None, GOOD),
        }
    }

    fn finish(&mut self, which: Option<&Index>, drawn: (u8, u8)) {
        let calling = self.interpreter.calling();
        let seat = &calling[which.map_or(0, |which| which.index(calling.len()))];
        let name = self.interpreter.told_of(seat);
        let call = self.bench.job.in_flight().find(|instance| instance.name.to_string() == name);
        let call = CallName::of(call.expect("both have it under way"));
        let outcome = outcome(drawn, call.function.direction());
        // What the calls under way leave of the room.
        self.bench.room = self.room.saturating_sub(calling.len() - 1);
        self.interpreter.finish(seat, &outcome);
        self.bench.finish_with(&call, outcome).expect("it is under way");
        self.bench.room = self.room;
    }

    fn compare(&mut self) {
        let (bench, interpreter) = (&self.bench, &self.interpreter);
        let calling = interpreter.calling();
        let names: Vec<_> = calling.iter().map(|seat| interpreter.told_of(seat)).collect();
        assert_eq!(bench.calling(), names.join(" "), "{}", bench.trace());
        let is_suspended = bench.job.status.state == JobState::Suspended;
        assert_eq!(is_suspended, interpreter.is_suspended, "{}", bench.trace());
        for seat in calling {
            let told = &interpreter.told[&seat];
            if self.seen.insert((seat.clone(), told.calls, told.undo_calls)) {
                let direction =
                    if told.mark == Mark::Applying { Direction::Apply } else { Direction::Revert };
                let name = InstanceName {
                    task: interpreter.names.called[seat.0].clone(),
                    iteration: seat.1.clone(),
                };
                if let Some(flow) = interpreter.names.flow_of(seat.0)
                    && let Some(end) = interpreter.end_of_whole(flow, &seat.1)
                {
                    let told = bench.job.evidence(&name).expect("it was begun");
                    assert_eq!(end_of_evidence(told), end, "of {name}: {}", bench.trace());
                }
                let input = bench.job.input(&name, direction).ok();
                assert_eq!(
                    input,
                    interpreter.input(seat.0, &seat.1, direction),
                    "of {name}: {}",
                    bench.trace()
                );
            }
        }
    }

    fn compare_ends(&self) {
        let (bench, interpreter) = (&self.bench, &self.interpreter);
        let job = &bench.job;
        assert_eq!(Some(job.status.state), interpreter.end, "{}", bench.trace());
        let residue = interpreter.residue().into_iter().map(|seat| interpreter.told_of(&seat));
        let residue: Vec<_> = residue.filter(|_| job.status.state == JobState::Failed).collect();
        assert_eq!(bench.residue(), residue, "{}", bench.trace());
        let ends = |instance: &TaskInstance| {
            let name = instance.name.to_string();
            (name, mark_of(instance), instance.attempt, instance.revert_attempt)
        };
        let told = interpreter
            .told
            .iter()
            .map(|(seat, told)| (interpreter.told_of(seat), told.mark, told.calls, told.undo_calls));
        let told: Vec<_> = told.collect();
        let own_reverts = job.own_reverts().flat_map(|name| job.instances_of(name));
        let ended = job.task_instances().chain(own_reverts).map(ends);
        assert_eq!(ended.collect::<Vec<_>>(), told, "{}", bench.trace());
    }
}

fn end_of_evidence(evidence: Evidence) -> End {
    match evidence.end {
        call::End::Applied(outputs) => End::Applied(outputs.value().expect("it is JSON")),
        call::End::Failed { .. } => End::Failed(String::new()),
        call::End::Accepted(_) => panic!("an own revert is not told of one handle"),
        call::End::Interrupted => End::Interrupted,
    }
}

fn mark_of(instance: &TaskInstance) -> Mark {
    match instance.state {
        TaskState::Skipped => Mark::Skipped,
        TaskState::Applying => Mark::Applying,
        TaskState::Backoff => Mark::Again,
        TaskState::InDoubt => Mark::Doubt,
        TaskState::ApplyFailed => Mark::Failed(instance.is_lone_reject()),
        TaskState::Applied => Mark::Applied,
        TaskState::Reverting if instance.next_try.is_some() => Mark::UndoAgain,
        TaskState::Reverting => Mark::Undoing,
        TaskState::Reverted => Mark::Undone,
        TaskState::RevertFailed => Mark::Stuck,
        TaskState::Pending
        | TaskState::Observing
        | TaskState::Waiting
        | TaskState::Accepted
        | TaskState::SkippedRevert => {
            panic!("nobody asked for that")
        }
    }
}

/// Runs a test with what is drawn from each seed; what fails is made smaller, and told with its seed.
fn each<S: Strategy>(
    seeds: u64,
    strategy: &S,
    in_short: impl Fn(&S::Value) -> String,
    test: impl Fn(S::Value),
) {
    let number_of = |variable: &str| -> Option<u64> {
        let text = std::env::var(variable).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}: give the number of a seed")))
    };
    let seeds = match (number_of("WINDLASS_SEED"), number_of("WINDLASS_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, given) => 0..given.unwrap_or(seeds),
    };
    let config = ProptestConfig {
        cases: 1,
        max_shrink_iters: SHRINKS_MAX,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    for seed in seeds {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let ran = TestRunner::new_with_rng(config.clone(), rng).run(strategy, |drawn| {
            test(drawn);
            Ok(())
        });
        match ran {
            Ok(()) => {}
            Err(TestError::Fail(reason, drawn)) => {
                panic!("WINDLASS_SEED={seed} went wrong: {reason}\n{}", in_short(&drawn))
            }
            Err(error) => panic!("WINDLASS_SEED={seed} went wrong: {error}"),
        }
    }
}

#[test]
fn random_flows_run_as_their_definition_says_wherever_their_hosts_die() {
    let room = prop_oneof![Just(1_usize), Just(2), Just(3), Just(16)];
    let events = prop::collection::vec(event(), 0..80);
    let drawn = (draft(), room, prop::bool::weighted(0.08), events);
    let told = |(draft, room, never_revert, events): &(Draft, usize, bool, Vec<Event>)| {
        format!("room {room} never_revert {never_revert} {}\n{events:?}", in_short(&draft.flow()))
    };
    let met = RefCell::new(BTreeMap::<&str, u64>::new());
    each(SEEDS, &drawn, told, |(draft, room, never_revert, events)| {
        for kind in Pair::run(draft.flow(), room, never_revert, &events) {
            *met.borrow_mut().entry(kind).or_default() += 1;
        }
    });
    println!("{:?}", met.borrow());
}

/// How a job ends with so many slots, where one task fails once; none where something else failed as well.
fn end_of(flow: &Flow, slots: usize, failing: &str, how: u8) -> Option<(JobState, Vec<String>, Vec<String>)> {
    let mut bench = bench(flow.clone(), false);
    bench.room = slots;
    bench.claim();
    loop {
        let Some(call) = bench.job.in_flight().next().map(CallName::of) else { break };
        // Of tries and rounds the first; of elements the second fails as well as the first.
        let is_first = call.task.iteration.iter().all(|number| *number <= 1)
            && (call.function, call.attempt) == (Function::Apply, 1);
        let number = call.task.iteration.iter().sum::<u32>() as u8 + call.task.task.len() as u8;
        let how = if call.task.task == failing && is_first { how } else { GOOD.0 };
        bench.room = slots.saturating_sub(bench.job.in_flight_count() - 1);
        bench.finish_with(&call, outcome((how, number), call.function.direction())).expect("it is under way");
    }
    let faults = bench.job.instances.values().filter_map(|instance| instance.fault.as_ref());
    let is_alone = faults.into_iter().all(|fault| !fault.class.starts_with("host."));
    let applied = bench.job.task_instances().filter(|instance| instance.state == TaskState::Applied);
    let applied = applied.map(|instance| instance.name.to_string()).collect();
    is_alone.then(|| (bench.job.status.state, bench.residue(), applied))
}

#[test]
fn x08_one_slot_and_sixteen_come_to_the_same_end() {
    let told = |(draft, failing, how): &(Draft, Index, u8)| {
        format!("{failing:?} fails by {how} {}", in_short(&draft.flow()))
    };
    each(SEEDS / 2, &(draft(), any::<Index>(), 0_u8..6), told, |(draft, failing, how)| {
        let flow = draft.flow();
        let names: Vec<_> = flow.tasks().map(|task| task.name.clone()).collect();
        let failing = failing.get(&names);
        let (one, sixteen) = (end_of(&flow, 1, failing, how), end_of(&flow, 16, failing, how));
        if let (Some(one), Some(sixteen)) = (one, sixteen) {
            assert_eq!(one, sixteen);
        }
    });
}
