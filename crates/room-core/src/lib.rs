//! The decisions of a room, as pure state machines: what is delivered next, what is written next, what is read next.
//!
//! This crate refuses to contain I/O, a clock, a source of randomness, tokio, axum, AWS and metrics: time and chance are
//! arguments ([`Turn`]), effects are values ([`Action`], [`Event`]). So whole clusters run in a test, in virtual time,
//! from one seed.
//!
//! Every machine speaks one grammar. `handle_*` takes in what happened. Then, in this order, [`Room::poll_event`] is
//! asked until it has nothing more (what members and publishers must be told), [`Room::poll_action`] until it has nothing
//! more (what must be asked of the log), and [`Room::poll_timeout`] tells when [`Room::handle_timeout`] is due.

mod append;
mod backoff;
mod effects;
pub mod log;
mod recent;
mod recovery;
mod room;
mod timeline;
mod turn;

pub use append::{AppendLimits, Publish, Token};
pub use effects::{Action, Event, Found, HandOver, Rejection, Ticket};
pub use recent::Recent;
pub use recovery::{Entry, ReplayPage, Replayed, enter, replay_page, still_there};
pub use room::{Room, RoomLimits};
pub use timeline::{TimelineLimits, TimelineStats};
pub use turn::{Time, Turn};
