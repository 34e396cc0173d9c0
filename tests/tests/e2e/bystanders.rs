use protocol::RoomName;
use tests::{Crowd, Guest};

/// A pair that chats while somebody else misbehaves, and must notice nothing.
pub(crate) struct Bystanders {
    crowd: Crowd,
    pair: [Guest; 2],
    room: RoomName,
    said: usize,
}

impl Bystanders {
    /// Somebody at each of two URLs (which may be the same), in one room.
    pub(crate) async fn meet(urls: [&str; 2], room: &RoomName) -> Self {
        let crowd = Crowd::new();
        let pair = [crowd.member(urls[0], room).await, crowd.member(urls[1], room).await];
        Self { crowd, pair, room: room.clone(), said: 0 }
    }

    /// Each says something.
    pub(crate) async fn chat(&mut self) {
        for guest in &self.pair {
            self.said += 1;
            guest.say(&self.room, &format!("message {}", self.said)).await;
        }
    }

    /// Both saw everything that was said here and nothing else, on the connections that they began with.
    pub(crate) async fn undisturbed(mut self) {
        self.chat().await;
        let report = self.crowd.verified().await;
        assert_eq!(report.messages as usize, self.said, "{report}");
        assert_eq!(report.sightings as usize, 2 * self.said, "{report}");
        for guest in &self.pair {
            assert_eq!(guest.losses(), 0, "a bystander lost its connection");
        }
    }
}
