//! Who has a place in a loop.

use mio::Token;
use slab::Slab;

use super::Conversation;
use super::door::Stranger;
use super::socket::Connection;

/// Bits of a token that say which place somebody has; the others tell them from those who had the place before.
const PLACE_BITS: u32 = 32;

/// Whoever has a place.
pub(super) enum Seat<C: Conversation> {
    Connection(Box<Connection<C>>),
    /// It is not known yet what they want.
    Stranger(Box<Stranger<C::Opening>>),
}

/// The places of a loop.
pub(super) struct Seats<C: Conversation> {
    places: Slab<Seat<C>>,
    /// Tokens that there have been.
    tokens: usize,
}

impl<C: Conversation> Seats<C> {
    pub(super) fn new() -> Self {
        Self { places: Slab::new(), tokens: 0 }
    }

    /// Of the next place that is taken.
    pub(super) fn next_token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens << PLACE_BITS | self.places.vacant_key())
    }

    /// Gives a place to whoever got its token last.
    pub(super) fn take(&mut self, seat: Seat<C>) {
        let token = token(&seat);
        let taken = self.places.insert(seat);
        debug_assert_eq!(taken, place(token));
    }

    /// The connection of a token, if it is still there.
    pub(super) fn connection(&mut self, token: Token) -> Option<&mut Connection<C>> {
        match self.places.get_mut(place(token)) {
            Some(Seat::Connection(connection)) if connection.token == token => Some(connection),
            _ => None,
        }
    }

    /// The stranger of a token, if they are still there, and strange.
    pub(super) fn stranger(&self, token: Token) -> Option<&Stranger<C::Opening>> {
        match self.places.get(place(token)) {
            Some(Seat::Stranger(stranger)) if stranger.token == token => Some(stranger),
            _ => None,
        }
    }

    /// Frees the place of a token, if it is theirs still.
    pub(super) fn leave(&mut self, token: Token) -> Option<Seat<C>> {
        let here = self.places.get(place(token)).is_some_and(|seat| self::token(seat) == token);
        if here { self.places.try_remove(place(token)) } else { None }
    }

    /// All connections.
    pub(super) fn connections(&self) -> Vec<Token> {
        let seats = self.places.iter().map(|(_, seat)| seat);
        seats.filter(|seat| matches!(seat, Seat::Connection(_))).map(token).collect()
    }

    /// All others.
    pub(super) fn strangers(&self) -> Vec<Token> {
        let seats = self.places.iter().map(|(_, seat)| seat);
        seats.filter(|seat| matches!(seat, Seat::Stranger(_))).map(token).collect()
    }
}

fn token<C: Conversation>(seat: &Seat<C>) -> Token {
    match seat {
        Seat::Connection(connection) => connection.token,
        Seat::Stranger(stranger) => stranger.token,
    }
}

fn place(token: Token) -> usize {
    token.0 & ((1 << PLACE_BITS) - 1)
}
