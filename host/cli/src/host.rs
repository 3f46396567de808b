//! `windlass host`: the processes that run jobs.

use clap::Subcommand;
use serde::Serialize;
use windlass_proto::v1;

use crate::output::Show;
use crate::page::{self, Page};
use crate::problem::Problem;
use crate::session::Session;
use crate::{text, time};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List hosts, the newest first
    List {
        #[command(flatten)]
        page: Page,
    },
}

pub async fn run(session: &Session, verb: Verb) -> Result<(), Problem> {
    let Verb::List { page } = verb;
    let mut client = session.hosts();
    let hosts = page::collect(&page, async |page_size, page_token| {
        let request = v1::ListHostsRequest { page_size, page_token };
        let answer = client.list(request).await?.into_inner();
        Ok((answer.hosts, answer.next_page_token))
    })
    .await?;
    let views: Vec<HostView> = hosts.iter().map(HostView::from).collect();
    session.output.many(&views)
}

#[derive(Serialize)]
struct HostView {
    id: String,
    name: String,
    version: String,
    state: String,
    start_time: Option<String>,
    running: u32,
    /// 0: this host does not say.
    slots: u32,
}

impl From<&v1::Host> for HostView {
    fn from(host: &v1::Host) -> Self {
        Self {
            id: host.id.clone(),
            name: host.name.clone(),
            version: host.version.clone(),
            state: text::word(host.state().as_str_name(), "HOST_STATE_"),
            start_time: host.start_time.as_ref().map(time::rfc3339),
            running: host.running,
            slots: host.slots,
        }
    }
}

impl HostView {
    fn busy(&self) -> String {
        match self.slots {
            0 => self.running.to_string(),
            slots => format!("{}/{slots}", self.running),
        }
    }
}

impl Show for HostView {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "VERSION", "STATE", "RUNNING", "STARTED"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.name.clone(),
            self.version.clone(),
            self.state.clone(),
            self.busy(),
            self.start_time.clone().unwrap_or_default(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("version", self.version.clone()),
            ("state", self.state.clone()),
            ("running", self.busy()),
            ("started", self.start_time.clone().unwrap_or_default()),
        ]
    }
}
