//! Finding out whether somebody is dead: a probe of one's own and the word of two
//! peers, before anything is done to a member that cannot be undone (R12, R16).

use std::collections::BTreeSet;
use std::time::Duration;

use cached_proto::limits::MEMBERS_MAX;
use cached_proto::types::MemberId;

use super::State;
use super::event::Effect;
use crate::clock::Moment;
use crate::peers::{Peer, Verdict};

/// How many peers must agree, if there are as many.
const OPINIONS: usize = 2;

/// Pause before a peer that is still finding out is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How long an inquiry may take: longer than two probes.
const INQUIRY_MAX: Duration = Duration::from_secs(3);

/// How long its result may be acted on, and the pause before the next one of a
/// member that turned out to live.
const RESULT_FOR: Duration = Duration::from_secs(2);

/// Most inquiries at a time: one for each member that a cluster can have.
const INQUIRIES_MAX: usize = MEMBERS_MAX;

/// What an inquiry found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nobody got an answer; the names of those who agreed.
    Silent(Vec<String>),
    /// Somebody did, or nobody could say.
    Alive,
}

#[derive(Debug)]
pub(super) struct Inquiry {
    about: Peer,
    /// Answers of a node that says "fenced" count as none: asked before a takeover.
    serving: bool,
    started: Moment,
    /// Peers that may be asked, next last.
    candidates: Vec<Peer>,
    needed: usize,
    agreed: BTreeSet<MemberId>,
    finding: Option<(Moment, Finding)>,
}

impl State {
    /// The finding about a member; begins an inquiry if there is none. `None`: wait.
    pub(super) fn inquire(&mut self, id: &MemberId, now: Moment) -> Option<Finding> {
        if let Some(inquiry) = self.inquiries.get(id) {
            return inquiry.finding.as_ref().map(|(_, finding)| finding.clone());
        }
        if self.inquiries.len() >= INQUIRIES_MAX {
            return None;
        }
        let about = Peer {
            id: id.clone(),
            address: self.address_of(id),
        };
        let candidates = self.witnesses(id, now);
        self.want_probe(about.clone(), now);
        let needed = candidates.len().min(OPINIONS);
        let serving = self.mirror.living(id).is_none();
        let inquiry = Inquiry {
            about,
            serving,
            started: now,
            candidates,
            needed,
            agreed: BTreeSet::new(),
            finding: None,
        };
        self.inquiries.insert(id.clone(), inquiry);
        (0..needed).for_each(|_| self.ask_next(id));
        None
    }

    /// Who may be asked about a member: living, not suspected, not of the same name;
    /// those that probe it anyway, which stand before it in the circle, come last and
    /// are asked first.
    fn witnesses(&self, about: &MemberId, now: Moment) -> Vec<Peer> {
        let suspected = self.suspected(now);
        let fit = |peer: &Peer| peer.id.name != about.name && !suspected.contains_key(&peer.id);
        let (before, after): (Vec<_>, Vec<_>) =
            self.others().filter(fit).partition(|peer| peer.id < *about);
        after.into_iter().chain(before).collect()
    }

    fn ask_next(&mut self, id: &MemberId) {
        let Some(inquiry) = self.inquiries.get_mut(id) else {
            return;
        };
        let Some(of) = inquiry.candidates.pop() else {
            return;
        };
        let (about, inquiry) = (inquiry.about.clone(), inquiry.started);
        self.effects.push(Effect::AskOpinion {
            of,
            about,
            inquiry,
            pause: Duration::ZERO,
        });
    }

    pub(super) fn on_opinion(
        &mut self,
        about: MemberId,
        from: Peer,
        began: Moment,
        result: Result<Verdict, String>,
        now: Moment,
    ) {
        let Some(inquiry) = self.inquiries.get_mut(&about) else {
            return;
        };
        if inquiry.finding.is_some() || inquiry.started != began {
            return;
        }
        match result {
            Ok(Verdict::Silent) => drop(inquiry.agreed.insert(from.id)),
            Ok(Verdict::Answers) => inquiry.finding = Some((now, Finding::Alive)),
            Ok(Verdict::Unknown) => {
                let (about, inquiry, pause) = (inquiry.about.clone(), began, ASK_AGAIN);
                self.effects.push(Effect::AskOpinion {
                    of: from,
                    about,
                    inquiry,
                    pause,
                });
            }
            Err(_) => self.ask_next(&about),
        }
    }

    pub(super) fn step_inquiries(&mut self, now: Moment) {
        for (id, inquiry) in &mut self.inquiries {
            if inquiry.finding.is_some() {
                continue;
            }
            let own = self.probes.answered(id, inquiry.started, inquiry.serving);
            let agreed = inquiry.agreed.len() >= inquiry.needed;
            inquiry.finding = match own {
                Some(true) => Some((now, Finding::Alive)),
                Some(false) if agreed => {
                    let names = inquiry.agreed.iter().map(|id| id.name.to_string());
                    Some((now, Finding::Silent(names.collect())))
                }
                _ if now.since(inquiry.started) >= INQUIRY_MAX => Some((now, Finding::Alive)),
                _ => None,
            };
        }
        self.inquiries.retain(|_, inquiry| {
            inquiry
                .finding
                .as_ref()
                .is_none_or(|(at, _)| now.since(*at) < RESULT_FOR)
        });
    }
}
