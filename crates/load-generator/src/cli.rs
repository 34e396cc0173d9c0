//! The command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::attack::{AttackArguments, AttackPlan};
use crate::plan::{Away, Pace, Plan, Recorded, Traffic};
use crate::trace::Trace;

/// Drives and verifies a deployment of Roomcast from outside. Ends with 1 when a promise was broken, with 2 when there was
/// no run.
#[derive(Debug, Parser)]
#[command(name = "roomcast-load", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    profile: Profile,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What every profile is told.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// A node or a load balancer, as ws://host:port; once for each
    #[arg(long = "url", global = true, value_name = "URL")]
    urls: Vec<String>,
    /// A server's process on this machine, whose processor time and memory are told; once for each
    #[arg(long = "pid", global = true, value_name = "PID")]
    pids: Vec<u32>,
    /// Addresses (127.0.0.2 and so on) that clients come from: one has 22,000 ports
    #[arg(long, global = true, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=200))]
    sources: u8,
    /// Connections a second at the beginning
    #[arg(long, global = true, default_value_t = 1_000.0, value_name = "N", value_parser = rate)]
    connect_rate: f64,
    /// How long the load lasts once everybody is there
    #[arg(long, global = true, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Clients that do not publish are bare sockets that never come back: for room, rooms, idle, trace
    #[arg(long, global = true)]
    lean: bool,
    /// Loops of lean clients, a thread each
    #[arg(long, global = true, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// How long to wait for everybody at the beginning, and for what is missing at the end
    #[arg(long, global = true, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    patience: u64,
    /// What rooms' names begin with; random unless given
    #[arg(long, global = true, value_name = "PREFIX")]
    rooms_named: Option<String>,
    /// Write the report to this file, too
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Profile {
    /// One room
    Room {
        /// Clients beside the publishers
        #[arg(long, default_value_t = 1_000, value_name = "N")]
        clients: usize,
        /// Clients that publish
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = count)]
        publishers: usize,
        #[command(flatten)]
        messages: Messages,
        /// Instead of a rate: so many messages on their way, the next when everybody has seen one
        #[arg(long, conflicts_with = "rate", value_name = "K", value_parser = count)]
        in_flight: Option<usize>,
    },
    /// Many rooms, each with a publisher of its own
    Rooms {
        /// Clients beside the publishers
        #[arg(long, default_value_t = 1_000, value_name = "N")]
        clients: usize,
        /// Rooms
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = count)]
        rooms: usize,
        #[command(flatten)]
        messages: Messages,
    },
    /// One room whose clients are cut off again and again, and come back to any node
    Jitter {
        /// Clients beside the publishers, who stay
        #[arg(long, default_value_t = 10_000, value_name = "N")]
        clients: usize,
        /// From one cut to the next, on average: between two thirds and four thirds of it
        #[arg(long, default_value_t = 15.0, value_name = "SECONDS", value_parser = rate)]
        period: f64,
        /// From a cut to the first attempt to come back, on average: between half and one and a half of it
        #[arg(long, default_value_t = 2.0, value_name = "SECONDS", value_parser = rate)]
        offline: f64,
        #[command(flatten)]
        messages: Messages,
    },
    /// Newcomers who connect, join, leave and go, beside clients who stay
    Churn {
        /// Newcomers a second
        #[arg(long, default_value_t = 50.0, value_name = "N", value_parser = rate)]
        newcomers: f64,
        /// Clients who stay, beside the publishers
        #[arg(long, default_value_t = 10, value_name = "N")]
        clients: usize,
        /// Rooms
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = count)]
        rooms: usize,
        #[command(flatten)]
        messages: Messages,
    },
    /// A recorded chat: its rooms, a publisher for each, and messages as long and at the moments as they were
    Trace {
        /// The recording: at_ms,room,author,bytes
        #[arg(long, value_name = "FILE")]
        trace: PathBuf,
        /// How many times faster than it was
        #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = rate)]
        speed: f64,
        /// Clients beside the publishers, spread over the rooms
        #[arg(long, default_value_t = 1_000, value_name = "N")]
        clients: usize,
    },
    /// Connections that say nothing
    Idle {
        /// Connections
        #[arg(long, default_value_t = 10_000, value_name = "N")]
        clients: usize,
        /// Rooms that they join, one each; 0: none
        #[arg(long, default_value_t = 0, value_name = "N")]
        rooms: usize,
    },
    /// What hostile clients send, to a deployment of your own, and a victim beside them; ends with 1 when the judge objects
    Attack(AttackArguments),
}

