use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::backplane::testing::{Authority, CERTIFICATE_URL, TOPIC, leaf, signer};

const NAME: &str = "sns.amazonaws.com";

fn policy() -> CertificatePolicy {
    CertificatePolicy::for_topics(&[TOPIC.parse().unwrap()])
}

fn policy_of(root: &Authority) -> CertificatePolicy {
    policy().with_roots(TrustRoots::from_pem(root.pem.as_bytes()).unwrap())
}

fn judge(pem: &str, policy: &CertificatePolicy) -> Result<SigningCertificate, CertificateError> {
    SigningCertificate::from_pem(pem.as_bytes(), policy, SystemTime::now())
}

// What is believed.

#[test]
fn a_lone_leaf_of_an_issuer_not_at_hand_is_believed_for_its_origin() {
    assert!(judge(&signer().certificate(), &policy()).is_ok(), "this is what AWS serves");
}

#[test]
fn a_leaf_that_the_root_issued_is_believed() {
    let root = Authority::new("root");
    let pem = root.issue(&leaf(NAME, &["other.example", NAME]), &signer().key);
    assert!(judge(&pem, &policy_of(&root)).is_ok());
}

#[test]
fn a_chain_is_believed_only_up_to_our_root() {
    let (root, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let intermediate = root.intermediate("intermediate");
    let pem = intermediate.issue(&leaf(NAME, &[NAME]), &signer().key) + &intermediate.pem;
    assert!(judge(&pem, &policy_of(&root)).is_ok());
    assert!(matches!(judge(&pem, &policy_of(&stranger)), Err(CertificateError::Chain(_))));
    assert!(matches!(judge(&pem, &policy()), Err(CertificateError::Chain(_))), "nor up to Amazon's");
}

#[test]
fn a_leaf_that_only_claims_our_root_as_its_issuer_is_refused() {
    let (root, impostor) = (Authority::new("root"), Authority::new("root"));
    let pem = impostor.issue(&leaf(NAME, &[NAME]), &signer().key);
    assert!(matches!(judge(&pem, &policy_of(&root)), Err(CertificateError::Chain(_))));
}

#[test]
fn a_certificate_for_another_purpose_is_refused() {
    let root = Authority::new("root");
    let mut params = leaf(NAME, &[NAME]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    let pem = root.issue(&params, &signer().key);
    assert!(matches!(judge(&pem, &policy_of(&root)), Err(CertificateError::Chain(_))));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert!(judge(&root.issue(&params, &signer().key), &policy_of(&root)).is_ok());
}

#[test]
fn a_certificate_outside_its_validity_is_refused() {
    let root = Authority::new("root");
    for (from, to) in [(2001, 2002), (3000, 3001)] {
        let mut params = leaf(NAME, &[NAME]);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let pem = root.issue(&params, &signer().key);
        assert_eq!(judge(&pem, &policy_of(&root)), Err(CertificateError::Expired), "{from}");
    }
}

#[test]
fn a_certificate_of_somebody_else_is_refused() {
    let root = Authority::new("root");
    let refused = |params: &CertificateParams| {
        let verdict = judge(&root.issue(params, &signer().key), &policy_of(&root));
        assert_eq!(verdict, Err(CertificateError::Name));
    };
    refused(&leaf("x", &["s3.amazonaws.com"]));
    refused(&leaf("x", &["*.amazonaws.com"]));
    refused(&leaf("x", &["sns.amazonaws.com.evil.com"]));
    refused(&leaf("x", &["sns-signing.eu-south-1.amazonaws.com"]));
    refused(&leaf("x", &[]));
    // Alternative names outrule the common name; without any it counts.
    refused(&leaf(NAME, &["evil.com"]));
    assert!(judge(&root.issue(&leaf(NAME, &[]), &signer().key), &policy_of(&root)).is_ok());
}

#[test]
fn what_is_no_rsa_certificate_is_refused() {
    let root = Authority::new("root");
    let ecdsa = root.issue(&leaf(NAME, &[NAME]), &KeyPair::generate().unwrap());
    assert_eq!(judge(&ecdsa, &policy_of(&root)), Err(CertificateError::Key));
    assert_eq!(judge("", &policy()), Err(CertificateError::NotPem));
    assert_eq!(judge("<html>not found</html>", &policy()), Err(CertificateError::NotPem));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(judge(junk, &policy()), Err(CertificateError::Malformed));
    let many = signer().certificate().repeat(9);
    assert_eq!(judge(&many, &policy()), Err(CertificateError::NotPem));
}

// The store.

/// Counts fetches; each takes a moment.
struct CountingFetcher {
    answer: Mutex<Result<Bytes, FetchError>>,
    fetches: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl CountingFetcher {
    fn new(answer: Result<String, FetchError>) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer.map(Bytes::from)),
            fetches: AtomicUsize::default(),
            at_once: AtomicUsize::default(),
            most_at_once: AtomicUsize::default(),
        })
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl FetchCertificate for CountingFetcher {
    fn fetch<'a>(&'a self, _: &'a CertificateUrl) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            self.answer.lock().unwrap().clone()
        })
    }
}

