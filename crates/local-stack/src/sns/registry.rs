//! Topics and subscriptions, in memory: nodes subscribe anew at every start.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use axum::http::Uri;

use super::delivery_policy::DeliveryPolicy;
use super::message::random_uuid;
use super::signer::SignatureVersion;
use super::xml::ApiError;
use crate::sdk_config::{ACCOUNT, REGION};

/// Subscriptions in one answer to ListSubscriptionsByTopic
/// (<https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html>).
const PAGE: usize = 100;

#[derive(Default)]
pub(super) struct Registry {
    topics: BTreeMap<String, SignatureVersion>,
    subscriptions: BTreeMap<String, Subscription>,
}

/// One endpoint's subscription to one topic.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) arn: String,
    pub(super) topic_arn: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    pub(super) token: String,
    pub(super) state: State,
    pub(super) policy: Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Confirmed {
        /// Only a signed request may unsubscribe it.
        authenticate_on_unsubscribe: bool,
    },
}

/// The attribute `DeliveryPolicy`, as given and as understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Policy {
    pub(super) text: Option<String>,
    pub(super) parsed: Arc<DeliveryPolicy>,
}

impl Policy {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let parsed = DeliveryPolicy::parse(text).map_err(|e| ApiError::invalid(e.to_string()))?;
        Ok(Self { text: Some(text.to_owned()), parsed: Arc::new(parsed) })
    }
}

/// How many subscriptions a topic has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) confirmed: usize,
    pub(super) pending: usize,
}

