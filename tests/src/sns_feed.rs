//! The bench plays SNS for one node: segments reach it in signed posts, without the log's cost.
//!
//! What is due together is one segment a room, as group commit makes it, and one post, as the publisher packs it. Posts
//! are made and signed before the clock starts, as far as it is known what will be due; the others cost the load, not
//! the node.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use load_generator::herd::{Batch, Feed, FeedPace, Script};
use protocol::{Content, Envelope, NodeId, Segment, WallSecs};

use crate::{Node, Stack, sns};

/// Posts that are made before the clock starts for each second of it, at most: each is an RSA signature.
const MADE_A_SECOND: f64 = 500.0;

/// Posts under way at a time: SNS does not wait for one answer before it posts the next message.
const POSTS: usize = 4;

/// Brings a script's messages to a node as SNS would.
pub struct SnsFeed {
    script: Script,
    notary: Notary,
    /// Where the node takes posts.
    endpoint: Endpoint,
    /// All that there are, one post at a time on each.
    posts: Vec<Post>,
    node: NodeId,
    expires: WallSecs,
    made: HashMap<Batch, Vec<u8>>,
    made_late: Arc<AtomicU64>,
}

impl SnsFeed {
    /// Finds the node's endpoint and makes the posts of some seconds.
    ///
    /// # Panics
    /// When the stack signs nothing or the node is not subscribed.
    pub async fn new(
        stack: &Stack,
        node: &Node,
        script: Script,
        (pace, rooms_a_group): (FeedPace, usize),
        time: Duration,
    ) -> Self {
        let endpoint = Endpoint::new(&sns::endpoint_of(stack, &node.url()).await);
        let week = 7 * 24 * 3_600;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is after 1970");
        let notary = Notary::new(stack.announced("sns"), stack.announced("topic_arn"));
        let mut feed = Self {
            script,
            notary: notary.expect("the stack's SNS listens"),
            endpoint,
            posts: Vec::new(),
            node: NodeId::from_random(fastrand::u64(..)),
            expires: WallSecs(now.as_secs() + week),
            made: HashMap::new(),
            made_late: Arc::default(),
        };
        feed.make(pace, rooms_a_group, time).expect("the stack's SNS signs");
        // Not before: a node hangs up on who connects and is silent for as long as many signatures take.
        feed.posts = (0..POSTS).map(|_| Post::new(&feed.endpoint).expect("a node listens")).collect();
        feed
    }

    /// How many posts were signed after the clock had started.
    #[must_use]
    pub fn made_late(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.made_late)
    }

    fn make(&mut self, pace: FeedPace, rooms_a_group: usize, time: Duration) -> io::Result<()> {
        let rooms = self.script.rooms();
        let groups = rooms.div_ceil(rooms_a_group) as u64;
        let most_made = (MADE_A_SECOND * time.as_secs_f64()) as u64;
        let (count, wanted) = match pace {
            FeedPace::InFlight(most) => (most as u64, most_made),
            FeedPace::Rate(rate) => {
                let batches = rate * time.as_secs_f64() / rooms_a_group.min(rooms) as f64;
                (1, (batches as u64).min(most_made))
            }
        };
        for number in 0..wanted {
            let first_room = (number % groups) as usize * rooms_a_group;
            let rooms = first_room..(first_room + rooms_a_group).min(rooms);
            let batch = Batch { rooms, first: number / groups * count, count };
            let request = self.request(&batch)?;
            self.made.insert(batch, request);
        }
        Ok(())
    }

    fn request(&mut self, batch: &Batch) -> io::Result<Vec<u8>> {
        let segment = |room: usize| Segment {
            room: self.script.room(room).clone(),
            seq: self.script.seq(room, batch.first),
            epoch: self.script.epoch(room).clone(),
            node: self.node.clone(),
            expires: self.expires,
            content: Content::Messages((0..batch.count).map(|at| self.script.message(batch.first + at)).collect()),
        };
        let text = |room| serde_json::to_string(&segment(room)).expect("messages are JSON");
        let segments: Vec<String> = batch.rooms.clone().map(text).collect();
        let signed = self.notary.sign(&Envelope::join(segments.iter().map(String::as_str)))?;
        Ok(self.endpoint.request(&signed))
    }
}

