//! The whole cluster in one thread, with a network, a clock and a registry that a seed
//! drives: nodes are the daemon's own code, calls are real gRPC, the registry is the
//! embedded one behind the real etcd client.
//!
//! One seed is one process, because the process's chance is fixed once. Reading order:
//! `profile` (which kinds of trouble a seed has), `scene` (what hosts share), `hosts`
//! (registry and nodes), `worker` (clients) with `keys` and `origin`, `desk` (operators,
//! and what the cluster agrees on: `agreed`), `director` (when something goes wrong),
//! `troubles` and `themes` (what), `meddler` with `jam` (what is wrong with the registry),
//! `wires` (and with connections), `witness` and `verdict` (what must be true).

mod agreed;
pub mod chance;
mod desk;
mod director;
mod hosts;
mod jam;
mod keys;
mod liar;
mod meddler;
mod net;
mod origin;
pub mod panics;
mod profile;
mod scene;
mod themes;
mod troubles;
mod verdict;
mod wires;
mod witness;
mod worker;

use std::time::{Duration, Instant, SystemTime};

use cached::faults::watch_answers;
use cached_proto::records::Mode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use director::Director;
use keys::Keys;
use profile::{Profile, Theme};
use scene::{EPOCH_MS, Scene, Setting};

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How long clients work and things go wrong, in simulated seconds.
    pub seconds: u64,
}

/// What one seed came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What it was like, for people.
    pub setting: String,
    /// Operations of clients.
    pub operations: usize,
    /// … of which so many were answered.
    pub answered: usize,
    /// What went wrong on purpose, in order.
    pub events: Vec<String>,
    /// The trace in one number.
    pub trace: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Real time.
    pub took: Duration,
    /// What is not as it must be.
    pub problems: Vec<String>,
}

impl Setting {
    /// Draws one.
    fn draw(seed: u64, size: Size) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let theme = Theme::of(seed);
        let profile = Profile::draw(&mut chance, theme);
        let cut_off = theme == Theme::CutOff;
        Self {
            profile,
            heartbeat: Duration::from_secs(chance.random_range(2..=if cut_off { 4 } else { 10 })),
            names: Keys::draw(&mut chance, profile.pages()),
            long: if profile.moves { 8_000 } else { 2_000 },
            seed,
            nodes: chance.random_range(3..=5),
            clients: chance.random_range(4..=8),
            mode: if chance.random_bool(0.7) {
                Mode::Strict
            } else {
                Mode::Available
            },
            retries: if chance.random_bool(0.7) { 0 } else { 2 },
            join_delay: Duration::from_millis(chance.random_range(0..4_000)),
            // Who is cut off is waited for until others have its slots, and longer.
            patience: Duration::from_secs(if cut_off { 10 } else { 3 }),
            still_ms: if cut_off { 2_000..9_500 } else { 20..2_900 },
            latency: Duration::from_millis(if chance.random_bool(0.5) || profile.moves_keys() {
                chance.random_range(2..=5)
            } else {
                chance.random_range(10..=40)
            }),
            duration: Duration::from_secs(size.seconds),
            pause: Duration::from_millis(chance.random_range(10..=50)),
            keys: chance.random_range(20..=200),
        }
    }
}

/// Simulates one seed. Once in a process: see [`chance::fix`].
///
/// In a thread of its own: hash maps take their seeds from numbers that a thread counts
/// up, and whatever was made in this one before, a logger say, would shift them.
pub fn run(seed: u64, size: Size) -> Report {
    panics::watch();
    std::thread::spawn(move || simulate(seed, size))
        .join()
        .expect("panics are caught, host by host")
}

fn simulate(seed: u64, size: Size) -> Report {
    let began = Instant::now();
    chance::fix(seed);
    let scene = Scene::new(Setting::draw(seed, size));
    let witness = scene.clone();
    watch_answers(move |member, slot| witness.witness.answered(member, slot));
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_millis(EPOCH_MS))
        .simulation_duration(Duration::from_secs(3_600))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(scene.setting.latency)
        .tcp_capacity(1 << 16)
        .enable_random_order()
        .build();
    let mut director = Director::new(scene.clone());
    director.run(&mut sim);
    let simulated = sim.elapsed();
    // Before the hosts go: what they do on their way out is of no interest.
    let trace = scene.traced().0;
    drop(sim);
    let ops = scene.history.ops();
    let mut problems = scene.problems();
    problems.extend(scene.witness.problems());
    problems.extend(panics::seen());
    problems.extend(verdict::on_history(&scene, &ops));
    let answered = ops.iter().filter(|op| op.over() < u64::MAX).count();
    Report {
        seed,
        setting: format!("{:?}", scene.setting),
        operations: ops.len(),
        answered,
        events: director.events,
        trace,
        simulated,
        took: began.elapsed(),
        problems,
    }
}
