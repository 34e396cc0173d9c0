//! Another implementation of the parts of AWS: ministack, with the data plane deployed into it by CloudFormation.
//!
//! The template is the one that is deployed to AWS, the Lambda is the compiled program, run by ministack behind the
//! Lambda Runtime API. ministack signs its posts with the word `FAKE`, so they pass through a [`SigningProxy`]. It keeps
//! everything in memory, has no faults, never repeats a post and keeps no order.

mod data_plane;
mod signing_proxy;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Finished, Process};
use crate::{http, parts, ports};
pub use signing_proxy::{Posts, SigningProxy};

/// The make target that installs ministack and runs the tests against it.
const TARGET: &str = "e2e-aws-local";
/// How long ministack may take to answer.
const START: Duration = Duration::from_secs(60);
/// Attempts to find a port that nobody takes in the meantime.
const ATTEMPTS: usize = 10;
/// The region that it is told.
const REGION: &str = "us-east-1";

/// A running ministack with the data plane in it. Dropping it kills it.
pub struct Ministack {
    process: Process,
    proxy: SigningProxy,
    _folder: TempDir,
}

impl Ministack {
    /// Starts it, deploys the data plane, and says where everything is, as `stack.json` does.
    ///
    /// # Panics
    /// When it does not start, or when the deployment fails.
    pub async fn start() -> (Self, Value) {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let proxy = SigningProxy::start().await;
        let trust_root = folder.path().join("sns-root.pem");
        std::fs::write(&trust_root, proxy.root_pem()).expect("there is room for a certificate");
        for _ in 0..ATTEMPTS {
            let port = ports::free(1);
            let process = launch(port, &folder, &proxy);
            let url = format!("http://localhost:{port}");
            let Some(process) = ready(process, &url).await else { continue };
            let deployed = data_plane::deploy(&url).await;
            let announced = json!({
                "dynamodb": url,
                "sns": url,
                "region": REGION,
                "topic_arn": deployed.topic_arns,
                "trust_root": trust_root,
                "cert_origin": proxy.certificate_origin(),
                "messages_table": deployed.messages_table,
                "nodes_table": deployed.nodes_table,
                // Not the deployed secret: ministack puts commas into it, which it was told to leave out.
                "cluster_key": format!("{:032x}", fastrand::u128(..)),
            });
            return (Self { process, proxy, _folder: folder }, announced);
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What became of its posts so far.
    #[must_use]
    pub fn posts(&self) -> Posts {
        self.proxy.posts()
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Panics
    /// When it does not end in time or not well.
    pub async fn stop(self) -> Finished {
        self.process.stop().await
    }

    /// Waits until it has ended, having been asked to before.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn finished(self, patience: Duration) -> Finished {
        self.process.finished(patience).await
    }

    /// Kills it with SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }
}

/// Nodes are at 127.0.0.1 and everything of its own at localhost: so the posts to nodes, and nothing else, go through
/// the proxy.
fn launch(port: u16, folder: &TempDir, proxy: &SigningProxy) -> Process {
    let (own_port, own_url, proxy_url) = (port.to_string(), format!("http://localhost:{port}"), proxy.url());
    let temporary = folder.path().to_string_lossy();
    let environment = [
        ("GATEWAY_PORT", own_port.as_str()),
        ("BIND_HOST", "127.0.0.1"),
        ("MINISTACK_HOST", "localhost"),
        // It hands these to the Lambda.
        ("AWS_ENDPOINT_URL", &own_url),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", REGION),
        ("http_proxy", &proxy_url),
        ("no_proxy", "localhost"),
        // Else they listen on ports of their own, on all addresses.
        ("IOT_MTLS_ENABLED", "0"),
        ("SFTP_ENABLED", "0"),
        // Where it unpacks the Lambda.
        ("TMPDIR", &temporary),
    ];
    Process::start_at(&parts::part("python/bin/ministack", TARGET), &[], &environment)
}

/// `None`: somebody else took the port first.
async fn ready(mut process: Process, url: &str) -> Option<Process> {
    let start = Instant::now();
    loop {
        if http::get(&format!("{url}/_ministack/health")).await.is_ok_and(|response| response.status == 200) {
            // Somebody else's ministack could have answered.
            return process.is_running().then_some(process);
        }
        if !process.is_running() {
            let finished = process.finished(Duration::from_secs(1)).await;
            let said = finished.stdout + &finished.stderr;
            assert!(said.to_ascii_lowercase().contains("in use"), "ministack ended:\n{said}");
            return None;
        }
        assert!(start.elapsed() < START, "ministack does not answer within {START:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
