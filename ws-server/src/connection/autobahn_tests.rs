//! Conformance: the cases of the Autobahn test suite against an echo, above the very loops, handshake and listener that
//! serve a node's clients. Needs kosoku, which `make test-autobahn` installs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::routing::get;
use hyper::upgrade::OnUpgrade;
use protocol::{CloseCode, RoomName};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::event_loop::{Conversation, LoopSettings, Loops};
use super::handshake::{Handshake, Rules};
use super::mailbox::Address;
use super::upgrade::hand_over;
use super::{Frame, Mailboxes, Outbox};
use crate::config::AllowedOrigins;
use crate::listener::{Bounds, serve};

/// The longest message of the cases is 16 MiB.
const LONGEST: usize = 17 << 20;

struct Echo(Outbox);

impl Conversation for Echo {
    type Opening = ();

    fn begin((): (), address: Address) -> Self {
        Self(Outbox::new(8 * LONGEST, address))
    }

    fn outbox(&self) -> &Outbox {
        &self.0
    }

    fn handle_text(&mut self, text: &str) -> Result<(), CloseCode> {
        self.0.push(Frame::new(text));
        Ok(())
    }

    fn handle_binary(&mut self, bytes: &[u8]) -> Result<(), CloseCode> {
        self.0.push(Frame::binary(bytes));
        Ok(())
    }

    fn handle_space(&mut self, _: RoomName) {}

    fn handle_draining(&mut self) {}

    fn handle_close(&mut self, _: CloseCode) {}

    fn handle_end(&mut self) {}

    fn must_wait(&self) -> bool {
        false
    }

    fn settle(&mut self) -> bool {
        true
    }
}

async fn upgrade(State(loops): State<Arc<Loops<()>>>, mut request: Request) -> Response<Body> {
    let handshake = {
        let rules = Rules { deflate: true, origins: &AllowedOrigins::ALL };
        Handshake::of(request.method(), request.version(), request.headers(), rules).unwrap()
    };
    let upgrading = request.extensions_mut().remove::<OnUpgrade>().unwrap();
    let response = handshake.response();
    tokio::spawn(async move { hand_over(&loops, upgrading.await.unwrap(), handshake.deflate_window, ()) });
    response
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    behavior: String,
    behavior_close: String,
}

/// Runs the cases that kosoku's `choice` names, and says how many ended how.
async fn run(name: &str, choice: &[&str]) -> BTreeMap<String, usize> {
    let parts = std::env::var_os("ROOMCAST_PARTS").map(PathBuf::from).expect("run this test by `make test-autobahn`");
    let report = parts.join("autobahn-report").join(name);
    let _ = std::fs::remove_dir_all(&report);
    let address = echo().await.to_string();
    let mut kosoku = Command::new(parts.join("python/bin/kosoku"));
    kosoku.args(["-p", "4", "-o", report.to_str().unwrap()]).args(choice).arg(&address);
    let ran = tokio::task::spawn_blocking(move || kosoku.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    let index = std::fs::read(report.join("index.json")).unwrap_or_else(|error| panic!("{error}: {said}"));
    let verdicts: BTreeMap<String, BTreeMap<String, Verdict>> = serde_json::from_slice(&index).unwrap();
    let (_, verdicts) = verdicts.into_iter().next().unwrap();
    let mut counts = BTreeMap::<_, usize>::new();
    for (case, Verdict { behavior, behavior_close }) in verdicts {
        let verdict = if behavior == behavior_close { behavior } else { format!("{behavior}, then {behavior_close}") };
        if verdict != "OK" {
            println!("{case}: {verdict}");
        }
        *counts.entry(verdict).or_default() += 1;
    }
    counts
}

/// An echo; its address.
async fn echo() -> SocketAddr {
    let settings = LoopSettings {
        heartbeat: Duration::from_secs(60),
        drain: Duration::ZERO,
        max_message: LONGEST,
        // Everything is compressed, whether it becomes shorter or not: kosoku cannot look at a plain answer to a
        // compressed text, which RFC 7692 (6) leaves to the sender, and calls the case failed.
        deflate_above: Some(0),
        control_frames: 0,
        outbox_total: usize::MAX,
    };
    let loops = Arc::new(Loops::start::<Echo>(&Mailboxes::new(2), settings).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/", get(upgrade)).fallback(get(upgrade)).with_state(loops);
    let bounds = Bounds::all_within(100, Duration::from_secs(10));
    tokio::spawn(serve(listener, routes, bounds, || (), CancellationToken::new()));
    address
}

// Together these are all 517 cases. A case that is not there, or ends otherwise, is a failure.

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_protocol_is_passed() {
    let counts = run("protocol", &["-x", "12.*", "-x", "13.*"]).await;
    // 7.1.6, 7.13.1 and 7.13.2 pass no judgement: what they try, RFC 6455 leaves open.
    assert_eq!(counts, BTreeMap::from([("INFORMATIONAL".to_owned(), 3), ("OK".to_owned(), 298)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_compression_is_passed() {
    let counts = run("compression", &["-i", "12.*"]).await;
    assert_eq!(counts, BTreeMap::from([("OK".to_owned(), 90)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_compression_in_windows_is_passed() {
    let counts = run("windows", &["-i", "13.*"]).await;
    assert_eq!(counts, BTreeMap::from([("OK".to_owned(), 126)]));
}
