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
    /// Frames of which the first is written up to an offset. Rooms wait for the rest.
    pub(super) fn new(frames: Vec<Frame>, offset: usize, waiting: Vec<RoomName>) -> Self {
        frames.iter().for_each(Frame::begin_wait);
        Self { frames, offset, waiting, ..Self::default() }
    }

    /// One more, behind the others.
    pub(super) fn push(&mut self, frame: Frame) {
        frame.begin_wait();
        self.frames.push(frame);
    }

    fn replace(&mut self, frames: Vec<Frame>) {
        frames.iter().for_each(Frame::begin_wait);
        std::mem::replace(&mut self.frames, frames).iter().for_each(Frame::end_wait);
        (self.done, self.offset) = (0, 0);
    }

    /// The part of the waiting memory that this connection stands for, in bytes.
    pub(super) fn share(&self) -> usize {
        self.frames.iter().map(Frame::share).sum()
    }

    /// Leaves nothing but the rest of the WebSocket frame that has been begun.
    pub(super) fn keep_begun(&mut self, deflate: Option<Deflate>, deflater: &mut Deflater) {
        let Some(frame) = self.frames.get(self.done).filter(|_| self.offset > 0) else {
            return self.replace(Vec::new());
        };
        let run = frame.wire_for(deflate, deflater);
        let mut end = 0;
        for frame in websocket::frames(run) {
            end += frame.whole.len();
            if end >= self.offset {
                break;
            }
        }
        let rest = Frame::of_wire(run[self.offset..end].to_vec());
        self.replace(vec![rest]);
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.frames.iter().for_each(Frame::end_wait);
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
