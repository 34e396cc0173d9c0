use std::path::PathBuf;

use clap::Args;

use super::parse;
use crate::backplane::TopicArn;
use crate::backplane::certificate::Origin;

/// The AWS parts that the node works with. Region, credentials and endpoints come from where all AWS tools take them
/// (`AWS_REGION`, the task's role, `AWS_ENDPOINT_URL_DYNAMODB`, …).
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "AWS")]
pub struct AwsConfig {
    /// DynamoDB table of messages
    #[arg(long, env = "ROOMCAST_MESSAGES_TABLE", default_value = "roomcast-messages", value_name = "TABLE", value_parser = parse::table)]
    pub messages_table: String,
    /// DynamoDB table of nodes
    #[arg(long, env = "ROOMCAST_NODES_TABLE", default_value = "roomcast-nodes", value_name = "TABLE", value_parser = parse::table)]
    pub nodes_table: String,
    /// Create missing tables (otherwise a missing table stops the start)
    #[arg(long, env = "ROOMCAST_CREATE_TABLES")]
    pub create_tables: bool,
    /// SNS topic that the stream publisher publishes to; all topics in the publisher's order, comma separated or repeated
    #[arg(long, env = "ROOMCAST_TOPIC_ARNS", value_name = "ARN", value_delimiter = ',', required = true)]
    pub topic_arn: Vec<TopicArn>,
    /// Origin (https://host[:port]) that signing certificates come from, instead of the SNS hosts of the topics' regions
    #[arg(long, env = "ROOMCAST_SNS_CERT_ORIGIN", value_name = "ORIGIN")]
    pub sns_cert_origin: Option<Origin>,
    /// PEM file of the root certificates that vouch for signing certificates, instead of Amazon's own
    #[arg(long, env = "ROOMCAST_SNS_TRUST_ROOT", value_name = "FILE")]
    pub sns_trust_root: Option<PathBuf>,
}
