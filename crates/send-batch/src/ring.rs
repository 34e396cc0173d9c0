use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

/// Sends that one call issues.
pub const MOST: usize = 256;
/// No signal when the other side is gone, and no waiting (`MSG_NOSIGNAL | MSG_DONTWAIT`, both the same on every processor
/// that this is built for).
const FLAGS: i32 = 0x4000 | 0x40;
/// How often the kernel may have no memory for a send before it is given up.
const PATIENCE: usize = 1_000;

/// Sends many things with one call. One thread's own.
pub struct SendBatch {
    ring: Option<IoUring>,
    /// What is under way, by its numbers.
    numbers: Vec<u32>,
}

impl SendBatch {
    /// Asks the kernel for a ring, and tries it.
    ///
    /// # Errors
    /// The kernel has no io_uring, or this process may not use it.
    pub fn new() -> io::Result<Self> {
        let entries = u32::try_from(MOST).map_err(io::Error::other)?;
        let mut this = Self { ring: Some(IoUring::new(entries)?), numbers: Vec::new() };
        let (here, _there) = UnixStream::pair()?;
        let mut sent = Vec::new();
        this.send([(0, here.as_fd(), &b"?"[..])].into_iter(), &mut sent);
        match sent.pop() {
            Some((0, Ok(1))) => Ok(this),
            Some((_, Err(error))) => Err(error),
            other => Err(io::Error::other(format!("the kernel's ring answers {other:?}"))),
        }
    }

    /// Whether sends still come to something: a ring that has failed once is not asked again.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.ring.is_some()
    }

    /// Sends bytes to sockets, in this order; and adds for each, by its number, how many were taken or why none were
    /// ([`ErrorKind::WouldBlock`]: the socket takes nothing now). When the ring itself fails it is not known of what has an
    /// error whether it was sent. What comes of them is in no order; numbers should differ. Never waits.
    #[allow(unsafe_code)]
    pub fn send<'a>(
        &mut self,
        sends: impl Iterator<Item = (u32, BorrowedFd<'a>, &'a [u8])>,
        sent: &mut Vec<(u32, io::Result<usize>)>,
    ) {
        // The ring is here until all is well: a panic of the iterator closes it, with what is in it.
        let mut own = self.ring.take();
        let mut sends = sends.fuse();
        loop {
            let before = sent.len();
            let Some(ring) = &mut own else {
                sent.extend(sends.map(|(number, ..)| (number, Err(io::Error::other("the kernel's ring has failed")))));
                return;
            };
            self.numbers.clear();
            let mut queue = ring.submission();
            for (number, socket, bytes) in sends.by_ref().take(MOST) {
                // More than that is taken in parts.
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let entry = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), length).flags(FLAGS).build();
                // SAFETY: socket and memory are borrowed for longer than this call, and the kernel is done with both when
                // it ends: either it has told what came of every entry, or the ring is closed. It reads an entry's memory
                // while it issues the entry, within `io_uring_enter`, and never afterwards, for with MSG_DONTWAIT nothing
                // is put off (`REQ_F_NOWAIT` in the kernel's io_uring/net.c).
                if unsafe { queue.push(&entry.user_data(number.into())) }.is_err() {
                    sent.push((number, Err(io::Error::other("the kernel's ring is full"))));
                    continue;
                }
                self.numbers.push(number);
            }
            drop(queue);
            if let Err(error) = submit(ring, &self.numbers, sent) {
                let told: HashSet<u32> = sent[before..].iter().map(|(number, _)| *number).collect();
                let left = self.numbers.iter().filter(|number| !told.contains(number));
                sent.extend(left.map(|number| (*number, Err(io::Error::from(error.kind())))));
                own = None;
            } else if sent.len() - before < MOST {
                self.ring = own;
                return;
            }
        }
    }
}

/// Issues what was pushed and hears of all of it.
fn submit(ring: &mut IoUring, numbers: &[u32], sent: &mut Vec<(u32, io::Result<usize>)>) -> io::Result<()> {
    let all = sent.len() + numbers.len();
    let mut patience = PATIENCE;
    while sent.len() < all {
        let before = sent.len();
        // The first call issues everything, and everything is over when it returns.
        let issued = ring.submit_and_wait(all - before);
        for entry in ring.completion() {
            let Ok(number) = u32::try_from(entry.user_data()) else { continue };
            let taken = usize::try_from(entry.result());
            sent.push((number, taken.map_err(|_| io::Error::from_raw_os_error(-entry.result()))));
        }
        match issued {
            Err(error) if !is_passing(&error) => return Err(error),
            Ok(_) if sent.len() > before => {}
            _ => {
                patience -= 1;
                if patience == 0 {
                    return Err(ErrorKind::TimedOut.into());
                }
                std::thread::yield_now();
            }
        }
    }
    Ok(())
}

