//! What clients may cost the node, whatever they ask for.

use clap::Args;

use super::memory::machine_memory;
use super::parse::{whole, whole_such_as};

/// What the default of `--outbox-total-bytes` is of the machine's memory.
const SHARE: u64 = 4;
/// The least that it is.
const LEAST: u64 = 64 * 1024 * 1024;

/// Bounds of what clients cost the node by not reading, or by sending what carries nothing.
#[derive(Debug, Clone, Args)]
pub struct ClientsConfig {
    /// Bytes that may wait for all slow connections together; beyond, the fullest are closed with 4008 (a quarter of the machine's memory unless given)
    #[arg(long, env = "ROOMCAST_OUTBOX_TOTAL_BYTES", value_name = "BYTES", value_parser = whole_such_as::<u64>(1024 * 1024.., 256 * 1024 * 1024))]
    pub outbox_total_bytes: Option<u64>,
    /// Pings, pongs and empty frames a second of one connection, twice as many at once; more close it with 4029 (0: no limit)
    #[arg(long, env = "ROOMCAST_CONTROL_FRAMES_PER_SECOND", default_value_t = 50, value_name = "N", value_parser = whole::<u32>(0..=1_000_000))]
    pub control_frames_per_second: u32,
}

impl ClientsConfig {
    /// Bytes that may wait for all connections together.
    pub(super) fn outbox_total(&self, outbox_bytes: u64) -> u64 {
        let share = || (machine_memory().unwrap_or_default() / SHARE).max(LEAST).max(outbox_bytes);
        self.outbox_total_bytes.unwrap_or_else(share)
    }
}
