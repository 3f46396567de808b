//! A play: one job, run by a host with one slot and by one with sixteen, with the trace and the end that it must have.
//!
//! Invariant: where the trace is the same, everything is: states, outputs, scopes, and what every call was told. Where a
//! failure keeps something from beginning with one slot, what remains is the same.

use std::pin::Pin;
use std::thread;

use serde_json::{Value, json};
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_tests::harness::{HostOptions, TestHost};

use super::end::{End, instance_of};
use super::expected::Expected;

const ONE: usize = 1;
const SIXTEEN: usize = 16;

/// See the module.
pub struct Play {
    work: v1::Work,
    arguments: Value,
    never_revert: bool,
    with_one: String,
    with_sixteen: String,
}

/// One of the two hosts, with the job on it.
pub struct Stage {
    pub host: TestHost,
    pub job: String,
    /// Whether everything that can run beside something else does.
    pub is_wide: bool,
}

/// What happens to a job while it runs. As an object: all that is around it is compiled once, and not for every test.
trait Direct {
    fn direct<'a>(&'a self, stage: &'a mut Stage) -> Pin<Box<dyn Future<Output = ()> + 'a>>;
}

impl<F: AsyncFn(&mut Stage)> Direct for F {
    fn direct<'a>(&'a self, stage: &'a mut Stage) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
        Box::pin(self(stage))
    }
}

/// Names the host where something on it panics.
struct Named(usize);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("with {} slots", self.0);
        }
    }
}

/// Work whose trace is this one, see [`Expected`].
pub fn play(work: v1::Work, trace: &str) -> Play {
    let (with_one, with_sixteen) = (trace.to_owned(), trace.to_owned());
    Play { work, arguments: json!({}), never_revert: false, with_one, with_sixteen }
}

impl Play {
    pub fn given(self, arguments: Value) -> Self {
        Self { arguments, ..self }
    }

    pub fn never_reverts(self) -> Self {
        Self { never_revert: true, ..self }
    }

    /// Where more begins before a failure than with one slot.
    pub fn with_sixteen(self, trace: &str) -> Self {
        Self { with_sixteen: trace.to_owned(), ..self }
    }

    /// Runs it to this end.
    pub async fn ends(self, state: JobState) -> End {
        self.twice(state, &async |_: &mut Stage| {}).await
    }

    /// Runs it to this end, with what happens meanwhile.
    pub async fn directed(self, state: JobState, direct: impl AsyncFn(&mut Stage)) -> End {
        self.twice(state, &direct).await
    }

    async fn twice(self, state: JobState, direct: &dyn Direct) -> End {
        let one = self.run(ONE, &self.with_one, state, direct).await;
        let sixteen = self.run(SIXTEEN, &self.with_sixteen, state, direct).await;
        if self.with_one == self.with_sixteen {
            // Which failures there were when a revert was called depends on what ran beside it.
            let has_beside = self.with_one.contains('{');
            let told = |end: &End| if has_beside { end.without_failures() } else { end.clone() };
            assert_eq!(told(&one), told(&sixteen));
        } else {
            assert_eq!(one.remains(), sixteen.remains());
        }
        one
    }

    async fn run(&self, slots: usize, trace: &str, state: JobState, direct: &dyn Direct) -> End {
        let _named = Named(slots);
        let host = TestHost::start_with(HostOptions { slots, ..HostOptions::default() }).await;
        let spec = v1::JobSpec {
            arguments_json: self.arguments.to_string(),
            never_revert: self.never_revert,
            ..host.spec(self.work.clone())
        };
        let job = host.submit_spec(spec).await;
        let mut stage = Stage { host, job, is_wide: slots > ONE };
        direct.direct(&mut stage).await;
        let Stage { host, job, .. } = stage;
        let ended = host.wait(&job).await;
        assert_eq!(ended.state(), state, "{}", host.story(&job).await);
        check_trace(&host, &job, &Expected::parse(trace), slots).await;
        let end = End::of(&host, &job).await;
        host.finish().await;
        end
    }
}

impl Stage {
    /// Opens the gates of these tasks; where they can run side by side, once all of them wait there.
    pub async fn meet(&self, tasks: &[&str]) {
        if self.is_wide {
            for task in tasks {
                self.host.until_called(&self.job, &format!("apply {task}")).await;
            }
        }
        tasks.iter().for_each(|task| self.host.open_gate(task));
    }

    /// Returns at the first entry of this kind.
    pub async fn until(&self, kind: &str, task: &str) -> v1::Entry {
        self.host.until(&self.job, kind, task).await
    }

    pub async fn until_called(&self, call: &str) {
        self.host.until_called(&self.job, call).await;
    }
}

/// The logbook has this trace, and the ledger the calls of it.
async fn check_trace(host: &TestHost, job: &str, expected: &Expected, slots: usize) {
    let mut seen = Vec::new();
    for entry in host.entries(job).await {
        if let Some(kind) = entry.kind.strip_prefix("task.").filter(|_| !entry.state_after.is_empty()) {
            seen.push(format!("{}:{kind}", instance_of(&entry)));
        }
    }
    if let Err(why) = expected.check(&seen, slots) {
        panic!("{why}\nseen {}\n{}", seen.join(" "), host.story(job).await);
    }
    let calls: Vec<_> = host.ledger_of(job).iter().map(|line| line.call()).collect();
    if let Err(why) = expected.calls().check(&calls, slots) {
        panic!("{why}\nof the calls {}\n{}", calls.join(", "), host.story(job).await);
    }
}
