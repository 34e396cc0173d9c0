//! What lies between one node's link and the others: a TCP forwarder that can be cut, late, or deaf in one direction.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes that are forwarded at a time: more than a request between nodes usually has, so that lateness is a request's and not
/// a packet's.
const CHUNK: usize = 256 * 1024;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// They pass.
    Well,
    /// They wait until that ends, and then pass, however late it is.
    Cut,
    /// They pass so much later, in both directions.
    Late(Duration),
    /// Requests pass; instead of an answer the connection ends.
    AnswersLost,
}

/// A forwarder to one node's link. Dropping it ends its connections.
pub struct Wire {
    port: u16,
    condition: Arc<watch::Sender<Condition>>,
    _forwarding: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carries {
    Requests,
    Answers,
}

impl Wire {
    /// Forwards what comes to a port of its own to this port on 127.0.0.1.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let own = listener.local_addr().expect("it is bound").port();
        let condition = Arc::new(watch::Sender::new(Condition::Well));
        let mut forwarding = JoinSet::new();
        forwarding.spawn(accept(listener, port, Arc::clone(&condition)));
        Self { port: own, condition, _forwarding: forwarding }
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on.
    pub fn is(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}

async fn accept(listener: TcpListener, to: u16, condition: Arc<watch::Sender<Condition>>) {
    let mut connections = JoinSet::new();
    loop {
        // An error is one of a connection that is gone already, or of a process without file descriptors.
        if let Ok((socket, _)) = listener.accept().await {
            connections.spawn(connection(socket, to, condition.subscribe()));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Ends both directions when one of them does.
async fn connection(from: TcpStream, to: u16, condition: watch::Receiver<Condition>) {
    let Ok(there) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    // Small answers are not to wait for each other.
    let _ = (from.set_nodelay(true), there.set_nodelay(true));
    let ((from_read, from_write), (there_read, there_write)) = (from.into_split(), there.into_split());
    tokio::select! {
        () = forward(from_read, there_write, condition.clone(), Carries::Requests) => {}
        () = forward(there_read, from_write, condition, Carries::Answers) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut condition: watch::Receiver<Condition>,
    carries: Carries,
) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
        let Ok(now) = condition.wait_for(|condition| *condition != Condition::Cut).await.map(|now| *now) else {
            return;
        };
        match now {
            Condition::Late(late) => tokio::time::sleep(late).await,
            Condition::AnswersLost if carries == Carries::Answers => return,
            _ => {}
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::time::timeout;

    use super::*;

    /// Answers every byte with the same one.
    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(byte) = socket.read_u8().await {
                        socket.write_u8(byte).await.unwrap();
                    }
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn what_is_cut_waits_and_what_is_late_is_late_and_an_answer_can_be_lost() {
        let wire = Wire::to(echo().await).await;
        let mut socket = TcpStream::connect(("127.0.0.1", wire.port())).await.unwrap();
        socket.write_u8(1).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), 1);

        wire.is(Condition::Cut);
        socket.write_u8(2).await.unwrap();
        assert!(timeout(Duration::from_millis(100), socket.read_u8()).await.is_err(), "nothing gets through");
        wire.is(Condition::Well);
        assert_eq!(socket.read_u8().await.unwrap(), 2);

        wire.is(Condition::Late(Duration::from_millis(50)));
        let start = Instant::now();
        socket.write_u8(3).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), 3);
        assert!(start.elapsed() >= Duration::from_millis(100), "late there and late back");

        wire.is(Condition::AnswersLost);
        socket.write_u8(4).await.unwrap();
        assert!(socket.read_u8().await.is_err(), "the connection ends instead");
    }
}
