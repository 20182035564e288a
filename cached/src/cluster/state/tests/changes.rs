//! Operators, crashes and newcomers at random, while slots move: once it is quiet, no
//! change stays open, and everybody has what was asked for.

use std::time::Duration;

use cached_proto::operations::{OperationRecord, OperationState, Want};
use cached_proto::records::Mode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::event::Event;
use super::lifecycle::{cluster, config, secs};
use super::operations::{intent, operations, put, state_of};
use super::world::World;
use crate::cluster::draft::{Ask, draft};

struct Changes {
    world: World,
    rng: StdRng,
    names: u32,
    number: u32,
}

impl Changes {
    fn living(&self) -> Vec<usize> {
        let nodes = 0..self.world.nodes.len();
        nodes.filter(|node| self.world.nodes[*node].alive).collect()
    }

    fn step(&mut self) {
        let living = self.living();
        let node = living[self.rng.random_range(0..living.len())];
        match self.rng.random_range(0..10) {
            0 if living.len() > 3 => self.world.kill(node),
            1 if living.len() < 7 => {
                self.names += 1;
                let name = format!("n{}", self.names);
                self.world.start(&config(Mode::Available, 1), &name);
            }
            2 if living.len() > 3 => self.world.send(node, Event::Leave),
            3 | 4 => self.ask(node),
            5 => self.cancel(),
            _ => self.world.run(secs(1.5)),
        }
        self.leave();
        let pause = self.rng.random_range(0.1..6.0);
        self.world.run(secs(pause));
    }

    /// Those that have given everything away end.
    fn leave(&mut self) {
        for node in self.living() {
            let id = self.world.nodes[node].id.clone();
            let asked = intent(&self.world, id.name.as_str());
            let leaves = asked.is_some_and(|i| i.want == Want::Leave && i.inc == Some(id.inc));
            if leaves && self.world.nodes[node].served.is_empty() {
                self.world.send(node, Event::SignOff);
                self.world.run(secs(0.5));
                self.world.kill(node);
            }
        }
    }

    fn ask(&mut self, node: usize) {
        let living = self.living();
        let about = living[self.rng.random_range(0..living.len())];
        let name = self.world.nodes[about].id.name.clone();
        let mut ask = Ask::default();
        match self.rng.random_range(0..4) {
            0 => drop(ask.drain.insert(name)),
            1 => drop(ask.undrain.insert(name)),
            2 => drop(ask.weights.insert(name, self.rng.random_range(1..5))),
            _ => drop(ask.join.insert(name)),
        }
        self.number += 1;
        let now_ms = self.world.now.as_micros() / 1_000;
        // Refused for good reasons now and then.
        if let Ok(drafted) = draft(&self.world.nodes[node].view, &ask, self.number, now_ms) {
            let record = OperationRecord {
                state: OperationState::Requested,
                ..drafted.record
            };
            put(&mut self.world, &record);
        }
    }

    fn cancel(&mut self) {
        let open = operations(&self.world)
            .into_iter()
            .find(|op| op.state.is_open());
        if let Some(open) = open {
            let record = OperationRecord {
                cancel: true,
                ..open
            };
            put(&mut self.world, &record);
        }
    }

    /// Everything comes to rest, and is as it should be.
    fn rest(&mut self, seed: u64) {
        for _ in 0..40 {
            self.world.run(secs(4.0));
            self.leave();
        }
        let living = self.living();
        let story = self.world.story();
        assert!(self.world.whole(), "{seed}: {story}");
        let told = self.world.problems(living[0]);
        assert_eq!(told, [""; 0], "{seed}: {story}");
        for node in living {
            let name = self.world.nodes[node].id.name.clone();

            let drained =
                intent(&self.world, name.as_str()).is_some_and(|intent| intent.want == Want::Drain);
            let (serves, state) = (
                self.world.serves(node),
                state_of(&self.world, name.as_str()),
            );
            assert_eq!(serves == 0, drained, "{seed}: {name} {state}: {story}");
        }
    }
}

#[test]
fn clusters_come_to_rest_after_any_changes() {
    let seeds = std::env::var("CLUSTER_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2);
    for seed in 3000..3000 + seeds {
        let mut world = cluster(Mode::Available, 4, seed);
        // Changes meet slots on the move.
        world.ledger.copying = Duration::from_millis(200);
        let mut changes = Changes {
            world,
            rng: StdRng::seed_from_u64(seed),
            names: 4,
            number: 0,
        };
        for _ in 0..40 {
            changes.step();
        }
        changes.rest(seed);
    }
}
