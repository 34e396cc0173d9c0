//! What a node is told at its start: flags, each with an environment variable.

mod aws;
mod clients;
mod connections;
mod given;
mod http;
mod limits;
#[cfg(test)]
mod limits_page_tests;
mod link;
mod memory;
mod network;
mod parse;
pub(crate) mod rates;
#[cfg(test)]
mod readme_tests;
mod redis;
mod secret;

use clap::Parser;

pub use self::redis::{RedisConfig, RedisConfigError};
pub use aws::AwsConfig;
pub use clients::ClientsConfig;
pub use connections::ConnectionsConfig;
pub use given::Given;
pub use http::{AllowedOrigins, HttpConfig, HttpLimits, Network, TrustedProxies};
pub(crate) use limits::MAX_DRAIN_MS;
pub use limits::{Limits, LimitsConfig, LimitsError};
pub use link::{LinkConfig, LinkConfigError, LinkMode, PeerHints};
pub use network::{NetworkConfig, PageLink};
pub use parse::{listen_address, whole, whole_such_as};
pub use rates::{Rate, Rates, RatesConfig};
pub use secret::SecretText;

/// A WebSocket server for rooms. Flags come before environment variables.
#[derive(Debug, Clone, Parser)]
#[command(name = "ws-server", version, max_term_width = 110)]
pub struct Config {
    /// Where the node listens, and how it is reached.
    #[command(flatten)]
    pub network: NetworkConfig,
    /// How nodes reach each other.
    #[command(flatten)]
    pub link: LinkConfig,
    /// The AWS parts.
    #[command(flatten)]
    pub aws: AwsConfig,
    /// Limits and times.
    #[command(flatten)]
    pub limits: LimitsConfig,
    /// What is logged, as a tracing filter: `info`, `warn,ws_server=debug`, …
    #[arg(long, env = "ROOMCAST_LOG", default_value = "info", value_name = "FILTER", value_parser = parse::log_filter, help_heading = "Logs")]
    pub log: String,
    /// How logs are written.
    #[arg(long, env = "ROOMCAST_LOG_FORMAT", default_value = "text", value_name = "FORMAT", help_heading = "Logs")]
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const NEEDED: [&str; 5] = [
        "ws-server",
        "--topic-arn",
        "arn:aws:sns:us-east-1:123456789012:roomcast",
        "--sns-endpoint",
        "http://10.0.0.7:8080",
    ];

