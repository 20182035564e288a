//! Everything goes wrong at random, then stops: no slot is ever served twice in mode
//! strict, and in the end every slot is served.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::operations::OperationState;
use cached_proto::records::{MemberRecord, Mode};
use cached_proto::table::PageIndex;
use cached_proto::types::MemberId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::Absent;
use super::lifecycle::{G, cluster, config};
use super::moves::{plan_of, settled, write_operation, write_plan};
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

/// What planners and operators do about slots of members that live: some pages change
/// hands, and the operation goes with whatever plan is in force.
#[derive(Default)]
struct Conductor {
    layout: u64,
}

impl Conductor {
    fn conduct(&mut self, chaos: &mut Chaos, again: bool) {
        let rng = &mut chaos.rng;
        let registered = |world: &World, life: usize| {
            let node = &world.nodes[life];
            node.alive && world.registered(node.id.name.as_str())
        };
        let world = &mut chaos.world;
        let lives: Vec<usize> = (0..world.nodes.len())
            .filter(|life| registered(world, *life))
            .collect();
        let owners: Vec<Option<usize>> = PageIndex::all()
            .flat_map(|page| world.page_owners(page))
            .map(|owner| lives.iter().copied().find(|l| world.nodes[*l].id == owner))
            .collect();
        // Slots of the dead are the planner's business, and come before everything else.
        if again && !owners.contains(&None) {
            let (turn, step) = (rng.random_range(0..lives.len()), rng.random_range(5..20));
            write_plan(world, &lives, |slot| {
                let page = PageIndex::of(slot).index();
                let owner = owners[slot.index()].unwrap_or(lives[0]);
                match page % step {
                    0 => lives[(page / step + turn) % lives.len()],
                    _ => owner,
                }
            });
        }
        let layout = plan_of(world).map_or(0, |plan| plan.layout);
        if layout != self.layout {
            self.layout = layout;
            write_operation(world, |_| {});
        } else if rng.random_bool(0.02) {
            let paused = rng.random_bool(0.5);
            write_operation(world, |operation| {
                if paused {
                    operation.state = OperationState::Paused;
                }
            });
        }
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

/// Slots move all the time, and everything goes wrong.
fn run_moves(mode: Mode, seed: u64) -> u64 {
    let mut world = cluster(mode, 4, seed);
    world.ledger.copying = Duration::from_millis(200);
    world.ledger.failures = 5;
    world.ledger.lost_seals = 5;
    let rng = StdRng::seed_from_u64(seed);
    let mut chaos = Chaos {
        world,
        rng,
        mode,
        starting: BTreeMap::new(),
    };
    let mut conductor = Conductor::default();
    for step in 0..400 {
        if chaos.rng.random_bool(0.25) {
            chaos.harm();
        }
        chaos.start();
        if !chaos.world.registry_down {
            conductor.conduct(&mut chaos, step % 16 == 0);
        }
        chaos.world.run(STEP);
        // Whatever is wrong is mended now and then, or nothing would move at all.
        if step % 40 == 39 {
            chaos.heal();
        }
    }
    chaos.heal();
    chaos.world.ledger.failures = 0;
    chaos.world.ledger.lost_seals = 0;
    write_operation(&mut chaos.world, |_| {});
    for _ in 0..800 {
        chaos.start();
        conductor.conduct(&mut chaos, false);
        chaos.world.run(STEP);
        let settled = settled(&chaos.world) && !chaos.world.keeps_sealed();
        if chaos.starting.is_empty() && settled {
            return chaos.world.ledger.commits;
        }
    }
    panic!("seed {seed} did not recover:\n{}", chaos.world.story());
}

#[test]
fn moves_survive_chaos() {
    let seeds = std::env::var("CLUSTER_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let mut commits = 0;
    for seed in 3000..3000 + seeds {
        commits += run_moves(Mode::Strict, seed);
    }
    assert!(commits > 100 * seeds, "hardly anything moved: {commits}");
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
