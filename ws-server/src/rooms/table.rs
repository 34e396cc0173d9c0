use std::collections::HashMap;

use protocol::RoomName;
use slab::Slab;

use super::hosted::Hosted;

/// The rooms of a shard, by name, and by the slot that each has for as long as it is hosted: a small number that later
/// another room may get.
#[derive(Default)]
pub(crate) struct RoomTable {
    slots: HashMap<RoomName, usize>,
    rooms: Slab<Hosted>,
}

impl RoomTable {
    /// Takes a room in, which is not there yet. Returns its slot.
    pub(crate) fn insert(&mut self, room: Hosted) -> usize {
        let name = room.name.clone();
        let slot = self.rooms.insert(room);
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
        self.rooms.get(self.slot(room)?)
    }

    pub(crate) fn at(&mut self, slot: usize) -> Option<&mut Hosted> {
        self.rooms.get_mut(slot)
    }

    pub(crate) fn contains(&self, room: &RoomName) -> bool {
        self.slots.contains_key(room)
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// The slots of all rooms.
    pub(crate) fn slots(&self) -> Vec<usize> {
        self.slots.values().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hosted> {
        self.rooms.iter().map(|(_, room)| room)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Hosted> {
        self.rooms.iter_mut().map(|(_, room)| room)
    }
}
