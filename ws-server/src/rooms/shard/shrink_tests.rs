use protocol::JoinFrom;

use super::super::slow_log::SlowLog;
use super::due_tests::{ada, shard};
use super::*;

#[tokio::test]
async fn the_tables_of_a_shard_get_small_again_after_a_rush() {
    let (mut shard, session) = (shard(SlowLog::new()), ada());
    let named = |number: u32| RoomName::new(&format!("room-{number}")).unwrap();
    for number in 0..20_000 {
        let (room, session) = (named(number), Arc::clone(&session));
        shard.handle(Command::Join { room, session, from: JoinFrom::Head, reference: None });
    }
    assert!(shard.rooms.len() == 20_000 && shard.rooms.capacity() >= 20_000);
    // The last ones stay: they sit at the ends of the tables.
    for number in 0..19_990 {
        let (room, session) = (named(number), Arc::clone(&session));
        shard.handle(Command::Leave { room, session, reference: None });
    }
    shard.shrink();
    assert_eq!(shard.rooms.len(), 10);
    assert!(shard.rooms.capacity() < 100, "{}", shard.rooms.capacity());
    assert!((19_990..20_000).all(|number| shard.has(&named(number), &session)));
}
