//! Asking others whether they live: the next three members by name, all round, once
//! a second, and whoever somebody wants to know about.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use cached_proto::limits::CLOCK_OFFSET_MS_MAX;
use cached_proto::types::MemberId;

use super::State;
use super::event::{Effect, Level};
use super::suspects::Reported;
use crate::clock::Moment;
use crate::peers::{Peer, ProbeAnswer, Unanswered};

/// How many members follow a member in the circle of names and are probed by it: with
/// three, any two deaths at once are still noticed. Names and not ring places, because
/// every member has many places on the ring and one name.
const SUCCESSORS: usize = 3;

/// More members asked in each round while the registry is away, to learn who lacks
/// it too: a thousand members are asked within a minute, the isolation cap.
const ASKED_IN_OUTAGE: usize = 16;

/// How long an answer counts as knowledge of who lacks the registry.
const OUTAGE_ANSWER_FOR: Duration = Duration::from_secs(60);

/// How long results of members that nobody probes any more are kept.
const REMEMBER_FOR: Duration = Duration::from_secs(60);

/// Most members that are probed or remembered.
const TABLE_MAX: usize = 4096;

/// What probes of one incarnation came to.
#[derive(Debug)]
pub(super) struct Probed {
    peer: Peer,
    in_flight: bool,
    /// Somebody needs a probe now, whatever the interval says.
    wanted: bool,
    pub(super) started: Moment,
    pub(super) misses: u32,
    /// When the newest probe without an answer began.
    missed: Option<Moment>,
    pub(super) last_error: String,
    /// The newest answer, and when its probe began.
    answer: Option<(Moment, ProbeAnswer, i64)>,
    /// The newest probe was refused: when it began, and in which words.
    refused: Option<(Moment, String)>,
}

impl Probed {
    fn missed(&mut self, started: Moment, error: String) {
        self.misses += 1;
        self.missed = Some(started);
        self.last_error = error;
        self.refused = None;
    }

    fn refused(&mut self, started: Moment, why: String) {
        self.misses = 0;
        self.refused = Some((started, why));
    }
}

#[derive(Debug, Default)]
pub(super) struct Probes {
    pub(super) table: BTreeMap<MemberId, Probed>,
    pub(super) reported: BTreeMap<MemberId, Reported>,
    round_at: Moment,
    /// Whom an outage's rounds have reached.
    cursor: Option<MemberId>,
}

impl Probes {
    pub(super) fn forget_misses(&mut self) {
        self.table.values_mut().for_each(|probed| probed.misses = 0);
    }

    pub(super) fn misses(&self, id: &MemberId) -> u32 {
        let own = self.table.get(id).map_or(0, |probed| probed.misses);
        own.max(self.reported.get(id).map_or(0, |reported| reported.misses))
    }

    /// Whether a probe that began at `since` or later was answered by that very
    /// incarnation; `None`: no such probe has ended. `serving`: an answer that says
    /// "fenced" counts as none, and so does a refusal, which does not say who refuses.
    pub(super) fn answered(&self, id: &MemberId, since: Moment, serving: bool) -> Option<bool> {
        let probed = self.table.get(id)?;
        match &probed.answer {
            Some((at, answer, _)) if *at >= since => Some(!(serving && answer.fenced)),
            _ if probed.refused.as_ref().is_some_and(|(at, _)| *at >= since) => Some(!serving),
            _ if probed.missed.is_some_and(|at| at >= since) => Some(false),
            _ => None,
        }
    }
}

impl State {
    pub(super) fn step_probes(&mut self, now: Moment) {
        if self.me.is_none() || self.leaving() {
            return;
        }
        if now >= self.probes.round_at + self.config.probe_interval {
            self.probes.round_at = now;
            for peer in self.round() {
                self.want_probe(peer, now);
            }
            self.report_suspects(now);
            self.probes
                .reported
                .retain(|_, r| now.since(r.at) < self.config.probe_interval * 3);
        }
        for probed in self
            .probes
            .table
            .values_mut()
            .filter(|p| p.wanted && !p.in_flight)
        {
            probed.wanted = false;
            probed.in_flight = true;
            probed.started = now;
            self.effects.push(Effect::Probe(probed.peer.clone()));
        }
        let kept = |p: &Probed| p.in_flight || now.since(p.started) < REMEMBER_FOR;
        self.probes.table.retain(|_, probed| kept(probed));
    }

    /// Whom to probe in this round.
    fn round(&mut self) -> Vec<Peer> {
        let others: BTreeMap<MemberId, Peer> =
            self.others().map(|peer| (peer.id.clone(), peer)).collect();
        let Some(me) = &self.me else {
            return Vec::new();
        };
        let mut round: Vec<Peer> = circle(&others, me).take(SUCCESSORS).cloned().collect();
        if self.reads.lost_since.is_some() {
            let from = self.probes.cursor.as_ref().unwrap_or(me);
            let more: Vec<Peer> = circle(&others, from)
                .take(ASKED_IN_OUTAGE)
                .cloned()
                .collect();
            self.probes.cursor = more.last().map(|peer| peer.id.clone());
            round.extend(more);
        }
        round
    }

