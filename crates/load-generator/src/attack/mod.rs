//! Attacks on a deployment of one's own: what hostile and clumsy clients send, a victim beside them, and a judge.
//!
//! The parts are public because the tests build on them: a connection by hand ([`RawConnection`]), floods, a victim whose
//! waits are measured, a server that throws away what it reads. [`frames`] has the bytes. Everything here is bounded in
//! time and connections, and goes only where it is told to.

mod arguments;
mod asking;
mod connection;
mod discard;
mod flood;
pub mod frames;
mod health;
mod profile;
mod run;
mod victim;
mod watched;

pub(crate) use arguments::AttackArguments;
pub use connection::{AttackError, End, Incoming, RawConnection};
pub use discard::Discard;
pub use flood::{Flood, FloodPlan, FloodSeen};
pub use health::check as check_health;
pub use profile::Attack;
pub(crate) use run::AttackPlan;
pub use victim::{Victim, VictimPlan};
pub use watched::{Kind, Phase, Watched};
