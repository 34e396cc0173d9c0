use std::collections::{HashSet, VecDeque};

/// The ids of the messages accepted last: SNS delivers again when an answer was lost.
#[derive(Debug)]
pub(crate) struct AcceptedIds {
    known: HashSet<String>,
    order: VecDeque<String>,
    capacity: usize,
}

impl AcceptedIds {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { known: HashSet::with_capacity(capacity), order: VecDeque::with_capacity(capacity), capacity }
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    /// Remembers an id, forgetting the oldest when full.
    pub(crate) fn insert(&mut self, id: String) {
        if !self.known.insert(id.clone()) {
            return;
        }
        if self.order.len() == self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_when_full() {
        let mut ids = AcceptedIds::new(2);
        for id in ["a", "b", "b", "c"] {
            ids.insert(id.to_owned());
        }
        assert!(!ids.contains("a"));
        assert!(ids.contains("b") && ids.contains("c"));
        assert_eq!(ids.known.len(), ids.order.len());
    }
}
