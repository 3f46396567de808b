//! Random histories of families: whatever is asked of whom, in whatever order things are told, no effect is forgotten.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::bench::{W1, applied, broken, reject, retry, seconds, spec};
use super::family::Family;
use super::shape::{Shape, approval, child, flow_of, for_each, literal, nested, sleep, t, times};
use crate::call::Function;
use crate::decide::control::Resolution;
use crate::decide::wait::Verdict;
use crate::flow::{Flow, Pattern};
use crate::instance::TaskState;
use crate::job::{CancelMode, JobSpec, JobState};

const CASES: u32 = 1_500;

#[derive(Debug, Clone)]
enum Input {
    /// One of the jobs makes a step.
    Step(Index),
    /// Everything is told.
    Tell,
    TellTwice,
    /// One of the jobs loses its host.
    Crash(Index),
    Cancel(Index, CancelMode),
    Suspend(Index),
    Resume(Index),
    Retry,
    Revert,
    Resolve(Index, Resolution),
    Answer(Index, bool),
    Time(i64),
}

fn input() -> impl Strategy<Value = Input> {
    let whom = any::<Index>;
    let mode = || prop_oneof![Just(CancelMode::Revert), Just(CancelMode::Leave)];
    let resolution =
        || prop_oneof![Just(Resolution::Retry), Just(Resolution::Accept), Just(Resolution::Skip)];
    prop_oneof![
        12 => whom().prop_map(Input::Step),
        6 => Just(Input::Tell),
        2 => Just(Input::TellTwice),
        2 => whom().prop_map(Input::Crash),
        1 => (whom(), mode()).prop_map(|(job, mode)| Input::Cancel(job, mode)),
        1 => whom().prop_map(Input::Suspend),
        1 => whom().prop_map(Input::Resume),
        1 => Just(Input::Retry),
        1 => Just(Input::Revert),
        1 => (whom(), resolution()).prop_map(|(job, resolution)| Input::Resolve(job, resolution)),
        2 => (whom(), any::<bool>()).prop_map(|(job, yes)| Input::Answer(job, yes)),
        2 => (0_i64..4_000).prop_map(Input::Time),
    ]
}

fn flows() -> Vec<Flow> {
    let inner = || flow_of(Pattern::Linear, [t("x"), t("y")]);
    let slow = || flow_of(Pattern::Unordered, [t("x"), approval("sure", &[]), sleep("pause", 60)]);
    let job = |flow| child("job", flow, &[]);
    let grand = || flow_of(Pattern::Linear, [t("x"), child("grand", slow(), &[])]);
    let scoped = |scope| nested("scope", Pattern::Linear, [job(inner()), t("b")]).scope(scope);
    vec![
        flow_of(Pattern::Linear, [t("a"), job(inner()), t("b")]),
        flow_of(Pattern::Unordered, [t("a"), job(slow()), child("other", inner(), &[])]),
        flow_of(Pattern::Linear, [job(grand()), t("b")]),
        flow_of(Pattern::Linear, [scoped(times(2)), t("c")]),
        flow_of(Pattern::Linear, [scoped(for_each(literal(json!([1, 2])))), t("c")]),
    ]
}

