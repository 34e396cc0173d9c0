//! `ws-server health-check`: asks the node of the same machine whether it is alive, for containers whose image has no
//! other program to ask with.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config::listen_address;

/// For each of connecting, asking and hearing.
const PATIENCE: Duration = Duration::from_secs(2);
const DEFAULT_LISTEN: &str = "0.0.0.0:8080";

/// Asks the node that listens at `listen` (the text of `ROOMCAST_LISTEN`; `None`: its default), over loopback if it
/// listens everywhere. Takes at most a few seconds.
///
/// # Errors
/// One line that says why the node does not count as alive.
pub fn ask(listen: Option<&str>) -> Result<(), String> {
    let listen = listen.unwrap_or(DEFAULT_LISTEN);
    let mut address = listen_address(listen).map_err(|reason| format!("ROOMCAST_LISTEN={listen}: {reason}"))?;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let failed = |error: std::io::Error| format!("{address} does not answer: {error}");
    let status = status_line(address).map_err(failed)?;
    if status.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(format!("{address} answers {status:?}")) }
}

fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    write!(socket, "GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut start = Vec::new();
    // What follows the first line is of no interest, however long it is.
    socket.take(128).read_to_end(&mut start)?;
    let text = String::from_utf8_lossy(&start);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A node that answers one request with this, and tells what it was asked.
    fn node(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            // All of it: what is unread when the socket closes would reset the connection under the answer.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut part = [0; 1024];
                let length = socket.read(&mut part).unwrap();
                assert!(length > 0, "the request ends early");
                request.extend_from_slice(&part[..length]);
            }
            socket.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, asked)
    }

    #[test]
    fn a_node_that_says_so_is_alive() {
        let (address, asked) = node("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nalive\n");
        assert_eq!(ask(Some(&address)), Ok(()));
        assert!(asked.join().unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));
    }

    #[test]
    fn a_node_that_listens_everywhere_is_asked_over_loopback() {
        let (address, asked) = node("HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(ask(Some(&address.replace("127.0.0.1", "0.0.0.0"))), Ok(()));
        assert!(asked.join().unwrap().contains(&address));
    }

    #[test]
    fn any_other_answer_is_told_in_one_line() {
        let (address, asked) = node("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let reason = ask(Some(&address)).unwrap_err();
        assert!(reason.contains("503") && !reason.contains('\n'), "{reason}");
        asked.join().unwrap();
    }

    #[test]
    fn nobody_there_is_not_alive() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert!(ask(Some(&free)).unwrap_err().contains("does not answer"));
        assert!(ask(Some("nowhere")).unwrap_err().starts_with("ROOMCAST_LISTEN=nowhere: expected an address"));
    }

    #[test]
    fn a_node_that_listens_at_a_name_is_asked_there() {
        let (address, asked) = node("HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(ask(Some(&address.replace("127.0.0.1", "localhost"))), Ok(()));
        asked.join().unwrap();
    }
}
