use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use super::*;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:rooms";
const ARN: &str = "arn:aws:sns:us-east-1:123456789012:rooms:1";

/// An SNS that writes down its calls. Statuses are told in order, then `Confirmed`.
#[derive(Default)]
struct Sns {
    calls: Mutex<Vec<String>>,
    statuses: Mutex<VecDeque<SubscriptionStatus>>,
    /// Subscribe never answers.
    stuck: bool,
    /// Confirm takes this long.
    confirm_takes: Duration,
    /// Unsubscribe never answers.
    stuck_at_stop: bool,
}

impl Sns {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    fn calls(&self, name: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.starts_with(name)).count()
    }
}

impl SubscriptionApi for Sns {
    fn subscribe<'a>(&'a self, _: &'a TopicArn, to: &'a str) -> BoxFuture<'a, Result<Option<String>, CallError>> {
        Box::pin(async move {
            self.note(format!("subscribe {to}"));
            if self.stuck {
                std::future::pending::<()>().await;
            }
            Ok(Some(ARN.to_owned()))
        })
    }

    fn confirm<'a>(&'a self, _: &'a TopicArn, token: &'a str) -> BoxFuture<'a, Result<String, CallError>> {
        Box::pin(async move {
            tokio::time::sleep(self.confirm_takes).await;
            self.note(format!("confirm {token}"));
            Ok(ARN.to_owned())
        })
    }

    fn status<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<SubscriptionStatus, CallError>> {
        Box::pin(async move {
            self.note(format!("status {arn}"));
            Ok(self.statuses.lock().unwrap().pop_front().unwrap_or(SubscriptionStatus::Confirmed))
        })
    }

    fn unsubscribe<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            self.note(format!("unsubscribe {arn}"));
            if self.stuck_at_stop {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
}

fn times() -> SubscriptionTimes {
    let ms = Duration::from_millis;
    SubscriptionTimes {
        confirm_within: ms(40),
        check_every: ms(10),
        backoff: ms(1),
        backoff_most: ms(5),
        call: ms(30),
        stop: ms(200),
    }
}

struct World {
    sns: Arc<Sns>,
    events: mpsc::Sender<SubscriptionEvent>,
    doubting: watch::Sender<u64>,
    stop: CancellationToken,
    task: SubscriptionTask,
}

impl World {
    fn start(sns: Sns) -> Self {
        Self::start_with(Arc::new(sns), CancellationToken::new(), times())
    }

    fn start_with(sns: Arc<Sns>, stop: CancellationToken, times: SubscriptionTimes) -> Self {
        let (events, inbox) = mpsc::channel(4);
        let (doubting, doubts) = watch::channel(0);
        let task = start(SubscriptionTaskSettings {
            inbox: SubscriptionInbox { topic: TOPIC.parse().unwrap(), events: inbox },
            endpoint: "http://127.0.0.1:1/sns/x".to_owned(),
            api: Arc::clone(&sns) as _,
            times,
            doubts,
            stop: stop.clone(),
        });
        Self { sns, events, doubting, stop, task }
    }

    async fn reaches(&mut self, state: &SubscriptionState) {
        let reached = self.task.state.wait_for(|now| now == state);
        timeout(Duration::from_secs(10), reached).await.expect("reached in time").expect("the task runs");
    }

    async fn confirmed(sns: Sns) -> Self {
        let mut world = Self::start(sns);
        world.events.send(SubscriptionEvent::Token("t".to_owned())).await.unwrap();
        world.reaches(&confirmed()).await;
        world
    }
}

fn confirmed() -> SubscriptionState {
    SubscriptionState::Confirmed { arn: ARN.to_owned() }
}

#[tokio::test]
async fn it_subscribes_confirms_looks_after_and_unsubscribes() {
    let world = World::confirmed(Sns::default()).await;
    while world.sns.calls("status") < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let state = world.task.state.clone();
    world.stop.cancel();
    world.task.stopped().await;
    assert_eq!(*state.borrow(), SubscriptionState::Unsubscribed);
    let calls = world.sns.calls.lock().unwrap();
    assert_eq!(calls[..2], ["subscribe http://127.0.0.1:1/sns/x".to_owned(), "confirm t".to_owned()]);
    assert_eq!(calls.last().unwrap(), &format!("unsubscribe {ARN}"));
}

#[tokio::test]
async fn without_a_token_it_is_pending_and_subscribes_again() {
    let sns = Sns { statuses: Mutex::new([SubscriptionStatus::Pending; 1_000].into()), ..Sns::default() };
    let mut world = World::start(sns);
    world.reaches(&SubscriptionState::Pending).await;
    while world.sns.calls("subscribe") < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.stop.cancel();
    world.task.stopped().await;
    assert_eq!(world.sns.calls("unsubscribe"), 0, "a pending subscription cannot be removed");
}

#[tokio::test]
async fn one_that_is_gone_is_made_again() {
    let mut world = World::confirmed(Sns::default()).await;
    world.sns.statuses.lock().unwrap().push_back(SubscriptionStatus::Gone);
    while world.sns.calls("subscribe") < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.events.send(SubscriptionEvent::Token("second".to_owned())).await.unwrap();
    world.reaches(&confirmed()).await;
    assert_eq!(world.sns.calls("confirm second"), 1);
}

#[tokio::test]
async fn a_doubt_leads_to_a_look() {
    let (sns, stop) = (Arc::new(Sns::default()), CancellationToken::new());
    let mut world =
        World::start_with(sns, stop, SubscriptionTimes { check_every: Duration::from_secs(3_600), ..times() });
    world.events.send(SubscriptionEvent::Token("t".to_owned())).await.unwrap();
    world.reaches(&confirmed()).await;
    assert_eq!(world.sns.calls("status"), 0);
    world.doubting.send_modify(|doubts| *doubts += 1);
    while world.sns.calls("status") < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_call_without_an_answer_is_given_up_and_made_again() {
    let world = World::start(Sns { stuck: true, ..Sns::default() });
    while world.sns.calls("subscribe") < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(*world.task.state.borrow(), SubscriptionState::Unsubscribed);
}

#[tokio::test]
async fn a_confirmation_under_way_at_stop_is_undone_too() {
    let mut world = World::start(Sns { confirm_takes: Duration::from_millis(20), ..Sns::default() });
    world.events.send(SubscriptionEvent::Token("t".to_owned())).await.unwrap();
    world.reaches(&SubscriptionState::Pending).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.stop.cancel();
    world.task.stopped().await;
    assert_eq!((world.sns.calls("confirm"), world.sns.calls("unsubscribe")), (1, 1));
}

#[tokio::test]
async fn stopping_takes_bounded_time() {
    let world = World::confirmed(Sns { stuck_at_stop: true, ..Sns::default() }).await;
    let before = Instant::now();
    world.stop.cancel();
    world.task.stopped().await;
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(world.sns.calls("unsubscribe"), 1);
}

#[tokio::test]
async fn it_goes_on_when_the_endpoint_is_gone() {
    let world = World::confirmed(Sns::default()).await;
    let World { sns, events, stop, task, .. } = world;
    drop(events);
    let before = sns.calls("status");
    while sns.calls("status") < before + 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    task.stopped().await;
    assert_eq!(sns.calls("unsubscribe"), 1);
}
