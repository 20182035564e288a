//! Ending the membership of those that do not answer: the planner's duty, and the
//! deputy's when it is the planner that does not.

use std::collections::BTreeMap;

use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::MemberId;

use super::State;
use super::event::Purpose;
use super::inquiry::Finding;
use super::suspects::MISSES;
use crate::clock::Moment;
use crate::peers::Peer;
use crate::registry::{Compare, Write};

impl State {
    /// Whether this process holds the planner key.
    pub(super) fn is_planner(&self) -> bool {
        let planner = self.mirror.planner.as_ref();
        planner.is_some_and(|planner| Some(&planner.value) == self.me.as_ref())
    }

    /// The comparison that only the planner passes.
    pub(super) fn as_planner(&self) -> Vec<Compare> {
        let key = self.mirror.keys.key(&RegistryKey::Planner);
        let planner = self.mirror.planner.iter();
        planner
            .map(|held| Compare::CreateRevision(key.clone(), held.create_revision))
            .collect()
    }

    /// Who acts on suspicions: the planner, or, if that is suspected or no member, the
    /// first member by name that is not.
    pub(super) fn acting(&self, now: Moment) -> Option<Peer> {
        let suspected = self.suspected(now);
        let planner = &self.mirror.planner.as_ref()?.value;
        let fit = |peer: &Peer| !suspected.contains_key(&peer.id);
        let planner = self.members().find(|peer| peer.id == *planner).filter(fit);
        planner.or_else(|| self.members().find(fit))
    }

    pub(super) fn step_removal(&mut self, now: Moment) {
        if !self.settled() || !self.informed() {
            return;
        }
        let suspected = self.suspected(now);
        let acts = self
            .acting(now)
            .is_some_and(|peer| Some(&peer.id) == self.me.as_ref());
        let Some(planner) = self.mirror.planner.as_ref().map(|held| held.value.clone()) else {
            return;
        };
        if !acts {
            return;
        }
        if self.is_planner() {
            self.remove_silent(&suspected, now);
            return;
        }
        // The deputy removes the planner and nobody else; whoever is elected next does.
        match suspected.get_key_value(&planner) {
            Some((id, by)) => self.remove_if_silent(id, by, now),
            None if self.mirror.living(&planner).is_none() => self.free_planner(),
            None => {}
        }
    }

    fn remove_silent(&mut self, suspected: &BTreeMap<MemberId, String>, now: Moment) {
        for (id, by) in suspected {
            self.remove_if_silent(id, by, now);
        }
    }

    /// Deletes the key of a suspect that no witness reaches. Safe whatever the truth
    /// is: a suspect that lives sees it, registers again, and keeps its slots.
    fn remove_if_silent(&mut self, id: &MemberId, by: &str, now: Moment) {
        let purpose = Purpose::Remove(id.clone());
        if self.returned.contains_key(id) || self.txns.contains_key(&purpose) {
            return;
        }
        let Some(Finding::Silent(witnesses)) = self.inquire(id, now) else {
            return;
        };
        let Some(member) = self.mirror.living(id) else {
            return;
        };
        let key = self.member_key(&id.name);
        let mut compares = self.as_planner();
        compares.push(Compare::CreateRevision(key.clone(), member.create_revision));
        let mut writes = vec![Write::Delete(key)];
        if self
            .mirror
            .planner
            .as_ref()
            .is_some_and(|planner| planner.value == *id)
        {
            writes.push(Write::Delete(self.mirror.keys.key(&RegistryKey::Planner)));
        }
        let confirmed = match witnesses.is_empty() {
            true => String::new(),
            false => format!(", confirmed by {}", witnesses.join(" and ")),
        };
        let why = format!("removed: no answer to {MISSES} probes of {by}{confirmed}");
        self.removals.insert(id.clone(), why);
        self.inquiries.remove(id);
        self.submit(purpose, compares, writes);
    }

    /// The planner key outlives its member when that was removed and not its lease.
    fn free_planner(&mut self) {
        let key = self.mirror.keys.key(&RegistryKey::Planner);
        let compares = self.as_planner();
        self.submit(Purpose::FreePlanner, compares, vec![Write::Delete(key)]);
    }
}
