//! Lambda's Runtime API and SNS's Query API, as far as the program uses them, on loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// How SNS takes a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SnsAnswer {
    /// Refused with this status and error code.
    Error(u16, &'static str),
    /// The connection is closed before the answer is complete.
    HangUp,
    /// No answer at all.
    Never,
}

/// An SNS that keeps what it is asked to publish.
pub(crate) struct Sns {
    address: SocketAddr,
    state: Arc<SnsState>,
}

struct SnsState {
    answers: Vec<SnsAnswer>,
    published: Mutex<Vec<(String, String)>>,
}

impl Sns {
    /// Gives these answers, one a call, then accepts everything.
    pub(crate) async fn start(answers: &[SnsAnswer]) -> Self {
        let state = Arc::new(SnsState { answers: answers.to_vec(), published: Mutex::default() });
        let address = serve(Router::new().route("/", post(publish)).with_state(Arc::clone(&state))).await;
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Topic and message of every call so far.
    pub(crate) fn published(&self) -> Vec<(String, String)> {
        self.state.published.lock().unwrap().clone()
    }
}

async fn publish(State(state): State<Arc<SnsState>>, body: String) -> Response {
    // The Query protocol posts a form, which has the grammar of a query string.
    let uri: Uri = format!("/?{body}").parse().unwrap();
    let Query(mut form) = Query::<HashMap<String, String>>::try_from_uri(&uri).unwrap();
    assert_eq!(form["Action"], "Publish");
    let call = (form.remove("TopicArn").unwrap(), form.remove("Message").unwrap());
    let index = {
        let mut published = state.published.lock().unwrap();
        published.push(call);
        published.len() - 1
    };
    match state.answers.get(index) {
        None => {
            "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>".into_response()
        }
        Some(SnsAnswer::Error(status, code)) => {
            let error = format!("<Code>{code}</Code><Message>as told</Message>");
            let text = format!("<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>");
            (StatusCode::from_u16(*status).unwrap(), text).into_response()
        }
        Some(SnsAnswer::HangUp) => {
            ([("content-length", "1000")], axum::body::Body::from_stream(cut_off())).into_response()
        }
        Some(SnsAnswer::Never) => std::future::pending().await,
    }
}

/// A body that breaks before its end.
fn cut_off() -> impl futures_util::Stream<Item = Result<&'static str, std::io::Error>> {
    futures_util::stream::iter([Ok("<PublishResponse>"), Err(std::io::Error::other("cut off"))])
}

/// Lambda's side of the Runtime API
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>): one invocation at a time.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    invocations: mpsc::Sender<(String, SystemTime)>,
    responses: mpsc::Receiver<String>,
}

struct RuntimeState {
    invocations: AsyncMutex<mpsc::Receiver<(String, SystemTime)>>,
    responses: mpsc::Sender<String>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        let (invocations, next) = mpsc::channel(1);
        let (done, responses) = mpsc::channel(1);
        let state = Arc::new(RuntimeState { invocations: AsyncMutex::new(next), responses: done });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_invocation))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(take_response))
            .with_state(state);
        Self { address: serve(router).await, invocations, responses }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Hands over an event and returns the program's answer.
    pub(crate) async fn invoke(&mut self, event: &str, timeout: Duration) -> Value {
        self.invocations.send((event.to_owned(), SystemTime::now() + timeout)).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(60), self.responses.recv()).await;
        serde_json::from_str(&answer.expect("no answer within a minute").unwrap()).unwrap()
    }
}

async fn next_invocation(State(state): State<Arc<RuntimeState>>) -> Response {
    let Some((event, deadline)) = state.invocations.lock().await.recv().await else {
        return std::future::pending().await;
    };
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().to_string();
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", deadline.as_str()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:stream-publisher"),
        ("content-type", "application/json"),
    ];
    (headers, event).into_response()
}

async fn take_response(State(state): State<Arc<RuntimeState>>, body: String) -> StatusCode {
    state.responses.send(body).await.unwrap();
    StatusCode::ACCEPTED
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
