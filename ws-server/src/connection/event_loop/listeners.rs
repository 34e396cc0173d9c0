//! Which of a loop's connections get what of which room.
//!
//! A room posts a segment once to a loop, and the loop walks the room's members that it owns. While a walk goes on, what
//! the room posts waits; all that has come meanwhile is one walk, and one write for each member.

use std::collections::{HashMap, VecDeque};

use mio::Token;

use crate::connection::frame::Frame;
use crate::connection::mailbox::{Mail, Post, RoomKey};

/// Bytes of one walk, but one frame.
const MOST_BYTES: usize = 64 * 1024;
/// Places that a room without posts keeps.
const KEPT: usize = 16;

/// The rooms of a loop.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    rooms: HashMap<RoomKey, Room>,
    /// Rooms whose posts wait, with the number of the first.
    queue: VecDeque<(u64, RoomKey)>,
    /// The last post that came.
    last: u64,
    /// The first post of the walk that goes on.
    walking: Option<u64>,
}

/// A room's members here, dense, so that a walk is one over an array.
#[derive(Debug, Default)]
struct Room {
    members: Vec<Token>,
    places: HashMap<Token, usize>,
    /// What waits, with its number.
    posts: VecDeque<(u64, Post)>,
}

/// How far messages are on their way to all members that a room has here. It goes back to [`Listeners::finish`], or the room
/// has no members any more.
#[derive(Debug)]
#[must_use]
pub(crate) struct Walk {
    room: RoomKey,
    /// The room's, lent for as long as the walk goes on: nobody comes or goes meanwhile.
    members: Vec<Token>,
    /// Members that have got them, and those that shall.
    done: usize,
    until: usize,
    /// What the posts count.
    pub(crate) cost: usize,
}

/// What comes of some of a room's posts.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Messages for those who came or went between them, with the numbers of their posts.
    pub(crate) apart: Vec<(Token, u64, Frame)>,
    /// Who has come (true), and who has gone.
    pub(crate) moves: Vec<(Token, bool)>,
    /// The messages, with the numbers of their posts.
    pub(crate) frames: Vec<(u64, Frame)>,
    /// The way to all others who are to get them, if there are any.
    pub(crate) walk: Option<Walk>,
    /// What the posts count.
    pub(crate) cost: usize,
}

impl Listeners {
    /// Takes in what rooms have posted.
    pub(crate) fn take(&mut self, mail: &mut Mail) {
        let mut number = mail.last_post - mail.posts.len() as u64;
        for post in mail.posts.drain(..) {
            number += 1;
            let key = post.room();
            let room = self.rooms.entry(key).or_default();
            if room.posts.is_empty() {
                self.queue.push_back((number, key));
            }
            room.posts.push_back((number, post));
        }
        self.last = number;
    }

    /// Whether a room waits for its turn.
    pub(crate) fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The last post up to which every post is written, or queued for those who could not be written to.
    pub(crate) fn written(&self) -> u64 {
        let waiting = self.queue.iter().map(|(first, _)| *first).chain(self.walking).min();
        waiting.map_or(self.last, |first| first - 1)
    }

    /// Takes posts of the room whose turn it is; `None`: there are none. A walk must be over before the next step.
    pub(crate) fn step(&mut self) -> Option<Step> {
        debug_assert!(self.walking.is_none());
        let (_, key) = self.queue.pop_front()?;
        let room = self.rooms.get_mut(&key)?;
        let mut step = room.step(key);
        if let Some(walk) = &mut step.walk {
            walk.members = std::mem::take(&mut room.members);
            self.walking = step.frames.first().map(|(number, _)| *number);
        }
        match room.posts.front() {
            Some((number, _)) => self.queue.push_back((*number, key)),
            None if room.members.is_empty() && step.walk.is_none() => drop(self.rooms.remove(&key)),
            None if room.posts.capacity() > KEPT => room.posts = VecDeque::new(),
            None => {}
        }
        Some(step)
    }

