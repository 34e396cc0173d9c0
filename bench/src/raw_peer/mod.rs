//! A chat server with nothing in it: one thread, one loop, frames encoded once. What any server can be compared with.
//!
//! `write`: each message is one write for each member, the least that a server without a queue can do. `coalesce`: the
//! messages that one turn of the loop reads are joined, and each member gets one write. A client is in the room that its
//! path names (`/ws?room=NAME`); every text that it sends goes to the whole room, itself included, as it is. There is no
//! order but that of arrival, nothing is kept, and who does not read is not waited for but buffered without a bound.

mod conversation;

use std::collections::HashMap;
use std::io;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use conversation::{Conversation, Heard};

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 256 * 1024;
const EVENTS: usize = 1_024;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// One write for each member and message.
    Write,
    /// What one turn of the loop reads is written together.
    Coalesce,
}

/// One server.
struct RawServer {
    mode: Mode,
    poll: Poll,
    listener: TcpListener,
    conversations: Vec<Option<Conversation>>,
    free: Vec<usize>,
    /// Members of each room.
    rooms: Vec<Vec<usize>>,
    numbers: HashMap<String, usize>,
    /// What is to be written to each room at the end of the turn; and which rooms have something.
    joined: Vec<Vec<u8>>,
    busy: Vec<usize>,
    buffer: Box<[u8]>,
}

/// Serves until the process ends.
///
/// # Errors
/// The loop cannot wait.
pub fn serve(mut listener: TcpListener, mode: Mode) -> io::Result<()> {
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let buffer = vec![0; BUFFER].into_boxed_slice();
    let (conversations, free, rooms) = (Vec::new(), Vec::new(), Vec::new());
    let (numbers, joined, busy) = (HashMap::new(), Vec::new(), Vec::new());
    RawServer { mode, poll, listener, conversations, free, rooms, numbers, joined, busy, buffer }.run()
}

impl RawServer {
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if let Err(error) = self.poll.poll(&mut events, None) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                    continue;
                }
                let client = event.token().0;
                if event.is_writable() && !self.flush(client) {
                    continue;
                }
                if event.is_readable() || event.is_read_closed() {
                    self.read(client);
                }
            }
            self.write_joined();
        }
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            // What cannot be set or watched is not served.
            let _ = stream.set_nodelay(true);
            let client = self.free.pop().unwrap_or_else(|| {
                self.conversations.push(None);
                self.conversations.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(client), interest).is_ok() {
                self.conversations[client] = Some(Conversation::new(stream));
            }
        }
    }

    fn read(&mut self, client: usize) {
        let mut heard = Vec::new();
        let Some(conversation) = &mut self.conversations[client] else { return };
        let open = conversation.read(&mut self.buffer, &mut heard);
        for what in heard {
            match what {
                Heard::Room(name) => self.enter(client, name),
                Heard::Text(frame) => self.say(client, &frame),
            }
        }
        if !open {
            self.remove(client);
        }
    }

    fn enter(&mut self, client: usize, name: String) {
        let rooms = self.rooms.len();
        let room = *self.numbers.entry(name).or_insert(rooms);
        if room == rooms {
            self.rooms.push(Vec::new());
            self.joined.push(Vec::new());
        }
        self.rooms[room].push(client);
        if let Some(conversation) = &mut self.conversations[client] {
            conversation.room = Some(room);
        }
    }

    /// A whole frame for the room of that client.
    fn say(&mut self, client: usize, frame: &[u8]) {
        let Some(room) = self.conversations[client].as_ref().and_then(|conversation| conversation.room) else { return };
        match self.mode {
            Mode::Write => self.write(room, frame),
            Mode::Coalesce => {
                if self.joined[room].is_empty() {
                    self.busy.push(room);
                }
                self.joined[room].extend_from_slice(frame);
            }
        }
    }

    fn write_joined(&mut self) {
        while let Some(room) = self.busy.pop() {
            let frames = std::mem::take(&mut self.joined[room]);
            self.write(room, &frames);
        }
    }

    fn write(&mut self, room: usize, frames: &[u8]) {
        for &member in &self.rooms[room] {
            if let Some(conversation) = &mut self.conversations[member] {
                conversation.write(frames);
            }
        }
    }

    fn flush(&mut self, client: usize) -> bool {
        let open = self.conversations[client].as_mut().is_some_and(Conversation::flush);
        if !open {
            self.remove(client);
        }
        open
    }

    fn remove(&mut self, client: usize) {
        if let Some(conversation) = self.conversations[client].take() {
            self.free.push(client);
            if let Some(room) = conversation.room {
                self.rooms[room].retain(|&member| member != client);
            }
        }
    }
}
