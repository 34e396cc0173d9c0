//! How connections come in from a port: the loop takes them, looks at what they ask for, and keeps those that ask for a
//! WebSocket. Everybody else is passed on as they came: what was looked at has not been read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::connection::{Address, Place};

/// The port, among the tokens.
pub(super) const PORT: Token = Token(usize::MAX - 1);
/// After an accept that failed, for want of open files most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Who decides on new connections.
pub(in crate::connection) trait Doorkeeper<O>: Send + Sync {
    /// A place for one more connection that has not said what it wants, and whether another one has to go for it; `None`:
    /// there are too many, and it is closed.
    fn place(&self, peer: IpAddr) -> Option<(Arc<Place>, bool)>;

    /// Judges the beginning of what a connection has sent.
    fn look(&self, bytes: &[u8], place: &Arc<Place>) -> Look<O>;

    /// Takes a connection that is no WebSocket, and that was accepted then.
    fn pass_on(&self, socket: std::net::TcpStream, place: Arc<Place>, since: Instant);

    /// A connection was closed because the process had no file left for it.
    fn note_no_file(&self);
}

/// What becomes of a connection that has sent something.
pub(in crate::connection) enum Look<O> {
    /// It is a WebSocket.
    Open(Opener<O>),
    /// It is no request for a WebSocket, or none that is whole and right.
    PassOn,
    /// There is no place for it.
    Close,
}

/// A request for a WebSocket that is granted.
pub(in crate::connection) struct Opener<O> {
    /// Bytes of the request.
    pub(in crate::connection) request: usize,
    /// The answer, for the wire.
    pub(in crate::connection) answer: Vec<u8>,
    /// The client reads compressed messages, with a window of so many bytes, and may send compressed ones.
    pub(in crate::connection) deflate_window: Option<usize>,
    pub(in crate::connection) opening: O,
}

/// A port, opened.
pub(in crate::connection) struct Port<O> {
    pub(in crate::connection) listener: std::net::TcpListener,
    pub(in crate::connection) keeper: Arc<dyn Doorkeeper<O>>,
    /// How long somebody may say nothing.
    pub(in crate::connection) patience: Duration,
}

/// Somebody who has connected.
pub(super) struct Stranger<O> {
    pub(super) token: Token,
    pub(super) socket: TcpStream,
    pub(super) place: Arc<Place>,
    pub(super) since: Instant,
    pub(super) keeper: Arc<dyn Doorkeeper<O>>,
    pub(super) patience: Duration,
}

/// What comes to a loop from other threads.
pub(super) enum Arrival<O> {
    /// A connection that is a WebSocket already.
    Entrant(super::Entrant<O>),
    /// One that another loop has accepted.
    Stranger(Box<Stranger<O>>),
    /// The port, for the loop that accepts.
    Port(Port<O>),
    /// Nobody is taken in any more, and who has not said what they want goes. Answered when that is done.
    Closed(oneshot::Sender<()>),
}

/// What calls at the port. Those that are refused count, too: a flood of them must not hold the loop.
pub(super) enum Call<O> {
    Stranger(Box<Stranger<O>>),
    /// The same, in the place of another one, which has to go before there are more.
    Last(Box<Stranger<O>>),
    Refused,
    Nobody,
}

/// A loop's share in the port: those who have said nothing yet, and the port itself if this loop accepts.
pub(super) struct Door<O> {
    port: Option<(TcpListener, Arc<dyn Doorkeeper<O>>, Duration)>,
    /// Somebody may wait to be accepted.
    has_callers: bool,
    accept_again: Option<Instant>,
    /// A file that is given up to accept, and close, a connection when the process has no other left.
    spare: Option<File>,
    /// They have sent something, or have gone.
    pub(super) knocking: VecDeque<Token>,
    /// They have said nothing yet; by the end of their time. Some have been decided on meanwhile.
    silent: VecDeque<(Instant, Token)>,
}

impl<O> Door<O> {
    pub(super) fn new() -> Self {
        let (knocking, silent) = (VecDeque::new(), VecDeque::new());
        Self { port: None, has_callers: false, accept_again: None, spare: None, knocking, silent }
    }

