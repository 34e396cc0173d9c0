use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};
use room_core::{Action, Found, HandOver, Ticket};

use super::HistoryRequest;

/// An answer for a room.
#[derive(Debug)]
pub(crate) enum Answer {
    Checked(Ticket, Option<(Option<RoomHeader>, Option<StoredSegment>)>),
    Page(Ticket, Option<Vec<StoredSegment>>),
    Ids(Ticket, Option<Vec<StoredSegment>>),
    Found(Ticket, Found),
    Header(Ticket, Option<HeaderOutcome>),
    Appended(Ticket, AppendOutcome),
    HandedOver(Ticket, HandOver),
    Probed(Ticket, Probe),
    /// A page for members that read back, under its number; `None`: it could not be read.
    Replay(u64, Option<Vec<StoredSegment>>),
    /// What a `history` request asked for; `None`: it could not be read.
    History(HistoryRequest, Option<Vec<StoredSegment>>),
}

impl Answer {
    /// What a room hears when the log says nothing.
    pub(crate) fn silence(action: &Action) -> Self {
        match action {
            Action::Check { ticket } => Self::Checked(*ticket, None),
            Action::Read { ticket, .. } => Self::Page(*ticket, None),
            Action::ReadIds { ticket, .. } => Self::Ids(*ticket, None),
            Action::ReadMessage { ticket, .. } => Self::Found(*ticket, Found::Unknown),
            Action::PutHeader { ticket, .. } => Self::Header(*ticket, None),
            Action::Append { ticket, .. } => Self::Appended(*ticket, AppendOutcome::Unknown("no answer".into())),
            Action::HandOver { ticket, .. } => Self::HandedOver(*ticket, HandOver::Unknown),
            Action::Probe { ticket, .. } => Self::Probed(*ticket, Probe::Unknown),
        }
    }

    /// What a room hears when the log has no capacity.
    pub(crate) fn refusal(action: &Action) -> Self {
        match action {
            Action::Append { ticket, .. } => Self::Appended(*ticket, AppendOutcome::Throttled),
            other => Self::silence(other),
        }
    }

    /// Whose answer it is; `None`: no machine's.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Checked(ticket, _)
            | Self::Page(ticket, _)
            | Self::Ids(ticket, _)
            | Self::Found(ticket, _)
            | Self::Header(ticket, _)
            | Self::Appended(ticket, _)
            | Self::HandedOver(ticket, _)
            | Self::Probed(ticket, _) => Some(*ticket),
            Self::Replay(..) | Self::History(..) => None,
        }
    }
}

/// What pairs an action with its answer.
pub(super) fn ticket_of(action: &Action) -> Ticket {
    match action {
        Action::Check { ticket }
        | Action::Read { ticket, .. }
        | Action::ReadIds { ticket, .. }
        | Action::ReadMessage { ticket, .. }
        | Action::PutHeader { ticket, .. }
        | Action::Append { ticket, .. }
        | Action::HandOver { ticket, .. }
        | Action::Probe { ticket, .. } => *ticket,
    }
}
