use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::{ClientFrame, JoinFrom, ServerFrame};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;
use crate::backoff::Backoff;
use crate::session::Proof;

mod raw;

const SOON: Duration = Duration::from_secs(10);

/// A server that says what the test tells it to.
struct Server {
    listener: TcpListener,
    url: String,
}

/// One accepted connection.
struct Peer {
    socket: WebSocketStream<TcpStream>,
    uri: String,
    authorization: Option<String>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    fn options(&self) -> ClientOptions {
        // Retries at once: the waits themselves are tested where time is an argument.
        let backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(20) };
        ClientOptions { backoff, ..ClientOptions::to(&self.url) }
    }

    async fn accept(&self) -> Peer {
        let (tcp, _) = soon(self.listener.accept()).await.unwrap();
        let (mut uri, mut authorization) = (String::new(), None);
        #[allow(clippy::result_large_err)] // tungstenite's own signature
        let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            uri = request.uri().to_string();
            authorization = request.headers().get("authorization").map(|v| v.to_str().unwrap().to_owned());
            assert_eq!(request.headers()["sec-websocket-protocol"], "roomcast.v1");
            response.headers_mut().insert("sec-websocket-protocol", "roomcast.v1".parse().unwrap());
            Ok(response)
        };
        let socket = soon(tokio_tungstenite::accept_hdr_async(tcp, callback)).await.unwrap();
        Peer { socket, uri, authorization }
    }

    /// Accepts and greets.
    async fn greet(&self) -> Peer {
        self.greet_with(25_000).await
    }

    async fn greet_with(&self, heartbeat_ms: u64) -> Peer {
        let mut peer = self.accept().await;
        peer.say(&format!(
            r#"{{"type":"welcome","session":"s","user":"me","node":"n","heartbeat_ms":{heartbeat_ms},"max_body":16384}}"#
        ))
        .await;
        peer
    }

    /// Refuses the next handshake.
    async fn refuse(&self, status: StatusCode) {
        let (tcp, _) = soon(self.listener.accept()).await.unwrap();
        #[allow(clippy::result_large_err)] // tungstenite's own signature
        let callback = |_: &Request, _: Response| -> Result<Response, ErrorResponse> {
            let mut response = ErrorResponse::new(None);
            *response.status_mut() = status;
            Err(response)
        };
        assert!(soon(tokio_tungstenite::accept_hdr_async(tcp, callback)).await.is_err());
    }
}

impl Peer {
    async fn say(&mut self, text: &str) {
        assert!(ServerFrame::parse(text).is_ok(), "{text}");
        soon(self.socket.send(Message::text(text))).await.unwrap();
    }

