//! Conformance: the cases of the Autobahn test suite against an echo, above the very loops, handshake and listener that
//! serve a node's clients. Needs kosoku, which `make test-autobahn` installs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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
use super::handshake::Handshake;
use super::mailbox::Address;
use super::upgrade::hand_over;
use super::{Frame, Mailboxes, Outbox};
use crate::listener::{Bounds, serve};

/// The cases that there are.
const CASES: usize = 517;
/// Those that can be judged at least: all without compression, and most with it.
const JUDGED: usize = 377;
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

    fn settle(&mut self) -> bool {
        true
    }
}

async fn upgrade(State(loops): State<Arc<Loops<()>>>, mut request: Request) -> Response<Body> {
    let handshake = Handshake::of(request.method(), request.headers(), true).unwrap();
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
    reportfile: String,
}

/// What kosoku says of itself when an answer to a compressed text comes plain, as it may (RFC 7692, 7.2.1): it cannot look
/// at it. Answers are plain where compression gains nothing or the client's window is too narrow.
const NOT_JUDGED: &str = "Strings must be encoded before hashing";

#[derive(Debug, Deserialize)]
struct Details {
    result: String,
}

impl Verdict {
    fn is_passed(&self) -> bool {
        let passed = |what: &str| matches!(what, "OK" | "INFORMATIONAL");
        passed(&self.behavior) && passed(&self.behavior_close)
    }

    fn is_judged(&self, report: &Path) -> bool {
        let details = std::fs::read(report.join(&self.reportfile)).unwrap();
        serde_json::from_slice::<Details>(&details).unwrap().result != NOT_JUDGED
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_passed() {
    let parts = std::env::var_os("ROOMCAST_PARTS").map(PathBuf::from).expect("run this test by `make test-autobahn`");
    let report = parts.join("autobahn-report");
    let _ = std::fs::remove_dir_all(&report);
    let settings = LoopSettings {
        heartbeat: Duration::from_secs(60),
        drain: Duration::ZERO,
        max_message: LONGEST,
        // Whatever can be compressed is.
        deflate_above: Some(1),
    };
    let loops = Arc::new(Loops::start::<Echo>(&Mailboxes::new(2), settings).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/", get(upgrade)).fallback(get(upgrade)).with_state(loops);
    let bounds = Bounds { connections: 100, first_head: Duration::from_secs(10), next_head: Duration::from_secs(10) };
    tokio::spawn(serve(listener, routes, bounds, || (), CancellationToken::new()));

    let arguments = ["-p", "4", "-o", report.to_str().unwrap(), &address.to_string()].map(str::to_owned);
    let kosoku = parts.join("python/bin/kosoku");
    let ran =
        tokio::task::spawn_blocking(move || Command::new(kosoku).args(arguments).output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    let index = std::fs::read(report.join("index.json")).unwrap_or_else(|error| panic!("{error}: {said}"));
    let verdicts: BTreeMap<String, BTreeMap<String, Verdict>> = serde_json::from_slice(&index).unwrap();
    let (_, verdicts) = verdicts.into_iter().next().unwrap();
    assert_eq!(verdicts.len(), CASES);
    let others: Vec<_> = verdicts.iter().filter(|(_, it)| !it.is_passed() && it.is_judged(&report)).collect();
    assert!(others.is_empty(), "{others:?}");
    let passed = verdicts.values().filter(|it| it.is_passed()).count();
    println!("{passed} of {CASES} passed, the others could not be judged");
    assert!(passed >= JUDGED, "{passed}");
}
