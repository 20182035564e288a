//! The course of a simulation: the cluster forms, troubles come and end, everything
//! settles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cached::cluster::view::ClusterView;
use cached_client::admin::Control;
use cached_proto::records::{GroupRecord, Policy};
use cached_proto::types::{Epoch, GroupName, NodeName};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use super::desk::{Desk, Errand};
use super::meddler::Faults;
use super::net::REGISTRY_HOST;
use super::profile::Theme;
use super::scene::{Life, NodeSlot, PLAIN_GROUP, SMALL_GROUP, Scene};
use super::themes::Course;
use super::{hosts, verdict, worker};

/// How long the cluster may take to form.
const FORMED_WITHIN: Duration = Duration::from_secs(30);

/// How long the cluster may take to be as planned once faults are over: a takeover (10 s),
/// the delay of a join (10 s), and moves.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// How long the creation of groups may take.
const GROUPS_WITHIN: Duration = Duration::from_secs(5);

/// Room of the group that is too small, over the whole cluster.
const SMALL_BYTES: u64 = 48 << 10;

/// How long everything must have been well at the end: a lease and the time until others
/// take over.
const CALM_FOR: Duration = Duration::from_secs(12);

/// Operations are helped on so often at the end.
const HELP_EVERY: Duration = Duration::from_secs(5);

/// Hosts are looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the last look at all keys may take.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// The chance that a process stands still at a place where it may, in seeds in which some do.
const PAUSES_USUAL: f64 = 0.003;

/// How a fault ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    Link(String, String),
    Hold(String, String),
    Registry(NodeName),
    Pauses(NodeName),
    Restart(NodeName),
    Wires(NodeName, NodeName),
    Confined(u32),
}

/// Directs one simulation.
pub struct Director {
    pub(super) scene: Arc<Scene>,
    pub(super) desk: Desk,
    pub(super) chance: StdRng,
    /// What was done, for people.
    pub events: Vec<String>,
    /// When which fault ends.
    ends: BTreeMap<(Duration, u64), End>,
    count: u64,
    /// Pairs of hosts between which something is wrong.
    pub(super) cut: BTreeSet<(String, String)>,
    /// Nodes whose registry ails.
    pub(super) ailing: BTreeSet<NodeName>,
    /// How far the moves are that a theme is about.
    pub(super) course: Course,
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
            course: Course::default(),
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
        if !self.create_groups(sim) {
            self.scene.problem("groups cannot be created".to_owned());
            return;
        }
        for number in 0..self.scene.setting.clients {
            let scene = self.scene.clone();
            sim.client(format!("client{number}"), worker::work(scene, number));
        }
        let end = sim.elapsed() + self.scene.setting.duration;
        let pauses = match self.scene.setting.profile.moves {
            true => 100..1_500,
            false => 200..4_000,
        };
        while sim.elapsed() < end {
            let pause = Duration::from_millis(self.chance.random_range(pauses.clone()));
            if !self.go_on(sim, pause, |_| false) && sim.elapsed() < end {
                self.trouble(sim);
            }
        }
        self.settle(sim);
    }

    /// One more trouble, of the kind that the seed is about.
    fn trouble(&mut self, sim: &mut Sim<'_>) {
        match self.scene.setting.profile.theme {
            Theme::Anything => self.something(sim),
            Theme::Doubts => self.doubt(sim),
            Theme::Breaks => self.break_moves(sim),
            Theme::CutOff => self.cut_one_off(sim),
        }
    }

    /// Creates the groups that clients use.
    fn create_groups(&mut self, sim: &mut Sim<'_>) -> bool {
        let profile = self.scene.setting.profile;
        let wanted = [
            (PLAIN_GROUP, profile.loads, None),
            (SMALL_GROUP, profile.evictions, Some(SMALL_BYTES)),
        ];
        let wanted = wanted.into_iter().filter(|(_, is_wanted, _)| *is_wanted);
        let groups = wanted.map(|(name, _, max_bytes)| GroupRecord {
            name: GroupName::new(name).unwrap(),
            max_bytes,
            default_ttl_ms: None,
            policy: Policy::default(),
            resp_db: None,
        });
        let mut names = Vec::new();
        for group in groups {
            names.push(group.name.clone());
            self.desk.send(Errand::Group(group));
        }
        self.go_on(sim, GROUPS_WITHIN, |this| this.desk.has_groups(&names))
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

    pub(super) fn is_formed(&self) -> bool {
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

    pub(super) fn add_node(&mut self, sim: &mut Sim<'_>) {
        let number = self.scene.nodes().len() + 1;
        let name = NodeName::new(format!("n{number}")).unwrap();
        let skew = self.chance.random_range(-200..=200);
        let slot = self.scene.node(&name, skew);
        slot.set_pauses(PAUSES_USUAL);
        let scene = self.scene.clone();
        sim.host(name.as_str(), move || {
            hosts::node(scene.clone(), slot.clone())
        });
    }

    pub(super) fn say(&mut self, sim: &Sim<'_>, what: String) {
        tracing::info!("{what}");
        self.events
            .push(format!("{:.3} s: {what}", sim.elapsed().as_secs_f64()));
    }

    pub(super) fn later(&mut self, sim: &Sim<'_>, after: Duration, end: End) {
        self.count += 1;
        self.ends.insert((sim.elapsed() + after, self.count), end);
    }

    pub(super) fn running(&self) -> Vec<NodeName> {
        let nodes = self.scene.nodes();
        let running = nodes
            .iter()
            .filter(|slot| matches!(slot.life(), Life::Running(_)));
        running.map(|slot| slot.name.clone()).collect()
    }

    pub(super) fn idle(&self) -> Vec<NodeName> {
        let nodes = self.scene.nodes();
        let idle = nodes
            .iter()
            .filter(|slot| matches!(slot.life(), Life::Down | Life::Left));
        idle.map(|slot| slot.name.clone()).collect()
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
            End::Pauses(name) => self.scene.node(&name, 0).set_pauses(PAUSES_USUAL),
            End::Restart(name) => self.restart(sim, &name),
            End::Confined(client) => self.scene.confine(client, None),
            End::Wires(from, to) => unmark(from.as_str(), to.as_str()),
        }
    }

    /// Faults end; everything must come to rest, and every key must be served.
    fn settle(&mut self, sim: &mut Sim<'_>) {
        while let Some((_, end)) = self.ends.pop_first() {
            self.end(sim, end);
        }
        for slot in self.scene.nodes() {
            let switch = self.scene.switch(sim.lookup(slot.name.as_str()));
            switch.jams.set(None);
        }
        self.say(sim, "faults are over".to_owned());
        let end = sim.elapsed() + SETTLED_WITHIN;
        let mut settled = false;
        while !settled && sim.elapsed() < end {
            if self.desk.is_operating() {
                // It may have been paused, or throttled.
                self.desk.send(Errand::Control(Control::Resume));
                self.desk.send(Errand::Control(Control::Rate(0)));
            }
            settled = self.go_on(sim, HELP_EVERY, |this| this.restless().is_empty());
            if settled {
                // A member whose lease ends soon, or that is suspected, looks well.
                self.scene.end_work();
                settled = !self.go_on(sim, CALM_FOR, |this| !this.restless().is_empty());
            }
        }
        if !settled {
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
