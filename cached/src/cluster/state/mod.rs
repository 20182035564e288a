//! This process's part in the cluster, as a pure machine: an event and the time go
//! in, effects come out. No clock, no network, no logging.
//!
//! Reading order: [`event`] (what goes in and out), [`mirror`] (what the registry
//! holds), [`reads`] and [`txns`] (how it is learned and changed), [`life`], [`proof`]
//! and [`word`] (own registration, fence and record), [`table`] (which slots are
//! served), [`absence`], [`probes`], [`suspects`], [`inquiry`] and [`removal`] (who is
//! dead), [`planner`], [`plans`], [`drafting`], [`intents`], [`operations`] and
//! [`endings`] (who should own what), [`takeover`] and [`moves`] (how slots change
//! hands), [`tidy`], [`picture`] and [`problems`] (what others are shown).
//!
//! Rules that hold everywhere: nothing that this process wrote is believed before it
//! was read back; a transaction of one purpose is not sent again before a read that
//! began after its end; every transaction compares the own member key (I3).

mod absence;
mod drafting;
mod endings;
pub(crate) mod event;
mod inquiry;
mod intents;
mod life;
pub(crate) mod mirror;
mod moves;
mod operations;
mod picture;
mod planner;
mod plans;
mod probes;
mod problems;
mod proof;
mod reads;
mod removal;
mod suspects;
mod table;
mod takeover;
mod tidy;
mod txns;
mod word;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::records::MemberState;
use cached_proto::registry_keys::{RegistryKey, RegistryKeys};
use cached_proto::types::{MemberId, NodeName};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::clock::{Moment, WallMs};
use crate::cluster::ClusterConfig;
use crate::peers::Peer;
use event::{Effect, Event, Level, Purpose};
use mirror::{Mirror, Notice};

pub(crate) use absence::Absent;
pub(crate) use life::Birth;
pub(crate) use moves::Trouble;
pub(crate) use table::FIRST_EPOCH;

/// How long a taker waits after it saw that an owner is gone: longer than the owner
/// can be sure of itself, with clocks that run 1 % apart and half a second for a
/// process that is slow to look at its own.
pub(crate) fn grace(fence_after: Duration) -> Duration {
    fence_after.mul_f64(1.01) + Duration::from_millis(500)
}

/// A process that is not heard of by itself for so long stood still, or its machine did.
pub(crate) fn still_after(fence_after: Duration) -> Duration {
    fence_after / 2
}

/// The machine.
#[derive(Debug)]
pub(crate) struct State {
    config: ClusterConfig,
    /// This member, whatever became of its registration; `None`: a gateway.
    me: Option<MemberId>,
    rng: StdRng,
    wall: WallMs,
    last_tick: Option<Moment>,
    pub(crate) mirror: Mirror,
    life: life::Life,
    reads: reads::Reads,
    table: table::Table,
    moves: moves::Moves,
    absent: BTreeMap<MemberId, Absent>,
    /// Members that came back as the same incarnation, and when.
    returned: BTreeMap<MemberId, Moment>,
    /// Why members were removed by this process, for people.
    removals: BTreeMap<MemberId, String>,
    probes: probes::Probes,
    inquiries: BTreeMap<MemberId, inquiry::Inquiry>,
    planner: planner::Duty,
    wishes: intents::Wishes,
    txns: BTreeMap<Purpose, txns::Stage>,
    /// Why this process cannot be part of the cluster.
    refused: Option<String>,
    picture: picture::Picture,
    /// What people see has changed.
    dirty: bool,
    effects: Vec<Effect>,
}

impl State {
    /// `birth` is `None` for a gateway.
    pub(crate) fn new(config: ClusterConfig, birth: Option<Birth>, seed: u64, now: Moment) -> Self {
        let me = config.member.as_ref().map(|record| record.id.clone());
        let mirror = Mirror::new(RegistryKeys::new(&config.cluster));
        Self {
            me,
            rng: StdRng::seed_from_u64(seed),
            wall: WallMs::default(),
            last_tick: None,
            mirror,
            life: life::Life::new(birth.as_ref(), now),
            reads: reads::Reads::new(now),
            table: table::Table::default(),
            moves: moves::Moves::default(),
            absent: birth
                .and_then(|birth| birth.predecessor)
                .into_iter()
                .collect(),
            returned: BTreeMap::new(),
            removals: BTreeMap::new(),
            probes: probes::Probes::default(),
            inquiries: BTreeMap::new(),
            planner: planner::Duty::default(),
            wishes: intents::Wishes::default(),
            txns: BTreeMap::new(),
            refused: None,
            picture: picture::Picture::default(),
            dirty: true,
            effects: Vec::new(),
            config,
        }
    }