    /// Begins to accept.
    ///
    /// # Errors
    /// The port cannot be watched.
    pub(super) fn open(&mut self, port: Port<O>, registry: &Registry) -> io::Result<()> {
        let mut listener = TcpListener::from_std(port.listener);
        registry.register(&mut listener, PORT, Interest::READABLE)?;
        self.port = Some((listener, port.keeper, port.patience));
        self.spare = spare_file();
        self.has_callers = true;
        Ok(())
    }

    pub(super) fn close(&mut self) {
        *self = Self::new();
    }

    /// Somebody calls at the port.
    pub(super) fn call(&mut self) {
        self.has_callers = true;
    }

    /// Whether there is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        (self.has_callers && self.port.is_some()) || !self.knocking.is_empty()
    }

    /// When there is something to do in any case.
    pub(super) fn next(&self) -> Option<Instant> {
        let silent = self.silent.front().map(|(until, _)| *until);
        [silent, self.accept_again].into_iter().flatten().min()
    }

    /// Accepts one connection at most.
    pub(super) fn accept(&mut self, now: Instant) -> Call<O> {
        if self.accept_again.is_some_and(|at| at <= now) {
            (self.accept_again, self.has_callers) = (None, true);
        }
        let Some((listener, keeper, patience)) = self.port.as_ref().filter(|_| self.has_callers) else {
            return Call::Nobody;
        };
        match listener.accept() {
            Ok((socket, peer)) => {
                let Some((place, is_crowded)) = keeper.place(peer.ip()) else { return Call::Refused };
                // Small frames leave at once: coalescing is done by the connections themselves.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                let (keeper, patience) = (Arc::clone(keeper), *patience);
                let token = Token(0);
                let stranger = Box::new(Stranger { token, socket, place, since: now, keeper, patience });
                if is_crowded { Call::Last(stranger) } else { Call::Stranger(stranger) }
            }
            // They have gone before they were accepted.
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {
                Call::Refused
            }
            Err(error) if is_out_of_files(&error) && self.spare.take().is_some() => {
                // Better closed at once than left waiting for an answer.
                let closed = listener.accept().is_ok();
                keeper.note_no_file();
                self.spare = spare_file();
                if !closed || self.spare.is_none() {
                    (self.accept_again, self.has_callers) = (Some(now + ACCEPT_AGAIN), false);
                }
                Call::Refused
            }
            Err(error) => {
                if error.kind() != ErrorKind::WouldBlock {
                    tracing::debug!(%error, "a connection cannot be accepted");
                    self.accept_again = Some(now + ACCEPT_AGAIN);
                }
                self.has_callers = false;
                Call::Nobody
            }
        }
    }

    /// Somebody is here and has said nothing yet.
    pub(super) fn wait_for(&mut self, stranger: &Stranger<O>) {
        self.silent.push_back((stranger.since + stranger.patience, stranger.token));
    }

    /// Somebody whose time is over, unless they have been decided on; `is_stranger` tells.
    pub(super) fn overdue(&mut self, now: Instant, is_stranger: impl Fn(Token) -> bool) -> Option<Token> {
        // Those who were decided on must not keep the loop awake.
        while self.silent.pop_front_if(|(_, token)| !is_stranger(*token)).is_some() {}
        self.silent.pop_front_if(|(until, _)| *until <= now).map(|(_, token)| token)
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno == Some(Errno::MFILE) || errno == Some(Errno::NFILE)
}

fn spare_file() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Tells a loop that a connection's place was given to another one.
struct Evicted(Address);

impl Wake for Evicted {
    fn wake(self: Arc<Self>) {
        self.0.tell();
        self.0.mailbox().ring();
    }
}

impl<O> Stranger<O> {
    /// Has this loop told when the place is given to another connection. Returns whether it is still there.
    pub(super) fn settle(&self, address: Address) -> bool {
        self.place.wake_when_gone(&Waker::from(Arc::new(Evicted(address))));
        !self.place.is_gone()
    }

    /// Looks at what has come, without reading it. `Ok(None)`: nothing yet.
    ///
    /// # Errors
    /// They have gone.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.socket.peek(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives them away; the registry must forget them first.
    pub(super) fn pass_on(self, registry: &Registry) {
        let Self { mut socket, place, since, keeper, .. } = self;
        match registry.deregister(&mut socket) {
            Ok(()) => keeper.pass_on(socket.into(), place, since),
            Err(error) => tracing::warn!(%error, "a connection cannot be passed on"),
        }
    }
}
