//! Many sends to many sockets in one call to the kernel, by io_uring.
//!
//! A fan-out is one `send(2)` for each member, and a tenth of its time goes into entering the kernel and finding the socket.
//! Here sends are written into a ring that the kernel reads, and one call issues them all. Nothing is asynchronous: each send
//! is told not to wait (`MSG_DONTWAIT`), so it is over when the call returns, and no memory is the kernel's afterwards.
//!
//! Kernels before 5.6 have none of this, and containers may forbid it: then [`SendBatch::new`] says so, and the caller sends
//! one by one. This is the only crate here with `unsafe` code.

mod ring;

pub use ring::{MOST, SendBatch};
