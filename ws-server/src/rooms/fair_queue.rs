//! A queue that is fair among the sessions that fill it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::SessionId;

use crate::connection::RoomKey;

/// The owner of a turn in a fair queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// A session.
    Session(SessionId),
    /// A room of this node, for its own upkeep.
    Room(RoomKey),
}

/// Runs a bounded number of jobs at a time; the others wait. Turns go round robin: however many jobs one session has, the first
/// job of another session waits for one job of each session only. One session's jobs keep their order.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    most: usize,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    running: usize,
    waiting: usize,
    /// Owners that have jobs waiting.
    with_jobs: usize,
    /// The order of the next turns. An owner whose jobs were all taken out stays here until its turn comes.
    turns: VecDeque<Turn>,
    jobs: HashMap<Turn, VecDeque<T>>,
}

impl<T> FairQueue<T> {
    /// An empty queue of which `most` jobs run at a time.
    pub(crate) fn new(most: usize) -> Self {
        let (turns, jobs) = (VecDeque::new(), HashMap::new());
        Self { most, state: Mutex::new(State { running: 0, waiting: 0, with_jobs: 0, turns, jobs }) }
    }

    /// Takes a job in, or gives it back if it may run now: then [`FairQueue::next`] must be called when it has ended.
    pub(crate) fn enter(&self, turn: Turn, job: T) -> Option<T> {
        let mut state = self.lock();
        if state.running < self.most {
            state.running += 1;
            return Some(job);
        }
        state.push(turn, job);
        None
    }