    /// Probes a member soon, besides the rounds.
    pub(super) fn want_probe(&mut self, mut peer: Peer, now: Moment) {
        if peer.address.is_empty() {
            // A peer that asks for an opinion may know less than this process.
            peer.address = self.address_of(&peer.id);
        }
        if !self.probes.table.contains_key(&peer.id) && self.probes.table.len() >= TABLE_MAX {
            return;
        }
        let probed = self
            .probes
            .table
            .entry(peer.id.clone())
            .or_insert_with(|| Probed {
                peer: peer.clone(),
                in_flight: false,
                wanted: false,
                started: now,
                misses: 0,
                missed: None,
                last_error: String::new(),
                answer: None,
                refused: None,
            });
        probed.peer = peer;
        probed.wanted = true;
    }

    /// Where an incarnation is or was reached; empty when that is not known.
    pub(super) fn address_of(&self, id: &MemberId) -> String {
        let living = self
            .mirror
            .living(id)
            .map(|member| member.value.address.clone());
        let absent = || self.absent.get(id).map(|absent| absent.address.clone());
        living.or_else(absent).unwrap_or_default()
    }

    pub(super) fn on_probed(
        &mut self,
        peer: Peer,
        started: Moment,
        result: Result<(ProbeAnswer, i64), Unanswered>,
        now: Moment,
    ) {
        let suspected = self.is_suspect(&peer.id, now);
        let refusal = self.refusal(&peer.id).map(str::to_owned);
        let Some(probed) = self.probes.table.get_mut(&peer.id) else {
            return;
        };
        probed.in_flight = false;
        match result {
            Ok((answer, offset)) if answer.id == peer.id => {
                probed.misses = 0;
                probed.answer = Some((started, answer, offset));
                probed.refused = None;
                self.probes.reported.remove(&peer.id);
            }
            Ok((answer, _)) => {
                probed.missed(started, format!("{} answers there now", answer.id.name));
            }
            Err(Unanswered::Refused(why)) => {
                probed.refused(started, why);
                self.probes.reported.remove(&peer.id);
            }
            Err(Unanswered::Silent(error)) => probed.missed(started, error),
        }
        let (misses, error) = (probed.misses, probed.last_error.clone());
        if self.is_suspect(&peer.id, now) != suspected {
            self.dirty = true;
            let text = match misses {
                0 => format!("{} answers probes again", peer.id.name),
                _ => format!(
                    "{} does not answer: {misses} probes missed, {error}",
                    peer.id.name
                ),
            };
            self.log(Level::Warn, text);
        }
        self.tell_refusal(&peer.id, refusal);
    }

    fn tell_refusal(&mut self, id: &MemberId, before: Option<String>) {
        let refusal = self.refusal(id);
        if refusal == before.as_deref() {
            return;
        }
        let name = &id.name;
        let text = match refusal {
            Some(why) => format!("{name} lives and refuses the calls of this node: {why}"),
            None => format!("{name} does not refuse the calls of this node any more"),
        };
        self.dirty = true;
        self.log(Level::Warn, text);
    }

    /// Why a living member does not let this process in, if it does not.
    pub(super) fn refusal(&self, id: &MemberId) -> Option<&str> {
        self.mirror.living(id)?;
        let (_, why) = self.probes.table.get(id)?.refused.as_ref()?;
        Some(why)
    }

    /// Whether most members, this one counted, cannot read the registry (R50). A
    /// heuristic for availability only: a takeover needs a transaction anyway.
    pub(super) fn most_lack_the_registry(&self, now: Moment) -> bool {
        let Some(since) = self.reads.lost_since else {
            return false;
        };
        let lacks = |peer: &Peer| {
            let answer = self
                .probes
                .table
                .get(&peer.id)
                .and_then(|p| p.answer.as_ref());
            answer.is_some_and(|(at, answer, _)| {
                *at >= since && now.since(*at) < OUTAGE_ANSWER_FOR && !answer.registry_reachable
            })
        };
        let (lacking, all) = self.others().fold((1, 1), |(lacking, all), peer| {
            (lacking + usize::from(lacks(&peer)), all + 1)
        });
        lacking * 2 > all
    }

    /// Members whose wall clock is too far from this one's, and by how much.
    pub(super) fn clocks_off(&self) -> Vec<String> {
        let table = self.probes.table.iter();
        table
            .filter(|(id, _)| self.mirror.living(id).is_some())
            .filter_map(|(id, probed)| probed.answer.as_ref().map(|(.., offset)| (id, *offset)))
            .filter(|(_, offset)| offset.unsigned_abs() > CLOCK_OFFSET_MS_MAX)
            .map(|(id, offset)| format!("the clock of {} is off by {offset} ms from here", id.name))
            .collect()
    }
}

/// Everybody after `from` in the circle of names, once.
fn circle<'a>(
    others: &'a BTreeMap<MemberId, Peer>,
    from: &MemberId,
) -> impl Iterator<Item = &'a Peer> {
    let after = others.range((Bound::Excluded(from.clone()), Bound::Unbounded));
    let before = others.range(..=from.clone());
    after.chain(before).map(|(_, peer)| peer)
}