impl Family {
    fn take(&mut self, input: &Input) {
        let eldest = self.eldest;
        let ids: Vec<_> = self.jobs.keys().copied().collect();
        let meant = |index: &Index| *index.get(&ids);
        // What is refused is refused: the laws are what is looked at.
        match input {
            Input::Step(job) => drop(self.step_of(meant(job))),
            Input::Tell => drop(self.tell()),
            Input::TellTwice => {
                self.tells_twice = true;
                self.tell();
                self.tells_twice = false;
            }
            Input::Crash(job) => {
                self.bench(meant(job)).decide(|d| drop(d.lose_claim(W1)));
            }
            Input::Cancel(job, mode) => {
                let _ = self.bench(meant(job)).decide(|d| d.cancel(*mode, "enough".into()));
            }
            Input::Suspend(job) => drop(self.bench(meant(job)).decide(|d| d.suspend())),
            Input::Resume(job) => drop(self.bench(meant(job)).decide(|d| d.resume())),
            Input::Retry => drop(self.bench(eldest).decide(|d| d.retry("again".into()))),
            Input::Revert => drop(self.bench(eldest).decide(|d| d.revert("away".into()))),
            Input::Resolve(job, resolution) => self.resolve(meant(job), *resolution),
            Input::Answer(job, is_approved) => {
                let principal = "ann".to_owned();
                let verdict = Verdict { is_approved: *is_approved, principal, comment: String::new() };
                drop(self.bench(meant(job)).decide(|d| d.answer("", &[], verdict)));
            }
            Input::Time(passed) => self.pass(*passed),
        }
    }

    fn resolve(&mut self, job: crate::id::JobId, resolution: Resolution) {
        let bench = self.bench(job);
        let failed = bench.job.instances.values().find(|i| i.state == TaskState::RevertFailed);
        let Some(name) = failed.map(|instance| instance.name.clone()) else { return };
        drop(bench.decide(|d| d.resolve(&name.task, &name.iteration, resolution, "by hand".into())));
    }

    fn pass(&mut self, passed: i64) {
        for bench in self.jobs.values_mut() {
            bench.pass(seconds(passed));
            bench.decide(|d| d.wake());
        }
    }

    /// Puts everything back to work, and goes on until nobody has anything to do.
    fn come_to_rest(&mut self) {
        for _ in 0..200 {
            for bench in self.jobs.values_mut() {
                let _ = bench.decide(|d| d.resume());
                let _ = bench.decide(|d| d.release());
            }
            self.settle();
            if self.jobs.values().all(|bench| bench.job.status.state.is_ended()) {
                return;
            }
            self.pass(3_600);
        }
        let states: Vec<_> =
            self.jobs.values().map(|bench| (bench.job.status.state, bench.trace())).collect();
        panic!("it comes to no end: {states:#?}");
    }

    /// What a parent says of its children is so.
    fn check(&self) {
        for bench in self.jobs.values() {
            assert!(!bench.job.status.is_untold(), "everything is told");
            for instance in bench.job.instances.values() {
                let Some(link) = &instance.child else { continue };
                let child = &self.jobs[&link.job].job;
                let has_effects = child.instances.values().any(|i| i.has_effects());
                assert!(
                    !has_effects || instance.has_effects(),
                    "{} has forgotten {}",
                    instance.name,
                    link.job
                );
                assert!(child.status.state.is_ended());
                if instance.state == TaskState::Applied {
                    assert_eq!(child.status.state, JobState::Succeeded, "what is applied has succeeded");
                }
            }
            let job = &bench.job;
            let made = job.instances.values().filter(|i| i.child.is_some()).map(|i| i.attempt).sum::<u32>();
            let born =
                self.jobs.values().filter(|b| b.job.parent().is_some_and(|p| p.job == job.id())).count();
            assert!(born <= made as usize, "no more jobs than attempts");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn x01_x02_whatever_is_asked_of_whom_no_effect_of_a_family_is_forgotten(
        flow in 0_usize..5,
        never_revert in prop::bool::weighted(0.2),
        failing in prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "x", "y"]), any::<bool>(), 0_u8..4), 0..5),
        inputs in prop::collection::vec(input(), 0..60),
    ) {
        let mut family = Family::with(flows().swap_remove(flow), JobSpec { never_revert, ..spec() });
        for (task, is_revert, how) in &failing {
            let outcome = [broken(), reject(), retry(), applied()][usize::from(*how)].clone();
            let function = if *is_revert { Function::Revert } else { Function::Apply };
            family = family.script(task, function, &[outcome]);
        }
        inputs.iter().for_each(|input| family.take(input));
        family.come_to_rest();
        family.check();
    }
}