    /// A job has ended: the next one to run, in its place.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = self.lock();
        let State { running, waiting, with_jobs, turns, jobs, .. } = &mut *state;
        let job = loop {
            let Some(turn) = turns.pop_front() else {
                *running -= 1;
                break None;
            };
            let Some(own) = jobs.get_mut(&turn) else { continue };
            let job = own.pop_front();
            if own.is_empty() {
                *with_jobs -= usize::from(job.is_some());
                jobs.remove(&turn);
            } else {
                turns.push_back(turn);
            }
            if job.is_some() {
                *waiting -= 1;
                break job;
            }
        };
        state.shrink();
        job
    }

    /// Takes out a job that has not run yet.
    pub(crate) fn remove(&self, turn: &Turn, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let mut state = self.lock();
        let place = state.jobs.get(turn)?.iter().position(is_it)?;
        state.take(turn, place)
    }

    /// Takes out all such jobs of an owner that have not run yet.
    pub(crate) fn remove_all(&self, turn: &Turn, is_it: impl Fn(&T) -> bool) -> Vec<T> {
        let mut state = self.lock();
        let State { waiting, with_jobs, jobs, .. } = &mut *state;
        let Some(own) = jobs.get_mut(turn).filter(|own| !own.is_empty()) else { return Vec::new() };
        let (taken, left) = std::mem::take(own).into_iter().partition::<VecDeque<T>, _>(is_it);
        *own = left;
        *waiting -= taken.len();
        *with_jobs -= usize::from(own.is_empty());
        taken.into()
    }

    /// Moves a job that has not run yet to the end of another owner's jobs, if fewer jobs come before it there.
    /// Returns whether it was moved.
    pub(crate) fn move_forward(&self, from: &Turn, to: &Turn, is_it: impl Fn(&T) -> bool) -> bool {
        let mut state = self.lock();
        let before = state.jobs.get(to).map_or(0, VecDeque::len);
        let Some(place) = state.jobs.get(from).and_then(|own| own.iter().position(is_it)) else { return false };
        if before >= place {
            return false;
        }
        let Some(job) = state.take(from, place) else { return false };
        state.push(to.clone(), job);
        true
    }

    /// Jobs that wait, and how many owners they have.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting, state.with_jobs)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the lock is held; should it happen, the queue is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Puts a job behind the other jobs of its owner.
    fn push(&mut self, turn: Turn, job: T) {
        let Self { waiting, with_jobs, turns, jobs, .. } = self;
        let own = jobs.entry(turn).or_insert_with_key(|turn| {
            turns.push_back(turn.clone());
            VecDeque::new()
        });
        *with_jobs += usize::from(own.is_empty());
        *waiting += 1;
        own.push_back(job);
    }

    /// Takes out the job at a place among its owner's.
    fn take(&mut self, turn: &Turn, place: usize) -> Option<T> {
        let own = self.jobs.get_mut(turn)?;
        let job = own.remove(place)?;
        self.with_jobs -= usize::from(own.is_empty());
        self.waiting -= 1;
        Some(job)
    }

    /// Gives memory back after a rush.
    fn shrink(&mut self) {
        if self.jobs.capacity() > 1_024 && self.jobs.len() < self.jobs.capacity() / 8 {
            self.jobs.shrink_to(2 * self.jobs.len());
            self.turns.shrink_to(2 * self.turns.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u64) -> Turn {
        Turn::Session(SessionId::from_random(number))
    }

    /// Ends one job after another until none is left.
    fn rest(queue: &FairQueue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn the_first_job_of_a_session_waits_for_one_job_of_each_other_session() {
        let queue = FairQueue::new(2);
        assert_eq!((0..100).filter_map(|job| queue.enter(session(1), job)).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(queue.enter(session(2), 1_000), None);
        assert_eq!(queue.enter(session(2), 1_001), None);
        assert_eq!(queue.enter(session(3), 2_000), None);
        assert_eq!(queue.waiting(), (101, 3));
        let order = rest(&queue);
        assert_eq!(order[..6], [2, 1_000, 2_000, 3, 1_001, 4]);
        assert_eq!((order.len(), queue.waiting()), (101, (0, 0)));
    }

    #[test]
    fn no_more_run_than_may_and_all_places_come_back() {
        let queue = FairQueue::new(2);
        assert_eq!((queue.enter(session(1), 1), queue.enter(session(1), 2)), (Some(1), Some(2)));
        assert_eq!(queue.enter(session(1), 3), None);
        assert_eq!((queue.next(), queue.next(), queue.next()), (Some(3), None, None));
        assert_eq!(
            (queue.enter(session(1), 4), queue.enter(session(1), 5), queue.enter(session(1), 6)),
            (Some(4), Some(5), None)
        );
    }

    #[test]
    fn a_session_that_takes_a_job_out_and_puts_another_in_has_one_turn() {
        let queue = FairQueue::new(1);
        queue.enter(session(0), 0);
        assert!((1..=3).all(|job| queue.enter(session(1), job).is_none()));
        queue.enter(session(2), 10);
        assert_eq!(queue.waiting(), (4, 2));
        assert!((1..=3).all(|job| queue.remove(&session(1), |own| *own == job) == Some(job)));
        assert_eq!(queue.waiting(), (1, 1));
        assert!((4..=6).all(|job| queue.enter(session(1), job).is_none()));
        assert_eq!((rest(&queue), queue.waiting()), (vec![4, 10, 5, 6], (0, 0)));
    }

    #[test]
    fn a_job_moves_to_an_owner_only_when_fewer_jobs_come_before_it_there() {
        let queue = FairQueue::new(1);
        queue.enter(session(0), 0);
        assert!((1..=4).all(|job| queue.enter(session(1), job).is_none()));
        assert!((10..=11).all(|job| queue.enter(session(2), job).is_none()));
        let moves = |job: u32, to: u64| queue.move_forward(&session(1), &session(to), |own| *own == job);
        assert!(!moves(1, 3), "its turn is next");
        assert!(!moves(3, 2), "as many come before it there");
        assert!(moves(4, 2) && moves(3, 3));
        assert!(!moves(3, 4), "it is elsewhere");
        assert_eq!(queue.waiting(), (6, 3));
        assert_eq!((rest(&queue), queue.waiting()), (vec![1, 10, 3, 2, 11, 4], (0, 0)));
    }

    #[test]
    fn all_jobs_of_a_kind_are_taken_out_at_once_and_the_others_keep_their_order() {
        let queue = FairQueue::new(1);
        queue.enter(session(0), 0);
        assert!((1..=6).all(|job| queue.enter(session(1), job).is_none()));
        assert!(queue.remove_all(&session(2), |_| true).is_empty());
        assert_eq!(queue.remove_all(&session(1), |job| job % 2 == 0), [2, 4, 6]);
        assert_eq!(queue.waiting(), (3, 1));
        assert_eq!(queue.remove_all(&session(1), |job| *job > 1), [3, 5]);
        assert_eq!(queue.enter(session(1), 7), None);
        assert_eq!((rest(&queue), queue.waiting()), (vec![1, 7], (0, 0)));
        queue.enter(session(0), 0);
        assert_eq!(queue.enter(session(1), 1), None);
        assert_eq!(queue.remove_all(&session(1), |_| true), [1]);
        assert!(queue.remove_all(&session(1), |_| true).is_empty());
        assert_eq!((queue.waiting(), queue.next()), ((0, 0), None));
    }

    #[test]
    fn what_is_taken_out_never_runs_and_leaves_nothing_behind() {
        let queue = FairQueue::new(1);
        queue.enter(session(0), 0);
        for number in 1..=10_000 {
            queue.enter(session(number), number as u32);
        }
        assert_eq!(queue.remove(&session(7), |job| *job == 8), None);
        for number in 1..=10_000 {
            assert_eq!(queue.remove(&session(number), |job| *job == number as u32), Some(number as u32));
        }
        assert_eq!((queue.waiting(), queue.next()), ((0, 0), None));
        assert!(queue.lock().jobs.capacity() <= 1_024 && queue.lock().turns.capacity() <= 1_024);
    }
}
