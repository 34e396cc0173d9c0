//! The database's front door when something is asked of it that dynoxide's own server cannot: that writes take their
//! time, that calls fail, that commits are counted. It calls the database in this process, so it costs no second hop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::serve::ListenerExt as _;
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::calls::{self, Answer, Kind, Operation, Outcome};
use super::write_line::WriteLine;
use crate::faults::{Current, Dice, DynamoDbFaults};

/// DynamoDB's own limit.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// The operation that commits.
const PUT: &str = "PutItem";
/// The operation that reads a page of a room.
const QUERY: &str = "Query";

/// What became of PutItem calls on the messages table, and how often it was read in pages.
#[derive(Debug, Default)]
pub struct LogCounts {
    committed: AtomicU64,
    conflicts: AtomicU64,
    others: AtomicU64,
    queries: AtomicU64,
}

impl LogCounts {
    /// Those that wrote.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Those whose condition was not met: somebody else had written.
    pub fn conflicts(&self) -> u64 {
        self.conflicts.load(Ordering::Relaxed)
    }

    /// Those that failed otherwise, by a fault or by being wrong.
    pub fn others(&self) -> u64 {
        self.others.load(Ordering::Relaxed)
    }

    /// Query calls: rooms being opened, gaps, replays, history. Audits are others.
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// All of them, for people and measurements.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "committed": self.committed(), "conflicts": self.conflicts(), "others": self.others(),
            "queries": self.queries(),
        })
    }

    fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Done => &self.committed,
            Outcome::ConditionFailed => &self.conflicts,
            Outcome::Failed => &self.others,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a front needs to know.
pub(super) struct FrontSettings {
    pub(super) database: Database,
    /// The table whose commits are counted and whose calls fail.
    pub(super) messages_table: String,
    pub(super) commit_delay: Duration,
    pub(super) faults: Current<DynamoDbFaults>,
    pub(super) seed: u64,
    pub(super) counts: Arc<LogCounts>,
    pub(super) stop: CancellationToken,
}

struct Front {
    database: Database,
    line: WriteLine,
    /// As it stands in a request.
    messages_table: String,
    counts: Arc<LogCounts>,
    strikes: Strikes,
    stop: CancellationToken,
}

/// Serves the database until it is stopped and the calls that had come are answered.
pub(super) async fn serve(listener: TcpListener, settings: FrontSettings) -> Result<(), String> {
    let (line, threads) = WriteLine::start(settings.commit_delay).map_err(|error| error.to_string())?;
    let stop = settings.stop.clone();
    let front = Arc::new(Front {
        database: settings.database,
        line,
        messages_table: format!("\"{}\"", settings.messages_table),
        counts: settings.counts,
        strikes: Strikes::new(settings.faults, settings.seed),
        stop: settings.stop,
    });
    let routes = Router::new().fallback(answer).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(front);
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
    let ended = tokio::task::spawn_blocking(|| threads.into_iter().all(|thread| thread.join().is_ok())).await;
    served.map_err(|error| error.to_string())?;
    if ended.unwrap_or(false) { Ok(()) } else { Err("a thread of the database panicked".to_owned()) }
}

async fn answer(State(front): State<Arc<Front>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.split_once('.').and_then(|(_, name)| calls::operation(name));
    let (status, json) = match operation {
        Some(operation) => {
            let answer = front.call(operation, body).await;
            (StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), answer.json)
        }
        None => {
            (StatusCode::BAD_REQUEST, r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#.to_owned())
        }
    };
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}

impl Front {
    async fn call(&self, operation: &'static Operation, body: Bytes) -> Answer {
        let (faults, is_down) = self.strikes.faults.faults_and_outage(|faults| faults.down);
        if is_down {
            // Ends when the caller hangs up.
            self.stop.cancelled().await;
            return Answer::internal_error("fault dynamodb.down");
        }
        let on_messages = operation.kind != Kind::Administers && self.names_messages_table(&body);
        if on_messages && operation.name == QUERY {
            self.counts.queries.fetch_add(1, Ordering::Relaxed);
        }
        if on_messages && operation.kind == Kind::Writes && contains(&body, faults.refuse.as_deref()) {
            return self.refused(operation, Answer::invalid("fault dynamodb.refuse"));
        }
        let strike = if on_messages { self.strikes.next(&faults) } else { None };
        match strike {
            Some(Strike::Throttled) => self.refused(operation, Answer::throttled()),
            Some(Strike::FailsBefore) => self.refused(operation, Answer::internal_error("fault dynamodb.fail")),
            Some(Strike::FailsAfter) => {
                self.carry_out(operation, body, on_messages).await;
                Answer::internal_error("fault dynamodb.fail")
            }
            None => self.carry_out(operation, body, on_messages).await,
        }
    }

    async fn carry_out(&self, operation: &'static Operation, body: Bytes, on_messages: bool) -> Answer {
        let database = self.database.clone();
        let counts = (on_messages && operation.name == PUT).then(|| Arc::clone(&self.counts));
        let work = move || {
            let answer = operation.run(&database, &body);
            // Here, and not where the answer is given: the caller may have given up.
            if let Some(counts) = counts {
                counts.count(answer.outcome);
            }
            answer
        };
        if operation.kind == Kind::Writes {
            return self.line.write(Box::new(work)).await;
        }
        let answered = tokio::task::spawn_blocking(work).await;
        answered.unwrap_or_else(|error| Answer::internal_error(&error.to_string()))
    }

    /// A fault that comes before anything is done.
    fn refused(&self, operation: &Operation, answer: Answer) -> Answer {
        if operation.name == PUT {
            self.counts.count(answer.outcome);
        }
        answer
    }

    /// Inside a text of JSON a quotation mark stands behind a backslash, so this is never part of an item's values,
    /// unless a value is the table's name and no more.
    fn names_messages_table(&self, body: &[u8]) -> bool {
        std::str::from_utf8(body).is_ok_and(|body| body.contains(&self.messages_table))
    }
}

fn contains(body: &[u8], word: Option<&str>) -> bool {
    word.is_some_and(|word| std::str::from_utf8(body).is_ok_and(|body| body.contains(word)))
}

/// Which calls fail.
struct Strikes {
    faults: Current<DynamoDbFaults>,
    throttle: Dice,
    fail: Dice,
    fail_after: Dice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Throttled,
    FailsBefore,
    FailsAfter,
}

impl Strikes {
    fn new(faults: Current<DynamoDbFaults>, seed: u64) -> Self {
        Self {
            throttle: Dice::new(seed, "dynamodb.throttle"),
            fail: Dice::new(seed, "dynamodb.fail"),
            fail_after: Dice::new(seed, "dynamodb.fail_after"),
            faults,
        }
    }

    fn next(&self, faults: &DynamoDbFaults) -> Option<Strike> {
        let throttled = self.throttle.happens(faults.throttle);
        let fails = self.fail.happens(faults.fail);
        let after = self.fail_after.happens(0.5);
        match (throttled, fails, after) {
            (true, _, _) => Some(Strike::Throttled),
            (_, true, false) => Some(Strike::FailsBefore),
            (_, true, true) => Some(Strike::FailsAfter),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_failed_call_has_done_its_work() {
        let strikes = Strikes::new(DynamoDbFaults::default().into(), 7);
        let failing = DynamoDbFaults { fail: 1.0, ..DynamoDbFaults::default() };
        let after = (0..1_000).filter(|_| strikes.next(&failing) == Some(Strike::FailsAfter)).count();
        assert!((400..600).contains(&after), "{after}");
        assert!((0..100).all(|_| strikes.next(&DynamoDbFaults::default()).is_none()));
    }
}
