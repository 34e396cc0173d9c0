//! The flags of nodes that the stack sets itself.

/// Each flag, and what to do instead of giving it.
const OWN: [(&str, &str); 12] = [
    ("--listen", "use --host and --port"),
    ("--ops-listen", "use --ops-port"),
    ("--link-listen", "each node has a free port"),
    ("--link-address", "use --fault link.proxy=1 for something between the nodes"),
    ("--cluster-key", "it is random, and stack.json has it"),
    ("--stand-alone", "nodes of the stack have a cluster key"),
    ("--sns-endpoint", "it is the node's own URL"),
    ("--sns-cert-origin", "the stack's SNS has its own"),
    ("--sns-trust-root", "the stack's SNS has its own"),
    ("--topic-arn", "the stack has one topic"),
    ("--messages-table", "the stack has one table of each kind"),
    ("--nodes-table", "the stack has one table of each kind"),
];

/// A flag for nodes that only the stack may set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag} after `--`: roomcast-local sets it for its nodes ({instead})")]
pub struct OwnFlag {
    flag: &'static str,
    instead: &'static str,
}

/// Checks that flags for nodes are none that the stack sets. What else may be wrong with them the server knows.
///
/// # Errors
/// The first one that is.
pub fn check_flags(flags: &[String]) -> Result<(), OwnFlag> {
    let name = |flag: &String| flag.split('=').next().unwrap_or_default().to_owned();
    let own = |name: &str| OWN.iter().find(|(flag, _)| *flag == name);
    match flags.iter().find_map(|flag| own(&name(flag))) {
        Some(&(flag, instead)) => Err(OwnFlag { flag, instead }),
        None => Ok(()),
    }
}

/// The variables of these flags: those of the stack's own environment do not reach its nodes.
pub(super) fn is_own_variable(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("ROOMCAST_") else { return false };
    let flag = format!("--{}", rest.to_lowercase().replace('_', "-"));
    // The one variable that is not named as its flag.
    flag == "--topic-arns" || OWN.iter().any(|(own, _)| *own == flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: &[&str]) -> Result<(), String> {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>();
        check_flags(&flags).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_that_the_stack_sets_is_named_with_what_to_do_instead() {
        let error = check(&["--publishes-per-second", "0", "--listen", "0.0.0.0:1"]).unwrap_err();
        assert_eq!(error, "--listen after `--`: roomcast-local sets it for its nodes (use --host and --port)");
        assert!(check(&["--ops-listen=127.0.0.1:1"]).unwrap_err().contains("--ops-port"));
        check(&["--publishes-per-second", "0", "--log", "info", "--drain-ms=5", "--page-link", "a=http://b"]).unwrap();
    }

    #[test]
    fn variables_of_such_flags_are_known() {
        for name in ["ROOMCAST_LISTEN", "ROOMCAST_CLUSTER_KEY", "ROOMCAST_STAND_ALONE", "ROOMCAST_TOPIC_ARNS"] {
            assert!(is_own_variable(name), "{name}");
        }
        for name in ["ROOMCAST_LOG", "ROOMCAST_PUBLISHES_PER_SECOND", "RUST_LOG", "HOME"] {
            assert!(!is_own_variable(name), "{name}");
        }
    }
}
