//! What the nodes of a stack are told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ring::rand::SystemRandom;

use super::{MESSAGES_TABLE, NODES_TABLE, NodeOrder};
use crate::sdk_config::REGION;
use crate::stack_folder::AnnouncedNode;

/// What every node of a stack is told.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The address that nodes listen at.
    pub host: IpAddr,
    /// The first node's port; the others follow.
    pub first_port: u16,
    /// The first node's port for operations; the others follow.
    pub ops_port: Option<u16>,
    /// Where each node listens for other nodes: so there are as many nodes.
    pub links: Vec<SocketAddr>,
    /// Where other nodes are told to reach each node, in the nodes' order; none: where it listens.
    pub link_addresses: Vec<SocketAddr>,
    /// DynamoDB's URL.
    pub dynamodb: String,
    /// SNS's URL.
    pub sns: String,
    /// The topic to subscribe to.
    pub topic_arn: String,
    /// Scheme, host and port of the signing certificate's URL.
    pub cert_origin: String,
    /// The root certificate, in PEM.
    pub trust_root: PathBuf,
    /// What lets nodes of the stack believe each other.
    pub cluster_key: String,
    /// Further flags for every node.
    pub flags: Vec<String>,
}

/// A key that only this stack's nodes know.
#[must_use]
pub fn random_cluster_key() -> String {
    let random = ring::rand::generate::<[u8; 32]>(&SystemRandom::new());
    let random = random.expect("the operating system has random bytes").expose();
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl NodeSettings {
    /// The URL of node `index`, counted from 0, for programs on this machine.
    #[must_use]
    pub fn url(&self, index: u16) -> String {
        format!("http://{}", SocketAddr::new(reachable(self.host), self.first_port + index))
    }

    /// What `stack.json` says of the nodes.
    #[must_use]
    pub fn announced(&self) -> Vec<AnnouncedNode> {
        let announced = |(index, link): (u16, &SocketAddr)| AnnouncedNode {
            url: self.url(index),
            link: Some(format!("http://{link}")),
            ops: self.ops(index).map(|ops| format!("http://{ops}")),
        };
        (0..).zip(&self.links).map(announced).collect()
    }

    /// The orders for all nodes.
    #[must_use]
    pub fn orders(&self) -> Vec<NodeOrder> {
        let order = |(index, &link): (u16, &SocketAddr)| NodeOrder {
            number: index + 1,
            flags: self.node_flags(index, link),
            environment: self.environment(),
            link,
        };
        (0..).zip(&self.links).map(order).collect()
    }

    /// What all nodes are told alike, by variables: a node started by hand needs the same.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.clone()),
            ("AWS_ENDPOINT_URL_SNS", self.sns.clone()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            // The machine's own configuration of AWS leads nowhere near here.
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
            ("ROOMCAST_TOPIC_ARNS", self.topic_arn.clone()),
            ("ROOMCAST_SNS_CERT_ORIGIN", self.cert_origin.clone()),
            ("ROOMCAST_SNS_TRUST_ROOT", self.trust_root.to_string_lossy().into_owned()),
            ("ROOMCAST_MESSAGES_TABLE", MESSAGES_TABLE.to_owned()),
            ("ROOMCAST_NODES_TABLE", NODES_TABLE.to_owned()),
            ("ROOMCAST_CREATE_TABLES", "true".to_owned()),
            ("ROOMCAST_CLUSTER_KEY", self.cluster_key.clone()),
        ]
    }

    /// The flags that a node has for itself, but for the link: where it listens, and where SNS reaches it.
    #[must_use]
    pub fn own_flags(&self, index: u16) -> Vec<String> {
        let listen = SocketAddr::new(self.host, self.first_port + index).to_string();
        vec!["--listen".to_owned(), listen, "--sns-endpoint".to_owned(), self.url(index)]
    }

    /// SNS reaches the node directly, and its page links to all the others.
    fn node_flags(&self, index: u16, link: SocketAddr) -> Vec<String> {
        let mut flags = self.own_flags(index);
        let mut add = |flag: &str, value: String| flags.extend([flag.to_owned(), value]);
        add("--link-listen", link.to_string());
        if let Some(address) = self.link_addresses.get(usize::from(index)) {
            add("--link-address", address.to_string());
        }
        if let Some(ops) = self.ops(index) {
            add("--ops-listen", ops.to_string());
        }
        for (other, _) in (0..).zip(&self.links).filter(|&(other, _)| other != index) {
            add("--page-link", format!("Node {}={}", other + 1, self.url(other)));
        }
        flags.extend(self.flags.iter().cloned());
        flags
    }

    /// Operations are for this machine alone.
    fn ops(&self, index: u16) -> Option<SocketAddr> {
        self.ops_port.map(|first| SocketAddr::from((Ipv4Addr::LOCALHOST, first + index)))
    }
}

