//! A whole host, in this process, on a store that fails as told, with scripted executors.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use windlass_core::id::JobId;
use windlass_core::job::{Job, JobState};
use windlass_core::permit::Policy;
use windlass_core::problem::Problems;
use windlass_host::clock::SystemClock;
use windlass_host::engine::Limits;
use windlass_host::host::{Host, HostParts};
use windlass_host::store::Store;
use windlass_proto::v1;
use windlass_proto::v1::watch_job_response::Event;

use crate::crash::client::Client;
use crate::crash::witness;
use crate::faulty::Faults;
use crate::guarded::GuardedStore;
use crate::home::{Home, OpenStore};
use crate::scripted::{ACTION, PLUGIN, Scripted, register};
use crate::work::{flow, timestamp};

pub const SLOTS: usize = 4;
/// Long for jobs whose calls take no time, on a busy machine and with the pauses after an outage.
const END_MAX: Duration = Duration::from_secs(60);

/// See the module.
pub struct Bench {
    host: Host,
    /// Without the faults.
    pub store: Arc<dyn Store>,
    pub faults: Arc<Faults>,
    pub scripted: Arc<Scripted>,
    pub client: Client,
    home: Option<Kept>,
}

/// What is closed and removed behind a host.
struct Kept {
    store: OpenStore,
    _home: Home,
    _folder: TempDir,
}

/// What a watch showed from its beginning to its end.
#[derive(Debug, Default)]
pub struct Watched {
    pub sequences: Vec<u64>,
    /// The state of the job in the last message.
    pub last: Option<String>,
}

impl Bench {
    /// On a store of the kind that the environment chooses.
    pub async fn start(scripted: Arc<Scripted>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::fresh(folder.path()).await;
        Self::at(home, folder, scripted).await
    }

    /// On the store of a home, which ends with it.
    pub async fn at(home: Home, folder: TempDir, scripted: Arc<Scripted>) -> Self {
        let store = home.open().await;
        let bench = Self::on(store.shared(), scripted).await;
        Self { home: Some(Kept { store, _home: home, _folder: folder }), ..bench }
    }

    /// On any store.
    pub async fn on(store: Arc<dyn Store>, scripted: Arc<Scripted>) -> Self {
        let faults = Arc::new(Faults::default());
        let parts = HostParts {
            store: Arc::new(GuardedStore::new(store.clone(), faults.clone())),
            clock: Arc::new(SystemClock),
            executors: scripted.clone(),
            grant_rule: Box::new(|_| Problems::default()),
            policy: Policy::default(),
            limits: Limits::default(),
            name: "bench".to_owned(),
            slots: SLOTS,
            guest_threads: 1,
            drain_timeout: END_MAX,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = Host::start(parts, listener).await.expect("the host starts");
        register(&host.engine).await.expect("the plugin is taken");
        let client = Client::connect(&format!("http://{}", host.address)).await.expect("it serves");
        Self { host, store, faults, scripted, client, home: None }
    }

    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.host.engine.now()
    }

    /// Submits a flow of these tasks. A client that is told of a failing store asks again.
    pub async fn submit(&self, tasks: &[&str]) -> JobId {
        self.ask(tasks, v1::JobSpec::default()).await
    }

    /// A job that is not due for an hour.
    pub async fn submit_later(&self, tasks: &[&str]) -> JobId {
        let at = self.host.engine.now() + chrono::TimeDelta::hours(1);
        self.ask(tasks, v1::JobSpec { execute_time: Some(timestamp(at)), ..v1::JobSpec::default() }).await
    }

