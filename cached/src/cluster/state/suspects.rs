//! Whom nobody reaches: what the own probes say, and what peers report.

use std::collections::BTreeMap;

use cached_proto::types::{MemberId, NodeName};

use super::State;
use super::event::Effect;
use crate::clock::Moment;
use crate::peers::Suspect;

/// Probes missed in a row that make a suspect.
pub(super) const MISSES: u32 = 3;

/// A member that peers do not reach.
#[derive(Debug)]
pub(super) struct Reported {
    by: NodeName,
    pub(super) at: Moment,
    pub(super) misses: u32,
}

impl State {
    pub(super) fn on_reported(&mut self, from: NodeName, suspects: Vec<Suspect>, now: Moment) {
        for suspect in suspects {
            if self.mirror.living(&suspect.id).is_some() && self.me.as_ref() != Some(&suspect.id) {
                let reported = Reported {
                    by: from.clone(),
                    at: now,
                    misses: suspect.misses,
                };
                self.probes.reported.insert(suspect.id, reported);
            }
        }
    }

    /// Whether this process itself has missed enough probes of a member lately.
    pub(super) fn is_suspect(&self, id: &MemberId, now: Moment) -> bool {
        let lately = self.config.probe_interval * MISSES + self.config.probe_timeout;
        let probed = self.probes.table.get(id);
        probed.is_some_and(|p| p.misses >= MISSES && now.since(p.started) <= lately)
    }

    /// Living members that this process or a peer suspects, with whom that is.
    pub(super) fn suspected(&self, now: Moment) -> BTreeMap<MemberId, String> {
        let mut all = BTreeMap::new();
        for (id, reported) in &self.probes.reported {
            all.insert(id.clone(), reported.by.to_string());
        }
        for id in self
            .probes
            .table
            .keys()
            .filter(|id| self.is_suspect(id, now))
        {
            let me = self.me.as_ref().map(|me| me.name.to_string());
            all.insert(id.clone(), me.unwrap_or_default());
        }
        all.retain(|id, _| self.mirror.living(id).is_some());
        all
    }

    /// Tells whoever can act on it whom this process suspects.
    pub(super) fn report_suspects(&mut self, now: Moment) {
        let table = self.probes.table.iter();
        let suspects: Vec<Suspect> = table
            .filter(|(id, _)| self.is_suspect(id, now) && self.mirror.living(id).is_some())
            .map(|(id, probed)| Suspect {
                id: id.clone(),
                misses: probed.misses,
                last_error: probed.last_error.clone(),
            })
            .collect();
        if suspects.is_empty() {
            return;
        }
        if let Some(to) = self
            .acting(now)
            .filter(|to| self.me.as_ref() != Some(&to.id))
        {
            self.effects.push(Effect::Report { to, suspects });
        }
    }
}
