//! Random flows beside a simple interpreter of them: written from the definition, slow, and without a plan. After
//! every event both must have the same calls under way, and in the end the same state, effects and residue.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::bench::{applied, broken, reject, retry, reverted};
use super::graph::bench;
use super::model;
use super::shape::{Shape, flow_of, from, nested, output, t};
use crate::call::{Direction, Outcome};
use crate::flow::{Flow, Node, Pattern, RetryPolicy};
use crate::job::JobState;

/// Enough for every pair of constructs to meet, in a few seconds.
const CASES: u32 = 500;
const TASKS_MAX: usize = 12;
/// Calls of a task that say `retry` before it fails for good.
const ATTEMPTS_MAX: u32 = 3;
/// A draw of an outcome that is good.
const GOOD: u8 = 23;

/// How a task stands, as far as a reader of the logbook would care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Pending,
    Applying,
    /// It asked to be called again at once.
    Again,
    Doubt,
    Applied,
    /// `true`: it did nothing at all.
    Failed(bool),
    Undoing,
    /// Its revert was cut short.
    UndoAgain,
    Undone,
    Stuck,
}

struct Interpreter {
    names: Vec<String>,
    before: BTreeMap<String, BTreeSet<String>>,
    priority: BTreeMap<String, i32>,
    marks: BTreeMap<String, Mark>,
    calls: BTreeMap<String, u32>,
    retries: BTreeMap<String, u32>,
    is_reverting: bool,
    end: Option<JobState>,
    room: usize,
}

impl Interpreter {
    fn new(flow: &Flow, room: usize) -> Self {
        let names: Vec<_> = flow.tasks().map(|task| task.name.clone()).collect();
        let zero = |name: &String| (name.clone(), 0);
        Self {
            before: model::before(flow),
            priority: flow.tasks().map(|task| (task.name.clone(), task.priority)).collect(),
            marks: names.iter().map(|name| (name.clone(), Mark::Pending)).collect(),
            calls: names.iter().map(zero).collect(),
            retries: names.iter().map(zero).collect(),
            names,
            is_reverting: false,
            end: None,
            room,
        }
    }

    fn with(&self, mark: impl Fn(Mark) -> bool) -> Vec<String> {
        self.names.iter().filter(|name| mark(self.marks[*name])).cloned().collect()
    }

    fn calling(&self) -> Vec<String> {
        self.with(|mark| matches!(mark, Mark::Applying | Mark::Undoing))
    }

    fn set(&mut self, name: &str, mark: Mark) {
        self.marks.insert(name.to_owned(), mark);
    }

    fn is_clear(&self, name: &str) -> bool {
        matches!(self.marks[name], Mark::Pending | Mark::Undone)
    }

    /// Goes on until calls run for which there is room, or the job has ended.
    fn go_on(&mut self) {
        while self.end.is_none() {
            let calls = self.calling().len();
            let is_failed = self.names.iter().any(|name| matches!(self.marks[name], Mark::Failed(_)));
            if !self.is_reverting && is_failed {
                if calls > 0 {
                    return;
                }
                self.is_reverting = true;
            }
            match self.choose() {
                Some(name) if self.is_reverting && self.marks[&name] == Mark::Failed(true) => {
                    self.set(&name, Mark::Undone);
                }
                Some(name) if calls == 0 || calls < self.room => {
                    self.set(&name, if self.is_reverting { Mark::Undoing } else { Mark::Applying });
                    if !self.is_reverting {
                        *self.calls.get_mut(&name).expect("all are there") += 1;
                    }
                }
                _ if calls > 0 => return,
                _ => self.end = Some(self.ended()),
            }
        }
    }

    fn ended(&self) -> JobState {
        match (self.is_reverting, self.residue().is_empty()) {
            (false, _) => JobState::Succeeded,
            (true, true) => JobState::Reverted,
            (true, false) => JobState::Failed,
        }
    }

    /// The one to call next: what rests no more, then the highest priority, then the first; the other way round going
    /// back.
    fn choose(&self) -> Option<String> {
        let open =
            self.names.iter().enumerate().filter(|(_, name)| match (self.is_reverting, self.marks[*name]) {
                (false, Mark::Pending | Mark::Again | Mark::Doubt) => {
                    self.before[*name].iter().all(|before| self.marks[before] == Mark::Applied)
                }
                (true, Mark::Applied | Mark::Failed(_) | Mark::Doubt | Mark::Again | Mark::UndoAgain) => {
                    self.names.iter().all(|other| !self.before[other].contains(*name) || self.is_clear(other))
                }
                _ => false,
            });
        let rank = |(index, name): &(usize, &String)| {
            let (priority, index) = (i64::from(self.priority[*name]), *index as i64);
            let rests = match self.marks[*name] {
                Mark::Again => self.is_reverting,
                Mark::UndoAgain => false,
                _ => true,
            };
            if self.is_reverting { (rests, priority, -index) } else { (rests, -priority, index) }
        };
        open.min_by_key(rank).map(|(_, name)| name.clone())
    }

