//! What goes wrong, and when: nodes come, go and die, links break, the registry ails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cached::cluster::view::ClusterView;
use cached_client::admin::{Control, PlanAsk};
use cached_proto::types::{Epoch, NodeName};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use super::desk::{Desk, Errand};
use super::meddler::Faults;
use super::net::REGISTRY_HOST;
use super::scene::{Life, NodeSlot, Scene};
use super::{hosts, verdict, worker};

/// Most nodes that a simulation ever has.
const NODES_MAX: usize = 7;

/// Fewest processes that are left alone at any time.
const NODES_MIN: usize = 2;

/// How long the cluster may take to form.
const FORMED_WITHIN: Duration = Duration::from_secs(30);

/// How long the cluster may take to be as planned once faults are over: a takeover (10 s),
/// the delay of a join (10 s), and moves.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// Hosts are looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the last look at all keys may take.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// How a fault ends.
#[derive(Clone, Debug)]
enum End {
    Link(String, String),
    Hold(String, String),
    Registry(NodeName),
    Restart(NodeName),
}

/// Directs one simulation.
pub struct Director {
    scene: Arc<Scene>,
    desk: Desk,
    chance: StdRng,
    /// What was done, for people.
    pub events: Vec<String>,
    /// When which fault ends.
    ends: BTreeMap<(Duration, u64), End>,
    count: u64,
    /// Pairs of hosts between which something is wrong.
    cut: BTreeSet<(String, String)>,
    /// Nodes whose registry ails.
    ailing: BTreeSet<NodeName>,
    /// Every node's newest epochs: they never go down (I2).
    epochs: BTreeMap<NodeName, (u64, Vec<Epoch>)>,
}

impl Director {
    /// Before the first node.
    pub fn new(scene: Arc<Scene>) -> Self {
        let chance = StdRng::seed_from_u64(scene.setting.seed ^ 0xd1ec);
        Self {
            scene,
            desk: Desk::new(),
            chance,
            events: Vec::new(),
            ends: BTreeMap::new(),
            count: 0,
            cut: BTreeSet::new(),
            ailing: BTreeSet::new(),
            epochs: BTreeMap::new(),
        }
    }

    /// All of it: the cluster forms, things go wrong, faults end, everything settles.
    pub fn run(&mut self, sim: &mut Sim<'_>) {
        let scene = self.scene.clone();
        sim.host(REGISTRY_HOST, move || hosts::registry(scene.clone()));
        let (scene, desk) = (self.scene.clone(), self.desk.clone());
        sim.host("desk", move || desk.clone().run(scene.clone()));
        for _ in 0..self.scene.setting.nodes {
            self.add_node(sim);
        }
        if !self.go_on(sim, FORMED_WITHIN, |this| this.is_formed()) {
            self.scene.problem("the cluster does not form".to_owned());
            return;
        }
        for number in 0..self.scene.setting.clients {
            let scene = self.scene.clone();
            sim.client(format!("client{number}"), worker::work(scene, number));
        }
        let end = sim.elapsed() + self.scene.setting.duration;
        while sim.elapsed() < end {
            let pause = Duration::from_millis(self.chance.random_range(200..4_000));
            if !self.go_on(sim, pause, |_| false) && sim.elapsed() < end {
                self.something(sim);
            }
        }
        self.settle(sim);
    }

    /// Lets time pass until `enough`, or for `most`; whether it was enough.
    fn go_on(&mut self, sim: &mut Sim<'_>, most: Duration, enough: impl Fn(&Self) -> bool) -> bool {
        let end = sim.elapsed() + most;
        let mut look = sim.elapsed();
        while sim.elapsed() < end {
            if let Err(error) = sim.step() {
                self.scene.problem(format!("a host failed: {error}"));
                return false;
            }
            while let Some(entry) = self.ends.first_entry() {
                if entry.key().0 > sim.elapsed() {
                    break;
                }
                let ended = entry.remove();
                self.end(sim, ended);
            }
            if sim.elapsed() >= look {
                look = sim.elapsed() + LOOK_EVERY;
                self.look();
                if enough(self) {
                    return true;
                }
            }
        }
        false
    }

    fn is_formed(&self) -> bool {
        let running = |slot: &Arc<NodeSlot>| matches!(slot.life(), Life::Running(_));
        self.scene.nodes().iter().all(running) && self.desk.unsettled().is_empty()
    }

    /// I2 in every node's eyes.
    fn look(&mut self) {
        for slot in self.scene.nodes() {
            let Life::Running(cell) = slot.life() else {
                self.epochs.remove(&slot.name);
                continue;
            };
            let view = cell.load_full();
            let (number, known) = self.epochs.entry(slot.name.clone()).or_default();
            if *number == view.number || !view.table_loaded {
                continue;
            }
            *number = view.number;
            let epochs: Vec<Epoch> = view.owners.iter().map(|owner| owner.epoch).collect();
            let down = epochs.iter().zip(&*known).position(|(new, old)| new < old);
            if let Some(index) = down {
                let name = &slot.name;
                self.scene
                    .problem(format!("I2: {name} sees the epoch of slot {index} go down"));
            }
            *known = epochs;
        }
    }

    fn add_node(&mut self, sim: &mut Sim<'_>) {
        let number = self.scene.nodes().len() + 1;
        let name = NodeName::new(format!("n{number}")).unwrap();
        let skew = self.chance.random_range(-200..=200);
        let slot = self.scene.node(&name, skew);
        let scene = self.scene.clone();
        sim.host(name.as_str(), move || {
            hosts::node(scene.clone(), slot.clone())
        });
    }

    fn say(&mut self, sim: &Sim<'_>, what: String) {
        tracing::info!("{what}");
        self.events
            .push(format!("{:.3} s: {what}", sim.elapsed().as_secs_f64()));
    }

