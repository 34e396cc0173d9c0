//! What a seed stands for: the size of the cluster, its limits, what goes wrong, and what happens when.

use protocol::MIN_RETENTION_SECS;
use room_core::{AppendLimits, RoomLimits, TimelineLimits};

use crate::chance::Chance;
use crate::faults::{Fault, Rates};
use crate::plant::Plant;
use crate::transition::{Saying, Transition};

/// What bounds a node of the model.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The machines'.
    pub room: RoomLimits,
    /// Bytes that may wait for one connection.
    pub outbox_bytes: usize,
    /// Bytes that a connection takes at a time.
    pub portion_bytes: usize,
    /// Messages that a room keeps in memory.
    pub recent_messages: usize,
    /// Publishes of a room that wait for their answer.
    pub publishes_in_flight: usize,
    /// Segments that a replay reads at a time.
    pub page_segments: u32,
    /// Milliseconds that a room stays open after its last member has left.
    pub linger_ms: u64,
}

impl Limits {
    /// What a node has unless it is told otherwise.
    #[must_use]
    pub fn usual() -> Self {
        let append = AppendLimits { retention_secs: MIN_RETENTION_SECS, ..AppendLimits::default() };
        Self {
            publishes_in_flight: 2 * append.queue_messages,
            room: RoomLimits { timeline: TimelineLimits::default(), append },
            outbox_bytes: 1024 * 1024,
            portion_bytes: 64 * 1024,
            recent_messages: 1_000,
            page_segments: 100,
            linger_ms: 60_000,
        }
    }

    /// Everything so small that every bound is met. An outbox still takes two of the largest segments, and the refusals of
    /// all publishes that a client has under way: else who sends them again would be closed for ever.
    #[must_use]
    pub fn small() -> Self {
        let append = AppendLimits { queue_messages: 8, retention_secs: MIN_RETENTION_SECS, ..AppendLimits::default() };
        let timeline = TimelineLimits { held_bytes: 1_500, read_segments: 3, ..TimelineLimits::default() };
        Self {
            publishes_in_flight: 2 * append.queue_messages,
            room: RoomLimits { timeline, append },
            outbox_bytes: 16 * 1024,
            portion_bytes: 512,
            recent_messages: 5,
            page_segments: 2,
            linger_ms: 500,
        }
    }
}

/// A run: everything that is decided before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The one number from which all chance of the run follows.
    pub seed: u64,
    /// Where nodes run.
    pub places: usize,
    /// Rooms.
    pub rooms: usize,
    /// The clients, each with its user.
    pub users: Vec<usize>,
    /// What bounds the nodes.
    pub limits: Limits,
    /// How long messages are kept, in seconds.
    pub retention_secs: u64,
    /// How often things go wrong, until the cluster heals.
    pub rates: Rates,
    /// Whether there is a stream, a publisher and SNS.
    pub sns: bool,
    /// Whether nodes tell each other what they have committed.
    pub peer_hints: bool,
    /// What happens, each so many milliseconds after the one before.
    pub script: Vec<(u64, Transition)>,
    /// A mistake of the model.
    pub plant: Option<Plant>,
}

impl Plan {
    /// A calm cluster in which nothing happens yet.
    #[must_use]
    pub fn calm(seed: u64, places: usize, clients: usize) -> Self {
        Self {
            seed,
            places,
            rooms: 1,
            users: (0..clients).collect(),
            limits: Limits::usual(),
            retention_secs: MIN_RETENTION_SECS,
            rates: Rates::default(),
            sns: true,
            peer_hints: true,
            script: Vec::new(),
            plant: None,
        }
    }

    /// What this seed stands for. Some runs are calm, some know one kind of fault, some a few, some all.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed_5eed);
        let faults: Vec<Fault> = match rng.u32(0..100) {
            0..8 => Vec::new(),
            8..40 => vec![rng.one_of(&Fault::ALL)],
            40..80 => Fault::ALL.into_iter().filter(|_| rng.percent(25)).collect(),
            _ => Fault::ALL.into_iter().filter(|fault| *fault != Fault::NoHints && rng.percent(80)).collect(),
        };
        Self::with(seed, &faults, &mut rng)
    }

    /// A run of this seed with just these kinds of faults.
    #[must_use]
    pub fn with_faults(seed: u64, faults: &[Fault]) -> Self {
        Self::with(seed, faults, &mut fastrand::Rng::with_seed(seed))
    }

    fn with(seed: u64, faults: &[Fault], rng: &mut fastrand::Rng) -> Self {
        let clients = rng.usize(1..=5);
        let shared = if faults.contains(&Fault::Repeats) { 60 } else { 15 };
        let users = (0..clients).map(|client| if rng.percent(shared) { 0 } else { client }).collect();
        let small = faults.contains(&Fault::SmallLimits) || faults.contains(&Fault::SlowConsumers) && rng.percent(60);
        let mut limits = if small { Limits::small() } else { Limits::usual() };
        limits.room.append.hand_off = rng.percent(80);
        let hints = !faults.contains(&Fault::NoHints);
        let mut plan = Self {
            seed,
            places: rng.one_of(&[1, 2, 2, 3, 3, 4]),
            rooms: rng.one_of(&[1, 1, 1, 2, 3]),
            users,
            retention_secs: limits.room.append.retention_secs,
            limits,
            rates: Rates::of(faults, rng),
            sns: hints,
            peer_hints: hints && rng.percent(60),
            script: Vec::new(),
            plant: None,
        };
        if faults.contains(&Fault::Retention) {
            plan.lower_retention(rng);
        }
        let steps = rng.one_of(&[5, 15, 30, 60]);
        let mut quiets = 0;
        for _ in 0..steps {
            let transition = Transition::any(&plan, faults, rng);
            // Quiet times take long to simulate.
            let quiet = matches!(transition, Transition::Quiet { .. });
            quiets += u32::from(quiet);
            if quiet && quiets > 2 {
                continue;
            }
            let wait = rng.one_of(&[0, 0, 1, 5, 5, 20, 20, 100, 100, 300, 1_000, 4_000]);
            plan.script.push((if quiet { rng.one_of(&[0, 5, 100]) } else { wait }, transition));
            for _ in 0..if quiet { rng.usize(3..10) } else { 0 } {
                let transition = Transition::at_the_end(&plan, faults, rng);
                plan.script.push((rng.one_of(&[0, 0, 2, 4, 8, 30, 200]), transition));
            }
        }
        plan
    }

    /// Half of the nodes are of a time when messages were kept longer; in most such runs it makes a difference.
    fn lower_retention(&mut self, rng: &mut fastrand::Rng) {
        self.retention_secs = 3 * MIN_RETENTION_SECS;
        self.script.push((0, Transition::Retention { secs: MIN_RETENTION_SECS }));
        for place in (0..self.places).step_by(2) {
            self.script.push((0, Transition::Crash { place, down_ms: 1 }));
        }
        if rng.percent(70) {
            for _ in 0..rng.usize(5..20) {
                let (client, wait) = (rng.usize(0..self.users.len()), rng.one_of(&[5, 100, 2_500]));
                self.script.push((wait, Transition::Publish { client, room: 0, count: 2, saying: Saying::New }));
            }
            self.script.push((0, Transition::Quiet { secs: MIN_RETENTION_SECS + rng.u64(0..7_200) }));
            self.script.push((0, Transition::Sweep { percent: rng.one_of(&[50, 100]) }));
            self.script.push((0, Transition::Crash { place: rng.usize(0..self.places), down_ms: 5 }));
        }
    }
}