/// The address at which programs of this machine reach what listens there.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> NodeSettings {
        NodeSettings {
            host: Ipv4Addr::LOCALHOST.into(),
            first_port: 8080,
            ops_port: None,
            links: (1..=3).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect(),
            link_addresses: Vec::new(),
            dynamodb: "http://127.0.0.1:8000".into(),
            sns: "http://127.0.0.1:8001".into(),
            topic_arn: "arn:aws:sns:us-east-1:000000000000:roomcast".into(),
            cert_origin: "https://127.0.0.1:9443".into(),
            trust_root: "/data/sns-root.pem".into(),
            cluster_key: "0123456789abcdef0123456789abcdef".into(),
            flags: Vec::new(),
        }
    }

    #[test]
    fn a_node_has_production_s_limits_and_links_to_the_others() {
        let order = settings().orders().swap_remove(1);
        assert_eq!((order.number, order.link.port()), (2, 2));
        assert_eq!(
            order.flags.join(" "),
            "--listen 127.0.0.1:8081 --sns-endpoint http://127.0.0.1:8081 --link-listen 127.0.0.1:2 \
             --page-link Node 1=http://127.0.0.1:8080 --page-link Node 3=http://127.0.0.1:8082"
        );
        let variable = |name| order.environment.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value);
        assert_eq!(variable("ROOMCAST_CLUSTER_KEY"), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(variable("AWS_ENDPOINT_URL_SNS"), Some("http://127.0.0.1:8001"));
    }

    #[test]
    fn flags_for_nodes_come_last_and_to_every_node() {
        let flags = vec!["--log".to_owned(), "info".to_owned()];
        let orders = NodeSettings { flags, ..settings() }.orders();
        assert!(orders.iter().all(|order| order.flags.join(" ").ends_with(" --log info")), "{orders:?}");
    }

    #[test]
    fn a_node_behind_a_proxy_is_told_the_address_of_the_proxy() {
        let link_addresses = (4..=6).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
        let settings = NodeSettings { link_addresses, ..settings() };
        let flags = settings.orders().swap_remove(1).flags.join(" ");
        assert!(flags.contains("--link-listen 127.0.0.1:2 --link-address 127.0.0.1:5 "), "{flags}");
        assert_eq!(settings.announced()[1].link.as_deref(), Some("http://127.0.0.1:2"));
    }

    #[test]
    fn what_listens_everywhere_is_announced_by_a_url_that_this_machine_can_use() {
        for (host, listen, url) in [
            ("127.0.0.1", "127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("0.0.0.0", "0.0.0.0:8081", "http://127.0.0.1:8081"),
            ("10.1.2.3", "10.1.2.3:8081", "http://10.1.2.3:8081"),
            ("::1", "[::1]:8081", "http://[::1]:8081"),
            ("::", "[::]:8081", "http://[::1]:8081"),
        ] {
            let settings = NodeSettings { host: host.parse().unwrap(), ops_port: Some(9000), ..settings() };
            let flags = settings.orders().swap_remove(1).flags.join(" ");
            assert!(flags.starts_with(&format!("--listen {listen} --sns-endpoint {url} ")), "{flags}");
            assert!(flags.contains("--ops-listen 127.0.0.1:9001"), "{flags}");
            let announced = settings.announced().swap_remove(1);
            assert_eq!((announced.url.as_str(), announced.ops.as_deref()), (url, Some("http://127.0.0.1:9001")));
        }
    }

    #[test]
    fn every_stack_has_another_key_of_visible_characters() {
        let (one, other) = (random_cluster_key(), random_cluster_key());
        assert_ne!(one, other);
        assert!(one.len() >= 32 && one.bytes().all(|byte| byte.is_ascii_graphic()), "{one}");
    }
}
