use clap::Args;
use protocol::{
    DEFAULT_MAX_BODY, FRAME_OVERHEAD, ID_WINDOW, MAX_SEGMENT_BYTES, MAX_SEGMENT_MESSAGES, MIN_RETENTION_SECS,
};
use room_core::{AppendLimits, RoomLimits, TimelineLimits};

use super::ClientsConfig;
use super::connections::ConnectionsConfig;
use super::http::{HttpConfig, HttpLimits};
use super::parse::{whole, whole_such_as};
use super::rates::{Rates, RatesConfig};

/// Longest body that can be configured: two of the largest messages fit a segment.
const MOST_BODY: u64 = (MAX_SEGMENT_BYTES / 2 - FRAME_OVERHEAD) as u64;
/// A live member must have room for two of the largest segments, encoded as frames.
const MIN_OUTBOX: u64 = 2 * (MAX_SEGMENT_BYTES + MAX_SEGMENT_MESSAGES * FRAME_EXTRA) as u64;
/// A queue counts its bytes in 32 bits.
const MAX_OUTBOX: u64 = u32::MAX as u64;
/// What a message is longer as a frame than in a segment, in bytes: its type, the room's name, its number, and what a frame
/// takes beside its text.
const FRAME_EXTRA: usize = 384;

/// Longest drain window, in milliseconds: what follows it has to end within the two minutes that Fargate gives.
pub(crate) const MAX_DRAIN_MS: u64 = 90_000;

/// Limits and times. Bytes are bytes, times are milliseconds unless the name says otherwise.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitsConfig {
    /// Longest body of a message, in bytes of JSON
    #[arg(long, env = "ROOMCAST_MAX_BODY", default_value_t = DEFAULT_MAX_BODY as u64, value_name = "BYTES", value_parser = whole::<u64>(1..=MOST_BODY))]
    pub max_body: u64,
    /// Milliseconds between WebSocket pings; two missed pongs close the connection
    #[arg(long, env = "ROOMCAST_HEARTBEAT_MS", default_value_t = 25_000, value_name = "MS", value_parser = whole::<u64>(100..=300_000))]
    pub heartbeat_ms: u64,
    /// Bytes that may wait for one slow connection before it is closed with 4008
    #[arg(long, env = "ROOMCAST_OUTBOX_BYTES", default_value_t = 1024 * 1024, value_name = "BYTES", value_parser = whole::<u64>(MIN_OUTBOX..=MAX_OUTBOX))]
    pub outbox_bytes: u64,
    /// Rooms that one session may be in
    #[arg(long, env = "ROOMCAST_ROOMS_PER_SESSION", default_value_t = 100, value_name = "N", value_parser = whole::<u32>(1..))]
    pub rooms_per_session: u32,
    /// Rooms that the node has open
    #[arg(long, env = "ROOMCAST_ROOMS", default_value_t = 100_000, value_name = "N", value_parser = whole::<u32>(1..))]
    pub rooms: u32,
    /// How many connections the node takes.
    #[command(flatten)]
    pub connections: ConnectionsConfig,
    /// How often clients may do something.
    #[command(flatten)]
    pub rates: RatesConfig,
    /// Bytes above which messages are compressed (permessage-deflate) for clients that offer it; never unless given
    #[arg(long, env = "ROOMCAST_DEFLATE_ABOVE", value_name = "BYTES", value_parser = whole_such_as::<u32>(16..=1_000_000, 200))]
    pub deflate_above: Option<u32>,
    /// Hours that messages are kept: at least 24
    #[arg(long, env = "ROOMCAST_RETENTION_HOURS", default_value_t = 30 * 24, value_name = "HOURS", value_parser = whole::<u64>(24..=87_600))]
    pub retention_hours: u64,
    /// Milliseconds over which sessions are closed when the node stops
    #[arg(long, env = "ROOMCAST_DRAIN_MS", default_value_t = 20_000, value_name = "MS", value_parser = whole::<u64>(0..=MAX_DRAIN_MS))]
    pub drain_ms: u64,
    /// Publishes that may wait for the log in one room; more get `overloaded`
    #[arg(long, env = "ROOMCAST_ROOM_QUEUE", default_value_t = 4_096, value_name = "N", value_parser = whole::<u32>(1..=1_000_000))]
    pub room_queue: u32,
    /// Commits under way at a time, all rooms together
    #[arg(long, env = "ROOMCAST_COMMITS_IN_FLIGHT", default_value_t = 256, value_name = "N", value_parser = whole::<u32>(1..=10_000))]
    pub commits_in_flight: u32,
    /// Rooms being opened at a time
    #[arg(long, env = "ROOMCAST_OPENS_IN_FLIGHT", default_value_t = 64, value_name = "N", value_parser = whole::<u32>(1..=10_000))]
    pub opens_in_flight: u32,
    /// Bytes of recent messages that the node keeps in memory, all rooms together
    #[arg(long, env = "ROOMCAST_RECENT_BYTES", default_value_t = 256 * 1024 * 1024, value_name = "BYTES", value_parser = whole::<u64>(1024..))]
    pub recent_bytes: u64,
    /// DynamoDB read units a second that audits may take
    #[arg(long, env = "ROOMCAST_AUDIT_UNITS", default_value_t = 500, value_name = "N", value_parser = whole::<u32>(1..=40_000))]
    pub audit_units: u32,
    /// Milliseconds that a missing message is waited for before the log is read
    #[arg(long, env = "ROOMCAST_GAP_MS", default_value_t = 150, value_name = "MS", value_parser = whole::<u64>(1..=60_000))]
    pub gap_ms: u64,
    /// The public port.
    #[command(flatten)]
    pub http: HttpConfig,
    /// What clients may cost the node.
    #[command(flatten)]
    pub clients: ClientsConfig,
}

