//! `GET /healthz` again and again, as a load balancer does it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::connection::RawConnection;
use super::watched::{Kind, Notes};

/// How long one check may take; then it counts as refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks until the notes say that it is enough.
pub(super) fn watch(address: SocketAddr, every: Duration, notes: &Notes) {
    let mut due = Instant::now() + every;
    while !notes.stop.load(Ordering::Relaxed) {
        let wait = due.saturating_duration_since(Instant::now());
        std::thread::sleep(wait.min(Duration::from_millis(20)));
        if Instant::now() < due {
            continue;
        }
        let phase = notes.now();
        let told = check(address);
        notes.with(|watched| {
            watched.took(phase, Kind::Health, due.elapsed());
            if let Err(why) = told {
                watched.failed(phase, Kind::Health, &why);
            }
        });
        // One at a time: a check that took long is not made up for.
        due = Instant::now().max(due + every);
    }
}

/// One request over a connection of its own.
///
/// # Errors
/// What came instead of 200, in words.
pub fn check(address: SocketAddr) -> Result<(), String> {
    let mut connection = RawConnection::tcp(address, None).map_err(|error| error.to_string())?;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.send(request.as_bytes()).map_err(|error| error.to_string())?;
    let answer = connection.rest(PATIENCE);
    match answer.strip_prefix(b"HTTP/1.1 200") {
        Some(_) => Ok(()),
        None if answer.is_empty() => Err("no answer".to_owned()),
        None => Err(String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned()),
    }
}
