//! The recorded chat that comes with the repository.

pub use load_generator::trace::{Line, Trace, TraceError};

/// Two rooms of a live stream's chat; the first 36 minutes hold both.
pub const LIVE_CHAT: &str = include_str!("../fixtures/live-chat-trace.csv");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_trace_that_comes_along_is_the_recorded_one() {
        let trace = Trace::parse(LIVE_CHAT).unwrap();
        assert_eq!(trace.lines.len(), 34_698);
        let both = trace.until(Duration::from_secs(36 * 60));
        assert_eq!(both.rooms, ["stream-a", "stream-b"]);
        assert_eq!((both.lines_by_room(), both.authors()), (vec![27_925, 3_446], 13_719));
    }
}
