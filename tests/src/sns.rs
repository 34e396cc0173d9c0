//! SNS as its users know it: the API, and an endpoint that hears what it posts.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::aws_query::{self, query};
use crate::{PATIENCE, Stack, http};

/// One subscription of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its ARN; `PendingConfirmation` while it is not confirmed.
    pub arn: String,
    /// Where it delivers to, secret path included.
    pub endpoint: String,
}

/// The subscriptions of the stack's topic.
///
/// # Panics
/// When SNS does not list them.
pub async fn subscriptions(stack: &Stack) -> Vec<Subscription> {
    subscriptions_of(stack, stack.announced("topic_arn")).await
}

/// The subscriptions of a topic.
///
/// # Panics
/// When SNS does not list them.
pub async fn subscriptions_of(stack: &Stack, topic: &str) -> Vec<Subscription> {
    let text = call(stack, "ListSubscriptionsByTopic", &[("TopicArn", topic)]).await;
    assert!(!text.contains("<NextToken>"), "more subscriptions than a test has");
    let members = text.split("<member>").skip(1);
    members
        .map(|member| Subscription {
            arn: element(member, "SubscriptionArn").to_owned(),
            endpoint: element(member, "Endpoint").to_owned(),
        })
        .collect()
}

/// The endpoint under which SNS delivers to the node at that URL, secret path included.
///
/// # Panics
/// When there is none.
pub async fn endpoint_of(stack: &Stack, node: &str) -> String {
    let all = subscriptions(stack).await;
    let found = all.iter().find(|subscription| subscription.endpoint.starts_with(&format!("{node}/")));
    found.unwrap_or_else(|| panic!("{node} is not among {all:?}")).endpoint.clone()
}

/// Makes a topic beside the stack's own; its ARN.
///
/// # Panics
/// When SNS refuses.
pub async fn create_topic(stack: &Stack, name: &str) -> String {
    let text = call(stack, "CreateTopic", &[("Name", name)]).await;
    element(&text, "TopicArn").to_owned()
}

/// Subscribes an endpoint, whose answer to SNS's question is its own affair.
///
/// # Panics
/// When SNS refuses.
pub async fn subscribe(stack: &Stack, topic: &str, endpoint: &str) {
    call(stack, "Subscribe", &[("TopicArn", topic), ("Protocol", "http"), ("Endpoint", endpoint)]).await;
}

/// Publishes a text.
///
/// # Panics
/// When SNS refuses.
pub async fn publish(stack: &Stack, topic: &str, text: &str) {
    call(stack, "Publish", &[("TopicArn", topic), ("Message", text)]).await;
}

async fn call(stack: &Stack, action: &str, fields: &[(&str, &str)]) -> String {
    query(stack.announced("sns"), "sns", "2010-03-31", action, fields).await
}

fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    aws_query::element(xml, name).unwrap_or_else(|| panic!("no {name} in {xml}"))
}

/// An endpoint of the test's own, subscribed like a node's: what it hears is genuine.
pub struct Listener {
    posts: mpsc::UnboundedReceiver<Value>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// An endpoint that is not subscribed yet, and its URL.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn open() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (sender, posts) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(hear(socket, sender.clone()));
            }
        });
        (Self { posts, task }, format!("http://{address}/listener"))
    }

    /// Subscribes to a topic and confirms that.
    ///
    /// # Panics
    /// When SNS does not ask for confirmation or refuses it.
    pub async fn subscribe(stack: &Stack, topic: &str) -> Self {
        let (mut listener, url) = Self::open().await;
        subscribe(stack, topic, &url).await;
        let question = listener.next("SubscriptionConfirmation").await;
        let token = question["Token"].as_str().expect("a question has a token");
        call(stack, "ConfirmSubscription", &[("TopicArn", topic), ("Token", token)]).await;
        listener
    }

    /// The next post of a type, as it came; others are passed over.
    ///
    /// # Panics
    /// When none comes within [`PATIENCE`].
    pub async fn next(&mut self, kind: &str) -> Value {
        loop {
            let post = tokio::time::timeout(PATIENCE, self.posts.recv()).await;
            let post = post.unwrap_or_else(|_| panic!("no {kind} within {PATIENCE:?}")).expect("the task goes on");
            if post["Type"] == kind {
                return post;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes the posts of one connection.
async fn hear(mut socket: TcpStream, posts: mpsc::UnboundedSender<Value>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = http::whole_request(&bytes) {
            let (length, post) = (request.length, serde_json::from_slice(request.body));
            bytes.drain(..length);
            // The test may have heard enough.
            let _ = posts.send(post.expect("SNS posts JSON"));
            if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                return;
            }
            continue;
        }
        match tokio::time::timeout(Duration::from_secs(60), socket.read_buf(&mut bytes)).await {
            Ok(Ok(read)) if read > 0 => {}
            _ => return,
        }
    }
}
