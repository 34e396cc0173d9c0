use std::sync::atomic::Ordering;

use protocol::{Body, DisplayName, JoinFrom, Message, MessageId, SessionId, UserId};
use tokio::time::timeout;

use super::super::io::AnswerBody;
use super::super::slow_log::SlowLog;
use super::super::testing::{PATIENCE, limits, mailboxes, no_peers, room};
use super::*;
use crate::connection::Outbox;
use crate::message_log::MessageLog;

fn ada() -> Arc<Session> {
    let (user, name) = (UserId::new("ada").unwrap(), DisplayName::new("Ada").unwrap());
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    Arc::new(Session { id: SessionId::from_random(1), user, name, address, outbox: Outbox::of_nobody(1 << 20) })
}

fn shard(log: Arc<dyn MessageLog>) -> Shard {
    let (node, limits) = (NodeId::from_random(1), limits(&[]));
    let work = Work::new(node.clone(), log, no_peers(), &limits, mpsc::channel(1).0);
    let mut shard = Shard::new(node.clone(), &limits, 1, work, Arc::new(Departures::new(node)), mailboxes());
    shard.read_clock();
    shard
}

/// Takes answers until one is of the kind.
async fn answered(shard: &mut Shard, kind: fn(&AnswerBody) -> bool) {
    loop {
        let answer = timeout(PATIENCE, shard.answered.recv()).await.expect("the log is asked").unwrap();
        let is_it = kind(&answer.body);
        shard.handle_answer(answer);
        if is_it {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_due_is_not_put_off_by_what_else_happens() {
    let log = SlowLog::new();
    log.throttled.store(1, Ordering::SeqCst);
    let (mut shard, session) = (shard(log.clone()), ada());
    shard.handle(Command::Join { room: room(), session: Arc::clone(&session), from: JoinFrom::Head, reference: None });
    answered(&mut shard, |body| matches!(body, AnswerBody::Checked(..))).await;
    let message = Message {
        id: MessageId::new("m").unwrap(),
        from: session.user.clone(),
        name: session.name.clone(),
        at: 1,
        body: Body::parse("1").unwrap(),
    };
    shard.handle(Command::Publish { room: room(), session: Arc::clone(&session), message });
    answered(&mut shard, |body| matches!(body, AnswerBody::Appended(..))).await;
    // The log had no capacity: the publish is due again in a moment, and then somebody types.
    shard.now = shard.timers.next().unwrap();
    let body = Body::parse("true").unwrap();
    shard.handle(Command::Signal { room: room(), session, key: None, body });
    answered(&mut shard, |body| matches!(body, AnswerBody::Appended(..))).await;
}