    /// A walk is over: everybody has got everything, or has it queued.
    pub(crate) fn finish(&mut self, walk: Walk) {
        // What was posted meanwhile waits, so it is here still.
        if let Some(room) = self.rooms.get_mut(&walk.room) {
            room.members = walk.members;
        }
        self.walking = None;
    }
}

impl Walk {
    /// The next member; `None`: it is over.
    pub(crate) fn next_member(&mut self) -> Option<Token> {
        let member = self.members[..self.until].get(self.done).copied();
        self.done += 1;
        member
    }
}

impl Room {
    fn step(&mut self, key: RoomKey) -> Step {
        let mut step = Step::default();
        let mut frames: Vec<(u64, Frame)> = Vec::new();
        // Who came, and the messages that there were before.
        let mut newcomers: Vec<(Token, usize)> = Vec::new();
        let mut bytes = 0;
        while let Some((_, post)) = self.posts.front() {
            if let Post::Fan(_, frame) = post {
                if bytes > 0 && bytes + frame.len() > MOST_BYTES {
                    break;
                }
                bytes += frame.len();
            }
            let Some((number, post)) = self.posts.pop_front() else { break };
            step.cost += post.cost();
            match post {
                Post::Fan(_, frame) => frames.push((number, frame)),
                Post::Enter(_, token) => {
                    newcomers.push((token, frames.len()));
                    step.moves.push((token, true));
                }
                Post::Leave(_, token) => {
                    let came = newcomers.iter().position(|(newcomer, _)| *newcomer == token);
                    let from = came.map(|place| newcomers.swap_remove(place).1);
                    if from.is_some() || self.remove(token) {
                        step.moves.push((token, false));
                        let own = &frames[from.unwrap_or(0)..];
                        step.apart.extend(own.iter().map(|(number, frame)| (token, *number, frame.clone())));
                    }
                }
            }
        }
        let until = self.members.len();
        for (token, from) in newcomers {
            step.apart.extend(frames[from..].iter().map(|(number, frame)| (token, *number, frame.clone())));
            self.places.insert(token, self.members.len());
            self.members.push(token);
        }
        if until > 0 && !frames.is_empty() {
            step.walk = Some(Walk { room: key, members: Vec::new(), done: 0, until, cost: step.cost });
        }
        step.frames = frames;
        step
    }

