use serde::{Deserialize, Serialize};

use crate::json::Body;
use crate::names::{NodeId, RoomName, SignalKey, UserId};

/// A signal as it travels between nodes: ephemeral, never logged, delivered at most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The room.
    pub room: RoomName,
    /// Who sent it.
    pub from: UserId,
    /// A newer value of a key replaces the older one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<SignalKey>,
    /// What it says.
    pub body: Body,
    /// The node that took it in.
    pub node: NodeId,
    /// Counts that node's signals from 1: whatever comes with a lower number than one before is late, or a repeat.
    pub number: u64,
}

impl Signal {
    /// Bytes of this signal as JSON, a separating comma included, at most.
    #[must_use]
    pub fn envelope_len(&self) -> usize {
        const FIELDS: usize = r#"{"room":"","from":,"key":,"body":,"node":"","number":},"#.len();
        const NUMBER: usize = 20;
        let key = self.key.as_ref().map_or(0, |key| crate::json::string_len(key.as_str()));
        let names = self.room.as_str().len() + crate::json::string_len(self.from.as_str()) + self.node.as_str().len();
        FIELDS + NUMBER + key + names + self.body.len()
    }
}
