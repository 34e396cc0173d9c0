use serde::de::{Error as _, IgnoredAny};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::hash::{BodyHash, MessageKey};
use crate::json::{Body, string_len};
use crate::names::{DisplayName, MessageId, NodeId, RoomName, UserId};
use crate::position::{Epoch, Seq};
use crate::wall_secs::WallSecs;

/// One message as the log and the envelope hold it; its number follows from its segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The publisher's id for it.
    pub id: MessageId,
    /// Who published it.
    pub from: UserId,
    /// What the publisher was called at the time.
    pub name: DisplayName,
    /// When a node took it in, in milliseconds since 1970. Informative: order comes from the sequence.
    pub at: u64,
    /// What was said.
    pub body: Body,
}

impl Message {
    /// Bytes of this message as envelope JSON, a separating comma included. Exact but for `at`, which is taken as 20
    /// digits.
    #[must_use]
    pub fn envelope_len(&self) -> usize {
        const FIELDS: usize = r#"{"id":,"from":,"name":,"at":,"body":},"#.len();
        const AT: usize = 20;
        let texts = string_len(self.id.as_str()) + string_len(self.from.as_str()) + string_len(self.name.as_str());
        FIELDS + AT + texts + self.body.len()
    }

    /// What idempotence knows this message by.
    #[must_use]
    pub fn key(&self) -> MessageKey {
        MessageKey::new(&self.from, &self.id)
    }

    /// Tells this message's body from another's under the same key.
    #[must_use]
    pub fn body_hash(&self) -> BodyHash {
        BodyHash::new(&self.body)
    }
}

/// What a segment carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Messages with consecutive numbers; at least one.
    Messages(Vec<Message>),
    /// Messages of a form that this version cannot read. Their numbers are known all the same.
    Unreadable {
        /// How many numbers they take.
        count: u64,
    },
}

/// The consecutive messages that one node committed to one room with one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The room.
    pub room: RoomName,
    /// The number of the first message.
    pub seq: Seq,
    /// The epoch that its writer knew.
    pub epoch: Epoch,
    /// The node that wrote it.
    pub node: NodeId,
    /// From this time on it counts as absent, whether or not the log still shows it.
    pub expires: WallSecs,
    /// The messages.
    pub content: Content,
}

impl Segment {
    /// How many numbers the segment takes.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.content {
            Content::Messages(messages) => messages.len() as u64,
            Content::Unreadable { count } => *count,
        }
    }

    /// The key of the segment after this one.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.seq.plus(self.count())
    }

    /// The messages with their numbers; none when they are unreadable.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = (Seq, &Message)> + ExactSizeIterator {
        let messages: &[Message] = match &self.content {
            Content::Messages(messages) => messages,
            Content::Unreadable { .. } => &[],
        };
        messages.iter().enumerate().map(|(index, message)| (self.seq.plus(index as u64), message))
    }

    /// Bytes of a segment without messages as envelope JSON, a separating comma included: what its messages' lengths
    /// are added to.
    #[must_use]
    pub fn envelope_overhead(room: &RoomName, epoch: &Epoch, node: &NodeId) -> usize {
        const FIELDS: usize = r#"{"room":"","seq":,"count":,"epoch":"","node":"","expires":,"messages":[]},"#.len();
        const NUMBERS: usize = 16 + 4 + 20;
        FIELDS + NUMBERS + room.as_str().len() + epoch.as_str().len() + node.as_str().len()
    }

    /// Bytes of this segment as envelope JSON, at most.
    #[must_use]
    pub fn envelope_len(&self) -> usize {
        let messages: usize = self.messages().map(|(_, message)| message.envelope_len()).sum();
        Self::envelope_overhead(&self.room, &self.epoch, &self.node) + messages
    }
}

impl Serialize for Segment {
    /// # Errors
    /// An unreadable segment cannot be written again: what it held is not known.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Content::Messages(messages) = &self.content else {
            return Err(serde::ser::Error::custom("an unreadable segment cannot be written"));
        };
        let mut fields = serializer.serialize_struct("Segment", 7)?;
        fields.serialize_field("room", &self.room)?;
        fields.serialize_field("seq", &self.seq)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("epoch", &self.epoch)?;
        fields.serialize_field("node", &self.node)?;
        fields.serialize_field("expires", &self.expires)?;
        fields.serialize_field("messages", messages)?;
        fields.end()
    }
}

/// A segment as it is written.
#[derive(Deserialize)]
struct Fields<M> {
    room: RoomName,
    seq: Seq,
    count: u64,
    epoch: Epoch,
    node: NodeId,
    expires: WallSecs,
    messages: M,
}

impl<M> Fields<M> {
    fn are_in_range(&self) -> bool {
        let in_range = self.seq >= Seq::FIRST && self.count >= 1 && self.count <= crate::limits::ID_WINDOW as u64;
        in_range && self.seq.plus(self.count) != Seq::MAX
    }
}

/// A segment with nothing in it that this version does not know: read in one pass, where [`Segment`] takes two.
pub(crate) struct KnownSegment(pub(crate) Segment);

impl<'de> Deserialize<'de> for KnownSegment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::<Vec<Message>>::deserialize(deserializer)?;
        if !fields.are_in_range() || fields.messages.len() as u64 != fields.count {
            return Err(D::Error::custom("a segment of another form"));
        }
        let Fields { room, seq, epoch, node, expires, messages, .. } = fields;
        Ok(Self(Segment { room, seq, epoch, node, expires, content: Content::Messages(messages) }))
    }
}

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::<&RawValue>::deserialize(deserializer)?;
        if !fields.are_in_range() {
            return Err(D::Error::custom("a segment's numbers are out of range"));
        }
        let content = match serde_json::from_str::<Vec<Message>>(fields.messages.get()) {
            Ok(messages) if messages.len() as u64 == fields.count => Content::Messages(messages),
            // Well-formed but foreign: a newer version wrote it. What is not even JSON fails above.
            _ => {
                let _: IgnoredAny = serde_json::from_str(fields.messages.get()).map_err(D::Error::custom)?;
                Content::Unreadable { count: fields.count }
            }
        };
        let Fields { room, seq, epoch, node, expires, .. } = fields;
        Ok(Self { room, seq, epoch, node, expires, content })
    }
}
