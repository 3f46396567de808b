//! `windlass operation`: triggers bound to work.

mod edit;
mod view;

use clap::Subcommand;
use windlass_proto::v1;

use crate::page::{self, Page};
use crate::problem::Problem;
use crate::session::Session;
use edit::OperationArguments;
use view::OperationView;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bind a trigger to an action or a flow
    Create {
        /// Unique among the operations
        name: String,
        /// The id or name of the trigger
        #[arg(long)]
        trigger: String,
        #[command(flatten)]
        more: OperationArguments,
        /// Make no jobs until it is enabled
        #[arg(long)]
        disabled: bool,
        /// Only check
        #[arg(long)]
        dry_run: bool,
        /// An id of your own, a UUID: creating it again is refused
        #[arg(long, default_value = "", hide_default_value = true)]
        id: String,
    },
    /// Show one operation
    Get {
        /// Its id or name
        operation: String,
    },
    /// List operations
    List {
        /// Only those of this trigger
        #[arg(long, default_value = "", hide_default_value = true)]
        trigger: String,
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = crate::arguments::pair)]
        labels: Vec<(String, String)>,
        #[arg(long, default_value = "", hide_default_value = true)]
        owner: String,
        #[arg(long)]
        all_owners: bool,
        /// Also those that were deleted
        #[arg(long)]
        deleted: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Change what is given; jobs that exist keep what they were made with
    Update {
        /// Its id or name
        operation: String,
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        more: OperationArguments,
        /// Only if it has not changed since
        #[arg(long)]
        etag: Option<String>,
    },
    /// Make no further jobs; what happened stays readable
    Delete {
        operation: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Make jobs from now on
    Enable {
        operation: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Make no jobs until it is enabled
    Disable {
        operation: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
}

pub async fn run(session: &Session, verb: Verb) -> Result<(), Problem> {
    let mut client = session.operations();
    let operation = match verb {
        Verb::Create { name, trigger, more, disabled, dry_run, id } => {
            let mut operation = edit::created(name, trigger, &more)?;
            operation.id = id;
            let request =
                v1::CreateOperationRequest { operation: Some(operation), create_disabled: disabled, dry_run };
            client.create(request).await?
        }
        Verb::Get { operation } => client.get(v1::GetOperationRequest { operation }).await?,
        Verb::Update { operation, rename, more, etag } => {
            let request = v1::GetOperationRequest { operation };
            let before = client.get(request).await?.into_inner();
            let request = edit::updated(before, rename, &more, etag)?;
            client.update(request).await?
        }
        Verb::Delete { operation, etag } => {
            let request = v1::DeleteOperationRequest { operation, etag };
            client.delete(request).await?
        }
        Verb::Enable { operation, etag } => {
            let request = v1::EnableOperationRequest { operation, etag };
            client.enable(request).await?
        }
        Verb::Disable { operation, etag } => {
            let request = v1::DisableOperationRequest { operation, etag };
            client.disable(request).await?
        }
        listing @ Verb::List { .. } => return list(session, listing).await,
    };
    session.output.one(&OperationView::from(&operation.into_inner()))
}

async fn list(session: &Session, verb: Verb) -> Result<(), Problem> {
    let Verb::List { trigger, labels, owner, all_owners, deleted, page } = verb else {
        return Err(Problem::broken("the verb has no meaning"));
    };
    let mut client = session.operations();
    let operations = page::collect(&page, async |page_size, page_token| {
        let request = v1::ListOperationsRequest {
            page_size,
            page_token,
            trigger: trigger.clone(),
            labels: labels.iter().cloned().collect(),
            owner: owner.clone(),
            all_owners,
            show_deleted: deleted,
        };
        let answer = client.list(request).await?.into_inner();
        Ok((answer.operations, answer.next_page_token))
    })
    .await?;
    let views: Vec<OperationView> = operations.iter().map(OperationView::from).collect();
    session.output.many(&views)
}
