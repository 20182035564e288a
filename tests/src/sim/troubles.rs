//! What goes wrong: nodes come, go and die, links break, the registry ails, operators
//! change their minds.

use std::time::Duration;

use cached_client::admin::{Control, PlanAsk};
use cached_proto::types::{NodeName, SLOTS};
use rand::Rng;
use rand::seq::IndexedRandom;
use turmoil::Sim;

use super::desk::Errand;
use super::director::{Director, End};
use super::meddler::Faults;
use super::net::REGISTRY_HOST;
use super::scene::Life;

/// Most nodes that a simulation ever has.
const NODES_MAX: usize = 7;

/// Fewest processes that are left alone at any time.
pub(super) const NODES_MIN: usize = 2;

/// The chance that a process that is cut off stands still at a place where it may: then
/// it matters most.
const PAUSES_CUT_OFF: f64 = 0.3;

impl Director {
    /// One thing that goes wrong, or one change of the cluster.
    pub(super) fn something(&mut self, sim: &mut Sim<'_>) {
        let running = self.running();
        let Some(name) = running.choose(&mut self.chance).cloned() else {
            return;
        };
        let spare = running.len() > NODES_MIN;
        let profile = self.scene.setting.profile;
        if profile.moves && self.chance.random_bool(0.6) {
            return self.disturb_moves(sim, spare);
        }
        if profile.cut_offs && spare && self.chance.random_bool(0.2) {
            let after = Duration::from_millis(self.chance.random_range(6_000..15_000));
            let lies = self.chance.random_bool(0.5);
            let all: Vec<u32> = (0..self.scene.setting.clients).collect();
            let cut = |_: &u32| self.chance.random_bool(0.4);
            let clients: Vec<u32> = all.into_iter().filter(cut).collect();
            return self.cut_off(sim, &name, &clients, (after, lies));
        }
        match self.chance.random_range(0..100) {
            0..10 if spare => self.crash(sim, &name),
            10..16 if spare => self.leave(sim, &name),
            16..30 => self.come(sim),
            30..54 => self.operate(sim, &name, spare),
            54..64 => self.break_link(sim, &name),
            64..72 => self.hold_link(sim, &name),
            72..75 => self.isolate(sim, &name),
            75..78 => {
                self.say(sim, format!("the lease of {name} ends"));
                self.desk.send(Errand::EndLease(name));
            }
            78.. => self.ail(sim, &name),
            _ => {}
        }
    }

    /// What an operator does with a member.
    fn operate(&mut self, sim: &mut Sim<'_>, name: &NodeName, spare: bool) {
        if self.desk.is_operating() && self.chance.random_bool(0.5) {
            let controls = [
                Control::Pause,
                Control::Resume,
                Control::Resume,
                Control::Cancel,
                Control::Rate(200_000),
            ];
            let control = controls.choose(&mut self.chance).unwrap();
            self.say(sim, format!("the operator says {control:?}"));
            return self.desk.send(Errand::Control(*control));
        }
        let names = vec![name.clone()];
        let mut ask = PlanAsk::default();
        match self.chance.random_range(0..5) {
            0 | 1 if spare => ask.drain = names,
            2 if spare => ask.remove = names,
            3 => {
                let weight = self.chance.random_range(1..4);
                ask.weights.insert(name.clone(), weight);
            }
            _ => ask.undrain = names,
        }
        let rates = match self.scene.setting.profile.moves {
            true => [20_000, 50_000, 100_000, 300_000],
            false => [0, 0, 50_000, 500_000],
        };
        let rate = *rates.choose(&mut self.chance).unwrap();
        self.say(sim, format!("the operator wants {ask:?} at {rate} B/s"));
        self.desk.send(Errand::Change(ask, rate));
    }

    pub(super) fn crash(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        self.say(sim, format!("{name} crashes"));
        sim.crash(name.as_str());
        self.scene.node(name, 0).set_life(Life::Down);
        if self.chance.random_bool(0.6) {
            let after = Duration::from_millis(self.chance.random_range(10..15_000));
            self.later(sim, after, End::Restart(name.clone()));
        }
    }

    fn leave(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        self.say(sim, format!("{name} is told to end"));
        self.scene.node(name, 0).leave.notify_one();
    }