impl Feed for SnsFeed {
    fn is_ready(&mut self) -> io::Result<bool> {
        let mut ready = false;
        for post in &mut self.posts {
            ready |= post.is_ready()?;
        }
        Ok(ready)
    }

    fn send(&mut self, batch: &Batch, _say: &mut dyn FnMut(usize, &str)) -> io::Result<()> {
        let request = match self.made.remove(batch) {
            Some(request) => request,
            None => {
                self.made_late.fetch_add(1, Ordering::Relaxed);
                self.request(batch)?
            }
        };
        let free = self.posts.iter_mut().find(|post| !post.outstanding);
        free.ok_or(ErrorKind::WouldBlock)?.send(request)
    }
}

/// One connection to the node's endpoint, one post at a time. Never waits.
struct Post {
    stream: TcpStream,
    unsent: Vec<u8>,
    answer: Vec<u8>,
    outstanding: bool,
}

impl Post {
    fn new(endpoint: &Endpoint) -> io::Result<Self> {
        let stream = TcpStream::connect(&endpoint.host)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, unsent: Vec::new(), answer: Vec::new(), outstanding: false })
    }

    fn send(&mut self, request: Vec<u8>) -> io::Result<()> {
        self.unsent = request;
        self.outstanding = true;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_ready(&mut self) -> io::Result<bool> {
        if !self.outstanding {
            return Ok(true);
        }
        self.flush()?;
        let mut bytes = [0; 1_024];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the node hung up")),
            Ok(read) => self.answer.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        let Some((status, _, length)) = answer(&self.answer) else { return Ok(false) };
        if status != 200 {
            return Err(io::Error::other(format!("the node answered a post with {status}")));
        }
        self.answer.drain(..length);
        self.outstanding = false;
        Ok(true)
    }
}

/// Who signs for the stack's SNS. Waits for every answer.
struct Notary {
    stream: TcpStream,
    endpoint: Endpoint,
}

impl Notary {
    fn new(sns: &str, topic: &str) -> io::Result<Self> {
        let endpoint = Endpoint { path: format!("/_local/notarize?TopicArn={topic}"), ..Endpoint::new(sns) };
        let stream = TcpStream::connect(&endpoint.host)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, endpoint })
    }

    fn sign(&mut self, text: &str) -> io::Result<Vec<u8>> {
        self.stream.write_all(&self.endpoint.request(text.as_bytes()))?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1_024];
        loop {
            let read = self.stream.read(&mut buffer)?;
            bytes.extend_from_slice(&buffer[..read]);
            match answer(&bytes) {
                Some((200, body, length)) => return Ok(bytes[body..length].to_vec()),
                Some((status, ..)) => return Err(io::Error::other(format!("SNS answered {status}"))),
                None if read == 0 => return Err(ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
    }
}

/// `http://host:port/path`, in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    host: String,
    path: String,
}

impl Endpoint {
    fn new(url: &str) -> Self {
        let rest = url.strip_prefix("http://").expect("the stack speaks plain HTTP");
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        Self { host: host.to_owned(), path: format!("/{path}") }
    }

    fn request(&self, body: &[u8]) -> Vec<u8> {
        let Self { host, path } = self;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain; charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

/// The whole answer at the beginning: its status, where its body begins and where it ends.
fn answer(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let body = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..body]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().filter_map(|line| line.split_once(':'));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.next().map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
    (bytes.len() >= body + length).then_some((status, body, body + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP";
        let end = bytes.len() - 4;
        assert_eq!(answer(bytes), Some((200, end - 3, end)));
        assert_eq!(answer(&bytes[..end - 1]), None);
        assert_eq!(answer(b"HTTP/1.1 503 Busy\r\n\r\n"), Some((503, 21, 21)));
        assert_eq!(Endpoint::new("http://h:1/sns/x"), Endpoint { host: "h:1".to_owned(), path: "/sns/x".to_owned() });
    }
}
