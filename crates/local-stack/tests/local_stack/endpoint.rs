//! An HTTP endpoint that SNS posts to: it answers as told and keeps what it got.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// One POST.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

impl Post {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) struct Endpoint {
    pub(crate) url: String,
    posts: mpsc::UnboundedReceiver<Post>,
}

type Shared = Arc<(Mutex<VecDeque<u16>>, mpsc::UnboundedSender<Post>)>;

impl Endpoint {
    /// Answers notifications with these statuses, one each, then with 200; confirmations always with 200.
    pub(crate) async fn answering(statuses: &[u16]) -> Self {
        let (sender, posts) = mpsc::unbounded_channel();
        let shared: Shared = Arc::new((Mutex::new(statuses.iter().copied().collect()), sender));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sns/secret", listener.local_addr().unwrap());
        let router = Router::new().route("/sns/secret", post(receive)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, posts }
    }

    pub(crate) async fn next(&mut self) -> Post {
        timeout(Duration::from_secs(10), self.posts.recv()).await.expect("SNS posts within 10 s").unwrap()
    }

    /// What comes within that time, if anything does.
    pub(crate) async fn next_within(&mut self, time: Duration) -> Option<Post> {
        timeout(time, self.posts.recv()).await.ok().flatten()
    }
}

async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let status = match body["Type"].as_str() {
        Some("Notification") => shared.0.lock().unwrap().pop_front().unwrap_or(200),
        _ => 200,
    };
    shared.1.send(Post { headers, body, at: Instant::now() }).ok();
    StatusCode::from_u16(status).unwrap()
}