    fn come(&mut self, sim: &mut Sim<'_>) {
        let idle = self.idle();
        if self.scene.nodes().len() < NODES_MAX && (idle.is_empty() || self.chance.random_bool(0.5))
        {
            self.add_node(sim);
            self.say(sim, "a new node comes".to_owned());
        } else if let Some(name) = idle.choose(&mut self.chance).cloned() {
            self.restart(sim, &name);
        }
    }

    pub(super) fn restart(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        if matches!(self.scene.node(name, 0).life(), Life::Down | Life::Left) {
            self.say(sim, format!("{name} starts again"));
            sim.bounce(name.as_str());
        }
    }

    /// Another host that a node talks with.
    fn other(&mut self, name: &NodeName) -> String {
        let mut others: Vec<String> = self.running().iter().map(ToString::to_string).collect();
        others.retain(|other| other != name.as_str());
        others.push(REGISTRY_HOST.to_owned());
        others.choose(&mut self.chance).unwrap().clone()
    }

    /// Marks a pair as cut, unless it is already.
    pub(super) fn mark(&mut self, a: &str, b: &str) -> bool {
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        self.cut.insert((a.to_owned(), b.to_owned()))
    }

    fn break_link(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        let (one, other) = (name.to_string(), self.other(name));
        let after = Duration::from_millis(self.chance.random_range(100..12_000));
        self.break_between(sim, one, other, after);
    }

    pub(super) fn break_between(
        &mut self,
        sim: &mut Sim<'_>,
        one: String,
        other: String,
        after: Duration,
    ) {
        if !self.mark(&one, &other) {
            return;
        }
        match self.chance.random_range(0..3) {
            0 => {
                self.say(sim, format!("{one} -> {other} is cut for {after:?}"));
                sim.partition_oneway(one.as_str(), other.as_str());
            }
            1 => {
                self.say(sim, format!("{other} -> {one} is cut for {after:?}"));
                sim.partition_oneway(other.as_str(), one.as_str());
            }
            _ => {
                self.say(sim, format!("{one} <-> {other} is cut for {after:?}"));
                sim.partition(one.as_str(), other.as_str());
            }
        }
        self.later(sim, after, End::Link(one, other));
    }

    /// Nothing goes between these two.
    pub(super) fn part(&mut self, sim: &mut Sim<'_>, one: &str, other: &str, after: Duration) {
        if self.mark(one, other) {
            sim.partition(one, other);
            self.later(sim, after, End::Link(one.to_owned(), other.to_owned()));
        }
    }

    pub(super) fn hold(&mut self, sim: &mut Sim<'_>, one: &str, other: &str, after: Duration) {
        if self.mark(one, other) {
            sim.hold(one, other);
            self.later(sim, after, End::Hold(one.to_owned(), other.to_owned()));
        }
    }

    /// Trouble for somebody who moves something; a reason to move if nobody does.
    fn disturb_moves(&mut self, sim: &mut Sim<'_>, spare: bool) {
        let moving: Vec<_> = self.desk.moving(0..SLOTS).into_iter().collect();
        let running = self.running();
        let Some((from, to)) = moving.choose(&mut self.chance).cloned() else {
            let Some(name) = running.choose(&mut self.chance).cloned() else {
                return;
            };
            return match self.chance.random_bool(0.3) {
                true => self.come(sim),
                false => self.operate(sim, &name, spare),
            };
        };
        match self.chance.random_range(0..10) {
            0..4 => self.commit_badly(sim, &from),
            4..7 => {
                let after = Duration::from_millis(self.chance.random_range(50..2_500));
                self.break_between(sim, from.to_string(), to.to_string(), after);
            }
            7 => {
                let after = Duration::from_millis(self.chance.random_range(50..2_500));
                self.say(sim, format!("{from} <-> {to} stands still for {after:?}"));
                self.hold(sim, from.as_str(), to.as_str(), after);
            }
            8 if spare && running.contains(&to) => self.crash(sim, &to),
            _ => {
                let after = Duration::from_millis(self.chance.random_range(50..3_000));
                self.break_between(sim, from.to_string(), REGISTRY_HOST.to_owned(), after);
            }
        }
    }