    fn remove(&mut self, token: Token) -> bool {
        let Some(place) = self.places.remove(&token) else { return false };
        self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.places.insert(*moved, place);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Mailboxes;
    use crate::connection::mailbox::Mailbox;

    /// A loop without sockets, and what each of its connections has got.
    struct World {
        mailbox: Mailbox,
        listeners: Listeners,
        got: HashMap<usize, Vec<String>>,
        walks: Vec<usize>,
    }

    impl World {
        fn new() -> Self {
            Self { mailbox: Mailbox::default(), listeners: Listeners::default(), got: HashMap::new(), walks: vec![] }
        }

        fn post(&self, posts: impl IntoIterator<Item = Post>) {
            posts.into_iter().for_each(|post| self.mailbox.post(post));
        }

        fn take(&mut self) {
            let mut mail = Mail::default();
            if self.mailbox.take(&mut mail) {
                self.listeners.take(&mut mail);
            }
        }

        /// One step; each connection gets its frames in the order in which an outbox would have them.
        fn step(&mut self) -> bool {
            let Some(Step { apart, walk, frames, .. }) = self.listeners.step() else { return false };
            for (Token(to), _, frame) in apart {
                self.got.entry(to).or_default().push(frame.text().to_owned());
            }
            let Some(mut walk) = walk else { return true };
            self.walks.push(frames.len());
            let before = frames[0].0 - 1;
            while let Some(Token(to)) = walk.next_member() {
                assert!(self.listeners.written() <= before, "it is under way");
                let texts = frames.iter().map(|(_, frame)| frame.text().to_owned());
                self.got.entry(to).or_default().extend(texts);
            }
            self.listeners.finish(walk);
            true
        }

        fn got(&self, member: usize) -> Vec<&str> {
            self.got.get(&member).into_iter().flatten().map(String::as_str).collect()
        }
    }

    fn keys<const N: usize>() -> [RoomKey; N] {
        let mailboxes = Mailboxes::new(1);
        std::array::from_fn(|_| mailboxes.new_room())
    }

    fn fan(key: RoomKey, text: &str) -> Post {
        Post::Fan(key, Frame::new(text))
    }

    #[test]
    fn all_that_a_room_has_posted_is_one_walk() {
        let (mut world, [a]) = (World::new(), keys());
        world.post((0..3).map(|member| Post::Enter(a, Token(member))));
        world.post(["m1", "m2", "m3"].map(|text| fan(a, text)));
        world.take();
        assert_eq!(world.listeners.written(), 0);
        while world.step() {}
        assert_eq!(world.listeners.written(), 6);
        world.post(["m4", "m5"].map(|text| fan(a, text)));
        world.take();
        while world.step() {}
        for member in 0..3 {
            assert_eq!(world.got(member), ["m1", "m2", "m3", "m4", "m5"]);
        }
        assert_eq!(world.walks, [2], "those who came with the first ones are no part of a walk");
        assert_eq!(world.listeners.written(), 8);
    }

    #[test]
    fn who_comes_gets_what_follows_and_who_goes_what_was_before() {
        let (mut world, [a]) = (World::new(), keys());
        world.post([Post::Enter(a, Token(1)), Post::Enter(a, Token(2))]);
        world.take();
        while world.step() {}
        world.post([
            fan(a, "m1"),
            Post::Enter(a, Token(3)),
            fan(a, "m2"),
            Post::Leave(a, Token(1)),
            fan(a, "m3"),
            Post::Leave(a, Token(3)),
            Post::Enter(a, Token(1)),
            fan(a, "m4"),
            Post::Leave(a, Token(9)),
        ]);
        world.take();
        while world.step() {}
        assert_eq!(world.got(1), ["m1", "m2", "m4"]);
        assert_eq!(world.got(2), ["m1", "m2", "m3", "m4"]);
        assert_eq!(world.got(3), ["m2", "m3"]);
        world.post([fan(a, "m5")]);
        world.take();
        while world.step() {}
        assert_eq!((world.got(1).pop(), world.got(2).pop(), world.got(3).pop()), (Some("m5"), Some("m5"), Some("m3")));
    }

    #[test]
    fn rooms_take_turns_in_bounded_portions() {
        let (mut world, [a, b]) = (World::new(), keys());
        world.post([Post::Enter(a, Token(1)), Post::Enter(b, Token(2))]);
        world.take();
        while world.step() {}
        let long = "x".repeat(MOST_BYTES / 2 + 1);
        world.post([fan(a, &long), fan(a, &long), fan(a, "end"), fan(b, "b1")]);
        world.take();
        assert!(world.step());
        assert_eq!(world.listeners.written(), 3, "the first of four is out");
        assert!(world.step());
        assert_eq!(world.got(2), ["b1"], "the other room does not wait for the whole of it");
        assert_eq!(world.listeners.written(), 3, "what comes after any of the others must still wait");
        assert!(world.step() && !world.step());
        assert_eq!((world.got(1).len(), world.listeners.written()), (3, 6));
        assert_eq!(world.walks, [1, 1, 2]);
    }

    #[test]
    fn a_room_that_everybody_has_left_is_forgotten() {
        let (mut world, [a, b]) = (World::new(), keys());
        world.post([Post::Enter(a, Token(1)), Post::Enter(a, Token(2)), fan(b, "for nobody")]);
        world.post([Post::Leave(a, Token(2)), Post::Leave(a, Token(1)), fan(a, "too late")]);
        world.take();
        while world.step() {}
        assert_eq!((world.listeners.rooms.len(), world.listeners.is_busy()), (0, false));
        assert!(world.got.is_empty());
    }
}
