//! Connections that send the same bytes again and again, a thread each.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::connection::{End, RawConnection, close_of};
use super::frames;
use crate::herd::frame::first;

/// A thread that can neither read nor write looks again after this.
const PAUSE: Duration = Duration::from_millis(1);
/// Between the end of a connection and the next one, so that a server that closes at once is not asked in a spin.
const RECONNECT: Duration = Duration::from_millis(20);
/// Connections that one thread makes at most, whatever the plan says.
const CONNECTS: u64 = 500;
/// Bytes that are read at a time.
const READ: usize = 64 * 1024;
/// Bytes that a connection may be ahead of its rate.
const BURST: u64 = 64 * 1024;

/// What a flood is to be.
#[derive(Debug, Clone)]
pub struct FloodPlan {
    /// Where it goes.
    pub address: SocketAddr,
    /// What each connection asks for first; `None`: nothing, it is plain TCP.
    pub path: Option<String>,
    /// What each connection sends once.
    pub first: Vec<u8>,
    /// What each connection sends again and again.
    pub unit: Vec<u8>,
    /// Connections, a thread each.
    pub connections: usize,
    /// Bytes a second of each connection; `None`: as many as the server takes.
    pub rate: Option<u64>,
    /// Whether what comes back is read.
    pub reads: bool,
    /// Whether a connection that the server ends is opened again.
    pub returns: bool,
}

impl FloodPlan {
    /// WebSockets of guests that read what comes back, come back when they are closed, and send as much as is taken.
    #[must_use]
    pub fn of(address: SocketAddr, connections: usize, unit: Vec<u8>) -> Self {
        let (path, first) = (Some("/ws".to_owned()), Vec::new());
        Self { address, path, first, unit, connections, rate: None, reads: true, returns: true }
    }
}

/// What the attackers saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FloodSeen {
    /// Connections that were opened.
    pub connects: u64,
    /// Attempts that came to nothing.
    pub refused: u64,
    /// Bytes that the kernel took.
    pub sent: u64,
    /// Bytes that were read.
    pub received: u64,
    /// Text frames that were read.
    pub texts: u64,
    /// Connections that the server ended, by how.
    pub ends: BTreeMap<End, u64>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connects: AtomicU64,
    refused: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    texts: AtomicU64,
    ends: Mutex<BTreeMap<End, u64>>,
}

/// A running flood. Dropping it ends it.
#[derive(Debug)]
pub struct Flood {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Begins at once. Where the plan says so, a connection that ends is opened again, 500 times at most for each thread.
    #[must_use]
    pub fn start(plan: &FloodPlan) -> Self {
        let (shared, plan) = (Arc::new(Shared::default()), Arc::new(plan.clone()));
        let threads = (0..plan.connections).map(|_| {
            let (shared, plan) = (Arc::clone(&shared), Arc::clone(&plan));
            std::thread::spawn(move || attack(&plan, &shared))
        });
        Self { threads: threads.collect(), shared }
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> FloodSeen {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { connects, refused, sent, received, texts, ends, .. } = &*self.shared;
        FloodSeen {
            connects: count(connects),
            refused: count(refused),
            sent: count(sent),
            received: count(received),
            texts: count(texts),
            ends: ends.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Ends all connections; what was seen.
    pub fn stop(mut self) -> FloodSeen {
        self.end();
        self.seen()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a thread that panicked has counted what it did
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.end();
    }
}

fn attack(plan: &FloodPlan, shared: &Shared) {
    let mut attempts = 0;
    let most = if plan.returns { CONNECTS } else { 1 };
    while !shared.stop.load(Ordering::Relaxed) && attempts < most {
        attempts += 1;
        let opened = match &plan.path {
            Some(path) => RawConnection::websocket(plan.address, path, None),
            None => RawConnection::tcp(plan.address, None),
        };
        match opened.map(RawConnection::into_nonblocking) {
            Ok(Ok((stream, unread))) => {
                shared.connects.fetch_add(1, Ordering::Relaxed);
                if let Some(end) = (Stream { stream, unread, plan, shared }).run() {
                    *shared.ends.lock().unwrap_or_else(PoisonError::into_inner).entry(end).or_default() += 1;
                }
            }
            _ => drop(shared.refused.fetch_add(1, Ordering::Relaxed)),
        }
        std::thread::sleep(RECONNECT);
    }
}

/// One connection of a flood.
struct Stream<'a> {
    stream: TcpStream,
    unread: Vec<u8>,
    plan: &'a FloodPlan,
    shared: &'a Shared,
}

impl Stream<'_> {
    /// `None`: the flood was told to end.
    fn run(mut self) -> Option<End> {
        let (began, mut sent) = (Instant::now(), 0);
        let (mut bytes, mut written) = (&self.plan.first, 0);
        while !self.shared.stop.load(Ordering::Relaxed) {
            if written == bytes.len() {
                (bytes, written) = (&self.plan.unit, 0);
            }
            let due = self
                .plan
                .rate
                .is_none_or(|rate| sent < BURST.min(rate) + (began.elapsed().as_secs_f64() * rate as f64) as u64);
            let mut moved = false;
            if due && !bytes.is_empty() {
                match self.stream.write(&bytes[written..]) {
                    Ok(count) => {
                        (written, sent, moved) = (written + count, sent + count as u64, true);
                        self.shared.sent.fetch_add(count as u64, Ordering::Relaxed);
                    }
                    Err(error) if again(&error) => {}
                    // What the server said before it closed is still to be read.
                    Err(_) => return Some(self.last_words()),
                }
            }
            match self.receive() {
                Ok(read) => moved |= read,
                Err(end) => return Some(end),
            }
            if !moved {
                std::thread::sleep(PAUSE);
            }
        }
        None
    }

    /// Whether there was something to read; `Err`: the connection has ended.
    fn receive(&mut self) -> Result<bool, End> {
        if !self.plan.reads {
            return Ok(false);
        }
        let mut chunk = [0; READ];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(End::Eof),
            Ok(read) => {
                self.shared.received.fetch_add(read as u64, Ordering::Relaxed);
                self.unread.extend_from_slice(&chunk[..read]);
                self.parse()?;
                Ok(true)
            }
            Err(error) if again(&error) => Ok(false),
            Err(_) => Err(End::Reset),
        }
    }

    /// Passes over whole frames; a close frame is the end.
    fn parse(&mut self) -> Result<(), End> {
        if self.plan.path.is_none() {
            self.unread.clear();
            return Ok(());
        }
        let mut rest = &self.unread[..];
        while let Ok(Some(frame)) = first(rest) {
            match frame.opcode {
                frames::CLOSE => return Err(close_of(frame.payload)),
                frames::TEXT => drop(self.shared.texts.fetch_add(1, Ordering::Relaxed)),
                _ => {}
            }
            rest = &rest[frame.length..];
        }
        let taken = self.unread.len() - rest.len();
        self.unread.drain(..taken);
        Ok(())
    }

    /// A write has failed: a close frame may have come before.
    fn last_words(&mut self) -> End {
        let mut chunk = [0; READ];
        while let Ok(read @ 1..) = self.stream.read(&mut chunk) {
            self.unread.extend_from_slice(&chunk[..read]);
            if let Err(end) = self.parse() {
                return end;
            }
        }
        End::Reset
    }
}

fn again(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
