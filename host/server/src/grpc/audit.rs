//! The audit: every mutation with its principal, every refusal.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::grpc::caller::Caller;
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let line = Line::of(&request);
        if line.as_ref().is_some_and(|line| !line.is_read) {
            let caller = line.map(Caller::new).unwrap_or_default();
            request.extensions_mut().insert(caller.clone());
            // Dropped with the future, as that is when the client hangs up.
            let there = caller.guard();
            let answered = self.inner.call(request);
            return Box::pin(async move {
                let response = to_its_end(answered, caller).await;
                drop(there);
                response
            });
        }
        let answered = self.inner.call(request);
        Box::pin(async move {
            let response = answered.await?;
            if let Some(line) = line {
                line.write(code_of(&response));
            }
            Ok(response)
        })
    }
}

/// A client that hangs up does not stop half-way what it asked for: what is committed is also told, and written down.
async fn to_its_end<E: Send + 'static>(
    answered: impl Future<Output = Result<Response<Body>, E>> + Send + 'static,
    caller: Caller,
) -> Result<Response<Body>, E> {
    let answers = caller.clone();
    let done = tokio::spawn(async move {
        let response = answered.await?;
        answers.write(code_of(&response));
        Ok(response)
    });
    done.await.unwrap_or_else(|error| {
        caller.write(Code::Internal);
        Ok(Status::internal(format!("the host failed in the call: {error}")).into_http())
    })
}

/// What is written down of a call.
pub(super) struct Line {
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

    pub fn write(self, code: Code) {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures::FutureExt as _;
    use tokio::sync::Mutex;
    use tokio::sync::mpsc::{Sender, channel};
    use tower::service_fn;

    use super::*;

    /// Whether the call knows that its client is gone, and whether it goes on; with who asked.
    async fn hang_up(path: &str) -> (bool, Option<()>, Option<Caller>) {
        let (told, mut tells): (Sender<(bool, Caller)>, _) = channel(1);
        let (goes_on, may_go_on) = channel::<()>(1);
        let may_go_on = Arc::new(Mutex::new(may_go_on));
        let mut audit = Audit {
            inner: service_fn(move |request: Request<Body>| {
                let (told, may_go_on) = (told.clone(), may_go_on.clone());
                async move {
                    let caller: Caller = request.extensions().get().cloned().unwrap_or_default();
                    may_go_on.lock().await.recv().await;
                    let is_gone = caller.hung_up().now_or_never().is_some();
                    told.send((is_gone, caller)).await.ok();
                    Ok::<_, Infallible>(Response::new(Body::empty()))
                }
            }),
        };
        let call = audit.call(Request::builder().uri(path).body(Body::empty()).unwrap());
        let mut call = tokio::spawn(call);
        tokio::task::yield_now().await;
        call.abort();
        assert!((&mut call).await.unwrap_err().is_cancelled());
        drop(audit);
        let asked_on = goes_on.send(()).await.ok();
        let (is_gone, caller) = tells.recv().await.unzip();
        (is_gone == Some(true), asked_on, caller)
    }

    #[tokio::test]
    async fn a_mutation_goes_on_without_its_client_knows_that_it_is_gone_and_is_written_down() {
        let (is_gone, goes_on, caller) = hang_up("/windlass.v1.JobService/Submit").await;
        assert_eq!((is_gone, goes_on), (true, Some(())));
        let caller = caller.expect("the call was answered");
        while !caller.is_written() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_mutation_in_which_the_host_fails_is_written_down_too() {
        let (told, mut tells) = channel(1);
        let inner = service_fn(move |request: Request<Body>| {
            let told = told.clone();
            async move {
                let caller: Caller = request.extensions().get().cloned().unwrap_or_default();
                told.send(caller).await.ok();
                assert!(request.headers().contains_key("absent"), "a bug in the host");
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        });
        let request = Request::builder().uri("/windlass.v1.JobService/Submit").body(Body::empty()).unwrap();
        let response = Audit { inner }.call(request).await.unwrap();
        assert_eq!(code_of(&response), Code::Internal);
        assert!(tells.recv().await.expect("it was asked").is_written());
    }

    #[tokio::test]
    async fn a_read_ends_with_its_client() {
        let (is_gone, goes_on, _) = hang_up("/windlass.v1.JobService/Wait").await;
        assert_eq!((is_gone, goes_on), (false, None));
    }
}
