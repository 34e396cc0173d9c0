//! Conformance: the cases of the Autobahn test suite against an echo, above the very loops, handshake and listener that
//! serve a node's clients. Needs kosoku, which `make test-autobahn` installs.

use std::collections::BTreeMap;
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
use super::handshake::Handshake;
use super::mailbox::Address;
use super::upgrade::hand_over;
use super::{Frame, Mailboxes, Outbox};
use crate::listener::{Bounds, serve};

/// How many cases end how: the answers, and then the end. There are no others.
const VERDICTS: [(&str, &str, usize); 1] = [("OK", "OK", 517)];
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
        // Everything is compressed, whether it becomes shorter or not: kosoku cannot look at a plain answer to a
        // compressed text, which RFC 7692 (6) leaves to the sender, and calls the case failed.
        deflate_above: Some(0),
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
    let mut counts = BTreeMap::<_, usize>::new();
    for Verdict { behavior, behavior_close } in verdicts.values() {
        *counts.entry((behavior.as_str(), behavior_close.as_str())).or_default() += 1;
    }
    println!("{counts:?}");
    let expected: BTreeMap<_, _> = VERDICTS.into_iter().map(|(answers, end, count)| ((answers, end), count)).collect();
    let others: Vec<_> =
        verdicts.iter().filter(|(_, it)| !(it.behavior == "OK" && it.behavior_close == "OK")).collect();
    assert_eq!(counts, expected, "{others:?}");
}
