//! Latencies as people read them.

pub use load_generator::latencies::Latencies;
