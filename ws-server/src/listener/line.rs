//! A connection's socket under hyper: it knows whether a request is in flight, ends writes that do not move, and gives up
//! its place when another connection needs it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use rustix::net::{RecvFlags, recv, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::own_answer::OwnAnswer;
use crate::backplane::count;
use crate::connection::{Place, STUCK_AFTER};

/// A response whose write stops and goes is ended after this many times the patience with a write that has stopped.
const STOPS: u32 = 6;
/// How long a client has to read an answer before the connection closes, and what it may send meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// Bytes of a head that every connection may hold, and that are read at a time where heads are counted.
const SHORT_HEAD: usize = 8 * 1024;

/// Waits for a request.
const WAITING: u8 = 0;
/// A request is being answered.
const ANSWERING: u8 = 1;
/// The whole answer is with hyper, and not all of it with the kernel.
const ANSWERED: u8 = 2;

/// The socket.
pub(crate) struct Line {
    socket: TcpStream,
    shared: Arc<Shared>,
    /// How long a write may wait without moving.
    write_within: Duration,
    /// A write does not move.
    stuck: Option<Stuck>,
    /// Since when this response has had writes that did not move at once.
    slow_since: Option<Instant>,
    /// Hyper's own answer to what is no request, with a text.
    own: Option<OwnAnswer>,
    linger: Option<Linger>,
    head: Head,
}

/// What the socket and the service of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) place: Arc<Place>,
    phase: AtomicU8,
}

/// An answer under way, as long as hyper has not all of it.
#[derive(Debug)]
struct Answering(Arc<Shared>);

/// The body of an answer.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    _answering: Answering,
}

/// What has come since the last answer, and cannot be answered yet.
struct Head {
    place: Arc<Place>,
    bytes: usize,
}

struct Stuck {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

struct Linger {
    timer: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Shared {
    pub(super) fn new(place: Arc<Place>) -> Arc<Self> {
        Arc::new(Self { place, phase: AtomicU8::new(WAITING) })
    }

    /// A request has come. Gives what turns the answer into one whose end is noticed.
    pub(super) fn begin(self: &Arc<Self>) -> impl FnOnce(Body) -> AnswerBody + use<> {
        self.phase.store(ANSWERING, Ordering::SeqCst);
        let answering = Answering(Arc::clone(self));
        move |body| AnswerBody { body, _answering: answering }
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::SeqCst)
    }
}

impl Head {
    /// More has come. Returns whether there is memory for it.
    fn grow(&mut self, bytes: usize) -> bool {
        let before = self.long();
        self.bytes += bytes;
        let more = self.long() - before;
        more == 0 || self.place.hold_head(more)
    }

    /// It has been answered.
    fn forget(&mut self) {
        self.place.release_head(self.long());
        self.bytes = 0;
    }

    /// Bytes that count for all connections together.
    fn long(&self) -> usize {
        self.bytes.saturating_sub(SHORT_HEAD)
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.phase.store(ANSWERED, Ordering::SeqCst);
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Line {
    pub(super) fn new(socket: TcpStream, shared: Arc<Shared>, write_within: Duration) -> Self {
        let head = Head { place: Arc::clone(&shared.place), bytes: 0 };
        Self { socket, shared, write_within, stuck: None, slow_since: None, own: None, linger: None, head }
    }

    /// Reads a part of a head, and counts it.
    fn read_part(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let part = buffer.initialize_unfilled_to(buffer.remaining().min(SHORT_HEAD));
        let mut part = ReadBuf::new(part);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut part))?;
        let bytes = part.filled().len();
        buffer.advance(bytes);
        if !self.head.grow(bytes) {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// The socket, of which nothing is unwritten.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    fn send(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.own.is_none() && self.shared.phase() == WAITING {
            self.own = Some(OwnAnswer::to(bytes));
        }
        let Some(mut own) = self.own.take() else { return self.send_part(cx, bytes) };
        let sent = self.send_own(cx, &mut own);
        self.own = Some(own);
        // All that hyper had to say is said.
        sent.map_ok(|()| bytes.iter().map(|bytes| bytes.len()).sum())
    }

    fn send_own(&mut self, cx: &mut Context<'_>, own: &mut OwnAnswer) -> Poll<io::Result<()>> {
        while !own.rest().is_empty() {
            let sent = ready!(self.send_part(cx, &[IoSlice::new(own.rest())]))?;
            own.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    fn send_part(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.socket).poll_write_vectored(cx, bytes) {
            Poll::Pending => self.wait_to_send(cx),
            sent => {
                if self.stuck.take().is_some() {
                    self.shared.place.unstick();
                }
                sent
            }
        }
    }

    /// The socket takes nothing.
    fn wait_to_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (now, place) = (Instant::now(), &self.shared.place);
        let slow_since = *self.slow_since.get_or_insert(now);
        let stuck = self.stuck.get_or_insert_with(|| {
            place.stick();
            Stuck { since: now, timer: Box::pin(sleep_until(now)) }
        });
        place.wake_when_gone(cx.waker());
        let patience = if place.is_gone() { STUCK_AFTER.min(self.write_within) } else { self.write_within };
        let until = (stuck.since + patience).min(slow_since + STOPS * self.write_within);
        stuck.timer.as_mut().reset(until);
        ready!(stuck.timer.as_mut().poll(cx));
        count(&place.stats().writes_stuck);
        // What is unsent would stay with the kernel for minutes.
        if let Err(error) = sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO)) {
            tracing::debug!(%error, "what is unsent stays with the kernel");
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads what the client still sends, so that closing does not reset the connection under the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let until = Instant::now() + LINGER;
        let linger = self.linger.get_or_insert_with(|| Linger { timer: Box::pin(sleep_until(until)), bytes: 0 });
        let mut bytes = [0; 8 * 1024];
        while linger.bytes < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => linger.bytes += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    self.shared.place.wake_when_gone(cx.waker());
                    return if self.shared.place.is_gone() {
                        Poll::Ready(Ok(()))
                    } else {
                        linger.timer.as_mut().poll(cx).map(Ok)
                    };
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // What comes while a request is answered is its body, or bounded by what hyper reads ahead.
        let read = if this.shared.place.counts_heads() && this.shared.phase() == WAITING {
            this.read_part(cx, buffer)
        } else {
            Pin::new(&mut this.socket).poll_read(cx, buffer)
        };
        if read.is_pending() {
            let Shared { place, .. } = &*this.shared;
            place.wake_when_gone(cx.waker());
            // The same as if the client had gone. A request that is on its way through the kernel is answered first.
            if place.is_gone() && this.shared.phase() == WAITING && !has_unread(&this.socket) {
                return Poll::Ready(Ok(()));
            }
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().send(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().send(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Hyper calls it when all that it has is with the kernel.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.socket).poll_flush(cx))?;
        let phase = &this.shared.phase;
        if phase.compare_exchange(ANSWERED, WAITING, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            this.slow_since = None;
            this.head.forget();
            this.shared.place.rest();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        if this.own.is_some() { this.poll_linger(cx) } else { Poll::Ready(Ok(())) }
    }
}

/// Whether something has come that was not read; the runtime may not know of it yet.
fn has_unread(socket: &TcpStream) -> bool {
    let mut byte = [0];
    let peeked = recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    peeked.is_ok_and(|(_, count)| count > 0)
}