impl Registry {
    /// The topic's ARN. A topic of that name keeps its signature version unless one is given.
    pub(super) fn create_topic(&mut self, name: &str, version: Option<SignatureVersion>) -> Result<String, ApiError> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 256 || !name.chars().all(valid) {
            return Err(ApiError::invalid("Invalid parameter: Topic Name"));
        }
        let arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
        let topic = self.topics.entry(arn.clone()).or_default();
        *topic = version.unwrap_or(*topic);
        Ok(arn)
    }

    pub(super) fn topic(&self, arn: &str) -> Result<SignatureVersion, ApiError> {
        if !arn.starts_with("arn:aws:sns:") {
            return Err(ApiError::invalid("Invalid parameter: TopicArn Reason: it is not the ARN of a topic"));
        }
        self.topics.get(arn).copied().ok_or_else(|| ApiError::not_found("Topic does not exist"))
    }

    pub(super) fn counts(&self, topic_arn: &str) -> Counts {
        let mut counts = Counts::default();
        for subscription in self.of_topic(topic_arn) {
            match subscription.state {
                State::Pending => counts.pending += 1,
                State::Confirmed { .. } => counts.confirmed += 1,
            }
        }
        counts
    }

    /// A new, pending subscription, or the one that this endpoint has already.
    pub(super) fn subscribe(
        &mut self,
        topic_arn: &str,
        protocol: &str,
        endpoint: &str,
        policy: Policy,
    ) -> Result<Subscription, ApiError> {
        self.topic(topic_arn)?;
        check_endpoint(protocol, endpoint)?;
        let same = |s: &&mut Subscription| (s.topic_arn.as_str(), s.endpoint.as_str()) == (topic_arn, endpoint);
        if let Some(existing) = self.subscriptions.values_mut().find(same) {
            if existing.state == State::Pending {
                existing.policy = policy;
            } else if existing.policy != policy {
                let text =
                    "Invalid parameter: Attributes Reason: Subscription already exists with different attributes";
                return Err(ApiError::invalid(text));
            }
            return Ok(existing.clone());
        }
        let subscription = Subscription {
            arn: format!("{topic_arn}:{}", random_uuid()),
            topic_arn: topic_arn.to_owned(),
            protocol: protocol.to_owned(),
            endpoint: endpoint.to_owned(),
            token: format!("{}{}", random_uuid(), random_uuid()).replace('-', ""),
            state: State::Pending,
            policy,
        };
        self.subscriptions.insert(subscription.arn.clone(), subscription.clone());
        Ok(subscription)
    }

    /// Confirms the subscription that the token was sent to; confirming again changes nothing.
    pub(super) fn confirm(&mut self, topic_arn: &str, token: &str, authenticate: bool) -> Result<String, ApiError> {
        self.topic(topic_arn)?;
        let subscription = self
            .subscriptions
            .values_mut()
            .find(|s| s.topic_arn == topic_arn && s.token == token)
            .ok_or_else(|| ApiError::invalid("Invalid parameter: Token"))?;
        if subscription.state == State::Pending {
            subscription.state = State::Confirmed { authenticate_on_unsubscribe: authenticate };
        }
        Ok(subscription.arn.clone())
    }

    /// Removes a subscription; one that is not there is removed already. Pending ones cannot be removed
    /// (<https://docs.aws.amazon.com/sns/latest/dg/sns-delete-subscription-topic.html>).
    pub(super) fn unsubscribe(&mut self, arn: &str, authenticated: bool) -> Result<(), ApiError> {
        check_subscription_arn(arn)?;
        match self.subscriptions.get(arn).map(|s| s.state) {
            Some(State::Pending) => {
                Err(ApiError::invalid("Invalid parameter: SubscriptionArn Reason: The subscription is not confirmed"))
            }
            Some(State::Confirmed { authenticate_on_unsubscribe: true }) if !authenticated => {
                Err(ApiError::forbidden("AuthorizationError", "Unsubscribing this endpoint needs a signed request"))
            }
            Some(State::Confirmed { .. }) | None => {
                self.subscriptions.remove(arn);
                Ok(())
            }
        }
    }

    pub(super) fn subscription(&mut self, arn: &str) -> Result<&mut Subscription, ApiError> {
        check_subscription_arn(arn)?;
        self.subscriptions.get_mut(arn).ok_or_else(|| ApiError::not_found("Subscription does not exist"))
    }

    /// Those that notifications go to.
    pub(super) fn confirmed(&self, topic_arn: &str) -> Vec<Subscription> {
        self.of_topic(topic_arn).filter(|s| s.state != State::Pending).cloned().collect()
    }

    /// One page of a topic's subscriptions and the token of the next page. A token is the last ARN of its page.
    pub(super) fn page(
        &self,
        topic_arn: &str,
        token: Option<&str>,
    ) -> Result<(Vec<Subscription>, Option<String>), ApiError> {
        self.topic(topic_arn)?;
        let after = match token {
            Some(token) if !token.starts_with(topic_arn) => {
                return Err(ApiError::invalid("Invalid parameter: NextToken"));
            }
            Some(token) => Bound::Excluded(token),
            None => Bound::Unbounded,
        };
        let mut rest = self
            .subscriptions
            .range::<str, _>((after, Bound::Unbounded))
            .map(|(_, s)| s)
            .filter(|s| s.topic_arn == topic_arn);
        let page = rest.by_ref().take(PAGE).cloned().collect::<Vec<_>>();
        let next = rest.next().and_then(|_| page.last()).map(|last| last.arn.clone());
        Ok((page, next))
    }

    fn of_topic<'a>(&'a self, topic_arn: &'a str) -> impl Iterator<Item = &'a Subscription> {
        self.subscriptions.values().filter(move |s| s.topic_arn == topic_arn)
    }
}

fn check_subscription_arn(arn: &str) -> Result<(), ApiError> {
    let is_one = arn.starts_with("arn:aws:sns:") && arn.split(':').count() == 7;
    is_one.then_some(()).ok_or_else(|| ApiError::invalid("Invalid parameter: SubscriptionId"))
}

