//! The attribute `DeliveryPolicy` of a subscription and the times at which it makes SNS try again
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>).

use std::time::Duration;

use serde::Deserialize;

/// No policy may go on retrying for longer than this.
const LONGEST_RETRYING: Duration = Duration::from_secs(3_600);

/// A policy that was checked. The default is SNS's own: 3 retries, 20 s apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeliveryPolicy {
    retry: HealthyRetryPolicy,
    content_type: Option<String>,
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid parameter: DeliveryPolicy: {0}")]
pub struct InvalidPolicy(String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Text {
    healthy_retry_policy: Option<HealthyRetryPolicy>,
    request_policy: Option<RequestPolicy>,
    // Null in what SNS itself shows; values are refused because this SNS would not honour them.
    #[serde(default)]
    throttle_policy: (),
    #[serde(default)]
    sickly_retry_policy: (),
    #[serde(default, rename = "guaranteed")]
    _guaranteed: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestPolicy {
    header_content_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct HealthyRetryPolicy {
    num_retries: u32,
    num_no_delay_retries: u32,
    min_delay_target: u32,
    max_delay_target: u32,
    num_min_delay_retries: u32,
    num_max_delay_retries: u32,
    backoff_function: BackoffFunction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BackoffFunction {
    Arithmetic,
    Exponential,
    Geometric,
    #[default]
    Linear,
}

impl Default for HealthyRetryPolicy {
    fn default() -> Self {
        Self {
            num_retries: 3,
            num_no_delay_retries: 0,
            min_delay_target: 20,
            max_delay_target: 20,
            num_min_delay_retries: 0,
            num_max_delay_retries: 0,
            backoff_function: BackoffFunction::Linear,
        }
    }
}

impl DeliveryPolicy {
    /// Reads and checks the attribute's JSON.
    ///
    /// # Errors
    /// It is not JSON of this form, or breaks one of SNS's rules.
    pub fn parse(json: &str) -> Result<Self, InvalidPolicy> {
        let text: Text = serde_json::from_str(json).map_err(|e| InvalidPolicy(e.to_string()))?;
        let ((), ()) = (text.throttle_policy, text.sickly_retry_policy);
        let retry = text.healthy_retry_policy.unwrap_or_default();
        retry.check().map_err(InvalidPolicy)?;
        let policy = Self { retry, content_type: text.request_policy.and_then(|policy| policy.header_content_type) };
        if policy.schedule().iter().sum::<Duration>() > LONGEST_RETRYING {
            return Err(InvalidPolicy("the total retry time is above 3600 seconds".to_owned()));
        }
        Ok(policy)
    }

    /// The delay before each retry, the first one first.
    #[must_use]
    pub fn schedule(&self) -> Vec<Duration> {
        (0..self.retry.num_retries).map(|index| self.retry.delay(index)).collect()
    }

    /// The content type that deliveries bear.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or("text/plain; charset=UTF-8")
    }
}

impl HealthyRetryPolicy {
    fn check(&self) -> Result<(), String> {
        let fixed = u64::from(self.num_no_delay_retries)
            + u64::from(self.num_min_delay_retries)
            + u64::from(self.num_max_delay_retries);
        if self.num_retries > 100 {
            Err("numRetries must be 0 to 100".to_owned())
        } else if self.min_delay_target < 1 || self.min_delay_target > self.max_delay_target {
            Err("minDelayTarget must be 1 to maxDelayTarget".to_owned())
        } else if self.max_delay_target > 3_600 {
            Err("maxDelayTarget must be at most 3600".to_owned())
        } else if fixed > u64::from(self.num_retries) {
            Err("the retries of the phases must not add up to more than numRetries".to_owned())
        } else {
            Ok(())
        }
    }

    /// Phases in order: no delay, the least delay, backoff, the greatest delay.
    fn delay(&self, index: u32) -> Duration {
        let backoff_from = self.num_no_delay_retries + self.num_min_delay_retries;
        let backoff_to = self.num_retries - self.num_max_delay_retries;
        if index < self.num_no_delay_retries {
            Duration::ZERO
        } else if index < backoff_from {
            Duration::from_secs(self.min_delay_target.into())
        } else if index < backoff_to {
            self.backoff(index - backoff_from, backoff_to - backoff_from)
        } else {
            Duration::from_secs(self.max_delay_target.into())
        }
    }

    /// AWS shows the four functions as a drawing only; these have its shapes between the same two ends.
    fn backoff(&self, step: u32, steps: u32) -> Duration {
        let (min, max) = (f64::from(self.min_delay_target), f64::from(self.max_delay_target));
        let done = if steps > 1 { f64::from(step) / f64::from(steps - 1) } else { 0.0 };
        let seconds = match self.backoff_function {
            BackoffFunction::Linear => min + (max - min) * done,
            BackoffFunction::Arithmetic => min + (max - min) * done * (done + 1.0) / 2.0,
            BackoffFunction::Geometric => min * (max / min).powf(done),
            BackoffFunction::Exponential => (min * 2_f64.powi(i32::try_from(step).unwrap_or(i32::MAX))).min(max),
        };
        Duration::from_secs_f64(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(json: &str) -> Vec<u64> {
        DeliveryPolicy::parse(json).unwrap().schedule().iter().map(Duration::as_secs).collect()
    }

    #[test]
    fn without_a_policy_there_are_three_retries_twenty_seconds_apart() {
        assert_eq!(DeliveryPolicy::default().schedule(), vec![Duration::from_secs(20); 3]);
        assert_eq!(seconds("{}"), [20, 20, 20]);
        assert_eq!(seconds(r#"{"healthyRetryPolicy":null,"throttlePolicy":null}"#), [20, 20, 20]);
    }

    #[test]
    fn the_phases_follow_each_other() {
        let json = r#"{"healthyRetryPolicy":{"numRetries":9,"numNoDelayRetries":2,"minDelayTarget":1,
            "maxDelayTarget":5,"numMinDelayRetries":1,"numMaxDelayRetries":3,"backoffFunction":"linear"}}"#;
        assert_eq!(seconds(json), [0, 0, 1, 1, 3, 5, 5, 5, 5]);
    }

    #[test]
    fn every_backoff_starts_at_the_least_delay_and_never_exceeds_the_greatest() {
        for function in ["linear", "arithmetic", "geometric", "exponential"] {
            let json = format!(
                r#"{{"healthyRetryPolicy":{{"numRetries":8,"minDelayTarget":2,"maxDelayTarget":30,
                    "backoffFunction":"{function}"}}}}"#
            );
            let delays = seconds(&json);
            assert_eq!(delays.first(), Some(&2), "{function}");
            assert_eq!(delays.last(), Some(&30), "{function}");
            assert!(delays.is_sorted(), "{function}: {delays:?}");
        }
    }

    #[test]
    fn the_content_type_is_plain_text_unless_asked_otherwise() {
        assert_eq!(DeliveryPolicy::default().content_type(), "text/plain; charset=UTF-8");
        let policy = DeliveryPolicy::parse(r#"{"requestPolicy":{"headerContentType":"application/json"}}"#).unwrap();
        assert_eq!(policy.content_type(), "application/json");
    }

    #[test]
    fn what_sns_would_refuse_is_refused() {
        for json in [
            "nonsense",
            r#"{"healthyRetryPolicy":{"numRetries":101}}"#,
            r#"{"healthyRetryPolicy":{"minDelayTarget":0}}"#,
            r#"{"healthyRetryPolicy":{"minDelayTarget":30}}"#,
            r#"{"healthyRetryPolicy":{"maxDelayTarget":3601}}"#,
            r#"{"healthyRetryPolicy":{"numRetries":2,"numNoDelayRetries":3}}"#,
            r#"{"healthyRetryPolicy":{"numRetries":100,"maxDelayTarget":100,"numMaxDelayRetries":100}}"#,
            r#"{"healthyRetryPolicy":{"backoffFunction":"cubic"}}"#,
            r#"{"throttlePolicy":{"maxReceivesPerSecond":5}}"#,
            r#"{"healthyRetryPolice":{}}"#,
        ] {
            assert!(DeliveryPolicy::parse(json).is_err(), "{json}");
        }
    }
}
