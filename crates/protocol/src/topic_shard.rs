use crate::names::RoomName;

/// Which of `topics` SNS topics carries a room: FNV-1a (64 bit) of the name, modulo. Publisher and nodes must agree, so
/// the hash never changes.
///
/// # Panics
/// When `topics` is 0: a deployment has at least one topic.
#[must_use]
pub fn topic_shard(room: &RoomName, topics: usize) -> usize {
    assert!(topics > 0, "a deployment has at least one topic");
    let hash = room
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash % topics as u64).expect("a remainder below a usize fits a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // FNV-1a 64 of "a" is 0xaf63dc4c8601ec8c (http://www.isthe.com/chongo/tech/comp/fnv/).
        let a = RoomName::new("a").unwrap();
        assert_eq!(topic_shard(&a, 1), 0);
        assert_eq!(topic_shard(&a, 1 << 16), 0xec8c);
    }
}
