/// What one invocation did, for its one line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    /// Stream records received.
    pub(crate) records: usize,
    /// Of these, neither inserts nor segments.
    pub(crate) ignored: usize,
    /// Of these, passed over because nothing can be said about them.
    pub(crate) skipped: usize,
    /// Segments to publish.
    pub(crate) segments: usize,
    /// Of the segments, those announced without their messages.
    pub(crate) announced: usize,
    /// Of the segments, those handed back for Lambda to repeat.
    pub(crate) failed: usize,
    /// SNS messages that these segments were packed into.
    pub(crate) messages: usize,
    /// Attempts to publish, retries included.
    pub(crate) publishes: usize,
}

impl Summary {
    /// Writes the line.
    pub(crate) fn log(&self) {
        tracing::info!(
            records = self.records,
            ignored = self.ignored,
            skipped = self.skipped,
            segments = self.segments,
            announced = self.announced,
            failed = self.failed,
            sns_messages = self.messages,
            publishes = self.publishes,
            "batch done"
        );
    }
}
