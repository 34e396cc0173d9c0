//! The loops that own the connections: one a core, each a thread of its own.
//!
//! A loop reads and writes its sockets itself, and nothing else does. There is no task, no timer and no buffer a
//! connection: what is unfinished is kept, and given back when it is done. Whatever waits for a connection when its turn
//! comes leaves in one write.

mod clock;
mod control_rate;
mod door;
mod listeners;
mod seats;
mod socket;
#[cfg(test)]
mod tests;
mod turn;
mod unwritten;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use protocol::{CloseCode, RoomName};
use tokio::sync::oneshot;

use super::mailbox::{Address, Mailbox, Mailboxes};
use super::outbox::Outbox;
use door::{Arrival, Stranger};
pub(super) use door::{Doorkeeper, Look, Opener, Port};
pub(crate) use listeners::{Listeners, Step};
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

    /// Whether nothing more may be read of the client now: what it said is not all passed on, or it has to read first.
    fn must_wait(&self) -> bool;

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
    /// Bytes above which messages are compressed for clients that take it (0: all, shorter or not); `None`: never.
    pub(super) deflate_above: Option<usize>,
    /// Frames without text that a client may send a second; 0: no limit.
    pub(super) control_frames: u32,
    /// Bytes that may wait for all connections together before the fullest are closed.
    pub(super) outbox_total: usize,
}

/// A WebSocket whose handshake is done.
#[derive(Debug)]
pub(super) struct Entrant<O> {
    pub(super) socket: TcpStream,
    /// What had been read behind the handshake.
    pub(super) read_ahead: Bytes,
    /// The client reads compressed messages, with a window of so many bytes, and may send compressed ones.
    pub(super) deflate_window: Option<usize>,
    pub(super) opening: O,
}

/// The way to one loop.
type Way<O> = (Sender<Arrival<O>>, Arc<Mailbox>);

/// The way to the loops. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Loops<O> {
    ways: Arc<[Way<O>]>,
}

/// The same, for a loop.
struct Neighbours<O>(Arc<[Way<O>]>);

impl<O: Send + 'static> Loops<O> {
    /// Starts a loop for each mailbox.
    ///
    /// # Errors
    /// The system gives no more threads or files.
    pub(super) fn start<C: Conversation<Opening = O>>(
        mailboxes: &Mailboxes,
        settings: LoopSettings,
    ) -> io::Result<Self> {
        let (ways, arrivals): (Vec<_>, Vec<_>) = mailboxes
            .iter()
            .map(|mailbox| {
                let (sender, arrivals) = mpsc::channel();
                ((sender, Arc::clone(mailbox)), arrivals)
            })
            .unzip();
        let ways: Arc<[Way<O>]> = ways.into();
        for (number, (arrivals, (_, mailbox))) in arrivals.into_iter().zip(ways.iter()).enumerate() {
            let neighbours = Neighbours(Arc::clone(&ways));
            let own = (Arc::clone(mailbox), mailboxes.clone());
            let this = Opened::<C>::new(own, arrivals, neighbours, settings)?;
            // What the thread owns is made in it: conversations stay where they begin.
            thread::Builder::new().name(format!("sockets-{number}")).spawn(move || this.run())?;
        }
        Ok(Self { ways })
    }

    /// Hands a connection to the loop that has the fewest.
    pub(super) fn admit(&self, entrant: Entrant<O>) {
        send(fewest(&self.ways), Arrival::Entrant(entrant));
    }

    /// Takes connections in from a port; the first loop accepts, for all. There is one port at most.
    pub(super) fn listen(&self, port: Port<O>) {
        let (sender, mailbox) = &self.ways[0];
        // A loop ends only with the process.
        let _ = sender.send(Arrival::Port(port));
        mailbox.ring();
    }

    /// Closes the port, and those connections of it that have asked for nothing yet.
    pub(super) async fn close_port(&self) {
        for (sender, mailbox) in &*self.ways {
            let (done, closed) = oneshot::channel();
            let _ = sender.send(Arrival::Closed(done));
            mailbox.ring();
            // A loop that is not there has no port.
            let _ = closed.await;
        }
    }

    /// Tells every connection that the node drains, and closes each at a moment of its own within the time configured.
    pub(super) fn drain(&self) {
        for (_, mailbox) in &*self.ways {
            mailbox.draining.store(true, Ordering::SeqCst);
            mailbox.ring();
        }
    }
}

impl<O> Drop for Loops<O> {
    fn drop(&mut self) {
        for (_, mailbox) in &*self.ways {
            mailbox.over.store(true, Ordering::SeqCst);
            mailbox.ring();
        }
    }
}

impl<O> Neighbours<O> {
    /// Hands somebody to the loop that has the fewest connections; gives them back if it is this one.
    fn give(&self, stranger: Box<Stranger<O>>, own: &Arc<Mailbox>) -> Option<Box<Stranger<O>>> {
        let way = fewest(&self.0);
        if Arc::ptr_eq(&way.1, own) {
            own.connections.fetch_add(1, Ordering::Relaxed);
            return Some(stranger);
        }
        send(way, Arrival::Stranger(stranger));
        None
    }
}

fn fewest<O>(ways: &[Way<O>]) -> &Way<O> {
    let fewest = ways.iter().min_by_key(|(_, mailbox)| mailbox.connections.load(Ordering::Relaxed));
    fewest.expect("there is a loop for each core, and one at least")
}

/// Sends a connection.
fn send<O>((sender, mailbox): &Way<O>, arrival: Arrival<O>) {
    mailbox.connections.fetch_add(1, Ordering::Relaxed);
    // A loop ends only with the process.
    let _ = sender.send(arrival);
    mailbox.ring();
}
