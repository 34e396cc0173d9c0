//! The command line of `roomcast-local`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ws_server::config::{whole, whole_such_as};

use crate::faults::{FaultError, Faults};
use crate::servers::{OwnFlag, check_flags};
use crate::sns::SignatureVersion;
use crate::stack::StackOptions;

/// The last port that there is.
const MAX_PORT: u64 = 65_535;
/// Each node has a port.
const MAX_NODES: u64 = MAX_PORT;

/// Starts Roomcast on this machine: the parts of AWS that server nodes need, and a process for each node.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "roomcast-local",
    version,
    after_help = "`roomcast-local node [FLAGS]` is one node alone, as ws-server: start it by hand with what --nodes 0 prints."
)]
pub struct Cli {
    /// Server nodes; 0 starts the AWS parts only, and prints how to start a node by hand
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = whole::<u16>(0..=MAX_NODES))]
    pub nodes: u16,
    /// The address that nodes listen at; 0.0.0.0 or :: for all addresses of this machine
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS", value_parser = host)]
    pub host: IpAddr,
    /// The first node's port; the others take the ports after it
    #[arg(long, default_value_t = 8080, value_name = "PORT", value_parser = whole::<u16>(1..=MAX_PORT))]
    pub port: u16,
    /// The first node's port on 127.0.0.1 for operations (metrics and health), which the nodes' own ports then do not
    /// show; the others take the ports after it
    #[arg(long, value_name = "PORT", value_parser = whole_such_as::<u16>(1..=MAX_PORT, 9090))]
    pub ops_port: Option<u16>,
    /// Where messages are kept from one start to the next
    #[arg(long, default_value = ".local", value_name = "FOLDER")]
    pub data: PathBuf,
    /// Keep no messages: begin with an empty log and forget it at the end
    #[arg(long)]
    pub memory: bool,
    /// DynamoDB's port; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT", value_parser = whole::<u16>(0..=MAX_PORT))]
    pub dynamodb_port: u16,
    /// SNS's port; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT", value_parser = whole::<u16>(0..=MAX_PORT))]
    pub sns_port: u16,
    /// How SNS signs: 1 is SHA-1, 2 is SHA-256
    #[arg(long, default_value = "2", value_name = "VERSION", value_parser = signature_version)]
    pub sns_signature_version: SignatureVersion,
    /// Time between polls of the stream while there is nothing to do; Lambda takes 250 ms
    #[arg(long, default_value_t = 250, value_name = "MS", value_parser = whole::<u64>(0..=60_000))]
    pub stream_poll_ms: u64,
    /// How long a write of DynamoDB takes, half of it before the database has it and half after; DynamoDB itself takes
    /// some 4 ms. 0: as long as the embedded one does
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = whole::<u64>(0..=60_000))]
    pub commit_delay_ms: u64,
    /// Count what becomes of commits (in /_local/stats, part `log`); with a commit delay they always are
    #[arg(long)]
    pub count_commits: bool,
    /// Break something: sns.drop=P, sns.repeat=P, sns.delay_ms=A..B, sns.fail=P, lambda.fail=P,
    /// lambda.fail_after=P, lambda.down=FROM..TO (seconds), dynamodb.throttle=P, dynamodb.fail=P, dynamodb.refuse=WORD,
    /// dynamodb.down=FROM..TO, link.drop=P, link.delay_ms=A..B, link.cut=A-B (nodes, from 1), link.down=FROM..TO, link.proxy=1; several with commas
    #[arg(long = "fault", value_name = "KEY=VALUE", value_parser = fault)]
    pub faults: Vec<String>,
    /// Makes faults strike in the same order again; random unless given
    #[arg(long, value_name = "N", value_parser = whole_such_as::<u64>(0.., 7))]
    pub seed: Option<u64>,
    /// Flags of ws-server for every node: `-- --publishes-per-second 0`
    #[arg(last = true, value_name = "NODE FLAGS")]
    pub node_flags: Vec<String>,
}

/// What the command line asks for cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A fault.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A flag for nodes.
    #[error(transparent)]
    OwnFlag(#[from] OwnFlag),
}

impl Cli {
    /// What the stack is to be, if the faults are understood.
    ///
    /// # Errors
    /// The first fault that is not, or a flag for nodes that the stack sets itself.
    pub fn options(&self) -> Result<StackOptions, OptionsError> {
        let faults = Faults::parse(&self.faults)?;
        faults.check(self.nodes)?;
        check_flags(&self.node_flags)?;
        Ok(StackOptions {
            nodes: self.nodes,
            host: self.host,
            port: self.port,
            ops_port: self.ops_port,
            node_flags: self.node_flags.clone(),
            data: self.data.clone(),
            memory: self.memory,
            dynamodb_port: self.dynamodb_port,
            sns_port: self.sns_port,
            signature_version: self.sns_signature_version,
            stream_poll: Duration::from_millis(self.stream_poll_ms),
            commit_delay: Duration::from_millis(self.commit_delay_ms),
            count_commits: self.count_commits,
            faults,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
        })
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().map_err(|_| "expected an address such as 127.0.0.1, 0.0.0.0 or ::1".to_owned()),
    }
}

fn signature_version(text: &str) -> Result<SignatureVersion, String> {
    SignatureVersion::parse(text).ok_or_else(|| "expected 1 or 2".to_owned())
}

/// One `--fault`, checked as far as it stands alone.
fn fault(text: &str) -> Result<String, String> {
    Faults::parse(&[text]).map_err(|error| format!("{error}, such as sns.drop=0.1"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_defaults_are_two_nodes_from_8080() {
        Cli::command().debug_assert();
        let options = Cli::parse_from(["roomcast-local"]).options().unwrap();
        assert_eq!((options.nodes, options.port, options.memory), (2, 8080, false));
        assert_eq!((options.host, options.ops_port), (IpAddr::from([127, 0, 0, 1]), None));
        assert_eq!(options.node_flags, [""; 0], "nodes have production's limits");
        assert_eq!(options.stream_poll, Duration::from_millis(250));
        assert_eq!(options.signature_version, SignatureVersion::V2);
        assert_eq!(options.faults, Faults::default());
        assert_eq!((options.commit_delay, options.count_commits), (Duration::ZERO, false));
    }

    #[test]
    fn what_stands_behind_two_dashes_is_for_the_nodes() {
        let line = ["roomcast-local", "--nodes", "3", "--", "--publishes-per-second", "0"];
        let options = Cli::parse_from(line).options().unwrap();
        assert_eq!((options.nodes, options.node_flags.join(" ")), (3, "--publishes-per-second 0".to_owned()));
        let own = Cli::parse_from(["roomcast-local", "--", "--listen", "0.0.0.0:1"]).options().unwrap_err().to_string();
        assert!(own.contains("--listen") && own.contains("--host"), "{own}");
    }

    #[test]
    fn a_host_is_an_address_of_either_kind() {
        for (text, address) in [("::1", "::1"), ("0.0.0.0", "0.0.0.0"), ("localhost", "127.0.0.1")] {
            let options = Cli::parse_from(["roomcast-local", "--host", text]).options().unwrap();
            assert_eq!(options.host.to_string(), address);
        }
        let error = Cli::try_parse_from(["roomcast-local", "--host", "a.example"]).unwrap_err().to_string();
        assert!(error.contains("--host") && error.contains("0.0.0.0"), "{error}");
    }
}