    fn parse(extra: &[&str]) -> Result<Config, String> {
        let arguments = NEEDED.iter().chain(extra);
        Config::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_are_consistent() {
        Config::command().debug_assert();
    }

    #[test]
    fn what_has_a_default_need_not_be_said() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.network.listen.port(), 8080);
        assert_eq!(config.limits.limits().unwrap().max_body, 16 * 1024);
        assert!(!config.aws.create_tables);
    }

    #[test]
    fn every_flag_has_an_environment_variable_and_a_help_text() {
        for argument in Config::command().get_arguments() {
            let name = argument.get_id();
            if name == "help" || name == "version" {
                continue;
            }
            assert!(argument.get_env().is_some(), "{name} has no environment variable");
            assert!(argument.get_help().is_some(), "{name} has no help");
        }
    }

    #[test]
    fn bad_values_are_refused_with_the_flag_and_the_reason() {
        let cases: [(&[&str], &str); 10] = [
            (&["--listen", "nowhere"], "--listen"),
            (&["--topic-arn", "arn:aws:sqs:us-east-1:1:x"], "--topic-arn"),
            (&["--sns-endpoint", "ftp://x"], "--sns-endpoint"),
            (&["--max-body", "0"], "--max-body"),
            (&["--max-body", "64KiB!"], "--max-body"),
            (&["--heartbeat-ms", "10"], "--heartbeat-ms"),
            (&["--page-link", "no-url"], "--page-link"),
            (&["--link-listen", "8090"], "--link-listen"),
            (&["--link-address", "http://10.0.0.7:8090"], "--link-address"),
            (&["--peer-hints", "maybe"], "--peer-hints"),
        ];
        for (extra, flag) in cases {
            let error = parse(extra).unwrap_err();
            assert!(error.contains(flag), "{extra:?}: {error}");
        }
    }

    #[test]
    fn limits_that_do_not_go_together_are_refused() {
        for extra in [
            &["--max-body", "65537"][..],
            &["--outbox-bytes", "1000"],
            &["--retention-hours", "23"],
            &["--connections", "10", "--sessions-per-address", "11"],
            &["--http-connections", "16", "--http-connections-per-address", "17"],
        ] {
            assert!(parse(extra).is_err() || parse(extra).unwrap().limits.limits().is_err(), "{extra:?}");
        }
    }

    #[test]
    fn a_limit_of_one_address_above_that_of_all_is_told_with_both_values() {
        let told = |extra: &[&str]| parse(extra).unwrap().limits.limits().unwrap_err().to_string();
        let sessions = told(&["--connections", "10", "--sessions-per-address", "11"]);
        let expected =
            "--sessions-per-address 11 is more than --connections 10, which counts for all addresses together";
        assert_eq!(sessions, expected);
        let http = told(&["--http-connections", "16", "--http-connections-per-address", "17"]);
        assert!(http.starts_with("--http-connections-per-address 17 is more than --http-connections 16"), "{http}");
    }

    const KEY: &str = "a-key-0123456789-0123456789-012345";

    #[test]
    fn flags_about_other_nodes_that_do_not_go_together_are_refused_in_one_line() {
        let mode = |extra: &[&str]| parse(extra).unwrap().link.mode();
        assert!(matches!(mode(&["--cluster-key", KEY]), Ok(LinkMode::Linked(_))));
        assert!(matches!(mode(&["--cluster-key", KEY, "--sns-relay"]), Ok(LinkMode::Linked(_))));
        assert!(matches!(mode(&["--stand-alone"]), Ok(LinkMode::StandAlone)));
        assert!(matches!(mode(&[]), Ok(LinkMode::Only)));
        let refused = |extra: &[&str]| mode(extra).unwrap_err().to_string();
        let contradiction = refused(&["--cluster-key", KEY, "--stand-alone"]);
        assert_eq!(contradiction, "--stand-alone and --cluster-key contradict each other: give one of them");
        let without_key = "--sns-relay needs --cluster-key: nodes pass posts on to each other";
        assert_eq!(refused(&["--sns-relay"]), without_key);
        assert_eq!(refused(&["--sns-relay", "--stand-alone"]), without_key);
        let short = "--cluster-key: a key has at least 32 characters, such as `openssl rand -hex 32` prints";
        assert_eq!(refused(&["--cluster-key", ""]), short);
    }

    #[test]
    fn flags_about_redis_that_do_not_go_together_are_refused_in_one_line() {
        let mode = |extra: &[&str]| parse(&[&["--cluster-key", KEY], extra].concat()).unwrap().link.mode();
        assert!(matches!(mode(&["--redis-url", "rediss://cache.example:6379"]), Ok(LinkMode::Linked(_))));
        assert!(matches!(mode(&["--redis-url", "redis://node@h", "--redis-password", "p"]), Ok(LinkMode::Linked(_))));
        let refused = |extra: &[&str]| mode(extra).unwrap_err().to_string();
        let expected = "--redis-url: expected redis://[user[:password]@]host[:port], or rediss://… for TLS";
        for bad in ["", "cache.example", "-", "http://secret@h"] {
            assert_eq!(refused(&["--redis-url", bad]), expected, "{bad}");
        }
        assert_eq!(refused(&["--redis-password", "p"]), "--redis-password needs --redis-url");
        let roots = "--redis-trust-root needs a --redis-url that begins with rediss://";
        assert_eq!(refused(&["--redis-trust-root", "ca.pem", "--redis-url", "redis://h"]), roots);
        let keyless = parse(&["--redis-url", "redis://h", "--stand-alone"]).unwrap().link.mode().unwrap_err();
        assert_eq!(keyless.to_string(), "--redis-url needs --cluster-key: what nodes say through Redis is signed");
    }

    #[test]
    fn secrets_are_never_shown() {
        for key in [KEY, "-short", "k k"] {
            let config = parse(&["--cluster-key", key]).unwrap();
            assert!(!format!("{config:?}").contains(key));
            assert!(!format!("{:?}", config.link.mode()).contains(key));
        }
        let twice = parse(&["--cluster-key", KEY, "--cluster-key", KEY]).unwrap_err();
        assert!(!twice.contains(KEY), "{twice}");
        let redis = ["--redis-url", "redis://:hidden-1@h", "--redis-password", "hidden-2"];
        let shown = parse(&redis).map(|config| format!("{config:?} {:?}", config.link.mode())).unwrap();
        assert!(!shown.contains("hidden"), "{shown}");
        for secret in ["cluster_key", "redis_url", "redis_password"] {
            let argument = Config::command().get_arguments().find(|argument| argument.get_id() == secret).cloned();
            assert!(argument.unwrap().is_hide_env_values_set(), "{secret}");
        }
    }
}
