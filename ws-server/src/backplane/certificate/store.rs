use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::fetch::FetchCertificate;
use super::url::{CertificateUrl, UrlRefused};
use super::{CertificateError, CertificatePolicy, SigningCertificate};
use crate::backplane::WallClock;

/// The believed certificates, fetched when first needed.
///
/// A forger who knows the endpoint's path can name any file of the allowed origin. So fetches are bounded in number at
/// a time and per second, failures are remembered for a while apart from the believed certificates (which they cannot
/// push out), and one URL is never fetched twice at once.
#[derive(Clone)]
pub struct CertificateStore(Arc<Inner>);

/// How much the store does and keeps.
#[derive(Debug, Clone)]
pub struct StoreLimits {
    /// Believed certificates kept; the least used one leaves.
    pub certificates: usize,
    /// Failures remembered.
    pub failures: usize,
    /// How long a failed fetch is remembered.
    pub retry_fetch_after: Duration,
    /// How long a refused certificate is remembered.
    pub retry_refused_after: Duration,
    /// Fetches at a time.
    pub concurrent: usize,
    /// Fetches in a burst; one more is allowed every second.
    pub burst: u32,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            certificates: 16,
            failures: 64,
            retry_fetch_after: Duration::from_secs(2),
            retry_refused_after: Duration::from_secs(60),
            concurrent: 4,
            burst: 10,
        }
    }
}

/// Why there is no key to verify with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The URL is not one of SNS's: forged.
    #[error(transparent)]
    Url(#[from] UrlRefused),
    /// What is there is not SNS's certificate: forged.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It cannot be fetched now: try later.
    #[error("the certificate cannot be fetched now: {0}")]
    Unavailable(String),
}

type Outcome = Result<Arc<SigningCertificate>, KeyError>;

struct Inner {
    policy: CertificatePolicy,
    fetcher: Arc<dyn FetchCertificate>,
    clock: WallClock,
    limits: StoreLimits,
    permits: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

struct Kept {
    believed: HashMap<CertificateUrl, Believed>,
    failed: HashMap<CertificateUrl, Failure>,
    under_way: HashMap<CertificateUrl, watch::Receiver<Option<Outcome>>>,
    uses: u64,
    allowance: f64,
    allowed_at: Instant,
}

struct Believed {
    certificate: Arc<SigningCertificate>,
    last_use: u64,
}

struct Failure {
    error: KeyError,
    until: Instant,
}

enum Found {
    Settled(Outcome),
    UnderWay(watch::Receiver<Option<Outcome>>),
}

impl CertificateStore {
    /// An empty store.
    #[must_use]
    pub fn new(
        policy: CertificatePolicy,
        fetcher: Arc<dyn FetchCertificate>,
        clock: WallClock,
        limits: StoreLimits,
    ) -> Self {
        let kept = Kept {
            believed: HashMap::new(),
            failed: HashMap::new(),
            under_way: HashMap::new(),
            uses: 0,
            allowance: f64::from(limits.burst),
            allowed_at: Instant::now(),
        };
        let permits = Arc::new(Semaphore::new(limits.concurrent));
        Self(Arc::new(Inner { policy, fetcher, clock, limits, permits, kept: Mutex::new(kept) }))
    }

    /// The origins that certificates may come from, for people.
    pub(crate) fn allowed(&self) -> String {
        self.0.policy.allowed()
    }

