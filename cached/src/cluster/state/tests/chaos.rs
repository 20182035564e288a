//! Everything goes wrong at random, then stops: no slot is ever served twice in mode
//! strict, and in the end every slot is served.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::records::{MemberRecord, Mode};
use cached_proto::types::MemberId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::Absent;
use super::lifecycle::{G, cluster, config};
use super::registry::{LEASE, member_key};
use super::world::World;
use crate::clock::Moment;

const STEP: Duration = Duration::from_millis(250);

/// A process that is starting under a name, as the real start does it.
#[derive(Default)]
struct Starting {
    ousted: Option<MemberId>,
    free_since: Option<Moment>,
}

struct Chaos {
    world: World,
    rng: StdRng,
    mode: Mode,
    starting: BTreeMap<String, Starting>,
}

impl Chaos {
    fn pick(&mut self) -> usize {
        self.rng.random_range(0..self.world.nodes.len())
    }

    fn harm(&mut self) {
        let node = self.pick();
        match self.rng.random_range(0..100) {
            0..8 => self.kill(node),
            8..14 => self.world.pause(node, true),
            14..24 => self.world.pause(node, false),
            24..30 => drop(self.world.cut.insert(node)),
            30..40 => drop(self.world.cut.remove(&node)),
            40..46 => {
                let other = self.pick();
                self.world.unlink(node, other);
            }
            46..50 => drop(
                self.world
                    .unlinked
                    .insert((node, self.rng.random_range(0..4))),
            ),
            50..58 => self.world.unlinked.clear(),
            58..60 => self.world.registry_down = true,
            60..64 => self.bring_back(),
            64..68 => self.world.lost_answers = self.rng.random_range(0..50),
            68..72 => self.world.late_landings = self.rng.random_range(0..50),
            72..74 => self.world.registry.end_all_leases(),
            74..78 => drop(self.world.deaf.insert(node)),
            78..84 => self.world.deaf.clear(),
            84..88 => self.world.registry.delete(&self.key_of(node)),
            // The worst moments to lose a key: nobody can tell the member.
            88..92 => {
                self.world.pause(node, true);
                self.world.registry.delete(&self.key_of(node));
            }
            92..96 => {
                self.world.cut.insert(node);
                (0..self.world.nodes.len()).for_each(|other| self.world.unlink(node, other));
                self.world.registry.delete(&self.key_of(node));
            }
            _ => {}
        }
    }

    fn kill(&mut self, node: usize) {
        self.world.kill(node);
        let name = self.world.nodes[node].id.name.to_string();
        self.starting.entry(name).or_default();
    }

    fn key_of(&self, node: usize) -> String {
        member_key(self.world.nodes[node].id.name.as_str())
    }

    fn bring_back(&mut self) {
        if std::mem::take(&mut self.world.registry_down) {
            self.world.registry.extend_leases(self.world.now + LEASE);
        }
    }

    /// R18 for every process that is starting.
    fn start(&mut self) {
        if self.world.registry_down {
            return;
        }
        for (name, mut starting) in std::mem::take(&mut self.starting) {
            let key = member_key(&name);
            let held = self.world.registry.get(&key);
            let held: Option<MemberRecord> =
                held.map(|record| serde_json::from_slice(&record.value).unwrap());
            if let Some(held) = held {
                let holder = self.world.nodes.iter().position(|node| node.id == held.id);
                if holder.is_some_and(|holder| self.world.answers(holder)) {
                    continue;
                }
                self.world.registry.delete(&key);
                starting = Starting {
                    ousted: Some(held.id),
                    free_since: Some(self.world.now),
                };
            } else if starting.ousted.is_none()
                || starting
                    .free_since
                    .is_some_and(|at| self.world.now.since(at) >= G)
            {
                let since = starting.free_since.unwrap_or(self.world.now);
                let absent = Absent {
                    since,
                    signed_off: false,
                    removed_here: true,
                    address: format!("{name}:1"),
                    detail: String::new(),
                };
                let predecessor = starting.ousted.map(|id| (id, absent));
                self.world
                    .start_after(&config(self.mode, 3), &name, predecessor);
                continue;
            }
            self.starting.insert(name, starting);
        }
    }

    fn heal(&mut self) {
        self.world.cut.clear();
        self.world.unlinked.clear();
        self.world.deaf.clear();
        self.world.lost_answers = 0;
        self.world.late_landings = 0;
        self.bring_back();
        (0..self.world.nodes.len()).for_each(|node| self.world.pause(node, false));
    }
}

fn run(mode: Mode, seed: u64) {
    let world = cluster(mode, 4, seed);
    let rng = StdRng::seed_from_u64(seed);
    let mut chaos = Chaos {
        world,
        rng,
        mode,
        starting: BTreeMap::new(),
    };
    for _ in 0..400 {
        if chaos.rng.random_bool(0.3) {
            chaos.harm();
        }
        chaos.start();
        chaos.world.run(STEP);
    }
    chaos.heal();
    for _ in 0..600 {
        chaos.start();
        chaos.world.run(STEP);
        if chaos.world.whole() && chaos.starting.is_empty() {
            return;
        }
    }
    panic!("seed {seed} did not recover:\n{}", chaos.world.story());
}

#[test]
fn strict_clusters_survive_chaos() {
    let seeds = std::env::var("CLUSTER_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(3);
    for seed in 1000..1000 + seeds {
        run(Mode::Strict, seed);
    }
}

#[test]
fn available_clusters_survive_chaos() {
    let seeds = std::env::var("CLUSTER_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    for seed in 2000..2000 + seeds {
        run(Mode::Available, seed);
    }
}