fn limits() -> StoreLimits {
    let brief = Duration::from_millis(300);
    StoreLimits { retry_fetch_after: brief, retry_refused_after: brief, ..StoreLimits::default() }
}

fn store(fetcher: &Arc<CountingFetcher>, limits: StoreLimits) -> CertificateStore {
    CertificateStore::new(policy(), Arc::clone(fetcher) as _, Arc::new(SystemTime::now), limits)
}

fn url(file: usize) -> String {
    format!("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{file}.pem")
}

#[tokio::test]
async fn one_fetch_serves_all_who_wait_and_all_who_come_later() {
    let fetcher = CountingFetcher::new(Ok(signer().certificate()));
    let store = store(&fetcher, limits());
    let all = join_all((0..50).map(|_| store.certificate(CERTIFICATE_URL))).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(store.certificate(CERTIFICATE_URL).await.is_ok());
    assert_eq!(fetcher.fetches(), 1);
}

#[tokio::test]
async fn a_fetch_goes_on_when_those_who_waited_have_gone() {
    let fetcher = CountingFetcher::new(Ok(signer().certificate()));
    let store = store(&fetcher, limits());
    assert!(store.certificate(CERTIFICATE_URL).now_or_never().is_none());
    assert!(store.certificate(CERTIFICATE_URL).await.is_ok());
    assert_eq!(fetcher.fetches(), 1);
}