    /// The registry seems well to a node, but what it commits is answered badly.
    fn commit_badly(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        if !self.ailing.insert(name.clone()) {
            return;
        }
        let none = Faults::default();
        let faults = match self.chance.random_bool(0.7) {
            true => Faults {
                late: 0.9,
                writes_only: true,
                ..none
            },
            false => Faults {
                lose_answer: 0.8,
                writes_only: true,
                ..none
            },
        };
        let after = Duration::from_millis(self.chance.random_range(1_000..10_000));
        self.say(
            sim,
            format!("the registry ails for {name}: {faults:?}, for {after:?}"),
        );
        self.scene.switch(sim.lookup(name.as_str())).set(faults);
        self.later(sim, after, End::Registry(name.clone()));
    }

    /// A node loses its lease and everybody but some clients: these are cut, too. The
    /// registry may lie, and go on to acknowledge its heartbeats.
    pub(super) fn cut_off(
        &mut self,
        sim: &mut Sim<'_>,
        name: &NodeName,
        clients: &[u32],
        (after, lies): (Duration, bool),
    ) {
        let lies = lies && self.ailing.insert(name.clone());
        self.say(
            sim,
            format!("{name} loses its lease and is cut off for {after:?}, lies: {lies}"),
        );
        self.desk.send(Errand::EndLease(name.clone()));
        let nodes = self.scene.nodes();
        let nodes = nodes.iter().map(|slot| slot.name.to_string());
        let mut others: Vec<String> = nodes.filter(|other| other != name.as_str()).collect();
        others.extend(clients.iter().map(|number| format!("client{number}")));
        if lies {
            let faults = Faults {
                false_acks: true,
                lose_request: 1.0,
                silent: true,
                ..Faults::default()
            };
            self.scene.switch(sim.lookup(name.as_str())).set(faults);
            self.later(sim, after, End::Registry(name.clone()));
        } else {
            others.push(REGISTRY_HOST.to_owned());
        }
        for other in others {
            self.part(sim, name.as_str(), &other, after);
        }
        self.scene.node(name, 0).set_pauses(PAUSES_CUT_OFF);
        self.later(sim, after, End::Pauses(name.clone()));
    }

    fn hold_link(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        let other = self.other(name);
        let after = Duration::from_millis(self.chance.random_range(50..8_000));
        self.say(
            sim,
            format!("{name} <-> {other} stands still for {after:?}"),
        );
        self.hold(sim, name.as_str(), &other, after);
    }

    /// As if the process were stopped: nothing reaches it and nothing leaves it.
    fn isolate(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        let after = Duration::from_millis(self.chance.random_range(200..20_000));
        self.say(sim, format!("nothing reaches {name} for {after:?}"));
        let clients = (0..self.scene.setting.clients).map(|number| format!("client{number}"));
        let nodes = self.scene.nodes();
        let others = nodes.iter().map(|slot| slot.name.to_string());
        let all: Vec<String> = others
            .chain(clients)
            .chain([REGISTRY_HOST.to_owned()])
            .filter(|other| other != name.as_str())
            .collect();
        for other in all {
            self.hold(sim, name.as_str(), &other, after);
        }
    }

    /// The registry ails, as one node sees it.
    fn ail(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        if !self.ailing.insert(name.clone()) {
            return;
        }
        let none = Faults::default();
        let faults = match self.chance.random_range(0..10) {
            0 => Faults {
                delay: Duration::from_millis(self.chance.random_range(5..1_500)),
                ..none
            },
            1 => Faults {
                refuse: 0.5,
                ..none
            },
            2 => Faults {
                lose_request: 0.4,
                ..none
            },
            number @ (3 | 4) => Faults {
                lose_answer: 0.5,
                writes_only: number == 4,
                ..none
            },
            number @ (5 | 6) => Faults {
                late: 0.5,
                writes_only: number == 6,
                ..none
            },
            7 => Faults {
                lose_events: 0.5,
                double_events: 0.3,
                ..none
            },
            8 => Faults {
                silent: true,
                ..none
            },
            _ => {
                // The lease ends, and the node is told that all is well.
                self.desk.send(Errand::EndLease(name.clone()));
                Faults {
                    false_acks: true,
                    lose_request: 1.0,
                    silent: true,
                    ..none
                }
            }
        };
        let after = Duration::from_millis(self.chance.random_range(500..15_000));
        self.say(
            sim,
            format!("the registry ails for {name}: {faults:?}, for {after:?}"),
        );
        self.scene.switch(sim.lookup(name.as_str())).set(faults);
        self.later(sim, after, End::Registry(name.clone()));
    }
}
