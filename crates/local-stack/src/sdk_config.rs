//! The SDK configuration that leads the production code's AWS clients to the local parts.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// The region of everything local.
pub const REGION: &str = "us-east-1";
/// The account of everything local.
pub const ACCOUNT: &str = "000000000000";

/// Where each service is. Takes the place of `AWS_ENDPOINT_URL_<SERVICE>` and a profile's `services` section, so that
/// whatever is configured on the machine cannot lead the local stack elsewhere.
#[derive(Debug, Clone)]
struct LocalEndpoints {
    dynamodb: String,
    sns: String,
}

impl LoadServiceConfig for LocalEndpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        match (key.profile(), key.service_id()) {
            ("endpoint_url", "DynamoDB") => Some(self.dynamodb.clone()),
            ("endpoint_url", "SNS") => Some(self.sns.clone()),
            _ => None,
        }
    }
}

/// A configuration whose DynamoDB and SNS clients talk to these two URLs, with fixed credentials.
/// It reads neither the environment nor any file.
#[must_use]
pub fn local_sdk_config(dynamodb: &str, sns: &str) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys("local", "local", None)))
        .http_client(http)
        .service_config(LocalEndpoints { dynamodb: dynamodb.to_owned(), sns: sns.to_owned() })
        .build()
}
