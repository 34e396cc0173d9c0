//! Writes take their time: one after the other reaches the database, each half the commit delay after its request
//! came, and is answered when the whole delay has passed, or later if the database took longer.
//!
//! Two threads of their own, since tokio's timers are a millisecond wide, and because the database blocks whoever calls
//! it. All writes are delayed equally, so that both threads work in the order of arrival and however many writes are
//! under way, none waits for another one's delay.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::calls::Answer;

/// Writes that may be under way.
const UNDER_WAY: usize = 4_096;

/// What a write does to the database.
type Work = Box<dyn FnOnce() -> Answer + Send>;

/// The writes under way. The threads end when it is dropped and they have nothing left to do.
pub(super) struct WriteLine {
    writes: SyncSender<Write>,
}

struct Write {
    came: Instant,
    work: Work,
    answer: oneshot::Sender<Answer>,
}

struct Done {
    due: Instant,
    answer: oneshot::Sender<Answer>,
    what: Answer,
}

impl WriteLine {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system gives none.
    pub(super) fn start(delay: Duration) -> std::io::Result<(Self, [JoinHandle<()>; 2])> {
        let (writes, to_do) = sync_channel(UNDER_WAY);
        let (done, to_answer) = sync_channel(UNDER_WAY);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let writing = thread("dynamodb-writes").spawn(move || write(&to_do, &done, delay))?;
        let answering = thread("dynamodb-answers").spawn(move || answer(&to_answer))?;
        Ok((Self { writes }, [writing, answering]))
    }

    /// Waits its time, has the work done, and waits again. Too many under way: throttled.
    pub(super) async fn write(&self, work: Work) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.writes.try_send(Write { came: Instant::now(), work, answer }).is_err() {
            return Answer::throttled();
        }
        answered.await.unwrap_or_else(|_| Answer::internal_error("the database's thread ended"))
    }
}

fn write(writes: &Receiver<Write>, done: &SyncSender<Done>, delay: Duration) {
    for Write { came, work, answer } in writes {
        sleep_until(came + delay / 2);
        let what = work();
        if done.send(Done { due: came + delay, answer, what }).is_err() {
            return;
        }
    }
}

fn answer(done: &Receiver<Done>) {
    for Done { due, answer, what } in done {
        sleep_until(due);
        // Whoever asked may have given up.
        let _ = answer.send(what);
    }
}

fn sleep_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::join_all;

    use super::super::calls::Outcome;
    use super::*;

    const DELAY: Duration = Duration::from_millis(40);

    fn done() -> Answer {
        Answer { status: 200, json: "{}".to_owned(), outcome: Outcome::Done }
    }

    #[tokio::test]
    async fn half_the_delay_passes_before_the_write_and_half_after_it() {
        let (line, _) = WriteLine::start(DELAY).unwrap();
        let start = Instant::now();
        let written = Arc::new(Mutex::new(None));
        let note = Arc::clone(&written);
        let work = move || {
            *note.lock().unwrap() = Some(start.elapsed());
            done()
        };
        assert_eq!(line.write(Box::new(work)).await.status, 200);
        assert!(start.elapsed() >= DELAY);
        let written = written.lock().unwrap().unwrap();
        assert!(written >= DELAY / 2, "{written:?}");
    }

    #[tokio::test]
    async fn writes_wait_side_by_side_and_are_done_in_the_order_they_came() {
        let (line, _) = WriteLine::start(DELAY).unwrap();
        let start = Instant::now();
        let order = Arc::new(Mutex::new(Vec::new()));
        let all = (0..100).map(|number| {
            let order = Arc::clone(&order);
            line.write(Box::new(move || {
                order.lock().unwrap().push(number);
                done()
            }))
        });
        join_all(all).await;
        assert!(start.elapsed() < 50 * DELAY, "one after the other it would be 100 times the delay");
        assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn writes_that_came_before_the_end_are_done() {
        let (line, threads) = WriteLine::start(DELAY).unwrap();
        let written = Arc::new(Mutex::new(false));
        let note = Arc::clone(&written);
        let work: Work = Box::new(move || {
            *note.lock().unwrap() = true;
            done()
        });
        {
            let asking = line.write(work);
            tokio::pin!(asking);
            assert!(futures_util::poll!(&mut asking).is_pending(), "and whoever asked gives up");
        }
        drop(line);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(*written.lock().unwrap());
    }

    #[tokio::test]
    async fn more_writes_than_there_is_room_for_are_throttled() {
        let (line, _) = WriteLine::start(Duration::from_secs(3_600)).unwrap();
        let mut asking: Vec<_> = (0..UNDER_WAY + 2).map(|_| Box::pin(line.write(Box::new(done)))).collect();
        // One more may be in the hands of the thread.
        let answers = asking.iter_mut().filter_map(futures_util::FutureExt::now_or_never);
        let throttled: Vec<_> = answers.map(|answer| answer.json).collect();
        assert!((1..=2).contains(&throttled.len()), "{}", throttled.len());
        assert!(throttled[0].contains("ProvisionedThroughputExceededException"), "{}", throttled[0]);
    }
}