#[derive(Debug, Args)]
struct Messages {
    /// Messages a second, all publishers together
    #[arg(long, default_value_t = 2.0, value_name = "N", value_parser = rate)]
    rate: f64,
    /// Bytes of each message's body
    #[arg(long, default_value_t = 128, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    bytes: u32,
}

impl Messages {
    fn traffic(&self, publishers: usize) -> Traffic {
        Traffic { publishers, pace: Pace::Rate(self.rate), bytes: self.bytes as usize }
    }
}

impl Cli {
    /// What the attack is to be; `None`: another profile. `Err` says in one line what it lacks.
    pub(crate) fn attack(&self) -> Option<Result<AttackPlan, String>> {
        let Target { urls, seconds, pids, .. } = &self.target;
        match &self.profile {
            Profile::Attack(arguments) => Some(arguments.plan(urls, *seconds, pids)),
            _ => None,
        }
    }

    /// What the run is to be; `Err` says in one line what it lacks.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let Target { urls, pids, sources, connect_rate, seconds, patience, rooms_named, lean, threads, .. } =
            &self.target;
        if urls.is_empty() {
            return Err("give a --url to go to".to_owned());
        }
        if *lean && matches!(self.profile, Profile::Jitter { .. } | Profile::Churn { .. }) {
            return Err("--lean clients never come back: not for jitter and churn".to_owned());
        }
        let plan = Plan {
            urls: urls.clone(),
            sources: *sources,
            pids: pids.clone(),
            prefix: rooms_named.clone(),
            connect_rate: *connect_rate,
            time: Duration::from_secs(*seconds),
            patience: Duration::from_secs(*patience),
            herd: lean.then_some(usize::from(*threads)),
            ..Plan::empty("")
        };
        self.profile.carry_out(plan)
    }
}

impl Profile {
    fn carry_out(&self, plan: Plan) -> Result<Plan, String> {
        let nodes = plan.urls.len();
        Ok(match self {
            Self::Room { clients, publishers, messages, in_flight } => {
                let mut traffic = messages.traffic(*publishers);
                traffic.pace = in_flight.map_or(traffic.pace, Pace::InFlight);
                Plan { profile: "room", clients: *clients, traffic: Some(traffic), ..plan }
            }
            Self::Rooms { clients, rooms, messages } => {
                let traffic = Some(messages.traffic(*rooms));
                Plan { profile: "rooms", clients: *clients, rooms: *rooms, traffic, ..plan }
            }
            Self::Jitter { clients, period, offline, messages } => {
                let seconds = Duration::from_secs_f64;
                let away = Away {
                    period: seconds(period * 2.0 / 3.0)..seconds(period * 4.0 / 3.0),
                    offline: seconds(offline / 2.0)..seconds(offline * 1.5),
                };
                let traffic = Some(messages.traffic(nodes));
                Plan { profile: "jitter", clients: *clients, traffic, away: Some(away), ..plan }
            }
            Self::Churn { newcomers, clients, rooms, messages } => {
                let traffic = Some(messages.traffic(*rooms));
                let newcomers = Some(*newcomers);
                Plan { profile: "churn", clients: *clients, rooms: *rooms, traffic, newcomers, ..plan }
            }
            Self::Trace { trace, speed, clients } => {
                let trace = read_trace(trace)?;
                let rooms = trace.rooms.len();
                let pace = Pace::Recorded(Recorded { trace: Arc::new(trace), speed: *speed });
                let traffic = Some(Traffic { publishers: rooms, pace, bytes: 0 });
                Plan { profile: "trace", clients: *clients, rooms, traffic, ..plan }
            }
            Self::Attack(_) => return Err("an attack has no plan of a load".to_owned()),
            Self::Idle { clients, rooms } => Plan { profile: "idle", clients: *clients, rooms: *rooms, ..plan },
        })
    }
}

