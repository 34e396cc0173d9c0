//! What goes to Redis, and how long a connection lasts.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, RedisError, Value, cmd};
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::super::backoff::Backoff;
use super::super::client::millis;
use super::super::queue::Batch;
use super::Accelerator;
use super::connection::ConnectError;
use super::hearing::Hearing;
use super::payload::Payload;
use crate::backplane::{EnvelopeSink, count};

/// For a connection, with TLS and greeting.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Between questions whether Redis is still there, and still the one that others listen to.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// A connection that lasted so long was a good one: the next pause is a short one again.
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// Why a connection is no more, or never was.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("no connection in time")]
    TooSlow,
    #[error("no connection: {0}")]
    NotConnected(#[from] ConnectError),
    #[error("the connection was closed")]
    Closed,
    #[error("{0}")]
    Failed(#[from] RedisError),
    /// After a failover the old primary may go on answering.
    #[error("it is a replica: what is published there reaches no other node")]
    Replica,
}

impl Accelerator {
    /// Speaks and hears for as long as it is awaited, whatever becomes of Redis. What is heard goes to `sink`.
    pub(crate) async fn run(self: Arc<Self>, sink: Arc<dyn EnvelopeSink>) {
        let hearing = Arc::new(Hearing::new(Arc::clone(&self), sink));
        let address = &self.settings.target.address;
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let lost = self.one_connection(&hearing).await;
            self.note_away();
            count(&self.settings.stats.redis_failures);
            let now = Instant::now();
            if now.saturating_duration_since(began) > CONNECT_WITHIN + GOOD_AFTER {
                backoff.handle_answer(now);
            }
            backoff.handle_failure(now, now, fastrand::f64());
            if let Some(others) = self.warnings.open(now) {
                tracing::warn!(%address, reason = %lost, others, "Redis is away, hints go the other ways there are");
            }
            sleep(backoff.remaining(now)).await;
        }
    }

    async fn one_connection(&self, hearing: &Arc<Hearing>) -> Lost {
        let hearing = Arc::clone(hearing);
        let hear = move |push: PushInfo| {
            hearing.handle_push(&push);
            Ok::<_, Infallible>(())
        };
        match timeout(CONNECT_WITHIN, self.settings.target.connect(hear)).await {
            Ok(Ok((redis, driver))) => {
                let driver = AbortOnDropHandle::new(tokio::spawn(driver));
                let Err(lost) = self.speak(redis, driver).await;
                lost
            }
            Ok(Err(error)) => error.into(),
            Err(_) => Lost::TooSlow,
        }
    }

    async fn speak(
        &self,
        mut redis: MultiplexedConnection,
        mut driver: AbortOnDropHandle<()>,
    ) -> Result<Infallible, Lost> {
        redis.subscribe(&self.settings.channel).await?;
        probe(&mut redis).await?;
        self.note_connected();
        tracing::info!(address = %self.settings.target.address, channel = self.settings.channel, "Redis carries hints");
        let mut probes = interval_at(tokio::time::Instant::now() + PROBE_EVERY, PROBE_EVERY);
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut driver => return Err(Lost::Closed),
                // One at a time, so what is said arrives in order, and what gathers meanwhile goes together.
                batch = self.queue.next() => self.publish(&mut redis, &batch).await?,
                _ = probes.tick() => probe(&mut redis).await?,
            }
        }
    }

    async fn publish(&self, redis: &mut MultiplexedConnection, batch: &Batch) -> Result<(), Lost> {
        let stats = &self.settings.stats;
        count(&stats.redis_publishes);
        let said = self.payload_of(&batch.envelope());
        let answer = redis.send_packed_command(cmd("PUBLISH").arg(&self.settings.channel).arg(said)).await;
        match answer.and_then(Value::extract_error) {
            Ok(_) => {
                stats.redis_segments_published.fetch_add(batch.segments() as u64, Ordering::Relaxed);
                stats.redis_signals_published.fetch_add(batch.signals() as u64, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                stats.redis_lost.fetch_add(batch.hints.len() as u64, Ordering::Relaxed);
                Err(error.into())
            }
        }
    }

    fn payload_of(&self, envelope: &str) -> String {
        let settings = &self.settings;
        let payload = Payload {
            channel: &settings.channel,
            sender: settings.node.clone(),
            time_ms: millis((settings.clock)()),
            number: self.number.fetch_add(1, Ordering::Relaxed) + 1,
            envelope,
        };
        payload.sign(&settings.keys)
    }
}

/// Any answer will do, a refusal too; only that of a replica will not.
async fn probe(redis: &mut MultiplexedConnection) -> Result<(), Lost> {
    match redis.send_packed_command(&cmd("ROLE")).await {
        Ok(Value::Array(role)) if is_replica(&role) => Err(Lost::Replica),
        Ok(_) => Ok(()),
        Err(error) if error.is_unrecoverable_error() || error.is_timeout() => Err(error.into()),
        Err(_) => Ok(()),
    }
}

fn is_replica(role: &[Value]) -> bool {
    matches!(role.first(), Some(Value::BulkString(name)) if name == b"slave")
}