    /// What follows from an event.
    pub(crate) fn on_event(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        match event {
            Event::Tick { wall } => self.on_tick(wall, now),
            Event::Read {
                started,
                took,
                result,
            } => self.on_read(started, took, result, now),
            Event::Watched { watch, batch } => self.on_watched(watch, batch, now),
            Event::WatchEnded { watch, error } => self.on_watch_ended(watch, error, now),
            Event::SelfChecked {
                started,
                took,
                result,
            } => {
                self.on_self_checked(started, took, result, now);
            }
            Event::KeptAlive { lease, result } => self.on_kept_alive(lease, result, now),
            Event::Registered { started, result } => self.on_registered(started, result, now),
            Event::TxnDone {
                purpose,
                took,
                result,
            } => self.on_txn_done(purpose, took, result, now),
            Event::Revoked => self.effects.push(Effect::SignedOff),
            Event::Probed {
                peer,
                started,
                result,
            } => self.on_probed(peer, started, result, now),
            Event::Reported { from, suspects } => self.on_reported(from, suspects, now),
            Event::Opinion {
                about,
                from,
                inquiry,
                result,
            } => {
                self.on_opinion(about, from, inquiry, result, now);
            }
            Event::OpinionWanted { about } => self.want_probe(about, now),
            Event::RefreshAsked => self.reads.wanted = true,
            Event::Move { id, news } => self.on_move(&id, news, now),
            Event::Committed(record) => self.on_committed(record, now),
            Event::Leave => self.on_leave(),
            Event::SignOff => self.sign_off(),
        }
        self.step(now);
        std::mem::take(&mut self.effects)
    }

    /// Does whatever is due. Called after every event, so that nothing waits for a
    /// tick that could happen now.
    fn step(&mut self, now: Moment) {
        self.step_life(now);
        self.step_reads(now);
        self.step_absence(now);
        self.step_probes(now);
        self.step_removal(now);
        self.step_inquiries(now);
        self.survey_anew();
        self.step_planner(now);
        self.step_takeover(now);
        self.step_moves(now);
        self.step_table();
        self.step_picture(now);
        self.step_ends(now);
        self.step_fence(now);
    }

    fn on_tick(&mut self, wall: WallMs, now: Moment) {
        self.wall = wall;
        let gap = self
            .last_tick
            .map_or(Duration::ZERO, |last| now.since(last));
        self.last_tick = Some(now);
        if gap > still_after(self.config.fence_after) {
            // The process was paused: what it believes of itself and of others is old.
            self.life.woke_at = Some(now);
            self.read_now(now);
            self.check_soon();
            self.probes.forget_misses();
            self.inquiries.clear();
        }
    }

    fn on_notice(&mut self, notice: Notice, now: Moment) {
        self.dirty = true;
        match notice {
            Notice::Meta => self.compare_settings(),
            Notice::MemberCame(record) => {
                let seen = &mut self.wishes.first_seen;
                seen.entry(record.id.clone()).or_insert(now);
                self.member_came(&record, now);
            }
            Notice::MemberLeft(record) => {
                self.wishes.first_seen.remove(&record.value.id);
                self.member_left(*record, now);
            }
            Notice::Page(page) => {
                self.table.changed(page);
                self.moves.page_changed(page);
            }
            Notice::Plan => {
                self.moves.plan_changed();
                self.tell_plan();
            }
            Notice::Other => {}
            Notice::Unreadable(key, why) => {
                self.log(
                    Level::Error,
                    format!("registry key {key} is ignored: it {why}"),
                );
            }
        }
    }

    /// Refuses to go on in a cluster that was bootstrapped with other settings while
    /// this process waited for its members.
    fn compare_settings(&mut self) {
        let Some(meta) = &self.mirror.meta else {
            return;
        };
        if let Err(why) = super::checks::settings(&self.config, &meta.value)
            && self.refused.is_none()
        {
            self.log(Level::Error, why.clone());
            self.effects.push(Effect::GiveUp(why.clone()));
            self.refused = Some(why);
            self.sign_off();
        }
    }

    fn tell_plan(&mut self) {
        let Some(plan) = &self.mirror.plan else {
            return;
        };
        let plan = &plan.value.record;
        let text = format!("layout {} (plan {}): {}", plan.layout, plan.id, plan.reason);
        self.log(Level::Info, text);
    }

    fn member_key(&self, name: &NodeName) -> String {
        self.mirror.keys.key(&RegistryKey::Member(name.clone()))
    }

    /// Members that live, have not signed off, and are not this process; by name.
    fn others(&self) -> impl Iterator<Item = Peer> + '_ {
        self.members()
            .filter(|peer| self.me.as_ref() != Some(&peer.id))
    }

    /// Members that live and have not signed off, by name.
    fn members(&self) -> impl Iterator<Item = Peer> + '_ {
        let living = self.mirror.members.values().map(|member| &member.value);
        living
            .filter(|record| record.state != MemberState::Gone)
            .map(|record| Peer {
                id: record.id.clone(),
                address: record.address.clone(),
            })
    }

    fn log(&mut self, level: Level, text: String) {
        self.effects.push(Effect::Log { level, text });
    }
}
