use std::collections::{HashMap, VecDeque};

use protocol::SessionId;
use room_core::Time;

use super::join::Joining;

/// Sessions that wait to enter a room, in the order they came. All wait equally long, so the first is due first.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// In ascending order of their numbers.
    queue: VecDeque<(u64, Joining)>,
    numbers: HashMap<SessionId, u64>,
    last: u64,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(crate) fn contains(&self, id: &SessionId) -> bool {
        self.numbers.contains_key(id)
    }

    /// The session that has waited the longest.
    pub(crate) fn first(&self) -> Option<&SessionId> {
        self.queue.front().map(|(_, joining)| &joining.session.id)
    }

    /// When the first has waited long enough.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.queue.front().map(|(_, joining)| joining.deadline)
    }

    pub(crate) fn push(&mut self, joining: Joining) {
        self.last += 1;
        self.numbers.insert(joining.session.id.clone(), self.last);
        self.queue.push_back((self.last, joining));
    }

    /// Takes out a session.
    pub(crate) fn remove(&mut self, id: &SessionId) -> Option<Joining> {
        let number = self.numbers.remove(id)?;
        let place = self.queue.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.queue.remove(place).map(|(_, joining)| joining)
    }

    /// Takes out the first if it has waited until now.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Joining> {
        self.queue.front().filter(|(_, joining)| joining.deadline <= now)?;
        let (_, joining) = self.queue.pop_front()?;
        self.numbers.remove(&joining.session.id);
        Some(joining)
    }

    /// Takes out all.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Joining> + use<> {
        self.numbers.clear();
        std::mem::take(&mut self.queue).into_iter().map(|(_, joining)| joining)
    }
}