    fn finish(&mut self, name: &str, outcome: &Outcome) {
        let is_alone = self.calls[name] == 1;
        let mark = match (self.marks[name], outcome) {
            (Mark::Applying, Outcome::Applied { .. }) => Mark::Applied,
            (Mark::Applying, Outcome::Retry { .. }) => {
                let retries = self.retries.get_mut(name).expect("all are there");
                *retries += 1;
                if *retries < ATTEMPTS_MAX { Mark::Again } else { Mark::Failed(false) }
            }
            (Mark::Applying, Outcome::Reject { .. }) => Mark::Failed(is_alone),
            (Mark::Applying, _) => Mark::Failed(false),
            (_, Outcome::Reverted { .. }) => Mark::Undone,
            (_, _) => Mark::Stuck,
        };
        self.set(name, mark);
        self.go_on();
    }

    fn crash(&mut self) {
        for name in self.calling() {
            let mark = if self.is_reverting { Mark::UndoAgain } else { Mark::Doubt };
            self.set(&name, mark);
        }
        self.go_on();
    }

    /// What has effects, or may.
    fn residue(&self) -> Vec<String> {
        self.with(|mark| !matches!(mark, Mark::Pending | Mark::Undone | Mark::Failed(true)))
    }
}

/// Priority, where it nests, and picks of other tasks for needs and data.
type TaskParts = (i32, usize, Vec<(Index, u8)>);

/// What a random flow is made of.
#[derive(Debug, Clone)]
struct Draft {
    outer: Pattern,
    /// For each task: priority, where it nests, and picks of other tasks for needs and data.
    tasks: Vec<TaskParts>,
    inner: Vec<Pattern>,
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![1 => Just(Pattern::Linear), 1 => Just(Pattern::Unordered), 3 => Just(Pattern::Graph)]
}

fn draft() -> impl Strategy<Value = Draft> {
    let picks = prop::collection::vec((any::<Index>(), 0_u8..3), 0..3);
    let task = (-1_i32..2, 0_usize..4, picks);
    (pattern(), prop::collection::vec(task, 1..=TASKS_MAX), prop::collection::vec(pattern(), 3))
        .prop_map(|(outer, tasks, inner)| Draft { outer, tasks, inner })
}

impl Draft {
    /// The flow, with as many of its picks as are allowed, in the order in which they were drawn.
    fn flow(&self) -> Flow {
        let mut flow = self.build(&|_| Vec::new());
        let mut taken: Vec<(usize, usize, u8)> = Vec::new();
        for (task, (_, _, picks)) in self.tasks.iter().enumerate() {
            for (pick, how) in picks {
                let mut tried = taken.clone();
                tried.push((task, pick.index(self.tasks.len()), *how));
                let built = self.build(&|task| {
                    tried.iter().filter(|(of, _, _)| *of == task).map(|(_, on, how)| (*on, *how)).collect()
                });
                if is_valid(&built) {
                    (flow, taken) = (built, tried);
                }
            }
        }
        flow
    }

    /// `t0` is in the outermost flow, others in one of three, of which the last is in the second.
    fn build(&self, picks: &dyn Fn(usize) -> Vec<(usize, u8)>) -> Flow {
        let mut levels: [Vec<Node>; 4] = Default::default();
        for (index, (priority, level, _)) in self.tasks.iter().enumerate() {
            let mut node = t(&format!("t{index}")).priority(*priority).provides(&format!("of{index}"));
            let once =
                RetryPolicy { attempts_max: ATTEMPTS_MAX, pause_ms: 0, pause_ms_max: 0, factor_percent: 100 };
            node = node.retried(once);
            let mut needs = Vec::new();
            for (on, how) in picks(index) {
                match how {
                    0 => needs.push(format!("t{on}")),
                    1 => node = node.takes(from(&format!("of{on}"))),
                    _ => node = node.revert_takes(output(&format!("t{on}"))),
                }
            }
            let needs: Vec<_> = needs.iter().map(String::as_str).collect();
            levels[*level].push(node.needs(&needs));
        }
        let [mut outer, one, mut two, three] = levels;
        two.insert(two.len() / 2, nested("three", self.inner[2], three));
        outer.insert(outer.len() / 2, nested("one", self.inner[0], one));
        outer.push(nested("two", self.inner[1], two));
        flow_of(self.outer, outer)
    }
}

