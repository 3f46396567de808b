//! `windlass plugin`: uploaded components.

mod download;
mod upload;
mod view;

use clap::Subcommand;
use sha2::{Digest as _, Sha256};
use windlass_proto::v1;

use crate::page::{self, Page};
use crate::problem::Problem;
use crate::session::Session;
use crate::text;
use view::PluginView;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Upload a component; one that the host knows is not sent again
    Upload {
        /// A WebAssembly component, or a core module with component type information
        file: std::path::PathBuf,
    },
    /// Show one plugin and its actions
    Get {
        /// A digest, NAME@VERSION, or NAME (its highest active version)
        plugin: String,
    },
    /// List plugins
    List {
        /// Only this name
        #[arg(long, default_value = "")]
        name: String,
        /// Also those that are retired
        #[arg(long)]
        retired: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Fetch the bytes of a plugin
    Download {
        /// A digest, NAME@VERSION, or NAME
        plugin: String,
        /// Where to; `-` for standard output
        #[arg(long, short, value_name = "FILE")]
        file: String,
    },
    /// Let no new job or operation use it
    Retire {
        /// A digest or NAME@VERSION
        plugin: String,
        #[arg(long, default_value = "")]
        etag: String,
    },
    /// Delete it; refused while anything needs it
    Delete {
        /// A digest or NAME@VERSION
        plugin: String,
        #[arg(long, default_value = "")]
        etag: String,
    },
}

pub async fn run(session: &Session, verb: Verb) -> Result<(), Problem> {
    match verb {
        Verb::Upload { file } => show(session, &upload::run(session, &file).await?),
        Verb::Get { plugin } => {
            let request = v1::GetPluginRequest { plugin };
            show(session, &session.plugins().get(request).await?.into_inner())
        }
        Verb::List { name, retired, page } => list(session, name, retired, &page).await,
        Verb::Download { plugin, file } => download::run(session, plugin, &file).await,
        Verb::Retire { plugin, etag } => {
            let request = v1::RetirePluginRequest { plugin, etag };
            show(session, &session.plugins().retire(request).await?.into_inner())
        }
        Verb::Delete { plugin, etag } => {
            let request = v1::DeletePluginRequest { plugin: plugin.clone(), etag };
            session.plugins().delete(request).await?;
            session.output.note(&format!("plugin {plugin} is deleted"));
            Ok(())
        }
    }
}

async fn list(session: &Session, name: String, retired: bool, page: &Page) -> Result<(), Problem> {
    let states = if retired { Vec::new() } else { vec![v1::PluginState::Active.into()] };
    let mut client = session.plugins();
    let plugins = page::collect(page, async |page_size, page_token| {
        let request =
            v1::ListPluginsRequest { page_size, page_token, name: name.clone(), states: states.clone() };
        let answer = client.list(request).await?.into_inner();
        Ok((answer.plugins, answer.next_page_token))
    })
    .await?;
    let views: Vec<PluginView> = plugins.iter().map(PluginView::from).collect();
    session.output.many(&views)
}

fn show(session: &Session, plugin: &v1::Plugin) -> Result<(), Problem> {
    session.output.one(&PluginView::from(plugin))
}

/// What names a plugin: the sha256 of its bytes.
fn digest(bytes: &[u8]) -> String {
    text::digest(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_digest_is_written_as_hosts_read_it() {
        assert_eq!(
            super::digest(b""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