fn read_trace(path: &Path) -> Result<Trace, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("--trace {}: {error}", path.display()))?;
    let trace = Trace::parse(&text).map_err(|error| format!("--trace {}: {error}", path.display()))?;
    if trace.lines.is_empty() { Err(format!("--trace {}: no messages", path.display())) } else { Ok(trace) }
}

fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number")?;
    if (0.001..=1e6).contains(&number) { Ok(number) } else { Err("from 0.001 to 1000000".to_owned()) }
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| (1..=1_000_000).contains(count)).ok_or_else(|| "from 1 to 1000000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn plan(arguments: &[&str]) -> Plan {
        let urls = ["--url", "ws://a:1", "--url", "ws://b:2"];
        Cli::try_parse_from(["roomcast-load"].iter().chain(arguments).chain(&urls)).unwrap().plan().unwrap()
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let nowhere = Cli::try_parse_from(["roomcast-load", "room"]).unwrap().plan();
        assert_eq!(nowhere.unwrap_err(), "give a --url to go to");
    }

    #[test]
    fn jitter_cuts_ten_thousand_clients_about_every_15_seconds_for_about_2() {
        let plan = plan(&["jitter"]);
        let away = plan.away.clone().unwrap();
        let seconds = |range: &std::ops::Range<Duration>| (range.start.as_secs_f64(), range.end.as_secs_f64());
        assert_eq!((plan.clients, plan.publishers(), plan.rooms), (10_000, 2, 1));
        assert_eq!((seconds(&away.period), seconds(&away.offline)), ((10.0, 20.0), (1.0, 3.0)));
        assert_eq!(plan.traffic.unwrap().pace, Pace::Rate(2.0));
    }

    #[test]
    fn a_room_has_a_rate_or_messages_in_flight_and_not_both() {
        assert_eq!(plan(&["room", "--in-flight", "16"]).traffic.unwrap().pace, Pace::InFlight(16));
        assert_eq!(plan(&["room", "--rate", "50"]).traffic.unwrap().pace, Pace::Rate(50.0));
        let both = ["roomcast-load", "room", "--url", "ws://a:1", "--rate", "1", "--in-flight", "1"];
        assert!(Cli::try_parse_from(both).is_err());
    }

    #[test]
    fn lean_clients_are_for_profiles_in_which_nobody_comes_back() {
        assert_eq!(plan(&["room", "--lean"]).herd, Some(1));
        assert_eq!(plan(&["rooms", "--lean", "--threads", "3"]).herd, Some(3));
        assert_eq!(plan(&["jitter"]).herd, None);
        for profile in ["jitter", "churn"] {
            let refused =
                Cli::try_parse_from(["roomcast-load", profile, "--lean", "--url", "ws://a:1"]).unwrap().plan();
            assert_eq!(refused.unwrap_err(), "--lean clients never come back: not for jitter and churn");
        }
    }

    #[test]
    fn a_trace_brings_its_rooms_and_a_publisher_for_each() {
        let file = std::env::temp_dir().join(format!("roomcast-trace-{}.csv", std::process::id()));
        std::fs::write(&file, "at_ms,room,author,bytes\n0,a,1,5\n600,b,2,6\n").unwrap();
        let path = file.to_string_lossy().into_owned();
        let plan = plan(&["trace", "--trace", &path, "--clients", "10"]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!((plan.rooms, plan.publishers(), plan.seats()), (2, 2, 12));
        let gone =
            Cli::try_parse_from(["roomcast-load", "trace", "--trace", &path, "--url", "ws://a:1"]).unwrap().plan();
        assert!(gone.unwrap_err().starts_with(&format!("--trace {path}: ")));
    }

    #[test]
    fn rooms_have_a_publisher_each_and_idle_connections_none() {
        assert_eq!(plan(&["rooms", "--rooms", "30", "--clients", "60"]).seats(), 90);
        let idle = plan(&["idle"]);
        assert_eq!((idle.seats(), idle.rooms, idle.place(0).0), (10_000, 0, None));
    }
}