/// Only `http` and `https`, and the endpoint's URL has to begin with the protocol. A host name has no underscore
/// (<https://docs.aws.amazon.com/sns/latest/dg/sns-http-https-endpoint-as-subscriber.html>).
fn check_endpoint(protocol: &str, endpoint: &str) -> Result<(), ApiError> {
    if !matches!(protocol, "http" | "https") {
        return Err(ApiError::invalid(format!("Invalid parameter: Does not support this protocol string: {protocol}")));
    }
    let uri = endpoint.parse::<Uri>().ok();
    let fits = uri.is_some_and(|uri| {
        uri.scheme_str() == Some(protocol) && uri.host().is_some_and(|host| !host.is_empty() && !host.contains('_'))
    });
    fits.then_some(()).ok_or_else(|| ApiError::invalid("Invalid parameter: Endpoint must match the specified protocol"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> (Registry, String) {
        let mut registry = Registry::default();
        let topic = registry.create_topic("t", Some(SignatureVersion::V2)).unwrap();
        (registry, topic)
    }

    #[test]
    fn an_endpoint_has_one_subscription_however_often_it_asks() {
        let (mut registry, topic) = registry();
        let first = registry.subscribe(&topic, "http", "http://127.0.0.1:1/a", Policy::default()).unwrap();
        let again = registry.subscribe(&topic, "http", "http://127.0.0.1:1/a", Policy::default()).unwrap();
        let other = registry.subscribe(&topic, "http", "http://127.0.0.1:1/b", Policy::default()).unwrap();
        assert_eq!(first.arn, again.arn);
        assert_ne!(first.arn, other.arn);
        assert_eq!(registry.counts(&topic), Counts { confirmed: 0, pending: 2 });
    }

    #[test]
    fn a_confirmed_subscription_refuses_other_attributes() {
        let (mut registry, topic) = registry();
        let s = registry.subscribe(&topic, "http", "http://h/", Policy::default()).unwrap();
        registry.confirm(&topic, &s.token, false).unwrap();
        let policy = Policy::parse(r#"{"healthyRetryPolicy":{"numRetries":1}}"#).unwrap();
        let error = registry.subscribe(&topic, "http", "http://h/", policy).unwrap_err();
        assert!(error.message.contains("different attributes"));
    }

    #[test]
    fn only_a_signed_request_removes_a_subscription_confirmed_that_way() {
        let (mut registry, topic) = registry();
        let s = registry.subscribe(&topic, "http", "http://h/", Policy::default()).unwrap();
        assert_eq!(registry.unsubscribe(&s.arn, true).unwrap_err().code, "InvalidParameter");
        registry.confirm(&topic, &s.token, true).unwrap();
        assert_eq!(registry.unsubscribe(&s.arn, false).unwrap_err().code, "AuthorizationError");
        assert_eq!(registry.confirmed(&topic).len(), 1);
        registry.unsubscribe(&s.arn, true).unwrap();
        assert!(registry.confirmed(&topic).is_empty());
        registry.unsubscribe(&s.arn, true).unwrap();
    }

    #[test]
    fn pages_cover_every_subscription_of_the_topic_once() {
        let (mut registry, topic) = registry();
        let longer = registry.create_topic("t-2", None).unwrap();
        for n in 0..250 {
            registry.subscribe(&topic, "http", &format!("http://h/{n}"), Policy::default()).unwrap();
            registry.subscribe(&longer, "http", &format!("http://h/{n}"), Policy::default()).unwrap();
        }
        let (mut seen, mut token, mut sizes) = (std::collections::BTreeSet::new(), None, Vec::new());
        loop {
            let (page, next) = registry.page(&topic, token.as_deref()).unwrap();
            sizes.push(page.len());
            seen.extend(page.into_iter().map(|s| s.endpoint));
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!((sizes, seen.len()), (vec![100, 100, 50], 250));
    }

    #[test]
    fn endpoints_that_sns_could_not_reach_are_refused() {
        let (mut registry, topic) = registry();
        for (protocol, endpoint) in
            [("http", "https://h/"), ("https", "http://h/"), ("http", "http://a_b/"), ("sqs", "arn:x"), ("http", "h")]
        {
            let error = registry.subscribe(&topic, protocol, endpoint, Policy::default()).unwrap_err();
            assert_eq!(error.code, "InvalidParameter", "{protocol} {endpoint}");
        }
        let error = registry.subscribe("arn:aws:sns:us-east-1:1:no", "http", "http://h/", Policy::default());
        assert_eq!(error.unwrap_err().code, "NotFound");
    }
}