/// The limits that a node works with, their relations checked.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest body, in bytes of JSON text.
    pub max_body: usize,
    /// Longest text frame, in bytes.
    pub max_frame: usize,
    /// Milliseconds between pings.
    pub heartbeat_ms: u64,
    /// Bytes that may wait for one connection.
    pub outbox_bytes: usize,
    /// Bytes that may wait for all connections together.
    pub outbox_total_bytes: usize,
    /// Frames without text a second of one connection; 0: no limit.
    pub control_frames_per_second: u32,
    /// Rooms a session.
    pub rooms_per_session: usize,
    /// Rooms a node.
    pub rooms: usize,
    /// WebSocket connections a node, one a session.
    pub connections: usize,
    /// Connections of the public port that are no WebSockets.
    pub http_connections: usize,
    /// How often clients may do something.
    pub rates: Rates,
    /// Milliseconds over which a stopping node closes its sessions.
    pub drain_ms: u64,
    /// Bytes above which messages are compressed for clients that take it; `None`: never.
    pub deflate_above: Option<usize>,
    /// Messages that a room keeps in memory.
    pub recent_messages: usize,
    /// Bytes of messages that a room keeps in memory.
    pub recent_bytes: usize,
    /// Bytes of messages that all rooms together keep in memory.
    pub recent_bytes_total: usize,
    /// Milliseconds that a room stays open after its last member has left.
    pub linger_ms: u64,
    /// Publishes of one room that have not been answered.
    pub publishes_in_flight: usize,
    /// `history` requests of one room that wait for the log.
    pub history_in_flight: usize,
    /// Commits under way, all rooms together.
    pub commits_in_flight: usize,
    /// Rooms being opened.
    pub opens_in_flight: usize,
    /// Reads under way for replays and repairs, all rooms together.
    pub reads_in_flight: usize,
    /// The same for the ids of a room's last messages: each may take many pages.
    pub id_reads_in_flight: usize,
    /// The same for `history`.
    pub history_reads_in_flight: usize,
    /// Read units a second for audits.
    pub audit_units: u32,
    /// Keys whose current values a room keeps for those who come later.
    pub signal_keys: usize,
    /// Bytes of these values, as frames.
    pub signal_bytes: usize,
    /// Milliseconds that such a value holds.
    pub signal_ms: u64,
    /// Nodes whose last signal a shard remembers.
    pub signal_origins: usize,
    /// Milliseconds within which a member that fell behind must read something.
    pub catch_up_ms: u64,
    /// What the public port takes.
    pub http: HttpLimits,
    append: AppendLimits,
    timeline: TimelineLimits,
}

