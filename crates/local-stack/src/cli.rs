//! The command line of `roomcast-local`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ws_server::config::{whole, whole_such_as};

use crate::faults::{FaultError, Faults};
use crate::sns::SignatureVersion;
use crate::stack::StackOptions;

/// The last port that there is.
const MAX_PORT: u64 = 65_535;
/// Each node has a port.
const MAX_NODES: u64 = MAX_PORT;

/// Starts Roomcast on this machine: server nodes and the parts of AWS that they need, in one process.
#[derive(Debug, Clone, Parser)]
#[command(name = "roomcast-local", version)]
pub struct Cli {
    /// Server nodes; 0 starts the AWS parts only
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = whole::<u16>(0..=MAX_NODES))]
    pub nodes: u16,
    /// The first node's port on 127.0.0.1; the others take the ports after it
    #[arg(long, default_value_t = 8080, value_name = "PORT", value_parser = whole::<u16>(1..=MAX_PORT))]
    pub port: u16,
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
}

impl Cli {
    /// What the stack is to be, if the faults are understood.
    ///
    /// # Errors
    /// The first fault that is not.
    pub fn options(&self) -> Result<StackOptions, FaultError> {
        let faults = Faults::parse(&self.faults)?;
        faults.check(self.nodes)?;
        Ok(StackOptions {
            nodes: self.nodes,
            port: self.port,
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
        assert_eq!(options.stream_poll, Duration::from_millis(250));
        assert_eq!(options.signature_version, SignatureVersion::V2);
        assert_eq!(options.faults, Faults::default());
        assert_eq!((options.commit_delay, options.count_commits), (Duration::ZERO, false));
    }
}