    fn later(&mut self, sim: &Sim<'_>, after: Duration, end: End) {
        self.count += 1;
        self.ends.insert((sim.elapsed() + after, self.count), end);
    }

    fn running(&self) -> Vec<NodeName> {
        let nodes = self.scene.nodes();
        let running = nodes
            .iter()
            .filter(|slot| matches!(slot.life(), Life::Running(_)));
        running.map(|slot| slot.name.clone()).collect()
    }

    fn idle(&self) -> Vec<NodeName> {
        let nodes = self.scene.nodes();
        let idle = nodes
            .iter()
            .filter(|slot| matches!(slot.life(), Life::Down | Life::Left));
        idle.map(|slot| slot.name.clone()).collect()
    }

    /// One thing that goes wrong, or one change of the cluster.
    fn something(&mut self, sim: &mut Sim<'_>) {
        let running = self.running();
        let Some(name) = running.choose(&mut self.chance).cloned() else {
            return;
        };
        let spare = running.len() > NODES_MIN;
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
        let rate = *[0, 0, 50_000, 500_000].choose(&mut self.chance).unwrap();
        self.say(sim, format!("the operator wants {ask:?} at {rate} B/s"));
        self.desk.send(Errand::Change(ask, rate));
    }

    fn crash(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
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

    fn restart(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
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
    fn mark(&mut self, a: &str, b: &str) -> bool {
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        self.cut.insert((a.to_owned(), b.to_owned()))
    }

    fn break_link(&mut self, sim: &mut Sim<'_>, name: &NodeName) {
        let (one, other) = (name.to_string(), self.other(name));
        if !self.mark(&one, &other) {
            return;
        }
        match self.chance.random_range(0..3) {
            0 => {
                self.say(sim, format!("{one} -> {other} is cut"));
                sim.partition_oneway(one.as_str(), other.as_str());
            }
            1 => {
                self.say(sim, format!("{other} -> {one} is cut"));
                sim.partition_oneway(other.as_str(), one.as_str());
            }
            _ => {
                self.say(sim, format!("{one} <-> {other} is cut"));
                sim.partition(one.as_str(), other.as_str());
            }
        }
        let after = Duration::from_millis(self.chance.random_range(100..12_000));
        self.later(sim, after, End::Link(one, other));
    }

    fn hold(&mut self, sim: &mut Sim<'_>, one: &str, other: &str, after: Duration) {
        if self.mark(one, other) {
            sim.hold(one, other);
            self.later(sim, after, End::Hold(one.to_owned(), other.to_owned()));
        }
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

    fn end(&mut self, sim: &mut Sim<'_>, end: End) {
        let mut unmark = |a: &str, b: &str| {
            let (a, b) = if a < b { (a, b) } else { (b, a) };
            self.cut.remove(&(a.to_owned(), b.to_owned()));
        };
        match end {
            End::Link(one, other) => {
                unmark(&one, &other);
                sim.repair(one.as_str(), other.as_str());
                sim.repair_oneway(one.as_str(), other.as_str());
                sim.repair_oneway(other.as_str(), one.as_str());
            }
            End::Hold(one, other) => {
                unmark(&one, &other);
                sim.release(one.as_str(), other.as_str());
            }
            End::Registry(name) => {
                self.ailing.remove(&name);
                self.scene
                    .switch(sim.lookup(name.as_str()))
                    .set(Faults::default());
            }
            End::Restart(name) => self.restart(sim, &name),
        }
    }

    /// Faults end; everything must come to rest, and every key must be served.
    fn settle(&mut self, sim: &mut Sim<'_>) {
        while let Some((_, end)) = self.ends.pop_first() {
            self.end(sim, end);
        }
        self.say(sim, "faults are over".to_owned());
        if self.desk.is_operating() {
            // It may have been paused, or throttled.
            self.desk.send(Errand::Control(Control::Resume));
            self.desk.send(Errand::Control(Control::Rate(0)));
        }
        if !self.go_on(sim, SETTLED_WITHIN, |this| this.restless().is_empty()) {
            for why in self.restless().into_iter().take(5) {
                self.scene.problem(format!("I17: in the end {why}"));
            }
        }
        self.say(sim, "the cluster has settled".to_owned());
        self.scene.end_work();
        let done = Arc::new(AtomicBool::new(false));
        sim.client("looker", verdict::look(self.scene.clone(), done.clone()));
        if !self.go_on(sim, LAST_LOOK, |_| done.load(Ordering::SeqCst)) {
            let problem = "I17: the last look at all keys does not end".to_owned();
            self.scene.problem(problem);
        }
    }

    /// Why the cluster is not at rest.
    fn restless(&self) -> Vec<String> {
        let mut found = self.desk.unsettled();
        for slot in self.scene.nodes() {
            match slot.life() {
                Life::Running(cell) => {
                    let view = cell.load_full();
                    if let Some(why) = unwell(&view, self.desk.layout()) {
                        found.push(format!("{} {why}", slot.name));
                    }
                }
                Life::Starting => found.push(format!("{} has not started", slot.name)),
                // Its lease may yet live, so that all looks well.
                Life::Down | Life::Left if self.desk.owns(&slot.name) => {
                    found.push(format!("{} is down and has slots", slot.name));
                }
                Life::Down | Life::Left => {}
            }
        }
        found
    }
}

fn unwell(view: &ClusterView, layout: u64) -> Option<String> {
    if view.layout != layout {
        return Some(format!("knows layout {} of {layout}", view.layout));
    }
    if view.registry_lost_since.is_some() {
        return Some("does not reach the registry".to_owned());
    }
    if view.me.is_none() {
        return Some("is no member".to_owned());
    }
    None
}
