//! How connections come to a loop: from its port, from other loops, and from other threads.

use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::EventLoop;
use crate::connection::event_loop::door::{Arrival, Call, Opener, Stranger};
use crate::connection::event_loop::seats::Seat;
use crate::connection::event_loop::socket::Connection;
use crate::connection::event_loop::{Conversation, Entrant};
use crate::connection::frame::Deflate;
use crate::connection::mailbox::Address;

/// Connections that are taken in one turn, of each kind.
const ADOPTED: usize = 128;
/// What is watched of a socket.
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

impl<C: Conversation> EventLoop<C> {
    /// Takes in what comes from other threads.
    pub(super) fn adopt(&mut self, now: Instant) {
        for _ in 0..ADOPTED {
            if !self.has_arrivals {
                return;
            }
            match self.arrivals.try_recv() {
                Ok(Arrival::Entrant(entrant)) => self.adopt_one(entrant, now),
                Ok(Arrival::Stranger(stranger)) => self.seat_stranger(stranger),
                Ok(Arrival::Port(port)) => {
                    if let Err(error) = self.door.open(port, self.poll.registry()) {
                        tracing::error!(%error, "the port cannot be watched: nobody can come");
                    }
                }
                Ok(Arrival::Closed(done)) => {
                    self.close_door();
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                }
                Err(_) => self.has_arrivals = false,
            }
        }
    }

    fn adopt_one(&mut self, entrant: Entrant<C::Opening>, now: Instant) {
        let Entrant { socket, read_ahead, deflate_window, opening } = entrant;
        let mut socket = mio::net::TcpStream::from_std(socket);
        let token = self.seats.next_token();
        let registered = self.poll.registry().register(&mut socket, token, BOTH);
        let connection = self.connection(token, socket, deflate_window, opening);
        self.seats.take(Seat::Connection(connection));
        if let Err(error) = registered {
            tracing::warn!(%error, "a connection cannot be watched");
            return self.end(token);
        }
        self.begin(token, now);
        if !read_ahead.is_empty()
            && let Some(connection) = self.seats.connection(token)
        {
            let outcome = connection.hear(&mut read_ahead.to_vec(), &mut self.lent);
            self.act_on_read(token, outcome, now);
        }
    }

    fn connection(
        &self,
        token: Token,
        socket: TcpStream,
        deflate_window: Option<usize>,
        opening: C::Opening,
    ) -> Box<Connection<C>> {
        let conversation = C::begin(opening, Address::new(&self.mailbox, token));
        let above = self.settings.deflate_above.unwrap_or(usize::MAX);
        let deflate = deflate_window.map(|window| Deflate { above, window });
        Box::new(Connection::new(token, socket, deflate, conversation))
    }

    /// A connection is there.
    fn begin(&mut self, token: Token, now: Instant) {
        self.clock.beat_again(token, now);
        if self.draining {
            self.send_away(token, now);
        }
    }

    /// Accepts connections and spreads them over all loops.
    pub(super) fn accept(&mut self, now: Instant) {
        for _ in 0..ADOPTED {
            let stranger = match self.door.accept(now) {
                Call::Stranger(stranger) => stranger,
                Call::Refused => continue,
                Call::Nobody => return,
            };
            if let Some(stranger) = self.neighbours.give(stranger, &self.mailbox) {
                self.seat_stranger(stranger);
            }
        }
    }

    /// Waits for what somebody wants.
    fn seat_stranger(&mut self, mut stranger: Box<Stranger<C::Opening>>) {
        let token = self.seats.next_token();
        stranger.token = token;
        let registered = self.poll.registry().register(&mut stranger.socket, token, BOTH);
        self.door.wait_for(&stranger);
        self.seats.take(Seat::Stranger(stranger));
        if let Err(error) = registered {
            tracing::warn!(%error, "a connection cannot be watched");
            self.end(token);
        }
    }

    pub(super) fn answer_the_door(&mut self, now: Instant) {
        for _ in 0..ADOPTED {
            let Some(token) = self.door.knocking.pop_front() else { break };
            self.meet(token, now);
        }
        let Self { seats, door, .. } = self;
        let mut overdue = Vec::new();
        while let Some(token) = door.overdue(now, |token| seats.stranger(token).is_some()) {
            overdue.push(token);
        }
        overdue.into_iter().for_each(|token| self.end(token));
    }

    /// Somebody has said something: they are let in, or passed on.
    fn meet(&mut self, token: Token, now: Instant) {
        let Some(stranger) = self.seats.stranger(token) else { return };
        let peeked = match stranger.peek(&mut self.lent.buffer) {
            Ok(Some(count)) => count,
            Ok(None) => return,
            Err(_) => return self.end(token),
        };
        let Some(opener) = stranger.keeper.look(&self.lent.buffer[..peeked]) else { return self.pass_on(token) };
        let Opener { request, answer, deflate_window, opening } = opener;
        // It was there when it was looked at.
        let read = (&stranger.socket).read(&mut self.lent.buffer[..request]);
        if !read.is_ok_and(|read| read == request) {
            return self.end(token);
        }
        let Some(Seat::Stranger(stranger)) = self.seats.leave(token) else { return };
        let connection = self.connection(token, stranger.socket, deflate_window, opening);
        // The place that has just become free, so the token stays right.
        self.seats.take(Seat::Connection(connection));
        self.begin(token, now);
        let Some(connection) = self.seats.connection(token) else { return };
        if peeked > request {
            connection.is_hungry = true;
            self.hungry.push_back(token);
        }
        let outcome = connection.open(answer, &mut self.lent);
        self.act(token, outcome, now);
    }

    fn pass_on(&mut self, token: Token) {
        if let Some(Seat::Stranger(stranger)) = self.seats.leave(token) {
            self.mailbox.connections.fetch_sub(1, Ordering::Relaxed);
            stranger.pass_on(self.poll.registry());
        }
    }

    /// Takes nobody in any more.
    fn close_door(&mut self) {
        self.door.close();
        self.seats.strangers().into_iter().for_each(|token| self.end(token));
    }
}
