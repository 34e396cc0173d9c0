use std::collections::HashMap;

use protocol::RoomName;
use room_core::Time;
use slab::Slab;

use super::hosted::Hosted;

/// The rooms of a shard, by name, and by the slot that each has for as long as it is hosted: a small number that later
/// another room may get.
#[derive(Default)]
pub(crate) struct RoomTable {
    slots: HashMap<RoomName, usize>,
    /// Each in memory of its own, which comes back when the room is given up.
    rooms: Slab<Box<Hosted>>,
}

/// Places below which a table is not made smaller.
const FEW: usize = 1_024;

impl RoomTable {
    /// Takes a room in, which is not there yet. Returns its slot.
    pub(crate) fn insert(&mut self, room: Hosted) -> usize {
        let name = room.name.clone();
        let slot = self.rooms.insert(Box::new(room));
        let before = self.slots.insert(name, slot);
        debug_assert!(before.is_none(), "a room is hosted once");
        slot
    }

    /// Gives a room up.
    pub(crate) fn remove(&mut self, slot: usize) {
        if let Some(room) = self.rooms.try_remove(slot) {
            self.slots.remove(&room.name);
        }
    }

    /// A room's slot.
    pub(crate) fn slot(&self, room: &RoomName) -> Option<usize> {
        self.slots.get(room).copied()
    }

    pub(crate) fn get(&self, room: &RoomName) -> Option<&Hosted> {
        self.rooms.get(self.slot(room)?).map(|room| &**room)
    }

    pub(crate) fn at(&mut self, slot: usize) -> Option<&mut Hosted> {
        self.rooms.get_mut(slot).map(|room| &mut **room)
    }

    pub(crate) fn contains(&self, room: &RoomName) -> bool {
        self.slots.contains_key(room)
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Gives memory back after a rush. Returns the rooms that have got another slot, by the old one and the new one;
    /// `None`: nothing has changed.
    pub(crate) fn shrink(&mut self) -> Option<Vec<(usize, usize)>> {
        let places = self.rooms.capacity().max(self.slots.capacity());
        if places <= FEW || self.rooms.len() > places / 8 {
            return None;
        }
        let Self { slots, rooms } = self;
        let mut moves = Vec::new();
        rooms.compact(|room, from, to| {
            if let Some(slot) = slots.get_mut(&room.name) {
                *slot = to;
            }
            moves.push((from, to));
            true
        });
        slots.shrink_to(2 * rooms.len());
        Some(moves)
    }

    /// Places that there is memory for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.rooms.capacity().max(self.slots.capacity())
    }

    /// The slots of all rooms.
    pub(crate) fn slots(&self) -> Vec<usize> {
        self.slots.values().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hosted> {
        self.rooms.iter().map(|(_, room)| &**room)
    }

    /// The rooms that linger without a session: since when, slot and hosting; the longest first.
    pub(crate) fn lingering(&self) -> Vec<(Time, usize, u64)> {
        let lingering = self.rooms.iter().filter_map(|(slot, room)| Some((room.empty_since()?, slot, room.hosting)));
        let mut rooms: Vec<_> = lingering.collect();
        rooms.sort_unstable();
        rooms
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Hosted> {
        self.rooms.iter_mut().map(|(_, room)| &mut **room)
    }
}
