//! What a fuzzer calls with bytes of its own: each function takes any bytes and panics when a promise is broken.
//!
//! The programs in `fuzz/` search with them (`make fuzz`); the test here replays the inputs that are kept in
//! `fuzz/corpus`, so that what was found once stays found without a fuzzer.

mod client_frame;
mod client_stream;
mod envelope;
mod heard;
mod sns_body;

pub use client_frame::client_frame;
pub use client_stream::client_stream;
pub use envelope::envelope;
pub use heard::Heard;
pub use sns_body::sns_body;

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// All of them, by the names of their programs and of their folders in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 4] =
    [("client_stream", client_stream), ("client_frame", client_frame), ("envelope", envelope), ("sns_body", sns_body)];
