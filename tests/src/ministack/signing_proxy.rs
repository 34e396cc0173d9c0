//! An HTTP proxy between an SNS that does not sign and the nodes that believe only what is signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use local_stack::ports;
use local_stack::sns::Resigner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::http;

/// How long a post may take to arrive whole.
const REQUEST: Duration = Duration::from_secs(10);

/// What became of posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posts {
    /// The receiver answered with a success.
    pub accepted: u64,
    /// It answered with anything else, or not at all.
    pub refused: u64,
}

/// Signs what passes through it. Dropping it stops it.
pub struct SigningProxy {
    shared: Arc<Shared>,
    url: String,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    resigner: Resigner,
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl SigningProxy {
    /// Starts it at a port of its own.
    ///
    /// # Panics
    /// When it gets no port or no key.
    pub async fn start() -> Self {
        let certificates = ports::take(0, "the certificate", "").expect("there is a free port");
        let resigner = Resigner::start(certificates).await.expect("keys can be made");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
        let shared = Arc::new(Shared { resigner, accepted: AtomicU64::new(0), refused: AtomicU64::new(0) });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass_on(socket, Arc::clone(&serving)));
            }
        });
        Self { shared, url, task }
    }

    /// For `http_proxy`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The root certificate, in PEM: for `--sns-trust-root`.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.shared.resigner.root_pem()
    }

    /// Where the signing certificate is: for `--sns-cert-origin`.
    #[must_use]
    pub fn certificate_origin(&self) -> String {
        self.shared.resigner.certificate_origin()
    }

    /// What became of posts so far.
    #[must_use]
    pub fn posts(&self) -> Posts {
        let Shared { accepted, refused, .. } = &*self.shared;
        Posts { accepted: accepted.load(Ordering::Relaxed), refused: refused.load(Ordering::Relaxed) }
    }
}

impl Drop for SigningProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes one post, signs it, passes it on and answers as its receiver did.
async fn pass_on(mut socket: TcpStream, shared: Arc<Shared>) {
    let status = match tokio::time::timeout(REQUEST, taken(&mut socket)).await {
        Ok(Some((url, body))) => match shared.resigner.sign_again(&body) {
            Ok(signed) => {
                // As SNS says it, whatever it posts.
                let headers = [("content-type", "text/plain; charset=UTF-8")];
                http::post(&url, &headers, &signed).await.map_or(502, |response| response.status)
            }
            Err(error) => {
                eprintln!("not a post of SNS for {url}: {error}: {}", String::from_utf8_lossy(&body));
                400
            }
        },
        _ => 400,
    };
    let count = if (200..300).contains(&status) { &shared.accepted } else { &shared.refused };
    count.fetch_add(1, Ordering::Relaxed);
    // Who posts may have given up.
    let _ = socket.write_all(format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
}

/// The URL and the body of a request to a proxy. `None`: the connection ended before it was whole.
async fn taken(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = http::whole_request(&bytes) {
            let url = request.head.split(' ').nth(1)?.to_owned();
            return Some((url, request.body.to_vec()));
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
