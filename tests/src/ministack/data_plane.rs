//! The data plane, from its template to the names of what was made.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::TARGET;
use crate::aws_query::{element, query};
use crate::{http, parts};

/// How long a deployment may take.
const DEPLOY: Duration = Duration::from_secs(60);
const STACK: &str = "roomcast-data";
const BUCKET: &str = "roomcast-code";
const KEY: &str = "stream-publisher.zip";

/// What the nodes must know.
pub(super) struct Deployed {
    pub(super) messages_table: String,
    pub(super) nodes_table: String,
    pub(super) topic_arns: String,
}

/// Deploys the data plane and waits until it stands.
pub(super) async fn deploy(url: &str) -> Deployed {
    upload(url).await;
    let template = std::fs::read_to_string(template()).expect("the template is in the repository");
    let fields = [
        ("StackName", STACK),
        ("TemplateBody", template.as_str()),
        ("Capabilities.member.1", "CAPABILITY_IAM"),
        ("Parameters.member.1.ParameterKey", "PublisherBucket"),
        ("Parameters.member.1.ParameterValue", BUCKET),
        ("Parameters.member.2.ParameterKey", "PublisherKey"),
        ("Parameters.member.2.ParameterValue", KEY),
    ];
    cloudformation(url, "CreateStack", &fields).await;
    let start = Instant::now();
    let made = loop {
        let stacks = cloudformation(url, "DescribeStacks", &[("StackName", STACK)]).await;
        match element(&stacks, "StackStatus") {
            Some("CREATE_COMPLETE") => break stacks,
            Some("CREATE_IN_PROGRESS") => {}
            other => panic!("the data plane is {other:?}: {}", failures(url).await),
        }
        assert!(start.elapsed() < DEPLOY, "the data plane does not stand within {DEPLOY:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let output = |key| output(&made, key);
    Deployed {
        messages_table: output("MessagesTable"),
        nodes_table: output("NodesTable"),
        topic_arns: output("TopicArns"),
    }
}

/// Puts the compiled Lambda where the template is told that it is.
async fn upload(url: &str) {
    let zip = std::fs::read(parts::part("stream-publisher.zip", TARGET)).expect("the Lambda's archive can be read");
    let bucket = format!("{url}/{BUCKET}");
    for (to, body) in [(bucket.clone(), &[][..]), (format!("{bucket}/{KEY}"), &zip)] {
        let answer = http::request("PUT", &to, &[], body).await.expect("S3 answers");
        assert_eq!(answer.status, 200, "{to}: {}", answer.text());
    }
}

/// The data stack as it is deployed to AWS, but for its alarms.
fn template() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/cloudformation/data-local.json")
}

async fn cloudformation(url: &str, action: &str, fields: &[(&str, &str)]) -> String {
    query(url, "cloudformation", "2010-05-15", action, fields).await
}

/// Which resources failed, and why.
async fn failures(url: &str) -> String {
    let events = cloudformation(url, "DescribeStackEvents", &[("StackName", STACK)]).await;
    let events = events.split("<member>").filter(|event| event.contains("FAILED"));
    let told = events.filter_map(|event| {
        Some(format!("{}: {}", element(event, "LogicalResourceId")?, element(event, "ResourceStatusReason")?))
    });
    told.collect::<Vec<_>>().join("; ")
}

fn output(stacks: &str, key: &str) -> String {
    let mut outputs = stacks.split("<member>").filter(|member| element(member, "OutputKey") == Some(key));
    let value = outputs.find_map(|member| element(member, "OutputValue"));
    value.unwrap_or_else(|| panic!("the stack has no output {key}: {stacks}")).to_owned()
}
