//! The HTTP server: three paths, one request a connection, everything bounded.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use oxmq::clock::{self, SystemClock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Operations;

/// The most connections at one time; more wait until one ends.
const MAX_CONNECTIONS: usize = 32;

/// How long a request and its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait after the system refused to accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers on `socket` until `stop`.
pub(crate) async fn serve(
    socket: TcpListener,
    operations: Arc<dyn Operations>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let clock = SystemClock::shared();
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accept = async {
        loop {
            // Closed by nobody.
            let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
            let stream = match socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection cannot be accepted");
                    clock::sleep(&*clock, ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let (operations, clock, stop) =
                (Arc::clone(&operations), Arc::clone(&clock), stop.clone());
            tasks.spawn(async move {
                let _place = place;
                let answered = clock::timeout(&*clock, PATIENCE, talk(stream, operations));
                match stop.run_until_cancelled(answered).await {
                    Some(Err(_)) => tracing::debug!("an HTTP connection took too long"),
                    Some(Ok(Err(error))) => tracing::debug!(%error, "an HTTP connection broke"),
                    Some(Ok(Ok(()))) | None => {}
                }
            });
        }
    };
    stop.run_until_cancelled(accept).await;
}

async fn talk(stream: TcpStream, operations: Arc<dyn Operations>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let operations = Arc::clone(&operations);
        async move { Ok::<_, Infallible>(answer(&request, operations).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(
    request: &Request<Incoming>,
    operations: Arc<dyn Operations>,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served\n");
        refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let path = request.uri().path().to_owned();
    let answered = tokio::task::spawn_blocking(move || match path.as_str() {
        "/healthz" => state(operations.health()),
        "/readyz" => state(operations.readiness()),
        "/metrics" => response(StatusCode::OK, PROMETHEUS, operations.metrics()),
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
    });
    answered.await.unwrap_or_else(|error| {
        tracing::error!(%error, "an HTTP request was not answered");
        text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
    })
}

fn state(state: Result<(), String>) -> Response<Full<Bytes>> {
    match state {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(reason) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, TEXT, text.to_owned())
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
