//! Reading a request's body: bounded in size and time.

use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::HttpBody;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The unit in which memory is counted, in bytes.
const KIB: usize = 1024;

/// Memory for the bodies of all requests that are read at a time.
#[derive(Debug, Clone)]
pub(crate) struct BodySpace(Arc<Semaphore>);

impl BodySpace {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / KIB).min(Semaphore::MAX_PERMITS))))
    }

    /// Waits for memory for a body of at most `limit` bytes: of its own length, if that is known. `None`: there was none in
    /// time.
    pub(crate) async fn reserve(
        &self,
        length: Option<u64>,
        limit: usize,
        within: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        let bytes = length.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limit).min(limit);
        let kib = u32::try_from(bytes.div_ceil(KIB)).ok()?;
        timeout(within, Arc::clone(&self.0).acquire_many_owned(kib)).await.ok()?.ok()
    }
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    TooLarge,
    /// It did not come in time.
    Slow,
    /// The connection broke.
    Broken,
}

impl BodyFault {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read_body<B>(body: B, limit: usize, within: Duration) -> Result<Bytes, BodyFault>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let declared = body.size_hint().lower();
    if usize::try_from(declared).map_or(true, |declared| declared > limit) {
        return Err(BodyFault::TooLarge);
    }
    match timeout(within, Limited::new(body, limit).collect()).await {
        Err(_) => Err(BodyFault::Slow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyFault::TooLarge),
        Ok(Err(_)) => Err(BodyFault::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_wait_until_there_is_memory_for_them() {
        let (space, within) = (BodySpace::new(8 * KIB), Duration::from_millis(20));
        let reserve = |length: Option<u64>| space.reserve(length, 4 * KIB, within);
        let unknown = reserve(None).await.expect("as much as the longest body needs");
        let known = reserve(Some(3 * KIB as u64)).await.expect("its own length");
        assert!(reserve(Some(KIB as u64 + 1)).await.is_none(), "1 KiB is left");
        let short = reserve(Some(1)).await.expect("a short one takes 1 KiB");
        assert!(reserve(Some(1)).await.is_none());
        assert!(reserve(Some(0)).await.is_some());
        let too_long = space.reserve(Some(1 << 30), 4 * KIB, Duration::from_secs(20));
        let (waited, ()) = tokio::join!(too_long, async { drop(unknown) });
        assert!(waited.is_some(), "what is too long is refused when it is read");
        drop((known, short));
    }
}
