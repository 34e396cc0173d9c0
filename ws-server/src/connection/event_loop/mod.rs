//! The loops that own the connections: one a core, each a thread of its own.
//!
//! A loop reads and writes its sockets itself, and nothing else does. There is no task, no timer and no buffer a
//! connection: what is unfinished is kept, and given back when it is done. Whatever waits for a connection when its turn
//! comes leaves in one write.

mod clock;
mod socket;
#[cfg(test)]
mod tests;
mod turn;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use protocol::{CloseCode, RoomName};

use super::mailbox::{Address, Mailbox, Mailboxes};
use super::outbox::Outbox;
use turn::Opened;

/// What is above one WebSocket: it is told what the client says, and its outbox is what the client is told.
pub(super) trait Conversation: Sized + 'static {
    /// What it begins with.
    type Opening: Send + 'static;

    /// Begins, at an address for its outbox.
    fn begin(opening: Self::Opening, address: Address) -> Self;

    /// Where frames for the client wait.
    fn outbox(&self) -> &Outbox;

    /// Takes a text message.
    ///
    /// # Errors
    /// The code to close the connection with.
    fn handle_text(&mut self, text: &str) -> Result<(), CloseCode>;

    /// Takes a binary message.
    ///
    /// # Errors
    /// The code to close the connection with.
    fn handle_binary(&mut self, bytes: &[u8]) -> Result<(), CloseCode>;

    /// The outbox is empty, and this room has waited for that.
    fn handle_space(&mut self, room: RoomName);

    /// The node drains: the connection will be closed within the time that is configured.
    fn handle_draining(&mut self);

    /// The client is about to be told to go, with this code.
    fn handle_close(&mut self, code: CloseCode);

    /// The connection ends, or has ended: nothing is said any more. May come twice.
    fn handle_end(&mut self);

    /// Passes on what could not be passed on before. Returns whether nothing is left: until then the loop reads no more of
    /// this connection.
    fn settle(&mut self) -> bool;
}

/// Times and limits of all connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoopSettings {
    /// Between two pings.
    pub(super) heartbeat: Duration,
    /// Over which connections are closed when the node drains.
    pub(super) drain: Duration,
    /// Bytes of the longest message that is read.
    pub(super) max_message: usize,
    /// Bytes above which messages are compressed for clients that take it; `None`: never.
    pub(super) deflate_above: Option<usize>,
}

/// A WebSocket whose handshake is done.
#[derive(Debug)]
pub(super) struct Entrant<O> {
    pub(super) socket: TcpStream,
    /// What had been read behind the handshake.
    pub(super) read_ahead: Bytes,
    /// The client takes compressed messages of at most so many bytes, and may send compressed ones.
    pub(super) deflate_window: Option<usize>,
    pub(super) opening: O,
}

/// The way to the loops. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Loops<O> {
    doors: Vec<(Sender<Entrant<O>>, Arc<Mailbox>)>,
}

impl<O: Send + 'static> Loops<O> {
    /// Starts a loop for each mailbox.
    ///
    /// # Errors
    /// The system gives no more threads or files.
    pub(super) fn start<C: Conversation<Opening = O>>(
        mailboxes: &Mailboxes,
        settings: LoopSettings,
    ) -> io::Result<Self> {
        let mut doors = Vec::new();
        for (number, mailbox) in mailboxes.iter().enumerate() {
            let (door, entrants) = mpsc::channel();
            let this = Opened::<C>::new(Arc::clone(mailbox), entrants, settings)?;
            // What the thread owns is made in it: conversations stay where they begin.
            thread::Builder::new().name(format!("sockets-{number}")).spawn(move || this.run())?;
            doors.push((door, Arc::clone(mailbox)));
        }
        Ok(Self { doors })
    }

    /// Hands a connection to the loop that has the fewest.
    pub(super) fn admit(&self, entrant: Entrant<O>) {
        let (door, mailbox) = self
            .doors
            .iter()
            .min_by_key(|(_, mailbox)| mailbox.connections.load(Ordering::Relaxed))
            .expect("there is a loop for each core, and one at least");
        mailbox.connections.fetch_add(1, Ordering::Relaxed);
        // A loop ends only with the process.
        let _ = door.send(entrant);
        mailbox.ring();
    }

    /// Tells every connection that the node drains, and closes each at a moment of its own within the time configured.
    pub(super) fn drain(&self) {
        for (_, mailbox) in &self.doors {
            mailbox.draining.store(true, Ordering::SeqCst);
            mailbox.ring();
        }
    }
}

impl<O> Drop for Loops<O> {
    fn drop(&mut self) {
        for (_, mailbox) in &self.doors {
            mailbox.over.store(true, Ordering::SeqCst);
            mailbox.ring();
        }
    }
}
