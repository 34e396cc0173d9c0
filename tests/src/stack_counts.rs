//! What a local stack did, asked from outside: publishes, deliveries, segments, processor time.

use std::time::Duration;

use load_generator::server_process::usage;
use protocol::RoomName;
use serde_json::{Value, json};

use crate::{Stack, http};

/// What a stack did since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StackCounts {
    /// Messages published to SNS.
    pub sns_messages: u64,
    /// Bytes of those.
    pub sns_bytes: u64,
    /// Deliveries that nodes accepted, confirmations of subscriptions included.
    pub sns_delivered: u64,
    /// Posts, retries included.
    pub sns_attempts: u64,
    /// Invocations of the Lambda function.
    pub invocations: u64,
    /// What became of commits; `None` when the stack does not count them.
    pub log: Option<LogCounts>,
    /// Processor time of the whole stack: the nodes that run, and the parts of AWS that it stands in for.
    pub cpu: Duration,
}

/// What became of PutItem calls on the messages table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Those that wrote.
    pub committed: u64,
    /// Those that came second.
    pub conflicts: u64,
    /// Those that failed otherwise.
    pub others: u64,
}

impl LogCounts {
    /// How often the log was asked for each time that it took something.
    #[must_use]
    pub fn attempts_a_commit(self) -> f64 {
        (self.committed + self.conflicts + self.others) as f64 / self.committed.max(1) as f64
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            committed: self.committed - earlier.committed,
            conflicts: self.conflicts - earlier.conflicts,
            others: self.others - earlier.others,
        }
    }
}

impl StackCounts {
    /// Asks the stack.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn of(stack: &Stack) -> Self {
        let url = format!("{}/_local/stats", stack.announced("sns"));
        let stats = http::get(&url).await.expect("a running stack tells its counts").json();
        let count = |part: &str, name: &str| {
            let value: &Value = &stats[part][name];
            value.as_u64().unwrap_or_else(|| panic!("{part}.{name} in {stats}"))
        };
        Self {
            sns_messages: count("sns", "messages"),
            sns_bytes: count("sns", "message_bytes"),
            sns_delivered: count("sns", "delivered"),
            sns_attempts: count("sns", "attempts"),
            invocations: count("mapping", "invocations"),
            log: stats.get("log").map(|_| LogCounts {
                committed: count("log", "committed"),
                conflicts: count("log", "conflicts"),
                others: count("log", "others"),
            }),
            cpu: [stack.process().pid()].into_iter().chain(children(stack.process().pid())).map(cpu_time).sum(),
        }
    }

    /// What was done after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            sns_messages: self.sns_messages - earlier.sns_messages,
            sns_bytes: self.sns_bytes - earlier.sns_bytes,
            sns_delivered: self.sns_delivered - earlier.sns_delivered,
            sns_attempts: self.sns_attempts - earlier.sns_attempts,
            invocations: self.invocations - earlier.invocations,
            log: self.log.zip(earlier.log).map(|(now, earlier)| now.since(earlier)),
            // A node that was started again begins anew.
            cpu: self.cpu.saturating_sub(earlier.cpu),
        }
    }
}

/// How many segments a room's log has.
///
/// # Panics
/// When DynamoDB does not tell.
pub async fn segments(stack: &Stack, room: &RoomName) -> u64 {
    let mut request = json!({
        "TableName": stack.announced("messages_table"),
        "KeyConditionExpression": "room = :room AND seq >= :first",
        "ExpressionAttributeValues": {":room": {"S": room.as_str()}, ":first": {"N": "1"}},
        "Select": "COUNT",
    });
    let mut count = 0;
    loop {
        let page = stack.dynamodb("Query", &request).await;
        count += page["Count"].as_u64().expect("a page of a query has a count");
        match page.get("LastEvaluatedKey") {
            Some(key) => request["ExclusiveStartKey"] = key.clone(),
            None => return count,
        }
    }
}

/// User and system time of a process since its start.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    usage(pid).expect("the process runs").cpu
}

/// The processes that this one has started and that run: `/proc/<pid>/stat` has the parent behind the program's name.
fn children(parent: u32) -> Vec<u32> {
    let parent_of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let processes = std::fs::read_dir("/proc").expect("processes are in /proc").filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent_of(pid) == Some(parent)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_lost_count_as_well_as_those_that_won() {
        let before = LogCounts { committed: 100, conflicts: 7, others: 1 };
        let after = LogCounts { committed: 110, conflicts: 9, others: 4 };
        assert_eq!(after.since(before), LogCounts { committed: 10, conflicts: 2, others: 3 });
        assert_eq!(after.since(before).attempts_a_commit(), 1.5);
        assert_eq!(LogCounts::default().attempts_a_commit(), 0.0);
    }

    #[test]
    fn this_process_uses_processor_time() {
        let before = cpu_time(std::process::id());
        let start = std::time::Instant::now();
        while cpu_time(std::process::id()) < before + Duration::from_millis(30) {
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }

    #[test]
    fn a_process_that_was_started_here_is_a_child_for_as_long_as_it_runs() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children(std::process::id()).contains(&child.id()));
    }
}
