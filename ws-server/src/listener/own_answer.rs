//! Hyper answers what is no request by itself, without a body: here its answer gets a text.

use std::io::IoSlice;

/// Bytes of `HTTP/1.1 ` and a status.
const STATUS: std::ops::Range<usize> = 9..12;

/// An answer, and how much of it is written.
#[derive(Debug)]
pub(super) struct OwnAnswer {
    bytes: Vec<u8>,
    written: usize,
}

impl OwnAnswer {
    /// Instead of hyper's answer.
    pub(super) fn to(hypers: &[IoSlice<'_>]) -> Self {
        let status = hypers.first().and_then(|head| head.get(STATUS)).unwrap_or_default();
        let (status, text) = match status {
            b"431" => ("431 Request Header Fields Too Large", "a request's head has at most 100 lines and 32 KiB"),
            b"414" => ("414 URI Too Long", "a request's head has at most 100 lines and 32 KiB"),
            _ => ("400 Bad Request", "this is no HTTP/1.1 request"),
        };
        let length = text.len() + 1;
        let head = "connection: close\r\ncontent-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff";
        let bytes = format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {length}\r\n\r\n{text}\n").into_bytes();
        Self { bytes, written: 0 }
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_that_is_told_is_the_one_that_is_read() {
        let said = OwnAnswer::to(&[IoSlice::new(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")]);
        let text = String::from_utf8(said.rest().to_vec()).unwrap();
        assert!(text.contains(&format!("100 lines and {} KiB\n", super::super::MAX_HEAD / 1024)), "{text}");
    }
}
