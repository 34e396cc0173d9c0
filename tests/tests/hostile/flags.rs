//! The flags that these tests set, in one place.

/// Origins that a browser may come from.
pub(crate) const ALLOWED_ORIGINS: &str = "--allowed-origins";
/// Proxies whose word about a client's address counts.
pub(crate) const TRUSTED_PROXIES: &str = "--trusted-proxies";
/// Sessions of one address.
pub(crate) const SESSIONS_PER_ADDRESS: &str = "--sessions-per-address";
/// Connections without a session, of one address.
pub(crate) const HTTP_CONNECTIONS_PER_ADDRESS: &str = "--http-connections-per-address";
/// Connections without a session, all together.
pub(crate) const HTTP_CONNECTIONS: &str = "--http-connections";
/// Joins a second of one session.
pub(crate) const JOINS_PER_SECOND: &str = "--joins-per-second";
/// Joins a second of one session that open a room.
pub(crate) const OPENS_PER_SECOND: &str = "--opens-per-second";
/// `history` requests a second of one session.
pub(crate) const HISTORIES_PER_SECOND: &str = "--histories-per-second";
/// Publishes a second of one session.
pub(crate) const PUBLISHES_PER_SECOND: &str = "--publishes-per-second";
/// Bytes that wait for all connections of a node together.
pub(crate) const OUTBOX_TOTAL_BYTES: &str = "--outbox-total-bytes";
/// Rooms of a node.
pub(crate) const ROOMS: &str = "--rooms";
