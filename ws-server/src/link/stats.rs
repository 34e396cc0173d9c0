use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters once: as they count, as they are read, and as the metrics name them.
macro_rules! counters {
    ($($name:ident: $what:literal,)*) => {
        /// What nodes asked of each other and what became of it. Shared by the link's two ends, the relay and the
        /// metrics.
        #[derive(Debug, Default)]
        pub struct LinkStats {
            $(pub(crate) $name: AtomicU64,)*
        }

        /// The counters at one moment; all count from the node's start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct LinkCounts {
            $(#[doc = $what] pub $name: u64,)*
        }

        impl LinkStats {
            /// The counters now.
            #[must_use]
            pub fn counts(&self) -> LinkCounts {
                LinkCounts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl LinkCounts {
            /// Name, meaning and value of every counter.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $what, self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    refused_forged: "Requests of other nodes refused for a missing or wrong signature",
    refused_stale: "Requests of other nodes refused for a time more than 30 s from this node's clock",
    refused_replayed: "Requests of other nodes refused because their number came before",
    refused_foreign: "Requests refused because they were for another node",
    refused_malformed: "Authentic requests whose body was not of the agreed form",
    refused_too_large: "Requests of other nodes refused for the size of their body",
    refused_slow: "Requests of other nodes whose body did not come in time",
    refused_overloaded: "Requests of other nodes put off because this node had no room for them",
    refused_connections: "Connections of other nodes closed because too many were open",
    segments_received: "Segments that other nodes pushed",
    signals_received: "Signals that other nodes pushed",
    hand_offs_received: "Batches that other nodes handed over, or tried to",
    posts_received: "SNS posts that other nodes passed on",
    segments_pushed: "Segments pushed to other nodes, each node counted",
    signals_pushed: "Signals pushed to other nodes, each node counted",
    hint_requests: "Requests that carried pushed segments and signals",
    hints_dropped: "Segments and signals not pushed, because the node's queue was full or it did not answer before",
    hints_failed: "Segments and signals lost in a request that was not answered well",
    hand_offs_answered: "Batches handed over, with an answer",
    hand_offs_not_sent: "Batches not handed over: the node was not known, did not answer before, or had too many",
    hand_offs_unknown: "Batches handed over without an answer in time",
    relay_forged: "SNS posts refused for a path that no node of the deployment made",
    relay_own: "SNS posts through the load balancer that were for this node",
    relay_forwarded: "SNS posts passed on to their node",
    relay_gone: "SNS posts for a node that is no more",
    relay_unreachable: "SNS posts whose node was not reached or did not answer",
    signals_published: "Signals published to SNS",
    signals_dropped: "Signals not published to SNS because too many waited",
    signals_replaced: "Signals that a newer one of the same key replaced before they were published to SNS",
    signals_unpublished: "Signals lost in a publish to SNS that failed",
    redis_publishes: "Publishes to Redis, each of all segments and signals that had gathered",
    redis_segments_published: "Segments published to Redis",
    redis_signals_published: "Signals published to Redis",
    redis_dropped: "Segments and signals not published to Redis, because too many waited or it went away",
    redis_lost: "Segments and signals lost in a publish to Redis that was not answered well",
    redis_segments_received: "Segments of other nodes that came through Redis",
    redis_signals_received: "Signals of other nodes that came through Redis",
    redis_forged: "Payloads from Redis refused for a missing or wrong signature",
    redis_stale: "Payloads from Redis refused for a time more than 30 s from this node's clock",
    redis_replayed: "Payloads from Redis refused because their number came before",
    redis_malformed: "Authentic payloads from Redis that were not of the agreed form",
    redis_too_large: "Payloads from Redis refused for their size",
    redis_overloaded: "Payloads from Redis dropped, at least in part, because the rooms' queues were full",
    redis_failures: "Connections to Redis that were lost, and attempts that failed",
    directory_failures: "Reads of the nodes' table that failed",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backplane::count;

    #[test]
    fn every_counter_is_read_under_its_name() {
        let stats = LinkStats::default();
        count(&stats.refused_stale);
        count(&stats.hints_failed);
        let counts = stats.counts();
        assert_eq!(counts, LinkCounts { refused_stale: 1, hints_failed: 1, ..LinkCounts::default() });
        let named: Vec<_> = counts.each().filter(|(.., value)| *value > 0).map(|(name, ..)| name).collect();
        assert_eq!(named, ["refused_stale", "hints_failed"]);
    }
}
