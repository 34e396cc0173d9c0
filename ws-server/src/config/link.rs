use std::net::SocketAddr;

use clap::Args;

use super::parse::{self, whole};
use super::redis::{RedisConfig, RedisConfigError};
use super::secret::SecretText;
use crate::link::{ClusterKeys, ClusterKeysError};

/// How nodes reach each other.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Nodes among themselves")]
pub struct LinkConfig {
    /// Secret of at least 32 characters that all nodes share; while it is changed also the other one, after a comma
    #[arg(
        long,
        env = "ROOMCAST_CLUSTER_KEY",
        value_name = "KEY[,OTHER]",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub cluster_key: Option<SecretText>,
    /// Address and port for other nodes, used with a cluster key; nobody else needs to reach it
    #[arg(long, env = "ROOMCAST_LINK_LISTEN", default_value = "0.0.0.0:8090", value_name = "ADDRESS:PORT", value_parser = parse::listen_address)]
    pub link_listen: SocketAddr,
    /// Host and port at which other nodes reach this one (otherwise the address of the machine)
    #[arg(long, env = "ROOMCAST_LINK_ADDRESS", value_name = "HOST:PORT", value_parser = parse::host_and_port)]
    pub link_address: Option<String>,
    /// Whether nodes tell each other at once what they committed: `on`, `off`, or `auto`: up to 32 nodes, while Redis does not do it
    #[arg(long, env = "ROOMCAST_PEER_HINTS", default_value = "auto", value_name = "WHEN")]
    pub peer_hints: PeerHints,
    /// The accelerator.
    #[command(flatten)]
    pub redis: RedisConfig,
    /// Milliseconds between signs of life in the table of nodes; who misses three is taken for dead
    #[arg(long, env = "ROOMCAST_BEAT_MS", default_value_t = 3_000, value_name = "MS", value_parser = whole::<u64>(100..=30_000))]
    pub beat_ms: u64,
    /// Nodes do not talk to each other although there are several: SNS and the log carry everything
    #[arg(long, env = "ROOMCAST_STAND_ALONE")]
    pub stand_alone: bool,
    /// The SNS endpoint is a load balancer's URL, and the node that it picks passes posts on
    #[arg(long, env = "ROOMCAST_SNS_RELAY")]
    pub sns_relay: bool,
}

/// When committed segments and signals are told to the other nodes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PeerHints {
    /// As long as there are few nodes, and Redis does not tell them all: each one tells each other one.
    Auto,
    /// Always.
    On,
    /// Never: Redis, or else SNS and the log, carry everything.
    Off,
}

/// Flags about other nodes that cannot be right together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkConfigError {
    /// The key is none.
    #[error("--cluster-key: {0}")]
    Key(#[from] ClusterKeysError),
    /// A key is for nodes that talk to each other.
    #[error("--stand-alone and --cluster-key contradict each other: give one of them")]
    StandAloneWithKey,
    /// What is said of Redis is wrong.
    #[error(transparent)]
    Redis(#[from] RedisConfigError),
    /// Posts are passed on by signed requests.
    #[error("--sns-relay needs --cluster-key: nodes pass posts on to each other")]
    RelayWithoutKey,
}

/// How a node gets on with others.
#[derive(Debug, Clone)]
pub enum LinkMode {
    /// They talk to each other.
    Linked(ClusterKeys),
    /// They do not, on purpose.
    StandAlone,
    /// It must be the only one.
    Only,
}

impl LinkConfig {
    /// Checks the relations.
    ///
    /// # Errors
    /// `LinkConfigError` names the flags that do not go together; it never shows a key.
    pub fn mode(&self) -> Result<LinkMode, LinkConfigError> {
        let redis = self.redis.address()?;
        match (&self.cluster_key, self.stand_alone) {
            (None, _) if redis.is_some() => Err(RedisConfigError::WithoutKey.into()),
            (Some(_), true) => Err(LinkConfigError::StandAloneWithKey),
            (Some(text), false) => Ok(LinkMode::Linked(ClusterKeys::parse(text.text())?)),
            (None, _) if self.sns_relay => Err(LinkConfigError::RelayWithoutKey),
            (None, true) => Ok(LinkMode::StandAlone),
            (None, false) => Ok(LinkMode::Only),
        }
    }
}
