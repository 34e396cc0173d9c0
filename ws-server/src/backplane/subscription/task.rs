use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::api::{CallError, SubscriptionApi, SubscriptionStatus};
use super::lifecycle::{Call, Lifecycle, SubscriptionTimes};
use super::{SubscriptionEvent, SubscriptionState};
use crate::backplane::{SubscriptionInbox, TopicArn};

/// What a subscription's task needs.
pub struct SubscriptionTaskSettings {
    /// The topic and what SNS tells about it.
    pub inbox: SubscriptionInbox,
    /// The URL that SNS is to post to: `http://` or `https://`, with the secret.
    pub endpoint: String,
    /// The calls.
    pub api: Arc<dyn SubscriptionApi>,
    /// How long to wait for what.
    pub times: SubscriptionTimes,
    /// Changes when the other nodes may have taken this one for dead.
    pub doubts: watch::Receiver<u64>,
    /// Stops the task.
    pub stop: CancellationToken,
}

/// A subscription that is looked after until its token is cancelled.
#[derive(Debug)]
pub struct SubscriptionTask {
    /// The topic.
    pub topic: TopicArn,
    /// Where it stands.
    pub state: watch::Receiver<SubscriptionState>,
    refused: watch::Receiver<Option<String>>,
    task: JoinHandle<()>,
}

impl SubscriptionTask {
    /// Waits until SNS refuses what no waiting can mend, before it has ever delivered: one line that names the call, and on
    /// what. Never ends otherwise.
    pub async fn refused(&self) -> String {
        match self.refused.clone().wait_for(Option::is_some).await.map(|refused| refused.clone()) {
            Ok(Some(refusal)) => refusal,
            _ => std::future::pending().await,
        }
    }

    /// Waits until the task has unsubscribed (or has given up, in bounded time) after its token was cancelled.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, topic = %self.topic, "the subscription's task failed");
        }
    }
}

/// Starts a subscription's life.
#[must_use]
pub fn start(settings: SubscriptionTaskSettings) -> SubscriptionTask {
    let topic = settings.inbox.topic.clone();
    let (published, state) = watch::channel(SubscriptionState::default());
    let (refusing, refused) = watch::channel(None);
    let shell = Shell {
        caller: Caller {
            api: settings.api,
            topic: topic.clone(),
            endpoint: settings.endpoint.into(),
            times: settings.times.clone(),
        },
        life: Lifecycle::new(Instant::now(), settings.times, fastrand::u64(..)),
        events: settings.inbox.events,
        doubts: settings.doubts,
        published,
        refusing,
        was_confirmed: false,
        stop: settings.stop,
        call: None,
    };
    SubscriptionTask { topic, state, refused, task: tokio::spawn(shell.run()) }
}

enum Answer {
    Subscribed(Result<Option<String>, CallError>),
    Confirmed(Result<String, CallError>),
    Checked(Result<SubscriptionStatus, CallError>),
}

struct Shell {
    caller: Caller,
    life: Lifecycle,
    events: mpsc::Receiver<SubscriptionEvent>,
    doubts: watch::Receiver<u64>,
    published: watch::Sender<SubscriptionState>,
    refusing: watch::Sender<Option<String>>,
    was_confirmed: bool,
    stop: CancellationToken,
    call: Option<BoxFuture<'static, Answer>>,
}