/// As validation sees it, plugins and schemas apart.
fn is_valid(flow: &Flow) -> bool {
    let plan = crate::plan::Plan::of(flow);
    let is_allowed = |task: &crate::flow::Task, on: &str| plan.relation(&task.name, on).is_allowed();
    plan.cycles().is_empty()
        && flow.tasks().all(|task| {
            let inputs =
                [task.revert_inputs.as_ref(), named(task)].into_iter().flatten().flat_map(BTreeMap::values);
            task.needs.iter().all(|on| is_allowed(task, on))
                && inputs.cloned().all(|input| match input {
                    crate::flow::Input::Output { task: on, .. } => is_allowed(task, &on),
                    crate::flow::Input::From(name) => {
                        matches!(plan.provider(&task.name, &name), crate::plan::Provider::Task(_))
                    }
                    _ => true,
                })
        })
}

fn named(task: &crate::flow::Task) -> Option<&BTreeMap<String, crate::flow::Input>> {
    match &task.inputs {
        crate::flow::Inputs::Arguments => None,
        crate::flow::Inputs::Named(inputs) => Some(inputs),
    }
}

#[derive(Debug, Clone)]
enum Event {
    Finish(Index, u8),
    /// The first call goes well.
    Good,
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (any::<Index>(), any::<u8>()).prop_map(|(which, how)| Event::Finish(which, how)),
        1 => Just(Event::Crash),
    ]
}

fn outcome(how: u8, direction: Direction) -> Outcome {
    match (how % 24, direction) {
        (0, Direction::Apply) => broken(),
        (1, Direction::Apply) => reject(),
        (2..=4, Direction::Apply) => retry(),
        (_, Direction::Apply) => applied(),
        (0..=2, Direction::Revert) => broken(),
        (_, Direction::Revert) => reverted(),
    }
}

fn drive(flow: Flow, room: usize, events: &[Event]) {
    let mut interpreter = Interpreter::new(&flow, room);
    let mut bench = bench(flow);
    let mut events = events.iter();
    let mut crashes = 0;
    bench.room = room;
    interpreter.go_on();
    bench.claim();
    loop {
        assert_eq!(bench.calling(), interpreter.calling().join(" "), "{}", bench.trace());
        if interpreter.end.is_some() {
            break;
        }
        match events.next().cloned().unwrap_or(Event::Good) {
            // One more lost claim would quarantine the job: another suite's matter.
            Event::Crash if crashes < crate::decide::CLAIMS_LOST_MAX => {
                crashes += 1;
                bench.crash();
                interpreter.crash();
            }
            Event::Crash => {}
            event @ (Event::Finish(..) | Event::Good) => {
                let calling = interpreter.calling();
                let (at, how) = match event {
                    Event::Finish(which, how) => (which.index(calling.len()), how),
                    Event::Good | Event::Crash => (0, GOOD),
                };
                let name = calling[at].clone();
                let call = bench.call_of(&name);
                let outcome = outcome(how, call.direction);
                // What the calls under way leave of the room.
                bench.room = room.saturating_sub(calling.len() - 1);
                interpreter.finish(&name, &outcome);
                bench.finish_with(&call, outcome).expect("it is under way");
                bench.room = room;
            }
        }
    }
    assert_eq!(Some(bench.job.status.state), interpreter.end);
    let residue = if bench.job.status.state == JobState::Failed { interpreter.residue() } else { Vec::new() };
    assert_eq!(bench.residue(), residue);
    for (name, calls) in &interpreter.calls {
        let made = bench.job.current(name).map_or(0, |instance| instance.attempt);
        assert_eq!(made, *calls, "calls of {name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_flows_run_as_their_definition_says_wherever_their_hosts_die(
        draft in draft(),
        room in prop_oneof![Just(1_usize), Just(2), Just(3), Just(16)],
        events in prop::collection::vec(event(), 0..60),
    ) {
        drive(draft.flow(), room, &events);
    }

    #[test]
    fn x08_one_slot_and_sixteen_come_to_the_same_end(draft in draft(), failing in any::<Index>(), how in 0_u8..5) {
        let flow = draft.flow();
        let names: Vec<_> = flow.tasks().map(|task| task.name.clone()).collect();
        let failing = failing.get(&names).clone();
        let ends = [1, 16].map(|room| {
            let outcome = outcome(how, Direction::Apply);
            let mut bench = bench(flow.clone()).script(&failing, Direction::Apply, &[outcome]);
            bench.room = room - 1;
            let state = bench.run();
            (state, bench.residue(), bench.job.status.cause.clone())
        });
        prop_assert_eq!(&ends[0], &ends[1]);
    }
}
