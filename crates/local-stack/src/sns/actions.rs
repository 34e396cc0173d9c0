//! The API: one function for each action that Roomcast, or somebody looking at the local stack, calls
//! (<https://docs.aws.amazon.com/sns/latest/api/API_Operations.html>).
//!
//! What this SNS does not do (filters, raw delivery, dead-letter queues, attributes of messages, FIFO topics) it
//! refuses with `InvalidParameter` instead of ignoring it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::Response;

use super::delivery::Deliveries;
use super::message::{Message, SignedMessage};
use super::query::Query;
use super::registry::{Policy, Registry, State, Subscription};
use super::signer::{SignatureVersion, Signer};
use super::xml::{ApiError, Fault, attributes, element, success};
use crate::sdk_config::ACCOUNT;

/// Longest message, and longest batch, in bytes. Topics that allow more exclude HTTP.
const MAX_BYTES: usize = 256 * 1024;
const MAX_BATCH: usize = 10;

pub(super) struct Service {
    registry: Mutex<Registry>,
    signer: Signer,
    deliveries: Arc<Deliveries>,
}

type Answer = Result<Option<String>, ApiError>;

impl Service {
    pub(super) fn new(signer: Signer, deliveries: Arc<Deliveries>) -> Self {
        Self { registry: Mutex::default(), signer, deliveries }
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// A text as a notification of the topic `TopicArn`, in the form of a post, for somebody who posts it himself. Signed with
    /// SHA-256, whatever the topic says: what signs with SHA-1 here is slower.
    pub(super) fn notarize(&self, query: &Query, text: String) -> Result<Vec<u8>, ApiError> {
        let topic = query.require("TopicArn")?;
        check_text(&text)?;
        self.registry().topic(topic)?;
        let message = Message::notification(topic, text, None);
        let signed = SignedMessage::new(message, SignatureVersion::V2, &self.signer);
        Ok(signed.json(topic, self.deliveries.api()))
    }

    /// Carries one request out. `signed`: it bears an `Authorization` header, whose signature nobody checks here.
    pub(super) fn handle(&self, query: &Query, signed: bool) -> Response<Body> {
        let action = query.get("Action").unwrap_or_default();
        let answer = match action {
            "ConfirmSubscription" => self.confirm_subscription(query, signed),
            "Unsubscribe" => self.unsubscribe(query, signed),
            _ if !signed => {
                Err(ApiError::forbidden("MissingAuthenticationToken", "Request is missing Authentication Token"))
            }
            "CreateTopic" => self.create_topic(query),
            "GetTopicAttributes" => self.topic_attributes(query),
            "Subscribe" => self.subscribe(query),
            "ListSubscriptionsByTopic" => self.list_subscriptions(query),
            "GetSubscriptionAttributes" => self.subscription_attributes(query),
            "SetSubscriptionAttributes" => self.set_subscription_attributes(query),
            "Publish" => self.publish(query),
            "PublishBatch" => self.publish_batch(query),
            _ => Err(ApiError::batch("InvalidAction", format!("The local SNS has no action {action}"))),
        };
        match answer {
            Ok(result) => success(action, result.as_deref()),
            Err(error) => {
                tracing::debug!(action, code = error.code, message = error.message, "refused a request to SNS");
                error.response()
            }
        }
    }

    fn create_topic(&self, query: &Query) -> Answer {
        let mut version = None;
        for (name, value) in query.map("Attributes") {
            match name {
                "SignatureVersion" => {
                    let parsed = SignatureVersion::parse(value);
                    version = Some(parsed.ok_or_else(|| ApiError::invalid("Invalid parameter: SignatureVersion"))?);
                }
                _ => return Err(unsupported(name)),
            }
        }
        let arn = self.registry().create_topic(query.require("Name")?, version)?;
        Ok(Some(element("TopicArn", &arn)))
    }

    fn topic_attributes(&self, query: &Query) -> Answer {
        let arn = query.require("TopicArn")?;
        let registry = self.registry();
        let version = registry.topic(arn)?;
        let counts = registry.counts(arn);
        Ok(Some(attributes([
            ("TopicArn", arn.to_owned()),
            ("Owner", ACCOUNT.to_owned()),
            ("SignatureVersion", version.as_str().to_owned()),
            ("SubscriptionsConfirmed", counts.confirmed.to_string()),
            ("SubscriptionsPending", counts.pending.to_string()),
        ])))
    }

    fn subscribe(&self, query: &Query) -> Answer {
        let (topic, protocol, endpoint) =
            (query.require("TopicArn")?, query.require("Protocol")?, query.require("Endpoint")?);
        let mut policy = Policy::default();
        for (name, value) in query.map("Attributes") {
            match name {
                "DeliveryPolicy" => policy = Policy::parse(value)?,
                "RawMessageDelivery" if value == "false" => {}
                _ => return Err(unsupported(name)),
            }
        }
        let room = self.deliveries.reserve(1).ok_or_else(ApiError::throttled)?;
        let (subscription, version) = {
            let mut registry = self.registry();
            (registry.subscribe(topic, protocol, endpoint, policy)?, registry.topic(topic)?)
        };
        let show_arn = query.get("ReturnSubscriptionArn") == Some("true") || subscription.state != State::Pending;
        let shown = if show_arn { subscription.arn.clone() } else { "pending confirmation".to_owned() };
        if subscription.state == State::Pending {
            let message = Message::confirmation(topic, &subscription.token, self.deliveries.api());
            let message = SignedMessage::new(message, version, &self.signer);
            self.deliveries.ask_to_confirm(subscription, message, room);
        }
        Ok(Some(element("SubscriptionArn", &shown)))
    }

    fn confirm_subscription(&self, query: &Query, signed: bool) -> Answer {
        let authenticate = signed && query.get("AuthenticateOnUnsubscribe") == Some("true");
        let arn = self.registry().confirm(query.require("TopicArn")?, query.require("Token")?, authenticate)?;
        Ok(Some(element("SubscriptionArn", &arn)))
    }

    fn unsubscribe(&self, query: &Query, signed: bool) -> Answer {
        self.registry().unsubscribe(query.require("SubscriptionArn")?, signed)?;
        Ok(None)
    }

    fn list_subscriptions(&self, query: &Query) -> Answer {
        let (page, next) = self.registry().page(query.require("TopicArn")?, query.get("NextToken"))?;
        let members = page
            .iter()
            .map(|s| {
                let arn = if s.state == State::Pending { "PendingConfirmation" } else { &s.arn };
                let fields = [
                    ("SubscriptionArn", arn),
                    ("Owner", ACCOUNT),
                    ("Protocol", &s.protocol),
                    ("Endpoint", &s.endpoint),
                    ("TopicArn", &s.topic_arn),
                ];
                let fields = fields.iter().map(|(name, value)| element(name, value)).collect::<String>();
                format!("<member>{fields}</member>")
            })
            .collect::<String>();
        let next = next.map(|token| element("NextToken", &token)).unwrap_or_default();
        Ok(Some(format!("<Subscriptions>{members}</Subscriptions>{next}")))
    }

    fn subscription_attributes(&self, query: &Query) -> Answer {
        let Subscription { arn, topic_arn, protocol, endpoint, state, policy, .. } =
            self.registry().subscription(query.require("SubscriptionArn")?)?.clone();
        let authenticated = state == State::Confirmed { authenticate_on_unsubscribe: true };
        let mut all = vec![
            ("SubscriptionArn", arn),
            ("TopicArn", topic_arn),
            ("Owner", ACCOUNT.to_owned()),
            ("Protocol", protocol),
            ("Endpoint", endpoint),
            ("PendingConfirmation", (state == State::Pending).to_string()),
            ("ConfirmationWasAuthenticated", authenticated.to_string()),
            ("RawMessageDelivery", "false".to_owned()),
        ];
        all.extend(policy.text.map(|text| ("DeliveryPolicy", text)));
        Ok(Some(attributes(all)))
    }

    fn set_subscription_attributes(&self, query: &Query) -> Answer {
        let value = query.get("AttributeValue").unwrap_or_default();
        let mut registry = self.registry();
        let subscription = registry.subscription(query.require("SubscriptionArn")?)?;
        match query.require("AttributeName")? {
            "DeliveryPolicy" => subscription.policy = Policy::parse(value)?,
            "RawMessageDelivery" if value == "false" => {}
            name => return Err(unsupported(name)),
        }
        Ok(None)
    }

    fn publish(&self, query: &Query) -> Answer {
        let id = self.publish_one(query.require("TopicArn")?, query)?;
        Ok(Some(element("MessageId", &id)))
    }

    fn publish_batch(&self, query: &Query) -> Answer {
        let topic = query.require("TopicArn")?;
        self.registry().topic(topic)?;
        let entries = query.members("PublishBatchRequestEntries");
        check_batch(&entries)?;
        let (mut successful, mut failed) = (String::new(), String::new());
        for entry in &entries {
            let id = element("Id", entry.get("Id").unwrap_or_default());
            match self.publish_one(topic, entry) {
                Ok(message_id) => {
                    successful += &format!("<member>{id}{}</member>", element("MessageId", &message_id));
                }
                Err(error) => {
                    let sender = (error.fault == Fault::Sender).to_string();
                    let what = element("Code", error.code) + &element("Message", &error.message);
                    failed += &format!("<member>{id}{what}{}</member>", element("SenderFault", &sender));
                }
            }
        }
        Ok(Some(format!("<Successful>{successful}</Successful><Failed>{failed}</Failed>")))
    }

    /// Publishes what the fields `Message` and `Subject` say; the new message's id.
    fn publish_one(&self, topic: &str, fields: &Query) -> Result<String, ApiError> {
        for refused in ["MessageAttributes", "MessageStructure", "MessageDeduplicationId", "MessageGroupId"] {
            if fields.mentions(refused) {
                return Err(unsupported(refused));
            }
        }
        let text = fields.get("Message").unwrap_or_default();
        check_text(text)?;
        let (version, subscriptions) = {
            let registry = self.registry();
            (registry.topic(topic)?, registry.confirmed(topic))
        };
        if self.deliveries.refuses() {
            return Err(ApiError::internal("fault sns.fail"));
        }
        let room = self.deliveries.reserve(subscriptions.len()).ok_or_else(ApiError::throttled)?;
        self.deliveries.counts.count_message(text.len());
        let message = Message::notification(topic, text.to_owned(), fields.get("Subject").map(str::to_owned));
        let id = message.id.clone();
        if !subscriptions.is_empty() {
            let message = Arc::new(SignedMessage::new(message, version, &self.signer));
            self.deliveries.notify(subscriptions, &message, room);
        }
        Ok(id)
    }
}

/// The rules of a message's text.
fn check_text(text: &str) -> Result<(), ApiError> {
    if text.is_empty() {
        return Err(ApiError::invalid("Invalid parameter: Empty message"));
    }
    if text.len() > MAX_BYTES {
        return Err(ApiError::invalid("Invalid parameter: Message too long"));
    }
    Ok(())
}

/// The rules of a whole batch (<https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>).
fn check_batch(entries: &[Query]) -> Result<(), ApiError> {
    let bytes = entries.iter().filter_map(|entry| entry.get("Message")).map(str::len).sum::<usize>();
    let ids = entries.iter().map(|entry| entry.get("Id").unwrap_or_default()).collect::<Vec<_>>();
    let valid = |id: &&str| {
        (1..=80).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    if entries.is_empty() {
        Err(ApiError::batch("EmptyBatchRequest", "The batch request doesn't contain any entries."))
    } else if entries.len() > MAX_BATCH {
        Err(ApiError::batch("TooManyEntriesInBatchRequest", "The batch request contains more than 10 entries."))
    } else if !ids.iter().all(valid) {
        Err(ApiError::batch("InvalidBatchEntryId", "The Id of a batch entry doesn't abide by the specification."))
    } else if ids.iter().collect::<BTreeSet<_>>().len() != ids.len() {
        Err(ApiError::batch("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id."))
    } else if bytes > MAX_BYTES {
        Err(ApiError::batch("BatchRequestTooLong", "The length of all the batch messages is more than the limit."))
    } else {
        Ok(())
    }
}

fn unsupported(name: &str) -> ApiError {
    ApiError::invalid(format!("Invalid parameter: {name} Reason: the local SNS does not offer it"))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use http_body_util::BodyExt as _;
    use tokio_util::sync::CancellationToken;

    use super::super::authority::Authority;
    use super::super::delivery::UNDER_WAY;
    use super::*;
    use crate::faults::SnsFaults;

    #[tokio::test]
    async fn publishing_is_throttled_while_too_many_deliveries_are_under_way() {
        let authority = Authority::new().unwrap();
        let signer = Signer::new(authority.signing_identity().unwrap().keys, String::new());
        let (tls, stop) = (authority.client_config().unwrap(), CancellationToken::new());
        let deliveries = Deliveries::new(tls, String::new(), SnsFaults::default().into(), 1, stop);
        let service = Service::new(signer, Arc::new(deliveries));
        let topic = service.registry().create_topic("t", None).unwrap();
        let endpoint = service.registry().subscribe(&topic, "http", "http://127.0.0.1:9/", Policy::default()).unwrap();
        service.registry().confirm(&topic, &endpoint.token, false).unwrap();

        let all_but_one = service.deliveries.reserve(UNDER_WAY - 1).unwrap();
        let publish = Query::parse(format!("Action=Publish&TopicArn={topic}&Message=m").as_bytes());
        assert_eq!(service.handle(&publish, true).status(), StatusCode::OK);
        assert_eq!(service.handle(&publish, true).status(), StatusCode::TOO_MANY_REQUESTS);
        let entry = "PublishBatchRequestEntries.member.1";
        let batch = format!("Action=PublishBatch&TopicArn={topic}&{entry}.Id=a&{entry}.Message=m");
        let answer = service.handle(&Query::parse(batch.as_bytes()), true);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let failure =
            "<Id>a</Id><Code>Throttled</Code><Message>Rate exceeded</Message><SenderFault>false</SenderFault>";
        assert!(std::str::from_utf8(&text).unwrap().contains(failure), "{text:?}");
        drop(all_but_one);
        assert_eq!(service.handle(&publish, true).status(), StatusCode::OK, "and no longer than that");
    }
}
