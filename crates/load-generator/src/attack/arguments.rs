//! The command line of an attack.

use std::time::Duration;

use clap::Args;

use super::profile::Attack;
use super::run::AttackPlan;
use crate::wire::Target;

/// Longest attack, in seconds.
const LONGEST: u64 = 600;
/// Bytes a second of a million, as they are asked for.
const MEGABYTE: f64 = 1e6;

/// What an attack is told.
#[derive(Debug, Args)]
pub(crate) struct AttackArguments {
    /// What the attackers do
    #[arg(long, value_name = "NAME")]
    profile: Attack,
    /// Connections of attackers, a thread each; unless given 4, and 64 for http
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    attackers: Option<u16>,
    /// What all attackers send together, 0: as much as is taken; unless given what suits the profile
    #[arg(long, value_name = "N", value_parser = megabytes)]
    megabytes_per_second: Option<f64>,
    /// Needed: an attack disturbs all users of the deployment, and is a crime against one that is not yours
    #[arg(long)]
    i_own_this_deployment: bool,
}

impl AttackArguments {
    /// What the attack is to be; `Err` says in one line what it lacks.
    pub(crate) fn plan(&self, urls: &[String], seconds: u64, pids: &[u32]) -> Result<AttackPlan, String> {
        let [url] = urls else { return Err("give one --url to attack".to_owned()) };
        if !self.i_own_this_deployment {
            return Err(format!(
                "this sends {url} what hostile clients send: give --i-own-this-deployment if it is yours, and no one else's"
            ));
        }
        if seconds > LONGEST {
            return Err(format!("--seconds {seconds}: an attack lasts {LONGEST} seconds at most"));
        }
        let target = Target::resolve(url).map_err(|error| error.to_string())?;
        let (attackers, megabytes) = usual(self.profile);
        let rate = self.megabytes_per_second.unwrap_or(megabytes);
        Ok(AttackPlan {
            attack: self.profile,
            url: url.clone(),
            address: target.address(),
            attackers: self.attackers.unwrap_or(attackers).into(),
            rate: (rate > 0.0).then_some((rate * MEGABYTE) as u64),
            time: Duration::from_secs(seconds),
            pids: pids.to_vec(),
        })
    }
}

/// Attackers, and the megabytes a second that they send together.
fn usual(attack: Attack) -> (u16, f64) {
    match attack {
        Attack::Pings => (4, 5.0),
        Attack::Continuations | Attack::JsonPings => (4, 0.0),
        Attack::Rooms => (4, 1.0),
        // A request has some 90 bytes.
        Attack::History => (4, 0.1),
        Attack::Http => (64, 0.0),
        Attack::Unread => (16, 0.0),
    }
}

fn megabytes(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number")?;
    if (0.0..=10_000.0).contains(&number) { Ok(number) } else { Err("from 0 to 10000".to_owned()) }
}