/// Limits that contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// One address may have more than there is.
    #[error("{flag} {given} is more than {of_all} {all}, which counts for all addresses together")]
    Address {
        /// The flag of one address.
        flag: &'static str,
        /// Its value.
        given: u32,
        /// The flag of all addresses.
        of_all: &'static str,
        /// Its value.
        all: u32,
    },
    /// All outboxes together are smaller than one.
    #[error("--outbox-total-bytes {0} is less than --outbox-bytes {1}, which counts for one connection")]
    OutboxTotal(u64, u64),
}

impl LimitsConfig {
    /// Checks the relations.
    ///
    /// # Errors
    /// `LimitsError` names the flags that do not go together.
    pub fn limits(&self) -> Result<Limits, LimitsError> {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (max_body, outbox_bytes) = (size(self.max_body), size(self.outbox_bytes));
        let outbox_total = self.clients.outbox_total(self.outbox_bytes);
        if outbox_total < self.outbox_bytes {
            return Err(LimitsError::OutboxTotal(outbox_total, self.outbox_bytes));
        }
        let queue = count(self.room_queue);
        let (connections, http_connections) = (self.connections.websockets(), self.connections.http_connections);
        Ok(Limits {
            max_body,
            max_frame: max_body + FRAME_OVERHEAD,
            heartbeat_ms: self.heartbeat_ms,
            outbox_bytes,
            outbox_total_bytes: size(outbox_total),
            control_frames_per_second: self.clients.control_frames_per_second,
            rooms_per_session: count(self.rooms_per_session),
            rooms: count(self.rooms),
            connections: count(connections),
            http_connections: count(http_connections),
            rates: self.rates.rates(self.rooms_per_session),
            drain_ms: self.drain_ms,
            deflate_above: self.deflate_above.map(count),
            recent_messages: ID_WINDOW,
            recent_bytes: 1024 * 1024,
            recent_bytes_total: size(self.recent_bytes),
            linger_ms: 60_000,
            publishes_in_flight: 2 * queue,
            history_in_flight: 1_024,
            commits_in_flight: count(self.commits_in_flight),
            opens_in_flight: count(self.opens_in_flight),
            reads_in_flight: 128,
            id_reads_in_flight: 16,
            history_reads_in_flight: 32,
            audit_units: self.audit_units,
            signal_keys: 64,
            signal_bytes: 64 * 1024,
            signal_ms: 10_000,
            signal_origins: 1_024,
            catch_up_ms: 10_000,
            http: self.http.limits(connections, http_connections)?,
            append: AppendLimits {
                queue_messages: queue,
                retention_secs: (self.retention_hours * 3600).max(MIN_RETENTION_SECS),
                ..AppendLimits::default()
            },
            timeline: TimelineLimits { gap_ms: self.gap_ms, ..TimelineLimits::default() },
        })
    }
}

impl Limits {
    /// What bounds one room.
    #[must_use]
    pub fn room(&self) -> RoomLimits {
        RoomLimits { timeline: self.timeline.clone(), append: self.append.clone() }
    }

    /// The same for a node that has, or has not, other nodes to hand batches to.
    #[must_use]
    pub fn with_hand_off(mut self, hand_off: bool) -> Self {
        self.append.hand_off = hand_off;
        self
    }

    /// Bytes of recent messages that one of `shards` shards keeps.
    #[must_use]
    pub fn recent_bytes_per_shard(&self, shards: usize) -> usize {
        self.recent_bytes_total / shards
    }
}
