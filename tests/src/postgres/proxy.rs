//! A proxy between a store and its server, which breaks a connection at a chosen commit: before the server hears of it,
//! or when it has answered and nobody is told. The second is a commit whose result is unknown.
//!
//! Of the protocol it knows that a message is a type, a length and its bytes, but for the first one of a client, which
//! has no type; that a `COMMIT` is a simple query, and that a commit is answered by `CommandComplete` with that word.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// Port in the name of the socket; any will do.
const PORT: u16 = 5432;
const QUERY: u8 = b'Q';
const COMMAND_COMPLETE: u8 = b'C';
const COMMIT: &[u8] = b"COMMIT";
/// How the claim of a commit id is answered: the first insertion after a commit that nobody heard of.
const CLAIMED: &[u8] = b"INSERT 0 1";

/// See the module.
pub struct Proxy {
    folder: TempDir,
    user: String,
    cut: Arc<Cut>,
    accepting: JoinHandle<()>,
}

/// When a connection breaks, as the server sees its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It never sees it.
    Before,
    /// It has made it, and its answer is lost.
    After,
    /// It never sees it, and what it answers to the question whether it has made it is lost as well.
    BeforeAndUntold,
}

/// Which commit is cut, and how.
#[derive(Default)]
struct Cut {
    commits: AtomicU64,
    answers: AtomicU64,
    wanted: Mutex<Option<(u64, Moment)>>,
    /// The next claim is to be cut.
    is_untold: AtomicBool,
}

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

impl Cut {
    fn wanted(&self) -> std::sync::MutexGuard<'_, Option<(u64, Moment)>> {
        self.wanted.lock().expect("nothing panics while it holds this")
    }

    /// Whether this message is the one.
    fn is_now(&self, kind: u8, body: &[u8], way: Way) -> bool {
        let (expected, count) = match way {
            Way::ToServer => (QUERY, &self.commits),
            Way::ToClient => (COMMAND_COMPLETE, &self.answers),
        };
        if kind != expected {
            return false;
        }
        if way == Way::ToClient && body.starts_with(CLAIMED) {
            return self.is_untold.swap(false, Ordering::SeqCst);
        }
        if !body.starts_with(COMMIT) {
            return false;
        }
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let mut wanted = self.wanted();
        let is_now = wanted.is_some_and(|(wanted, moment)| wanted == number && moment.way() == way);
        if is_now && let Some((_, moment)) = wanted.take() {
            self.is_untold.store(moment == Moment::BeforeAndUntold, Ordering::SeqCst);
        }
        is_now
    }
}

impl Moment {
    /// Which of the two messages of a commit is lost.
    fn way(self) -> Way {
        match self {
            Self::Before | Self::BeforeAndUntold => Way::ToServer,
            Self::After => Way::ToClient,
        }
    }
}

impl Proxy {
    /// To the server of this URL, which is reached by a socket.
    pub fn to(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().expect("the URL of a server");
        let [tokio_postgres::config::Host::Unix(directory)] = config.get_hosts() else {
            panic!("{url} names no socket");
        };
        let port = config.get_ports().first().copied().unwrap_or(PORT);
        let server = directory.join(format!(".s.PGSQL.{port}"));
        let user = config.get_user().expect("the URL names a user").to_owned();
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(socket(folder.path())).expect("a socket");
        let cut = Arc::new(Cut::default());
        let accepting = tokio::spawn(accept(listener, server, cut.clone()));
        Self { folder, user, cut, accepting }
    }

    /// The way to the server that leads through here. Without TLS, which a server answers with a byte that is no message.
    pub fn url(&self) -> String {
        let host = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres:///postgres?host={host}&port={PORT}&user={}&sslmode=disable", self.user)
    }

    /// The n-th commit from now on, counted from 1, goes wrong, and its connection is broken.
    pub fn cut(&self, n: u64, moment: Moment) {
        let so_far = match moment.way() {
            Way::ToServer => &self.cut.commits,
            Way::ToClient => &self.cut.answers,
        };
        *self.cut.wanted() = Some((so_far.load(Ordering::SeqCst) + n, moment));
    }

    /// Whether it has.
    pub fn has_cut(&self) -> bool {
        self.cut.wanted().is_none() && !self.cut.is_untold.load(Ordering::SeqCst)
    }

    /// Commits that were answered.
    pub fn answers(&self) -> u64 {
        self.cut.answers.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

async fn accept(listener: UnixListener, server: PathBuf, cut: Arc<Cut>) {
    while let Ok((client, _)) = listener.accept().await {
        // A server that is down: the client sees its connection end.
        let Ok(server) = UnixStream::connect(&server).await else { continue };
        let cut = cut.clone();
        tokio::spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // When one way ends, so does the other.
            tokio::select! {
                _ = pass_on(from_client, to_server, &cut, Way::ToServer) => {}
                _ = pass_on(from_server, to_client, &cut, Way::ToClient) => {}
            }
        });
    }
}

/// Passes messages on until one is the chosen one, or a side is gone.
async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    cut: &Cut,
    way: Way,
) -> std::io::Result<()> {
    if way == Way::ToServer {
        let length = from.read_u32().await?;
        let start = body(&mut from, length).await?;
        to.write_u32(length).await?;
        to.write_all(&start).await?;
    }
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let body = body(&mut from, length).await?;
        if cut.is_now(kind, &body, way) {
            return Ok(());
        }
        let mut message = Vec::with_capacity(body.len() + 5);
        message.push(kind);
        message.extend(length.to_be_bytes());
        message.extend(body);
        to.write_all(&message).await?;
    }
}

/// What is behind a length, which counts itself.
async fn body(from: &mut OwnedReadHalf, length: u32) -> std::io::Result<Vec<u8>> {
    let mut body = vec![0; length.saturating_sub(4) as usize];
    from.read_exact(&mut body).await?;
    Ok(body)
}
