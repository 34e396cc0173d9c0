//! Newcomers, who connect, join, leave and go. Each has its moment, whatever became of those before it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::session::Limits;
use client::{Backoff, Event, JoinFrom, Session};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::RoomName;
use tokio::sync::Semaphore;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::crowd::Crowd;
use crate::plan::MOST_NEWCOMERS;
use crate::wire::{Socket, dial, source};

/// How long a newcomer tries.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far a newcomer came, in time since it was due.
#[derive(Debug, Default, Clone, Copy)]
struct Visit {
    greeted: Option<Duration>,
    joined: Option<Duration>,
    left: bool,
}

/// Lets newcomers come, so many a second, until the run is over.
pub(crate) async fn newcomers(crowd: Arc<Crowd>, rate: f64) {
    let start = Instant::now();
    let places = Arc::new(Semaphore::new(MOST_NEWCOMERS));
    for number in 0_usize.. {
        let due = start + Duration::from_secs_f64(number as f64 / rate);
        sleep_until(due.into()).await;
        if crowd.is_over() {
            return;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            crowd.stats.of(number).skipped += 1;
            continue;
        };
        let crowd = Arc::clone(&crowd);
        tokio::spawn(async move {
            let mut visit = Visit::default();
            let done = timeout(PATIENCE, Box::pin(come_and_go(&crowd, number, due, &mut visit))).await;
            note(&crowd, number, visit, done.unwrap_or(Err(None)));
            drop(place);
        });
    }
}

fn note(crowd: &Crowd, number: usize, visit: Visit, done: Result<(), Option<u16>>) {
    let mut counts = crowd.stats.of(number);
    if let Some(took) = visit.greeted {
        counts.connects += 1;
        counts.times.connect.record(took);
        counts.window.connect.push(took);
    } else {
        counts.failed_attempts += 1;
    }
    if let Some(took) = visit.joined {
        counts.times.join.record(took);
        counts.window.join.push(took);
    }
    match done {
        Err(close) if visit.greeted.is_some() => *counts.closes.entry(close).or_default() += 1,
        _ => {}
    }
}

/// `Err` is an end that came too soon, with its close code if there was one.
async fn come_and_go(crowd: &Crowd, number: usize, due: Instant, visit: &mut Visit) -> Result<(), Option<u16>> {
    let room = crowd.rooms[number % crowd.rooms.len()].name.clone();
    let target = &crowd.targets[number % crowd.targets.len()];
    let guest = format!("{:x}-new-{number}", crowd.run);
    let dialled = dial(target, source(number, crowd.sources), &guest).await;
    let (mut socket, _) = dialled.map_err(|error| error.code())?;
    let mut session = Session::new(Limits::default(), Backoff::default(), number as u64);
    session.handle_join(room.clone(), JoinFrom::Head).expect("a new session has space for a room");
    session.handle_connected();
    while !visit.left {
        while let Some(text) = session.poll_transmit() {
            socket.send(Message::text(text)).await.map_err(|_| None)?;
        }
        match socket.next().await {
            Some(Ok(Message::Text(text))) => session.handle_text(crowd.now(), &text),
            Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(None),
        }
        take_events(crowd, number, due, &mut session, &room, visit);
    }
    goodbye(socket).await;
    Ok(())
}

fn take_events(crowd: &Crowd, number: usize, due: Instant, session: &mut Session, room: &RoomName, visit: &mut Visit) {
    while let Some(event) = session.poll_event() {
        match event {
            Event::Connected(_) => visit.greeted = Some(due.elapsed()),
            Event::Joined { .. } => {
                visit.joined = Some(due.elapsed());
                let _ = session.handle_leave(room); // it was joined just now
            }
            Event::Left { .. } => visit.left = true,
            Event::ProtocolViolation(violation) => crowd.stats.of(number).handle_violation(number, &violation),
            _ => {}
        }
    }
}

/// Closes as RFC 6455 wants it.
async fn goodbye(mut socket: Socket) {
    if socket.close(None).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}