    async fn hear(&mut self) -> ClientFrame {
        loop {
            match soon(self.socket.next()).await.unwrap().unwrap() {
                Message::Text(text) => return ClientFrame::parse(&text, 100_000).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Hears a join, answers it, and tells what it named.
    async fn admit(&mut self, seq: u64, replayed: u64) -> JoinFrom {
        let ClientFrame::Join { from, reference, .. } = self.hear().await else { panic!("expected a join") };
        let reference = reference.unwrap();
        let reference = reference.as_str();
        self.say(&format!(
            r#"{{"type":"joined","room":"r","position":{{"epoch":"1.aa","seq":{seq}}},"recovered":true,"replayed":{replayed},"ref":{reference}}}"#
        ))
        .await;
        from
    }

    async fn message(&mut self, seq: u64, from: &str, id: &str) {
        self.say(&format!(
            r#"{{"type":"message","room":"r","seq":{seq},"id":"{id}","from":"{from}","name":"N","at":1,"body":{{"n":{seq}}}}}"#
        ))
        .await;
    }

    /// Hears a publish and tells its id.
    async fn publish(&mut self) -> String {
        let ClientFrame::Publish { id, .. } = self.hear().await else { panic!("expected a publish") };
        id.to_string()
    }

    async fn ack(&mut self, id: &str, seq: u64) {
        self.say(&format!(r#"{{"type":"ack","id":"{id}","room":"r","seq":{seq}}}"#)).await;
    }

    async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        soon(self.socket.send(Message::Close(Some(frame)))).await.unwrap();
    }

    /// How the connection ended from here.
    async fn end(&mut self) -> Option<u16> {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(SOON, future).await.expect("it happens soon")
}

fn room() -> RoomName {
    RoomName::new("r").unwrap()
}

fn id(text: &str) -> MessageId {
    MessageId::new(text).unwrap()
}

fn body() -> Body {
    Body::parse("1").unwrap()
}

async fn connected(server: &Server, options: ClientOptions) -> (Client, Peer) {
    let (client, peer) = tokio::join!(Box::pin(Client::connect(options)), Box::pin(server.greet()));
    (client.unwrap(), peer)
}

async fn joined(server: &Server, options: ClientOptions) -> (Client, Peer) {
    let (client, mut peer) = connected(server, options).await;
    let room = room();
    let (joined, from) = tokio::join!(client.join(&room, JoinFrom::Head), peer.admit(10, 0));
    assert_eq!((joined.unwrap().position.seq.get(), from), (10, JoinFrom::Head));
    (client, peer)
}

/// The next event of a kind.
async fn event<T>(client: &Client, mut kind: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        let event = soon(client.next_event()).await.expect("the client goes on");
        if let Some(found) = kind(event) {
            return found;
        }
    }
}

async fn message(client: &Client) -> u64 {
    event(client, |event| if let Event::Message { message, .. } = event { Some(message.seq.get()) } else { None }).await
}

async fn disconnected(client: &Client) -> (Option<u16>, bool) {
    let kind = |event| {
        if let Event::Disconnected { close, retry_in } = event { Some((close, retry_in.is_some())) } else { None }
    };
    event(client, kind).await
}

#[tokio::test]
async fn a_client_says_who_it_is() {
    let server = Server::start().await;
    let options = ClientOptions {
        guest: Some("s&1".into()),
        name: Some("Ada Ä".into()),
        token: Some("secret".into()),
        ..server.options()
    };
    let (client, peer) = connected(&server, options).await;
    assert_eq!(peer.uri, "/ws?guest=s%261&name=Ada%20%C3%84");
    assert_eq!(peer.authorization.as_deref(), Some("Bearer secret"));
    assert_eq!(client.user().as_str(), "me");
}

#[tokio::test]
async fn join_publish_history_ping_and_leave_get_their_answers() {
    let server = Server::start().await;
    let (client, mut peer) = joined(&server, server.options()).await;
    let room = room();
    let serve = async {
        let id = peer.publish().await;
        peer.message(11, "me", &id).await;
        peer.ack(&id, 11).await;
        let ClientFrame::History { limit, reference, .. } = peer.hear().await else { panic!() };
        let reference = reference.unwrap();
        peer.say(&format!(
            r#"{{"type":"history","room":"r","messages":[],"more":{},"ref":{}}}"#,
            limit == 3,
            reference.as_str()
        ))
        .await;
        let ClientFrame::Ping { reference } = peer.hear().await else { panic!() };
        peer.say(&format!(r#"{{"type":"pong","ref":{}}}"#, reference.unwrap().as_str())).await;
        let ClientFrame::Leave { reference, .. } = peer.hear().await else { panic!() };
        peer.say(&format!(r#"{{"type":"left","room":"r","ref":{}}}"#, reference.unwrap().as_str())).await;
    };
    let call = async {
        let ack = client.publish(&room, id("a"), body()).await.unwrap();
        assert_eq!((ack.id, ack.seq.get()), (id("a"), 11));
        assert_eq!(client.position(&room).await.unwrap().unwrap().seq.get(), 11);
        assert!(client.history(&room, HistoryRange::Latest, 3).await.unwrap().more);
        client.ping().await.unwrap();
        client.leave(&room).await.unwrap();
        assert_eq!(client.leave(&room).await, Err(Refusal::NotJoined.into()));
        assert_eq!(client.publish(&room, id("b"), body()).await, Err(Refusal::NotJoined.into()));
    };
    soon(async { tokio::join!(Box::pin(serve), Box::pin(call)) }).await;
}

#[tokio::test]
async fn signals_go_out_and_come_in() {
    let server = Server::start().await;
    let (client, mut peer) = joined(&server, server.options()).await;
    let key = Some(protocol::SignalKey::new("k").unwrap());
    soon(client.signal(&room(), key.clone(), body())).await.unwrap();
    assert_eq!(soon(peer.hear()).await, ClientFrame::Signal { room: room(), key, body: body() });
    peer.say(r#"{"type":"signal","room":"r","from":"you","body":[7]}"#).await;
    loop {
        if let Event::Signal { signal } = soon(client.next_event()).await.unwrap() {
            assert_eq!((signal.from.as_str(), signal.body.as_str()), ("you", "[7]"));
            break;
        }
    }
}

#[tokio::test]
async fn after_a_cut_the_client_resumes_and_re_sends_and_nothing_is_lost() {
    let server = Server::start().await;
    let (client, mut peer) = joined(&server, server.options()).await;
    let room = room();
    peer.message(11, "you", "x").await;
    assert_eq!(message(&client).await, 11);
    let publishing: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let (client, room) = (client.clone(), room.clone());
            tokio::spawn(async move { client.publish(&room, id(name), body()).await })
        })
        .into_iter()
        .collect();
    let mut sent = vec![peer.publish().await, peer.publish().await, peer.publish().await];
    soon(client.cut()).await;
    assert_eq!(peer.end().await, None, "no close frame");
    assert_eq!(disconnected(&client).await, (None, true));

    // The first was logged before the cut, its acknowledgement lost; the others were not.
    let mut peer = server.greet().await;
    let JoinFrom::After(position) = peer.admit(13, 2).await else { panic!("a return names its position") };
    assert_eq!((position.epoch.as_str(), position.seq.get()), ("1.aa", 11));
    peer.message(12, "you", "y").await;
    peer.message(13, "me", &sent[0]).await;
    assert_eq!(message(&client).await, 12);
    let proof = event(&client, |event| if let Event::Acked { by, .. } = event { Some(by) } else { None }).await;
    assert_eq!((proof, message(&client).await), (Proof::Message, 13));
    let again = [peer.publish().await, peer.publish().await];
    assert_eq!(again, sent[1..], "re-sent in their order, without the one that the replay acknowledged");
    peer.ack(&sent[1], 14).await;
    peer.ack(&sent[2], 15).await;
    let mut acked = VecDeque::new();
    for task in publishing {
        let ack = soon(task).await.unwrap().unwrap();
        acked.push_back((ack.seq.get(), ack.id.to_string()));
    }
    acked.make_contiguous().sort();
    let expected: Vec<(u64, String)> = (13..).zip(sent.drain(..)).collect();
    assert_eq!(acked, expected);
}

#[tokio::test]
async fn the_next_attempt_goes_to_the_next_node() {
    let (first, second) = (Server::start().await, Server::start().await);
    let options = ClientOptions { urls: vec![first.url.clone(), second.url.clone()], ..first.options() };
    let (client, mut peer) = joined(&first, options).await;
    let secret = peer.uri.clone();
    peer.say(r#"{"type":"draining","within_ms":50}"#).await;
    peer.close(1012).await;
    assert_eq!(disconnected(&client).await, (Some(1012), true));
    let mut peer = second.greet().await;
    assert_eq!(peer.uri, secret, "the same user at every node");
    assert!(matches!(peer.admit(10, 0).await, JoinFrom::After(_)));
}

#[tokio::test]
async fn a_close_that_forbids_it_is_the_end() {
    let server = Server::start().await;
    for code in [4001, 4003] {
        let (client, mut peer) = joined(&server, server.options()).await;
        let (client_, room) = (client.clone(), room());
        let publishing = tokio::spawn(async move { client_.publish(&room, id("a"), body()).await });
        peer.publish().await;
        peer.close(code).await;
        assert_eq!(disconnected(&client).await, (Some(code), false));
        assert_eq!(soon(client.next_event()).await, None);
        assert_eq!(soon(publishing).await.unwrap(), Err(RequestError::Closed));
        assert_eq!(client.ping().await, Err(RequestError::Closed));
    }
}

#[tokio::test]
async fn a_client_that_shall_not_reconnect_does_not() {
    let server = Server::start().await;
    let (client, _peer) = joined(&server, ClientOptions { reconnect: false, ..server.options() }).await;
    client.cut().await;
    assert_eq!(disconnected(&client).await, (None, false));
    assert_eq!(soon(client.next_event()).await, None);
}

#[tokio::test]
async fn a_refused_handshake_says_whether_to_try_again() {
    let server = Server::start().await;
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let (client, ()) = tokio::join!(Box::pin(Client::connect(server.options())), server.refuse(status));
        assert!(matches!(client, Err(ClientError::Connect(_))), "{status}");
    }
    let attempts = async {
        server.refuse(StatusCode::SERVICE_UNAVAILABLE).await;
        server.greet().await
    };
    let (client, _peer) = tokio::join!(Box::pin(Client::connect(server.options())), Box::pin(attempts));
    assert!(client.is_ok());
}

#[tokio::test]
async fn no_greeting_in_time_is_an_error() {
    let silent = Server::start().await;
    let options = ClientOptions { start_timeout: Duration::from_millis(50), ..silent.options() };
    assert!(matches!(soon(Client::connect(options)).await, Err(ClientError::Connect(_))));
    let nowhere = ClientOptions { urls: vec!["ws://127.0.0.1:1".into()], reconnect: false, ..silent.options() };
    assert!(matches!(soon(Client::connect(nowhere)).await, Err(ClientError::Connect(_))));
    assert!(matches!(Client::connect(ClientOptions::to("wss://h")).await, Err(ClientError::Options(_))));
}

#[tokio::test]
async fn a_silent_link_is_dead_and_pings_keep_it_alive() {
    let server = Server::start().await;
    let (client, mut peer) =
        tokio::join!(Box::pin(Client::connect(server.options())), Box::pin(server.greet_with(600)));
    let client = client.unwrap();
    let started = tokio::time::Instant::now();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        soon(peer.socket.send(Message::Ping("p".into()))).await.unwrap();
        assert!(matches!(soon(peer.socket.next()).await, Some(Ok(Message::Pong(_)))), "pings are answered");
    }
    let alive = started.elapsed();
    assert!(alive >= Duration::from_millis(1_600), "longer than the patience of 1,500 ms");
    assert_eq!(disconnected(&client).await, (None, true));
    assert!(started.elapsed() >= alive + Duration::from_millis(1_400), "silence of two and a half heartbeats");
}

#[tokio::test]
async fn closing_says_goodbye_and_events_can_still_be_read() {
    let server = Server::start().await;
    let (client, mut peer) = joined(&server, server.options()).await;
    let (code, ()) = tokio::join!(peer.end(), client.close());
    assert_eq!(code, Some(1000));
    assert_eq!(disconnected(&client).await, (Some(1000), false));
    assert_eq!(soon(client.next_event()).await, None);
}

#[tokio::test]
async fn dropping_the_last_clone_ends_the_connection() {
    let server = Server::start().await;
    let (client, mut peer) = joined(&server, server.options()).await;
    let clone = client.clone();
    drop(client);
    let (pong, ()) = tokio::join!(clone.ping(), async {
        let ClientFrame::Ping { reference } = peer.hear().await else { panic!() };
        peer.say(&format!(r#"{{"type":"pong","ref":{}}}"#, reference.unwrap().as_str())).await;
    });
    assert_eq!(pong, Ok(()));
    drop(clone);
    peer.end().await;
}

#[tokio::test]
async fn unread_events_stop_the_reading_and_lose_nothing() {
    let server = Server::start().await;
    let options = ClientOptions { events: EventQueue::Bounded(2), ..server.options() };
    let (client, mut peer) = joined(&server, options).await;
    const COUNT: u64 = 2_000; // more than the socket buffers of both ends hold
    let padding = "x".repeat(10_000);
    let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = sent.clone();
    let sending = tokio::spawn(async move {
        for seq in 11..11 + COUNT {
            let text = format!(
                r#"{{"type":"message","room":"r","seq":{seq},"id":"m{seq}","from":"you","name":"N","at":1,"body":"{padding}"}}"#
            );
            peer.socket.send(Message::text(text)).await.unwrap();
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        peer
    });
    // The server comes to a halt: nothing piles up in the client.
    let halted = async {
        loop {
            let before = sent.load(std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if before > 0 && sent.load(std::sync::atomic::Ordering::Relaxed) == before {
                return before;
            }
        }
    };
    let halted = soon(halted).await;
    assert!(halted < COUNT, "{halted} were taken though nobody reads events");
    for expected in 11..11 + COUNT {
        assert_eq!(message(&client).await, expected);
    }
    let _peer = soon(sending).await.unwrap();
}

#[tokio::test]
async fn a_client_that_discards_events_works_on() {
    let server = Server::start().await;
    let options = ClientOptions { events: EventQueue::Discard, ..server.options() };
    let (client, mut peer) = joined(&server, options).await;
    for seq in 11..1_011 {
        peer.message(seq, "you", &format!("m{seq}")).await;
    }
    let room = room();
    let (ack, ()) = tokio::join!(client.publish(&room, id("a"), body()), async {
        let id = peer.publish().await;
        peer.ack(&id, 1_011).await;
    });
    assert_eq!(ack.unwrap().seq.get(), 1_011);
    assert_eq!(soon(client.next_event()).await, None);
}
