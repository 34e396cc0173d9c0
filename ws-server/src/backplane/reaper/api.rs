use futures_util::future::BoxFuture;

use crate::backplane::TopicArn;
use crate::backplane::subscription::{CallError, SnsApi, SubscriptionApi, call_error};

/// One subscription of a topic, whoever's it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its ARN; another text while it is pending or when it was just removed.
    pub(crate) arn: String,
    /// Where SNS posts to.
    pub(crate) endpoint: String,
}

/// Some of a topic's subscriptions, at most 100.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListedPage {
    pub(crate) subscriptions: Vec<Listed>,
    /// Leads to the next page.
    pub(crate) next: Option<String>,
}

/// The calls to SNS that the reaper needs; each is bounded by the caller. The node's role must allow
/// `sns:ListSubscriptionsByTopic` and `sns:Unsubscribe`.
pub(crate) trait ReaperApi: Send + Sync + 'static {
    /// A page of a topic's subscriptions: the first one without a token.
    fn list<'a>(&'a self, topic: &'a TopicArn, token: Option<String>) -> BoxFuture<'a, Result<ListedPage, CallError>>;

    /// Removes a subscription; one that is not there is removed already.
    fn remove<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<(), CallError>>;
}

impl ReaperApi for SnsApi {
    fn list<'a>(&'a self, topic: &'a TopicArn, token: Option<String>) -> BoxFuture<'a, Result<ListedPage, CallError>> {
        Box::pin(async move {
            let call = self.client().list_subscriptions_by_topic().topic_arn(topic.as_str()).set_next_token(token);
            let answer = call.send().await.map_err(|error| call_error(&error))?;
            let listed = answer
                .subscriptions
                .unwrap_or_default()
                .into_iter()
                .filter_map(|one| Some(Listed { arn: one.subscription_arn?, endpoint: one.endpoint? }));
            Ok(ListedPage { subscriptions: listed.collect(), next: answer.next_token })
        })
    }

    fn remove<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        self.unsubscribe(arn)
    }
}