impl Shell {
    async fn run(mut self) {
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            if self.call.is_none() {
                self.call = self.life.poll_call(Instant::now()).map(|call| self.caller.clone().make(call));
            }
            let due = self.life.poll_timeout().map(tokio::time::Instant::from_std);
            tokio::select! {
                () = stop.cancelled() => {}
                answer = under_way(&mut self.call) => self.take(answer),
                Some(event) = self.events.recv() => {
                    tracing::debug!(topic = %self.caller.topic, ?event, "SNS tells about the subscription");
                    self.life.handle_event(Instant::now(), event);
                }
                Ok(()) = self.doubts.changed() => self.life.handle_doubt(Instant::now()),
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {}
            }
            self.publish();
        }
        let patience = self.caller.times.stop;
        if timeout(patience, self.leave()).await.is_err() {
            tracing::warn!("not unsubscribed in time; other nodes will remove the subscription");
        }
    }

    fn take(&mut self, answer: Answer) {
        self.call = None;
        let now = Instant::now();
        let (action, error) = match answer {
            Answer::Subscribed(result) => {
                let error = result.as_ref().err().cloned();
                self.life.handle_subscribed(now, result);
                ("Subscribe", error)
            }
            Answer::Confirmed(result) => {
                let error = result.as_ref().err().cloned();
                self.life.handle_confirmed(now, result);
                ("ConfirmSubscription", error)
            }
            Answer::Checked(result) => {
                let error = result.as_ref().err().cloned();
                self.life.handle_checked(now, result.ok());
                ("GetSubscriptionAttributes", error)
            }
        };
        if let Some(error) = error {
            tracing::warn!(topic = %self.caller.topic, action, %error, "a call for the subscription did not succeed");
            self.judge(action, &error);
        }
    }

    /// Once SNS has delivered, whatever it says later is waited for: the deployment was right.
    fn judge(&mut self, action: &str, error: &CallError) {
        self.was_confirmed |= matches!(self.life.state(), SubscriptionState::Confirmed { .. });
        let topic = &self.caller.topic;
        let refusal = match error {
            _ if self.was_confirmed => return,
            CallError::Denied(reason) => format!("this node's role does not allow sns:{action} on {topic}: {reason}"),
            CallError::Missing(reason) if action == "Subscribe" => format!("topic {topic} does not exist: {reason}"),
            _ => return,
        };
        self.refusing.send_replace(Some(refusal));
    }

    fn publish(&mut self) {
        let state = self.life.state();
        self.was_confirmed |= matches!(state, SubscriptionState::Confirmed { .. });
        let changed = self.published.send_if_modified(|published| {
            let changed = published != state;
            published.clone_from(state);
            changed
        });
        if changed {
            tracing::info!(topic = %self.caller.topic, ?state, "subscription");
        }
    }

    /// A call under way is waited for: it may be the one that makes a subscription to be removed.
    async fn leave(mut self) {
        if let Some(call) = self.call.take() {
            self.take(call.await);
            self.publish();
        }
        let SubscriptionState::Confirmed { arn } = self.life.state() else {
            return;
        };
        match self.caller.api.unsubscribe(arn).await {
            Ok(()) => {
                self.published.send_replace(SubscriptionState::Unsubscribed);
                tracing::info!(topic = %self.caller.topic, "unsubscribed");
            }
            Err(error) => tracing::warn!(%error, "not unsubscribed; other nodes will remove the subscription"),
        }
    }
}

/// The answer of the call under way; never, if there is none.
async fn under_way(call: &mut Option<BoxFuture<'static, Answer>>) -> Answer {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

#[derive(Clone)]
struct Caller {
    api: Arc<dyn SubscriptionApi>,
    topic: TopicArn,
    endpoint: Arc<str>,
    times: SubscriptionTimes,
}

impl Caller {
    fn make(self, call: Call) -> BoxFuture<'static, Answer> {
        let patience = self.times.call;
        async move {
            match call {
                Call::Subscribe => {
                    let call = timeout(patience, self.api.subscribe(&self.topic, &self.endpoint));
                    Answer::Subscribed(call.await.unwrap_or_else(|_| Err(late())))
                }
                Call::Confirm { token } => {
                    let call = timeout(patience, self.api.confirm(&self.topic, &token));
                    Answer::Confirmed(call.await.unwrap_or_else(|_| Err(late())))
                }
                Call::Check { arn } => {
                    let call = timeout(patience, self.api.status(&arn));
                    Answer::Checked(call.await.unwrap_or_else(|_| Err(late())))
                }
            }
        }
        .boxed()
    }
}

fn late() -> CallError {
    CallError::Failed("no answer in time".to_owned())
}

#[cfg(test)]
mod tests;