#[tokio::test]
async fn a_url_elsewhere_is_never_fetched() {
    let fetcher = CountingFetcher::new(Ok(signer().certificate()));
    let store = store(&fetcher, limits());
    for url in [
        "http://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com@evil/a.pem",
        "https://sns.us-east-1.amazonaws.com.evil.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.txt",
        "https://evil/a.pem",
    ] {
        assert!(matches!(store.certificate(url).await, Err(KeyError::Url(_))), "{url}");
    }
    assert_eq!(fetcher.fetches(), 0);
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_while_and_then_tried_again() {
    let fetcher = CountingFetcher::new(Err(FetchError::Timeout));
    let store = store(&fetcher, limits());
    for _ in 0..5 {
        assert!(matches!(store.certificate(CERTIFICATE_URL).await, Err(KeyError::Unavailable(_))));
    }
    assert_eq!(fetcher.fetches(), 1);
    *fetcher.answer.lock().unwrap() = Ok(signer().certificate().into());
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert!(store.certificate(CERTIFICATE_URL).await.is_ok());
    assert_eq!(fetcher.fetches(), 2);
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_not_asked_for_again_at_once() {
    let stranger = Authority::new("root").issue(&leaf("x", &["evil.com"]), &signer().key);
    let fetcher = CountingFetcher::new(Ok(stranger));
    let store = store(&fetcher, limits());
    for _ in 0..5 {
        let verdict = store.certificate(CERTIFICATE_URL).await;
        assert_eq!(verdict, Err(KeyError::Certificate(CertificateError::Name)));
    }
    assert_eq!(fetcher.fetches(), 1);
}

#[tokio::test]
async fn a_flood_of_urls_neither_hammers_nor_pushes_out_what_is_believed() {
    let fetcher = CountingFetcher::new(Ok(signer().certificate()));
    let store = store(&fetcher, limits());
    assert!(store.certificate(CERTIFICATE_URL).await.is_ok());
    *fetcher.answer.lock().unwrap() = Err(FetchError::Status(404));
    let started = std::time::Instant::now();
    let urls: Vec<String> = (0..500).map(url).collect();
    for some in urls.chunks(50) {
        let refused = join_all(some.iter().map(|url| store.certificate(url))).await;
        assert!(refused.iter().all(|verdict| matches!(verdict, Err(KeyError::Unavailable(_)))));
    }
    assert!(fetcher.most_at_once.load(Ordering::SeqCst) <= 4);
    let after_the_flood = fetcher.fetches();
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(after_the_flood <= 11 + 1 + seconds, "a burst of 10, and one a second: {after_the_flood}");
    assert!(store.certificate(CERTIFICATE_URL).await.is_ok());
    assert_eq!(fetcher.fetches(), after_the_flood, "still kept");
}

#[tokio::test]
async fn the_least_used_certificate_leaves_a_full_store() {
    let fetcher = CountingFetcher::new(Ok(signer().certificate()));
    let store = store(&fetcher, StoreLimits { certificates: 2, ..limits() });
    for file in [1, 2, 1, 3, 1] {
        assert!(store.certificate(&url(file)).await.is_ok());
    }
    assert_eq!(fetcher.fetches(), 3, "the first one stayed");
    assert!(store.certificate(&url(2)).await.is_ok());
    assert_eq!(fetcher.fetches(), 4);
}

#[tokio::test]
async fn a_kept_certificate_is_believed_only_while_it_is_valid() {
    let root = Authority::new("root");
    let mut params = leaf(NAME, &[NAME]);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
    let fetcher = CountingFetcher::new(Ok(root.issue(&params, &signer().key)));
    let now = Arc::new(Mutex::new(SystemTime::from(date_time_ymd(2025, 1, 1))));
    let clock = Arc::clone(&now);
    let clock: crate::backplane::WallClock = Arc::new(move || *clock.lock().unwrap());
    let store = CertificateStore::new(policy(), Arc::clone(&fetcher) as _, clock, limits());
    assert!(store.certificate(CERTIFICATE_URL).await.is_ok());
    *now.lock().unwrap() = date_time_ymd(2030, 1, 2).into();
    let verdict = store.certificate(CERTIFICATE_URL).await;
    assert_eq!(verdict, Err(KeyError::Certificate(CertificateError::Expired)));
    assert_eq!(fetcher.fetches(), 2);
}

// The fetch over TLS.

/// A TLS server for `localhost` that answers every request with these bytes.
async fn tls_server(root: &Authority, answer: Vec<u8>) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let pem = root.issue(&leaf("localhost", &["localhost"]), &key);
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                // A client that does not believe us breaks off here.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn fetch(address: SocketAddr, roots: &TrustRoots) -> Result<Bytes, FetchError> {
    let origins = [format!("https://localhost:{}", address.port()).parse().unwrap()];
    let url = CertificateUrl::admit(&format!("https://localhost:{}/sns/a.pem", address.port()), &origins).unwrap();
    let fetcher = HttpsFetcher::with_patience(roots, Duration::from_millis(2_000)).unwrap();
    fetcher.fetch(&url).await
}

#[tokio::test]
async fn a_server_of_our_root_is_believed_and_of_no_other() {
    let root = Authority::new("root");
    let roots = TrustRoots::from_pem(root.pem.as_bytes()).unwrap();
    let address = tls_server(&root, http("200 OK", "the file")).await;
    assert_eq!(fetch(address, &roots).await.unwrap(), "the file");
    let refused = fetch(address, &TrustRoots::amazon()).await.unwrap_err();
    assert!(matches!(&refused, FetchError::Failed(why) if why.contains("UnknownIssuer")), "{refused}");
    let stranger = TrustRoots::from_pem(Authority::new("stranger").pem.as_bytes()).unwrap();
    assert!(matches!(fetch(address, &stranger).await, Err(FetchError::Failed(_))));
}

#[tokio::test]
async fn an_answer_too_long_too_slow_or_elsewhere_is_refused() {
    let root = Authority::new("root");
    let roots = TrustRoots::from_pem(root.pem.as_bytes()).unwrap();
    let long = tls_server(&root, http("200 OK", &"x".repeat(65 * 1024))).await;
    assert_eq!(fetch(long, &roots).await, Err(FetchError::TooLarge));
    let moved =
        tls_server(&root, b"HTTP/1.1 302 Found\r\nLocation: /b.pem\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(fetch(moved, &roots).await, Err(FetchError::Status(302)));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(fetch(silent.local_addr().unwrap(), &roots).await, Err(FetchError::Timeout));
}

#[tokio::test]
async fn the_store_believes_what_the_configured_origin_serves() {
    let root = Authority::new("root");
    let pem = root.issue(&leaf(NAME, &[NAME]), &signer().key);
    let address = tls_server(&root, http("200 OK", &pem)).await;
    let origin = format!("https://localhost:{}", address.port());
    let policy = policy_of(&root).with_origin(origin.parse().unwrap());
    let fetcher = Arc::new(HttpsFetcher::new(policy.roots()).unwrap());
    let store = CertificateStore::new(policy, fetcher, Arc::new(SystemTime::now), StoreLimits::default());
    assert!(store.certificate(&format!("{origin}/SimpleNotificationService-1.pem")).await.is_ok());
    assert!(matches!(store.certificate(CERTIFICATE_URL).await, Err(KeyError::Url(UrlRefused::Origin))));
}
