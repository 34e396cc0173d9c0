//! The production code that the stack runs: the one place that names it.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_lambda_events::event::dynamodb::Event;
use clap::Parser as _;
use local_stack::servers::{NodeFuture, NodeLauncher, RunningNode};
use local_stack::stream_pump::{HandlerFuture, StreamHandler};
use stream_publisher::Publisher;
use ws_server::config::{Config, Given};

/// The Lambda function, with a client that talks to the local SNS.
///
/// # Errors
/// The topics are none that it could publish to.
pub(crate) fn publisher(aws: &SdkConfig, topics: Vec<String>) -> Result<Arc<dyn StreamHandler>, String> {
    let publisher = Publisher::with_client(aws_sdk_sns::Client::new(aws), topics).map_err(|e| e.to_string())?;
    Ok(Arc::new(Function(publisher)))
}

struct Function(Publisher<aws_sdk_sns::Client>);

impl StreamHandler for Function {
    fn invoke(&self, event: Event) -> HandlerFuture<'_> {
        Box::pin(async move { Ok(self.0.handle(event).await) })
    }
}

/// The servers.
pub(crate) struct Servers;

impl NodeLauncher for Servers {
    fn launch(&self, arguments: Vec<String>, aws: SdkConfig) -> NodeFuture<'_, Result<Box<dyn RunningNode>, String>> {
        Box::pin(async move {
            let given = Given::to_line::<Config>(arguments.clone());
            let told = |error: &clap::Error| given.complaint(error).unwrap_or_else(|| error.to_string());
            let config = Config::try_parse_from(arguments).map_err(|error| told(&error))?;
            let server = ws_server::start(config, aws).await.map_err(|error| given.named(&error.to_string()))?;
            Ok(Box::new(Node(server)) as Box<dyn RunningNode>)
        })
    }
}

struct Node(ws_server::Server);

impl RunningNode for Node {
    fn id(&self) -> String {
        self.0.node().to_string()
    }

    fn link_address(&self) -> Option<SocketAddr> {
        self.0.link_listens()
    }

    fn ready(&self) -> NodeFuture<'_, ()> {
        Box::pin(self.0.ready())
    }

    fn stop(self: Box<Self>) -> NodeFuture<'static, ()> {
        Box::pin(self.0.stop())
    }
}
