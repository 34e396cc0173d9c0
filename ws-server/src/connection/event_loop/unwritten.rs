use std::io::IoSlice;

use mio::net::TcpStream;
use protocol::RoomName;
use rustix::io::{Errno, writev};
use rustix::net::SendFlags;
use websocket::Deflater;

use crate::connection::frame::{Deflate, Frame};

/// Pieces that are written at a time.
const PIECES: usize = 64;

/// Frames that a socket did not take yet.
#[derive(Default)]
pub(super) struct Unwritten {
    pub(super) frames: Vec<Frame>,
    /// Frames at the front that are written.
    pub(super) done: usize,
    /// Bytes of the next one that are written.
    pub(super) offset: usize,
    /// Control frames among them.
    pub(super) controls: u8,
    /// Rooms that may go on when all this is written.
    pub(super) waiting: Vec<RoomName>,
}

impl Unwritten {
    /// Leaves nothing but the rest of the WebSocket frame that has been begun.
    pub(super) fn keep_begun(&mut self, deflate: Option<Deflate>, deflater: &mut Deflater) {
        let Some(frame) = self.frames.get(self.done).filter(|_| self.offset > 0) else {
            (self.frames, self.done) = (Vec::new(), 0);
            return;
        };
        let run = frame.wire_for(deflate, deflater);
        let mut end = 0;
        for frame in websocket::frames(run) {
            end += frame.whole.len();
            if end >= self.offset {
                break;
            }
        }
        self.frames = vec![Frame::of_wire(run[self.offset..end].to_vec())];
        (self.done, self.offset) = (0, 0);
    }
}

/// What became of a write.
pub(super) enum Sent {
    All,
    /// So many frames, and so many bytes of the next.
    Part {
        frames: usize,
        offset: usize,
    },
    Broken,
}

/// Writes frames, the first from an offset on, in as few calls as it takes.
///
/// The calls go to the kernel directly: around those of the C library there is what a thread's cancellation needs, once for
/// every delivery.
pub(super) fn send(
    socket: &TcpStream,
    frames: &[Frame],
    mut offset: usize,
    deflate: Option<Deflate>,
    deflater: &mut Deflater,
) -> Sent {
    let mut done = 0;
    while let Some(first) = frames.get(done) {
        let written = if done + 1 == frames.len() {
            rustix::net::send(socket, &first.wire_for(deflate, deflater)[offset..], SendFlags::NOSIGNAL)
        } else {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let count = pieces.len().min(frames.len() - done);
            for (piece, frame) in pieces.iter_mut().zip(&frames[done..]) {
                *piece = IoSlice::new(frame.wire_for(deflate, deflater));
            }
            pieces[0] = IoSlice::new(&first.wire_for(deflate, deflater)[offset..]);
            writev(socket, &pieces[..count])
        };
        match written {
            Ok(bytes) => offset += bytes,
            Err(Errno::AGAIN) => return Sent::Part { frames: done, offset },
            Err(Errno::INTR) => {}
            Err(_) => return Sent::Broken,
        }
        while let Some(frame) = frames.get(done) {
            let whole = frame.wire_for(deflate, deflater).len();
            if offset < whole {
                break;
            }
            offset -= whole;
            done += 1;
        }
    }
    Sent::All
}