    /// The certificate at a URL that a message names, if it is to be believed now.
    ///
    /// # Errors
    /// `KeyError::Unavailable` may pass; the others say that the message is forged.
    pub async fn certificate(&self, url: &str) -> Result<Arc<SigningCertificate>, KeyError> {
        let url = self.0.policy.admit(url)?;
        match self.0.find(url) {
            Found::Settled(outcome) => outcome,
            Found::UnderWay(mut outcome) => match outcome.wait_for(Option::is_some).await {
                Ok(settled) => settled.clone().expect("waited until it is some"),
                Err(_) => Err(KeyError::Unavailable("the fetch was broken off".to_owned())),
            },
        }
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known about the URL; starts a fetch when nothing is.
    fn find(self: &Arc<Self>, url: CertificateUrl) -> Found {
        let (now, wall) = (Instant::now(), (self.clock)());
        let mut kept = self.kept();
        kept.uses += 1;
        let uses = kept.uses;
        if let Some(believed) = kept.believed.get_mut(&url) {
            if believed.certificate.is_valid_at(wall) {
                believed.last_use = uses;
                return Found::Settled(Ok(Arc::clone(&believed.certificate)));
            }
            kept.believed.remove(&url);
        }
        if let Some(failure) = kept.failed.get(&url).filter(|failure| now < failure.until) {
            return Found::Settled(Err(failure.error.clone()));
        }
        if let Some(outcome) = kept.under_way.get(&url) {
            return Found::UnderWay(outcome.clone());
        }
        let Some(permit) = self.permit(&mut kept, now) else {
            return Found::Settled(Err(KeyError::Unavailable("too many certificates are asked for".to_owned())));
        };
        let (settled, outcome) = watch::channel(None);
        kept.under_way.insert(url.clone(), outcome.clone());
        drop(kept);
        tokio::spawn(Fetch { inner: Arc::clone(self), url, settled, _permit: permit }.run());
        Found::UnderWay(outcome)
    }

    fn permit(&self, kept: &mut Kept, now: Instant) -> Option<OwnedSemaphorePermit> {
        let refill = now.saturating_duration_since(kept.allowed_at).as_secs_f64();
        kept.allowance = (kept.allowance + refill).min(f64::from(self.limits.burst));
        kept.allowed_at = now;
        if kept.allowance < 1.0 {
            return None;
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        kept.allowance -= 1.0;
        Some(permit)
    }

    fn keep(&self, url: &CertificateUrl, outcome: &Outcome) {
        let mut kept = self.kept();
        let kept = &mut *kept;
        match outcome {
            Ok(certificate) => {
                make_room(&mut kept.believed, self.limits.certificates, |believed| believed.last_use);
                let believed = Believed { certificate: Arc::clone(certificate), last_use: kept.uses };
                kept.believed.insert(url.clone(), believed);
                kept.failed.remove(url);
            }
            Err(error) => {
                let wait = match error {
                    KeyError::Unavailable(_) => self.limits.retry_fetch_after,
                    KeyError::Url(_) | KeyError::Certificate(_) => self.limits.retry_refused_after,
                };
                make_room(&mut kept.failed, self.limits.failures, |failure| failure.until);
                kept.failed.insert(url.clone(), Failure { error: error.clone(), until: Instant::now() + wait });
            }
        }
    }
}

/// Removes the entry of the smallest rank when the map is full.
fn make_room<V, R: Ord>(map: &mut HashMap<CertificateUrl, V>, capacity: usize, rank: impl Fn(&V) -> R) {
    if map.len() < capacity {
        return;
    }
    let least = map.iter().min_by_key(|(_, value)| rank(value)).map(|(url, _)| url.clone());
    if let Some(url) = least {
        map.remove(&url);
    }
}

/// One fetch, in a task of its own: it ends even when those who wait for it have gone.
struct Fetch {
    inner: Arc<Inner>,
    url: CertificateUrl,
    settled: watch::Sender<Option<Outcome>>,
    _permit: OwnedSemaphorePermit,
}

impl Fetch {
    async fn run(self) {
        let outcome = match self.inner.fetcher.fetch(&self.url).await {
            Ok(pem) => SigningCertificate::from_pem(&pem, &self.inner.policy, (self.inner.clock)())
                .map(Arc::new)
                .map_err(KeyError::from),
            Err(error) => Err(KeyError::Unavailable(error.to_string())),
        };
        match &outcome {
            Ok(_) => tracing::info!(url = %self.url, "signing certificate of SNS fetched"),
            Err(error) => tracing::warn!(url = %self.url, %error, "signing certificate of SNS not usable"),
        }
        self.inner.keep(&self.url, &outcome);
        self.settled.send_replace(Some(outcome));
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.inner.kept().under_way.remove(&self.url);
    }
}