/// A signal came, or the kernel has no memory just now.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::ResourceBusy)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::mem::ManuallyDrop;
    use std::os::fd::{FromRawFd, OwnedFd};

    use super::*;

    /// Where a kernel or a container has no ring there is nothing to test but that it says so.
    fn batch() -> Option<SendBatch> {
        match SendBatch::new() {
            Ok(batch) => Some(batch),
            Err(error) => {
                eprintln!("NOT TESTED: no io_uring here: {error}");
                assert!(matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported), "{error:?}");
                None
            }
        }
    }

    fn pairs(count: usize) -> Vec<(UnixStream, UnixStream)> {
        (0..count).map(|_| UnixStream::pair().unwrap()).collect()
    }

    #[test]
    fn everybody_gets_their_own_however_many_there_are() {
        let Some(mut batch) = batch() else { return };
        for count in [0, 1, MOST - 1, MOST, MOST + 1, 2 * MOST, 2 * MOST + 7] {
            let pairs = pairs(count);
            let texts: Vec<String> = (0..count).map(|number| format!("for {number}")).collect();
            let sends = pairs.iter().zip(&texts).zip(0..);
            let mut sent = Vec::new();
            batch.send(sends.map(|(((here, _), text), number)| (number, here.as_fd(), text.as_bytes())), &mut sent);
            let mut numbers: Vec<u32> = sent.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..count as u32));
            for (number, result) in sent {
                let text = &texts[number as usize];
                assert_eq!(result.unwrap(), text.len());
                let mut buffer = [0; 32];
                let read = (&pairs[number as usize].1).read(&mut buffer).unwrap();
                assert_eq!(&buffer[..read], text.as_bytes());
            }
        }
    }

    #[test]
    fn what_goes_to_one_socket_keeps_its_order() {
        let Some(mut batch) = batch() else { return };
        let (here, mut there) = UnixStream::pair().unwrap();
        let bytes: Vec<u8> = (0..=255).collect();
        let mut sent = Vec::new();
        batch.send(bytes.chunks(1).map(|byte| (0, here.as_fd(), byte)), &mut sent);
        assert_eq!(sent.len(), 256);
        let mut read = [0; 256];
        there.read_exact(&mut read).unwrap();
        assert_eq!(read[..], bytes);
    }

    #[test]
    fn a_full_socket_is_not_waited_for_even_if_it_could_wait() {
        let Some(mut batch) = batch() else { return };
        let pairs = pairs(3);
        pairs[1].0.set_nonblocking(true).unwrap();
        while (&pairs[1].0).write(&[0; 4_096]).is_ok() {}
        // The flag is the socket's: without it, only MSG_DONTWAIT keeps the call from waiting for ever.
        pairs[1].0.set_nonblocking(false).unwrap();
        let mut sent = Vec::new();
        batch.send(pairs.iter().zip(0..).map(|((here, _), number)| (number, here.as_fd(), &b"text"[..])), &mut sent);
        sent.sort_by_key(|(number, _)| *number);
        assert_eq!(sent[0].1.as_ref().unwrap(), &4);
        assert_eq!(sent[1].1.as_ref().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(sent[2].1.as_ref().unwrap(), &4);
        assert!(batch.is_usable());
    }

    #[test]
    fn more_than_a_socket_takes_is_taken_in_part() {
        let Some(mut batch) = batch() else { return };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        let much = vec![7; 64 * 1024 * 1024];
        let mut sent = Vec::new();
        batch.send([(5, here.as_fd(), &much[..])].into_iter(), &mut sent);
        let [(5, Ok(taken))] = sent[..] else { panic!("{sent:?}") };
        assert!(0 < taken && taken < much.len());
        let mut read = vec![0; taken];
        there.read_exact(&mut read).unwrap();
        drop(here);
        assert_eq!(there.read(&mut [0; 1]).unwrap(), 0, "nothing more than was told is sent");
    }

    #[test]
    fn a_ring_whose_caller_panics_sends_nothing_afterwards() {
        let Some(mut batch) = batch() else { return };
        let (here, mut there) = UnixStream::pair().unwrap();
        let torn = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let sends =
                (0..2).map(|number| if number == 0 { (0, here.as_fd(), &b"lost"[..]) } else { panic!("on purpose") });
            batch.send(sends, &mut Vec::new());
        }));
        assert!(torn.is_err() && !batch.is_usable());
        let mut sent = Vec::new();
        batch.send([(7, here.as_fd(), &b"late"[..])].into_iter(), &mut sent);
        assert!(matches!(sent[..], [(7, Err(_))]), "{sent:?}");
        drop(here);
        assert_eq!(there.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn when_the_ring_itself_fails_everybody_hears_so_once_and_it_is_asked_no_more() {
        let Some(mut batch) = batch() else { return };
        // As if the kernel had taken its ring away: there is something else behind the number.
        let number = batch.ring.as_ref().unwrap().as_raw_fd();
        let file = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: it is the ring's number, which the ring alone closes.
        #[allow(unsafe_code)]
        let mut ring = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        rustix::io::dup2(&file, &mut ring).unwrap();
        let pairs = pairs(MOST + 3);
        let mut sent = vec![(9_999, Ok(1))];
        batch.send(pairs.iter().zip(0..).map(|((here, _), number)| (number, here.as_fd(), &b"text"[..])), &mut sent);
        assert!(matches!(sent.remove(0), (9_999, Ok(1))), "what was there before is left alone");
        assert!(sent.iter().all(|(_, result)| result.is_err()), "{sent:?}");
        let mut numbers: Vec<u32> = sent.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..pairs.len() as u32));
        assert!(!batch.is_usable());
        for (here, mut there) in pairs {
            drop(here);
            assert_eq!(there.read(&mut [0; 8]).unwrap(), 0, "nothing was sent");
        }
    }

    #[test]
    fn who_is_gone_is_an_error_and_no_signal() {
        let Some(mut batch) = batch() else { return };
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        let mut sent = Vec::new();
        batch.send([(1, here.as_fd(), &b"text"[..])].into_iter(), &mut sent);
        assert_eq!(sent[0].1.as_ref().unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(batch.is_usable());
    }
}
