//! The stream, its publisher, and SNS: drop, repeat, reorder, delay, retry.

use std::rc::Rc;
use std::sync::Arc;

use protocol::{Content, Segment};

use super::{Event, World};
use crate::chance::Chance;
use crate::node::Stage;

/// How long SNS takes when it is late, in milliseconds.
const LATE_MS: [u64; 5] = [400, 2_000, 10_000, 60_000, 300_000];

impl World {
    /// The stream has a new record.
    pub(super) fn record(&mut self, segment: &Arc<Segment>) {
        if !self.plan.sns {
            return;
        }
        self.stream.push_back(Arc::clone(segment));
        self.plan_publisher(20, 120);
    }

    fn plan_publisher(&mut self, least: u64, most: u64) {
        if !self.publisher_planned {
            self.publisher_planned = true;
            let wait = self.rng.u64(least..most);
            self.agenda.after(wait, Event::Publisher);
        }
    }

    /// The publisher takes a batch of the stream. What it fails on comes again, as often as its source lets it.
    pub(super) fn publish_stream(&mut self) {
        self.publisher_planned = false;
        let now = self.agenda.now();
        if self.publisher_down > now {
            self.publisher_planned = true;
            return self.agenda.at(self.publisher_down, Event::Publisher);
        }
        let most = self.rng.usize(1..20);
        let batch: Vec<Arc<Segment>> = self.stream.drain(..most.min(self.stream.len())).collect();
        if self.rng.percent(self.rates.publisher_fails) {
            let done = self.rng.usize(0..=batch.len());
            let (sent, gone) = (batch[..done].to_vec(), self.rng.percent(20));
            self.publish(sent);
            if !gone {
                batch.into_iter().rev().for_each(|segment| self.stream.push_front(segment));
            }
        } else {
            self.publish(batch);
        }
        if !self.stream.is_empty() {
            self.plan_publisher(5, 400);
        }
    }

    fn publish(&mut self, batch: Vec<Arc<Segment>>) {
        if batch.is_empty() {
            return;
        }
        let segments = Rc::new(batch);
        for place in 0..self.nodes.len() {
            if self.nodes[place].stage == Stage::Down || self.rng.percent(self.rates.sns_lost) {
                continue;
            }
            let copies = 1 + u32::from(self.rng.percent(self.rates.sns_repeated));
            for _ in 0..copies {
                let late = self.rng.percent(self.rates.sns_late);
                let delay = if late { self.rng.one_of(&LATE_MS) } else { self.rng.u64(10..120) };
                let life = self.nodes[place].life;
                let segments = if late { announced(&segments) } else { Rc::clone(&segments) };
                self.agenda.after(delay, Event::Sns { place, life, segments });
            }
        }
    }
}

/// The same segments, the first as if it were too large for SNS: its numbers and nothing else.
fn announced(segments: &[Arc<Segment>]) -> Rc<Vec<Arc<Segment>>> {
    let mut announced = segments.to_vec();
    if let Some(first) = announced.first_mut() {
        let content = Content::Unreadable { count: first.count() };
        *first = Arc::new(Segment { content, ..Segment::clone(first) });
    }
    Rc::new(announced)
}
