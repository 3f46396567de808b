//! A family: a job and its child jobs, on a bench each, and what they tell each other.

use std::collections::BTreeMap;

use super::bench::{Bench, spec};
use crate::call::{Function, Outcome};
use crate::decide::create::Timing;
use crate::flow::Flow;
use crate::id::JobId;
use crate::instance::InstanceName;
use crate::job::{JobSpec, JobState};

/// See the module. The eldest is the job that the test asked for.
pub struct Family {
    pub eldest: JobId,
    pub jobs: BTreeMap<JobId, Bench>,
    /// What the tasks of whoever is born answer.
    scripts: Vec<(String, Function, Vec<Outcome>)>,
    /// Everything is told twice, as after a crash between telling and saying so.
    pub tells_twice: bool,
    /// Every claimed job loses its host after each step.
    pub crashes: bool,
}

impl Family {
    pub fn of(flow: Flow) -> Self {
        Self::with(flow, spec())
    }

    pub fn with(flow: Flow, spec: JobSpec) -> Self {
        let eldest = spec.id;
        let bench = Bench::of_flow(flow, spec, Timing::default());
        let jobs = BTreeMap::from([(eldest, bench)]);
        Self { eldest, jobs, scripts: Vec::new(), tells_twice: false, crashes: false }
    }

    /// What the calls of a task answer, in whichever job it is.
    pub fn script(mut self, task: &str, function: Function, outcomes: &[Outcome]) -> Self {
        self.jobs.values_mut().for_each(|bench| bench.set_script(task, function, outcomes));
        self.scripts.push((task.to_owned(), function, outcomes.to_vec()));
        self
    }

    pub fn parent(&mut self) -> &mut Bench {
        self.jobs.get_mut(&self.eldest).expect("it is there")
    }

    /// The job that a node was last.
    pub fn child(&mut self, task: &str) -> &mut Bench {
        let link = self.jobs.values().find_map(|bench| bench.job.current(task)?.child.as_ref());
        let job = link.unwrap_or_else(|| panic!("{task} is no job")).job;
        self.jobs.get_mut(&job).expect("it is there")
    }

    /// Goes on until nothing moves: each job makes its calls, and everything is told. The clock stands.
    pub fn settle(&mut self) {
        loop {
            let is_any = self.step() | self.tell();
            if !is_any {
                return;
            }
        }
    }

    /// Goes on until the eldest has ended, and moves the clock to the next alarm where nothing else moves.
    pub fn run(&mut self) -> JobState {
        loop {
            self.settle();
            if self.parent().job.status.state.is_ended() {
                return self.parent().job.status.state;
            }
            let alarms = self.jobs.values().filter_map(|bench| bench.job.status.alarm());
            let next = alarms.min().expect("somebody waits for a time");
            for bench in self.jobs.values_mut() {
                bench.now = bench.now.max(next);
                bench.decide(|decision| decision.wake());
            }
        }
    }

    /// A step of each job that can make one.
    fn step(&mut self) -> bool {
        let ids: Vec<_> = self.jobs.keys().copied().collect();
        // Each of them, not the first that can.
        ids.into_iter().filter(|id| self.step_of(*id)).count() > 0
    }

    /// A step of one job; false where it has nothing to do.
    pub fn step_of(&mut self, id: JobId) -> bool {
        let crashes = self.crashes;
        let bench = self.bench(id);
        match bench.job.status.state {
            JobState::Ready => bench.claim(),
            state if state.is_claimed() => bench.finish(),
            _ => return false,
        }
        if crashes && bench.job.status.state.is_claimed() {
            bench.crash();
        }
        true
    }

    pub fn bench(&mut self, id: JobId) -> &mut Bench {
        self.jobs.get_mut(&id).expect("it is there")
    }

    /// Tells everything that is to be told once.
    pub fn tell(&mut self) -> bool {
        let untold: Vec<JobId> =
            self.jobs.values().filter(|bench| bench.job.status.is_untold()).map(|b| b.job.id()).collect();
        for id in &untold {
            self.tell_orders(*id);
            self.tell_end(*id);
        }
        !untold.is_empty()
    }

    fn tell_orders(&mut self, id: JobId) {
        let now = self.jobs[&id].now;
        for order in self.jobs[&id].job.open_orders() {
            for _ in 0..=u32::from(self.tells_twice) {
                if !self.jobs.contains_key(&order.child) {
                    let birth = self.jobs[&id].job.birth(&order.task, now).expect("all is given");
                    let mut bench = Bench::of_child(birth, order.number);
                    for (task, function, outcomes) in &self.scripts {
                        bench.set_script(task, *function, outcomes);
                    }
                    self.jobs.insert(order.child, bench);
                }
                let child = self.jobs.get_mut(&order.child).expect("it is there");
                child.decide(|decision| decision.obey_parent(order.order, order.number));
            }
            self.jobs.get_mut(&id).expect("it is there").decide(|decision| decision.child_told(&order));
        }
    }

    fn tell_end(&mut self, id: JobId) {
        let bench = &self.jobs[&id];
        if !bench.job.status.owes_end {
            return;
        }
        let end = bench.job.end_for_parent().expect("it has ended");
        let parent = bench.job.parent().expect("it is a child").clone();
        for _ in 0..=u32::from(self.tells_twice) {
            let heard = self.jobs.get_mut(&parent.job).expect("it is there");
            heard.decide(|decision| decision.hear_end(&parent.task, end.clone()));
        }
        self.jobs.get_mut(&id).expect("it is there").decide(|decision| decision.parent_told(end.number));
    }

    /// Nothing of any of them remains.
    pub fn is_clean(&self) -> bool {
        let left = |bench: &Bench| bench.job.instances.values().any(|instance| instance.has_effects());
        !self.jobs.values().any(left)
    }

    /// How often a task was called, in all jobs.
    pub fn calls(&self, task: &str, function: Function) -> usize {
        let made = self.jobs.values().flat_map(|bench| &bench.made);
        made.filter(|made| made.function == function && made.task == task).count()
    }

    pub fn instance(&self, job: JobId, task: &str) -> &crate::instance::TaskInstance {
        let name = InstanceName { task: task.to_owned(), iteration: Vec::new() };
        &self.jobs[&job].job.instances[&name]
    }
}
