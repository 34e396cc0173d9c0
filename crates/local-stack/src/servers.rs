//! The server nodes: started with the flags that they get in production, told where the local parts are.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;

use aws_config::SdkConfig;
use ring::rand::SystemRandom;

/// The table of messages.
pub const MESSAGES_TABLE: &str = "roomcast-messages";
/// The table of nodes.
pub const NODES_TABLE: &str = "roomcast-nodes";

/// Something that a node does.
pub type NodeFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Starts nodes: the seam between this library and the server, so that tests can put something else there.
pub trait NodeLauncher: Send + Sync {
    /// Starts one node with this command line, the program's name first.
    fn launch(&self, arguments: Vec<String>, aws: SdkConfig) -> NodeFuture<'_, Result<Box<dyn RunningNode>, String>>;
}

/// A node that was started.
pub trait RunningNode: Send + Sync {
    /// Its id.
    fn id(&self) -> String;
    /// Where it listens for other nodes; `None`: it has no link.
    fn link_address(&self) -> Option<SocketAddr>;
    /// Ends when the node serves and is subscribed.
    fn ready(&self) -> NodeFuture<'_, ()>;
    /// Drains and ends the node.
    fn stop(self: Box<Self>) -> NodeFuture<'static, ()>;
}

/// A key that only this stack's nodes know.
#[must_use]
pub fn random_cluster_key() -> String {
    let random = ring::rand::generate::<[u8; 32]>(&SystemRandom::new());
    let random = random.expect("the operating system has random bytes").expose();
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What every node of a stack is told.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The first node's port; the others follow.
    pub first_port: u16,
    /// How many there are.
    pub nodes: u16,
    /// The topic to subscribe to.
    pub topic_arn: String,
    /// Scheme, host and port of the signing certificate's URL.
    pub cert_origin: String,
    /// The root certificate, in PEM.
    pub trust_root: PathBuf,
    /// What lets nodes of the stack believe each other.
    pub cluster_key: String,
    /// Where other nodes are told to reach each node, in the nodes' order; none: where it listens.
    pub link_addresses: Vec<SocketAddr>,
}

impl NodeSettings {
    /// The URL of node `index`, counted from 0.
    #[must_use]
    pub fn url(&self, index: u16) -> String {
        format!("http://{}", self.address(index))
    }

    /// The URLs of all nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        (0..self.nodes).map(|index| self.url(index)).collect()
    }

    /// The command line of node `index`: SNS reaches it directly, and its page links to all the others.
    #[must_use]
    pub fn arguments(&self, index: u16) -> Vec<String> {
        let own_url = self.url(index);
        let address = self.address(index).to_string();
        let trust_root = self.trust_root.to_string_lossy();
        let link_address = self.link_addresses.get(usize::from(index)).map(SocketAddr::to_string);
        let link_address = link_address.iter().map(|address| ("--link-address", address.as_str()));
        let flags = [
            ("--listen", address.as_str()),
            ("--messages-table", MESSAGES_TABLE),
            ("--nodes-table", NODES_TABLE),
            ("--topic-arn", &self.topic_arn),
            ("--sns-endpoint", &own_url),
            ("--sns-cert-origin", &self.cert_origin),
            ("--sns-trust-root", &trust_root),
            ("--cluster-key", &self.cluster_key),
            ("--link-listen", "127.0.0.1:0"),
            // Nobody's deployment waits here: Ctrl-C is answered at once.
            ("--drain-ms", "300"),
            // Loads of few sessions that say much are what one starts it for.
            ("--publishes-per-second", "0"),
            ("--signals-per-second", "0"),
        ];
        let others = (0..self.nodes).filter(|&other| other != index);
        let links =
            others.flat_map(|other| ["--page-link".to_owned(), format!("Node {}={}", other + 1, self.url(other))]);
        ["ws-server".to_owned(), "--create-tables".to_owned()]
            .into_iter()
            .chain(flags.into_iter().chain(link_address).flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]))
            .chain(links)
            .collect()
    }

    fn address(&self, index: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.first_port + index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> NodeSettings {
        NodeSettings {
            first_port: 8080,
            nodes: 3,
            topic_arn: "arn:aws:sns:us-east-1:000000000000:roomcast".into(),
            cert_origin: "https://127.0.0.1:9443".into(),
            trust_root: "/data/sns-root.pem".into(),
            cluster_key: "0123456789abcdef0123456789abcdef".into(),
            link_addresses: Vec::new(),
        }
    }

    #[test]
    fn a_node_gets_the_flags_of_production_and_links_to_the_others() {
        assert_eq!(
            settings().arguments(1).join(" "),
            "ws-server --create-tables --listen 127.0.0.1:8081 --messages-table roomcast-messages \
             --nodes-table roomcast-nodes --topic-arn arn:aws:sns:us-east-1:000000000000:roomcast \
             --sns-endpoint http://127.0.0.1:8081 --sns-cert-origin https://127.0.0.1:9443 \
             --sns-trust-root /data/sns-root.pem --cluster-key 0123456789abcdef0123456789abcdef \
             --link-listen 127.0.0.1:0 --drain-ms 300 --publishes-per-second 0 --signals-per-second 0 \
             --page-link Node 1=http://127.0.0.1:8080 --page-link Node 3=http://127.0.0.1:8082"
        );
        assert_eq!(settings().urls(), ["http://127.0.0.1:8080", "http://127.0.0.1:8081", "http://127.0.0.1:8082"]);
    }

    #[test]
    fn a_node_behind_a_proxy_is_told_the_address_of_the_proxy() {
        let link_addresses = (1..=3).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
        let arguments = NodeSettings { link_addresses, ..settings() }.arguments(1).join(" ");
        assert!(arguments.contains("--signals-per-second 0 --link-address 127.0.0.1:2 "), "{arguments}");
    }

    #[test]
    fn every_stack_has_another_key_of_visible_characters() {
        let (one, other) = (random_cluster_key(), random_cluster_key());
        assert_ne!(one, other);
        assert!(one.len() >= 32 && one.bytes().all(|byte| byte.is_ascii_graphic()), "{one}");
    }
}
