use std::collections::BTreeSet;

use super::roots::TrustRoots;
use super::url::{CertificateUrl, Origin, UrlRefused};
use crate::backplane::TopicArn;

/// Which certificates may be fetched and believed.
#[derive(Debug, Clone)]
pub struct CertificatePolicy {
    origins: Vec<Origin>,
    names: BTreeSet<String>,
    roots: TrustRoots,
}

impl CertificatePolicy {
    /// What AWS uses for these topics: their regions' SNS hosts, names and Amazon's roots.
    #[must_use]
    pub fn for_topics(topics: &[TopicArn]) -> Self {
        let mut origins: Vec<Origin> = topics.iter().map(Origin::of_region).collect();
        origins.sort();
        origins.dedup();
        Self { origins, names: topics.iter().flat_map(signing_names).collect(), roots: TrustRoots::amazon() }
    }

    /// Allows this origin alone, instead of the regions' hosts.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origins: vec![origin], ..self }
    }

    /// Believes these roots alone, instead of Amazon's: for the fetch and for chains.
    #[must_use]
    pub fn with_roots(self, roots: TrustRoots) -> Self {
        Self { roots, ..self }
    }

    /// The origins that certificates may come from, for people.
    pub(super) fn allowed(&self) -> String {
        self.origins.iter().map(Origin::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The roots that are believed.
    #[must_use]
    pub fn roots(&self) -> &TrustRoots {
        &self.roots
    }

    /// Checks a certificate's URL; nothing is fetched that has not passed here.
    ///
    /// # Errors
    /// `UrlRefused` when it is not a plain path of an allowed origin.
    pub fn admit(&self, url: &str) -> Result<CertificateUrl, UrlRefused> {
        CertificateUrl::admit(url, &self.origins)
    }

    pub(super) fn expects(&self, name: &str) -> bool {
        self.names.contains(&name.to_ascii_lowercase())
    }
}

/// The subjects of SNS's signing certificates for a topic's region; see the module above for the source.
fn signing_names(topic: &TopicArn) -> Vec<String> {
    let (region, domain) = (topic.region(), topic.dns_suffix());
    let mut names = vec![
        format!("sns.{domain}"),
        format!("sns-signing.{region}.{domain}"),
        format!("sns-{region}.{domain}"),
        format!("sns.{region}.{domain}"),
    ];
    if region.starts_with("us-gov-") {
        names.push(format!("sns-us-gov-west-1.{domain}"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_every_kind_of_region_are_expected() {
        for (topic, name) in [
            ("arn:aws:sns:us-east-1:123456789012:t", "sns.amazonaws.com"),
            ("arn:aws:sns:ca-west-1:123456789012:t", "sns-signing.ca-west-1.amazonaws.com"),
            ("arn:aws-cn:sns:cn-north-1:123456789012:t", "sns-cn-north-1.amazonaws.com.cn"),
            ("arn:aws-us-gov:sns:us-gov-east-1:123456789012:t", "sns-us-gov-west-1.amazonaws.com"),
            ("arn:aws-eusc:sns:eusc-de-east-1:123456789012:t", "sns-signing.eusc-de-east-1.amazonaws.eu"),
        ] {
            let policy = CertificatePolicy::for_topics(&[topic.parse().unwrap()]);
            assert!(policy.expects(name), "{name}");
            assert!(policy.expects(&name.to_uppercase()), "{name}");
            assert!(!policy.expects("sns.evil.com") && !policy.expects("s3.amazonaws.com"));
        }
    }
}
