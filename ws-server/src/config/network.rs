use std::net::SocketAddr;

use clap::Args;
use serde::Serialize;

use super::parse;

/// Where the node listens, and how it is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkConfig {
    /// Address and port for clients, SNS and health checks
    #[arg(long, env = "ROOMCAST_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS:PORT", value_parser = parse::listen_address)]
    pub listen: SocketAddr,
    /// Address and port for operations: metrics and health; then the port for clients has no metrics
    #[arg(long, env = "ROOMCAST_OPS_LISTEN", value_name = "ADDRESS:PORT", value_parser = parse::listen_address)]
    pub ops_listen: Option<SocketAddr>,
    /// URL at which SNS reaches this node (without a path; a secret one is added)
    #[arg(long, env = "ROOMCAST_SNS_ENDPOINT", value_name = "URL", value_parser = parse::base_url)]
    pub sns_endpoint: String,
    /// Link to another node's page, shown on this one's; may be repeated (in the variable: comma separated)
    #[arg(long, env = "ROOMCAST_PAGE_LINKS", value_name = "NAME=URL", value_delimiter = ',', value_parser = parse::page_link)]
    pub page_link: Vec<PageLink>,
}

/// A link on the chat page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageLink {
    /// What it says.
    pub name: String,
    /// Where it goes.
    pub url: String,
}
