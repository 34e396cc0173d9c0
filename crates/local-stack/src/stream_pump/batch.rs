//! What becomes of a batch, decided without I/O: partial responses, bisecting, retries
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>).

use std::collections::VecDeque;

use aws_lambda_events::event::streams::DynamoDbEventResponse;

use super::source::Record;

/// What an invocation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// The records before this index were taken, it and all after it were not.
    FailedFrom(usize),
}

impl Outcome {
    pub(super) const fn failed(from: usize) -> Self {
        Self::FailedFrom(from)
    }

    /// The lowest number that the response names is where the batch failed; a missing, empty or unknown one fails
    /// the whole batch.
    pub(super) fn of(response: &DynamoDbEventResponse, batch: &[Record]) -> Self {
        response
            .batch_item_failures
            .iter()
            .map(|failure| {
                let named = failure.item_identifier.as_deref();
                batch.iter().position(|record| Some(record.sequence_number.as_str()) == named).unwrap_or(0)
            })
            .min()
            .map_or(Self::Success, Self::FailedFrom)
    }
}

/// The rest of a batch that was read, in the parts in which it is now tried.
pub(super) struct Work {
    parts: VecDeque<Part>,
    retries: u32,
}

struct Part {
    records: Vec<Record>,
    failures: u32,
}

/// What an outcome settles.
#[derive(Debug, PartialEq)]
pub(super) struct Next {
    pub(super) taken: Vec<Record>,
    pub(super) given_up: Vec<Record>,
}

impl Work {
    pub(super) fn new(records: Vec<Record>, retries: u32) -> Self {
        let mut work = Self { parts: VecDeque::new(), retries };
        work.push_front(records, 0);
        work
    }

    /// What to invoke the handler with next.
    pub(super) fn current(&self) -> Option<&[Record]> {
        self.parts.front().map(|part| part.records.as_slice())
    }

    /// Settles the current part. Progress makes the rest a batch of its own, with one failure behind it; without
    /// progress the part is halved, which uses up no retry, until a single record is left to be retried.
    pub(super) fn settle(&mut self, outcome: &Outcome) -> Next {
        let mut next = Next { taken: Vec::new(), given_up: Vec::new() };
        let Some(mut part) = self.parts.pop_front() else { return next };
        match *outcome {
            Outcome::Success => next.taken = part.records,
            Outcome::FailedFrom(0) if part.records.len() > 1 => {
                let second = part.records.split_off(part.records.len() / 2);
                self.push_front(second, part.failures);
                self.push_front(part.records, part.failures);
            }
            Outcome::FailedFrom(0) if part.failures >= self.retries => next.given_up = part.records,
            Outcome::FailedFrom(0) => self.push_front(part.records, part.failures + 1),
            Outcome::FailedFrom(from) => {
                let rest = part.records.split_off(from);
                next.taken = part.records;
                self.push_front(rest, 1);
            }
        }
        next
    }

    fn push_front(&mut self, records: Vec<Record>, failures: u32) {
        if !records.is_empty() {
            self.parts.push_front(Part { records, failures });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn records(numbers: std::ops::Range<u32>) -> Vec<Record> {
        numbers.map(|n| Record { sequence_number: n.to_string(), json: "{}".into() }).collect()
    }

    fn response(failures: &serde_json::Value) -> DynamoDbEventResponse {
        serde_json::from_value(json!({ "batchItemFailures": failures })).unwrap()
    }

    #[test]
    fn the_lowest_failure_of_a_response_counts() {
        let batch = records(10..15);
        let outcome = |failures| Outcome::of(&response(&failures), &batch);
        assert_eq!(outcome(json!([])), Outcome::Success);
        assert_eq!(outcome(json!([{"itemIdentifier": "13"}, {"itemIdentifier": "11"}])), Outcome::FailedFrom(1));
        for whole in [json!(""), json!(null), json!("77")] {
            assert_eq!(
                outcome(json!([{"itemIdentifier": "14"}, {"itemIdentifier": whole}])),
                Outcome::FailedFrom(0),
                "{whole}"
            );
        }
    }

    #[test]
    fn a_partial_failure_leaves_the_rest_as_one_batch() {
        let mut work = Work::new(records(0..6), 3);
        let next = work.settle(&Outcome::FailedFrom(4));
        assert_eq!(next, Next { taken: records(0..4), given_up: vec![] });
        assert_eq!(work.current(), Some(&records(4..6)[..]));
        assert_eq!(work.settle(&Outcome::Success).taken, records(4..6));
        assert!(work.current().is_none());
    }

    #[test]
    fn halving_isolates_a_poisonous_record_and_only_that_one_is_given_up() {
        let mut work = Work::new(records(0..100), 3);
        let (mut taken, mut given_up, mut invocations) = (vec![], vec![], 0);
        while let Some(batch) = work.current() {
            invocations += 1;
            let poisoned = batch.iter().any(|record| record.sequence_number == "42");
            let outcome = if poisoned { Outcome::FailedFrom(0) } else { Outcome::Success };
            let next = work.settle(&outcome);
            taken.extend(next.taken);
            given_up.extend(next.given_up);
        }
        assert_eq!(given_up, records(42..43));
        assert_eq!(taken.len(), 99);
        assert!(taken.iter().map(|r| r.sequence_number.parse::<u32>().unwrap()).is_sorted(), "order is kept");
        assert!(invocations < 25, "{invocations} invocations");
    }

    #[test]
    fn a_single_record_is_tried_once_and_then_as_often_as_there_are_retries() {
        let mut work = Work::new(records(0..1), 10);
        let mut attempts = 0;
        while work.current().is_some() {
            attempts += 1;
            work.settle(&Outcome::FailedFrom(0));
        }
        assert_eq!(attempts, 11);
    }
}
