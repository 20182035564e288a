//! Seeds with a theme: few kinds of trouble, again and again, and where they hurt.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_client::admin::{Control, PlanAsk};
use cached_proto::types::{NodeName, Slot};
use rand::Rng;
use rand::seq::IndexedRandom;
use turmoil::Sim;

use super::desk::Errand;
use super::director::{Director, End};
use super::jam::Jam;
use super::troubles::NODES_MIN;
use crate::history::Micros;

/// How late a commit is, in milliseconds: its answer has been given up after two seconds.
const LATE_MS: std::ops::Range<u64> = 3_500..8_000;

/// How long a node is cut off, in milliseconds: others have its slots after about eight
/// seconds, and then it shall be asked.
const CUT_OFF_MS: std::ops::Range<u64> = 12_000..17_000;

/// How long nothing reaches a receiver whose connection broke, in milliseconds.
const DEAD_MS: std::ops::Range<u64> = 200..1_500;

/// How long pages without keys take, which go at once.
const WITHOUT_KEYS: Duration = Duration::from_millis(800);

/// How far the moves are that a theme is about.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Whom an operator has drained last.
    drained: Option<NodeName>,
    /// When.
    since: Duration,
    /// The one break of it happened: what follows needs time.
    broke: bool,
}

impl Director {
    /// Slots with keys move, and what is committed of them is late, lost or not answered.
    pub(super) fn doubt(&mut self, sim: &mut Sim<'_>) {
        let Some((from, _)) = self.keys_moving() else {
            if let Some(owner) = self.move_keys(sim, &[0, 0, 100_000, 500_000]) {
                self.jam(sim, &owner);
            }
            return;
        };
        match self.chance.random_range(0..10) {
            0 => self.control(sim),
            1 => self.break_moves(sim),
            2..5 => {
                self.say(sim, format!("the watches of {from} end"));
                let switch = self.scene.switch(sim.lookup(from.as_str()));
                switch.end_watches();
            }
            _ => self.jam(sim, &from),
        }
    }

    /// Slots with keys move slowly, and what they move on breaks.
    pub(super) fn break_moves(&mut self, sim: &mut Sim<'_>) {
        let Some((from, to)) = self.keys_moving() else {
            self.move_keys(sim, &[50_000, 100_000, 200_000, 400_000]);
            return;
        };
        if sim.elapsed() < self.course.since + WITHOUT_KEYS {
            return;
        }
        if !self.course.broke && self.chance.random_bool(0.8) {
            self.course.broke = true;
            return self.break_wire(sim, &from, &to);
        }
        let after = Duration::from_millis(self.chance.random_range(50..2_500));
        match self.chance.random_range(0..20) {
            0..4 => self.control(sim),
            4 => self.break_between(sim, from.to_string(), to.to_string(), after),
            5 => self.hold(sim, from.as_str(), to.as_str(), after),
            6 if self.running().len() > NODES_MIN => self.crash(sim, &to),
            _ => {}
        }
    }

    /// One node is cut off together with some clients, and nothing else is wrong.
    pub(super) fn cut_one_off(&mut self, sim: &mut Sim<'_>) {
        if std::mem::replace(&mut self.course.broke, true) {
            return;
        }
        let slots = self.scene.setting.names.slots();
        let slot = slots.choose(&mut self.chance).copied();
        let Some(name) = slot.and_then(|slot| self.desk.owner(slot)) else {
            return;
        };
        let after = Duration::from_millis(self.chance.random_range(CUT_OFF_MS));
        let lies = self.chance.random_bool(0.6);
        let clients = 0..self.scene.setting.clients;
        let (with, without): (Vec<u32>, Vec<u32>) =
            clients.partition(|number| *number == 0 || self.chance.random_bool(0.5));
        self.cut_off(sim, &name, &without, (after, lies));
        // Who stays with it reaches nobody else, and asks for nothing else.
        let owned = |slot: &Slot| self.desk.owner(*slot).as_ref() == Some(&name);
        let owned: BTreeSet<Slot> = slots.into_iter().filter(owned).collect();
        for number in with {
            self.scene.confine(number, Some(owned.clone()));
            self.later(sim, after, End::Confined(number));
            for other in self.running() {
                if other != name {
                    self.part(sim, &format!("client{number}"), other.as_str(), after);
                }
            }
        }
    }

    /// Two nodes between which slots with keys move.
    fn keys_moving(&mut self) -> Option<(NodeName, NodeName)> {
        let slots = self.scene.setting.names.slots();
        let moving = self.desk.moving(slots.into_iter().map(Slot::number));
        let moving: Vec<_> = moving.into_iter().collect();
        moving.choose(&mut self.chance).cloned()
    }

    /// An operator takes a slot with keys from its owner, and all others of it, unless an
    /// operation is open; answers whom.
    fn move_keys(&mut self, sim: &mut Sim<'_>, rates: &[u64]) -> Option<NodeName> {
        if self.desk.is_operating() {
            return None;
        }
        let slots = self.scene.setting.names.slots();
        let owner = self.desk.owner(*slots.choose(&mut self.chance)?)?;
        let rate = *rates.choose(&mut self.chance)?;
        let ask = PlanAsk {
            undrain: self.course.drained.take().into_iter().collect(),
            drain: vec![owner.clone()],
            ..PlanAsk::default()
        };
        self.course = Course {
            drained: Some(owner.clone()),
            since: sim.elapsed(),
            broke: false,
        };
        self.say(sim, format!("the operator wants {ask:?} at {rate} B/s"));
        self.desk.send(Errand::Change(ask, rate));
        Some(owner)
    }

    fn control(&mut self, sim: &Sim<'_>) {
        let controls = [Control::Cancel, Control::Rate(0), Control::Rate(0)];
        if let Some(control) = controls.choose(&mut self.chance).copied() {
            self.say(sim, format!("the operator says {control:?}"));
            self.desk.send(Errand::Control(control));
        }
    }

    /// The next commit of slots with keys by this node comes to something bad.
    fn jam(&mut self, sim: &Sim<'_>, name: &NodeName) {
        let switch = self.scene.switch(sim.lookup(name.as_str()));
        if switch.jams.is_set(sim.elapsed().as_micros() as Micros) {
            return;
        }
        let jam = match self.chance.random_range(0..10) {
            0..5 => Jam::Late(Duration::from_millis(self.chance.random_range(LATE_MS))),
            5..8 => Jam::Lost,
            _ => Jam::Unanswered,
        };
        self.say(sim, format!("the next commit of {name} with keys: {jam:?}"));
        switch.jams.set(Some(jam));
    }

    /// The connections of one node to another break, and the other does not notice.
    fn break_wire(&mut self, sim: &Sim<'_>, from: &NodeName, to: &NodeName) {
        if !self.mark(from.as_str(), to.as_str()) {
            return;
        }
        let dead = Duration::from_millis(self.chance.random_range(DEAD_MS));
        self.say(sim, format!("{from} -> {to} breaks, for {dead:?}"));
        let until = (sim.elapsed() + dead).as_micros() as Micros;
        let slot = self.scene.node(from, 0);
        slot.wires.break_to(to.as_str(), until);
        self.later(sim, dead, End::Wires(from.clone(), to.clone()));
    }
}