    async fn ask(&self, tasks: &[&str], spec: v1::JobSpec) -> JobId {
        let spec = v1::JobSpec { work: Some(work(tasks)), ..spec };
        let request_id = uuid::Uuid::now_v7().to_string();
        loop {
            match self.client.clone().submit(spec.clone(), &request_id).await {
                Ok(answer) => return id_of(&answer.job.expect("a job")),
                Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}"),
            }
        }
    }

    /// Makes a job due while the store takes no commits of the host: by the real store.
    pub async fn put_on_board(&self, id: JobId) {
        use windlass_core::decide::Decision;
        use windlass_host::store::{Change, Unit};
        let mut job = self.store.job(id).await.expect("readable").expect("it is there");
        let now = self.host.engine.now();
        let mut decision = Decision::new(&mut job, now, self.host.engine.host_actor());
        decision.reschedule(now).expect("it waits");
        let entries = decision.into_entries();
        let change = Change::recorded(&job, entries, None);
        self.store.commit(Unit { changes: vec![change], ..Unit::default() }).await.expect("stored");
        assert_eq!(job.status.state, JobState::Ready);
    }

    pub async fn cancel(&self, id: JobId) {
        let mode = v1::CancelMode::Leave;
        self.client.clone().cancel(&id.to_string(), mode).await.expect("a cancel is taken");
    }

    pub async fn get(&self, id: JobId) -> Job {
        // Through the host: its store must answer.
        self.client.clone().get(&id.to_string()).await.expect("a job can be read");
        self.store.job(id).await.expect("readable").expect("it is there")
    }

    /// The job when it has ended, read around the host.
    pub async fn wait(&self, id: JobId) -> Job {
        self.wait_until(id, |job| job.status.state.is_ended()).await
    }

    pub async fn wait_for_state(&self, id: JobId, state: JobState) {
        self.wait_until(id, |job| job.status.state == state).await;
    }

    async fn wait_until(&self, id: JobId, is_so: impl Fn(&Job) -> bool) -> Job {
        // A poll: what is waited for may happen without news, where the store told of a failure and had done it.
        const LOOK: Duration = Duration::from_millis(5);
        let waited = tokio::time::timeout(END_MAX, async {
            loop {
                if let Ok(Some(job)) = self.store.job(id).await
                    && is_so(&job)
                {
                    return job;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        match waited.await {
            Ok(job) => job,
            Err(_) => panic!("{:#?} after {END_MAX:?}", self.store.job(id).await),
        }
    }

    /// Releases whatever is held until all of these have ended.
    pub async fn release_all_until_ended(&self, jobs: &[JobId]) {
        let release = async {
            let mut changes = self.scripted.subscribe();
            loop {
                self.scripted.held().into_iter().for_each(|place| self.scripted.release(place));
                changes.changed().await.expect("the script lives");
            }
        };
        let ended = async {
            for job in jobs {
                assert_eq!(self.wait(*job).await.status.state, JobState::Succeeded);
            }
        };
        tokio::select! {
            () = release => {}
            () = ended => {}
        }
    }

    /// Watches the job until its stream ends.
    pub async fn watch(&self, id: JobId) -> JoinHandle<Watched> {
        let mut stream = self.client.clone().watch(&id.to_string()).await.expect("it can be watched");
        tokio::spawn(async move {
            let mut watched = Watched::default();
            while let Some(message) = stream.next().await {
                match message.expect("the watch outlives the trouble").event {
                    Some(Event::Entry(entry)) => watched.sequences.push(entry.sequence),
                    Some(Event::Job(job)) => {
                        let state = job.state().as_str_name().to_lowercase();
                        watched.last = state.strip_prefix("job_state_").map(str::to_owned);
                    }
                    Some(Event::Progress(_) | Event::Heartbeat(_)) | None => {}
                }
            }
            watched
        })
    }

    /// Stops the host; every job must be whole, and held by nobody.
    pub async fn finish(self) {
        self.host.stop().await;
        for found in witness::jobs(&*self.store).await {
            assert_eq!(found.job.status.claim, None, "a claim is left");
        }
        if let Some(kept) = self.home {
            kept.store.close().await;
        }
    }
}

/// A flow of these tasks of the scripted plugin.
pub fn work(tasks: &[&str]) -> v1::Work {
    let task = |name: &&str| v1::Task {
        name: (*name).to_owned(),
        plugin: PLUGIN.to_owned(),
        action: ACTION.to_owned(),
        ..v1::Task::default()
    };
    flow(tasks.iter().map(task))
}

fn id_of(job: &v1::Job) -> JobId {
    job.id.parse().expect("a job has an id")
}
