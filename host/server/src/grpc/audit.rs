//! The audit: every mutation with its principal, every refusal.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::grpc::principal;

/// Methods that change nothing. What is not named here is taken for a mutation; a backup is written down like one, as
/// it hands out all that there is.
const READS: [&str; 10] =
    ["Get", "GetOutput", "List", "ListRevisions", "Validate", "Watch", "Wait", "Tail", "Preview", "Download"];
/// Where the services of Windlass are; health and reflection are not.
const PACKAGE: &str = "/windlass.v1.";

/// Writes a line for every mutation that was asked for, and for every refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct AuditLayer;

impl<S> Layer<S> for AuditLayer {
    type Service = Audit<S>;

    fn layer(&self, inner: S) -> Audit<S> {
        Audit { inner }
    }
}

/// See [`AuditLayer`].
#[derive(Debug, Clone)]
pub(super) struct Audit<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Audit<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let line = Line::of(&request);
        let answered = self.inner.call(request);
        let is_mutation = line.as_ref().is_some_and(|line| !line.is_read);
        Box::pin(async move {
            let response = if is_mutation { to_its_end(answered).await? } else { answered.await? };
            if let Some(line) = line {
                line.write(code_of(&response));
            }
            Ok(response)
        })
    }
}

/// A client that hangs up does not stop half-way what it asked for: what is committed is also told.
async fn to_its_end<E: Send + 'static>(
    answered: impl Future<Output = Result<Response<Body>, E>> + Send + 'static,
) -> Result<Response<Body>, E> {
    tokio::spawn(answered).await.unwrap_or_else(|error| {
        Ok(Status::internal(format!("the host failed in the call: {error}")).into_http())
    })
}

struct Line {
    method: String,
    principal: String,
    is_read: bool,
}

impl Line {
    fn of(request: &Request<Body>) -> Option<Self> {
        let method = request.uri().path().strip_prefix(PACKAGE)?.to_owned();
        let is_read = method.rsplit('/').next().is_some_and(|name| READS.contains(&name));
        let principal = principal::of_headers(request.headers()).unwrap_or_else(|_| "?".to_owned());
        Some(Self { method, principal, is_read })
    }

    fn write(self, code: Code) {
        let Self { method, principal, is_read } = self;
        match (code, is_read) {
            (Code::Ok, true) => {}
            (Code::Ok, false) => tracing::info!(%method, %principal, "asked"),
            (code, false) => tracing::info!(%method, %principal, ?code, "refused"),
            (code, true) => tracing::debug!(%method, %principal, ?code, "refused"),
        }
    }
}

/// How a call ended, as far as its head tells: a stream that fails later logs where it fails.
fn code_of(response: &Response<Body>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}
