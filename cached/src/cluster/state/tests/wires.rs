//! What travels between the world's members and to its registry, and what gets lost.

use std::time::Duration;

use cached_proto::records::MemberState;
use rand::Rng;

use super::super::event::{Effect, Event};
use super::registry::LEASE;
use super::world::{Action, Node, World};
use crate::clock::Moment;
use crate::cluster::view::Serving;
use crate::peers::{Peer, ProbeAnswer, Unanswered, Verdict};
use crate::registry::{Range, RegistryError};

const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_millis(900);

impl World {
    /// The life that answers at an address, if the wire and the life are well.
    pub(super) fn reachable(&self, from: usize, peer: &Peer) -> Option<usize> {
        let at = |node: &Node| format!("{}:1", node.id.name) == peer.address && node.alive;
        let to = self.nodes.iter().rposition(at)?;
        (!self.nodes[to].paused && !self.unlinked.contains(&(from, to))).then_some(to)
    }

    /// Whether somebody at an address does not let a life in; a stranger, if the member is
    /// dead.
    pub(super) fn refuses(&self, peer: &Peer, from: usize) -> bool {
        let at = |node: &Node| format!("{}:1", node.id.name) == peer.address;
        let there = self.nodes.iter().rposition(at);
        there.is_some_and(|there| self.refusing.contains(&(there, from)))
    }

    pub(super) fn probe(&mut self, from: usize, peer: Peer) {
        let started = self.now;
        let (delay, result) = match self.reachable(from, &peer) {
            Some(to) => {
                let node = &self.nodes[to];
                let answer = ProbeAnswer {
                    id: node.id.clone(),
                    fenced: matches!(node.fence.check(self.now), Serving::Fenced(_)),
                    registry_reachable: self.now.since(node.state.registry_ok())
                        <= Duration::from_secs(5),
                    wall_clock_ms: 0,
                    state: MemberState::Up,
                    layout: node.view.layout,
                };
                (self.delay(), Ok((answer, 0)))
            }
            None => {
                let silent = Unanswered::Silent("no answer".to_owned());
                (PROBE_TIMEOUT, Err(silent))
            }
        };
        let (delay, result) = match self.refuses(&peer, from) {
            true => {
                let refused = Unanswered::Refused("this token is not known".to_owned());
                (self.delay(), Err(refused))
            }
            false => (delay, result),
        };
        self.at(
            delay,
            Action::Deliver(
                from,
                Event::Probed {
                    peer,
                    started,
                    result,
                },
            ),
        );
    }

    pub(super) fn ask_opinion(
        &mut self,
        from: usize,
        of: Peer,
        about: Peer,
        inquiry: Moment,
        pause: Duration,
    ) {
        let of_reach = self
            .reachable(from, &of)
            .filter(|_| !self.refuses(&of, from));
        let (delay, result) = match of_reach {
            Some(to) => (pause + self.delay(), Ok(self.opinion(to, &about))),
            None => (pause + PROBE_TIMEOUT, Err("no answer".to_owned())),
        };
        let event = Event::Opinion {
            about: about.id,
            from: of,
            inquiry,
            result,
        };
        self.at(delay, Action::Deliver(from, event));
    }

    /// Like `Cluster::on_opinion`.
    fn opinion(&mut self, of: usize, about: &Peer) -> Verdict {
        let node = &self.nodes[of];
        let known = node.probed.get(&about.id);
        let known = known.filter(|(at, _)| self.now.since(*at) <= Duration::from_secs(2));
        let Some((_, fenced)) = known else {
            self.send(
                of,
                Event::OpinionWanted {
                    about: about.clone(),
                },
            );
            return Verdict::Unknown;
        };
        let member = node
            .view
            .members
            .iter()
            .any(|m| m.id == about.id && m.record.is_some());
        match fenced {
            Some(fenced) if member || !fenced => Verdict::Answers,
            _ => Verdict::Silent,
        }
    }

    pub(super) fn call_registry(&mut self, index: usize, effect: Effect) {
        if !self.nodes[index].alive {
            return;
        }
        self.calls += 1;
        let refuses = self.registry_refuses;
        let away = self.registry_down || refuses || self.cut.contains(&index);
        let error = match refuses {
            true => RegistryError::Unavailable("connection refused".to_owned()),
            false => RegistryError::Unknown("timeout".to_owned()),
        };
        let started = self.now;
        let until = self.now + LEASE;
        let mut delay = if away && !refuses {
            CALL_TIMEOUT
        } else {
            self.delay()
        };
        if let Some(slow) = self.slow.filter(|_| !away) {
            delay = slow;
        }
        let event = match effect {
            Effect::Read(ranges) => {
                let read = |range| (self.registry.read(&range), range);
                let listings = ranges.into_iter().map(read).map(|(s, r)| (r, s)).collect();
                Event::Read {
                    started,
                    took: delay,
                    result: if away { Err(error) } else { Ok(listings) },
                }
            }
            Effect::SelfCheck { key } => {
                let seen = self.registry.read(&Range::Key(key));
                let result = if away { Err(error) } else { Ok(seen) };
                Event::SelfChecked {
                    started,
                    took: delay,
                    result,
                }
            }
            Effect::KeepAlive { lease } => {
                let result = match away {
                    true => Err(error),
                    false if self.registry.keep_alive(lease, until) => Ok(()),
                    false => Err(RegistryError::LeaseGone),
                };
                Event::KeptAlive { lease, result }
            }
            Effect::Register(record) => {
                let result = match away {
                    true => Err(error),
                    false => Ok(self.registry.register(&record, until)),
                };
                Event::Registered { started, result }
            }
            Effect::Txn { purpose, txn } => {
                if let Some(audit) = self.audit {
                    audit(&purpose, &txn, &self.nodes[index]);
                    self.audited += 1;
                }
                if !away && self.rng.random_range(0..100) < self.late_landings {
                    let late = CALL_TIMEOUT * self.rng.random_range(1..5);
                    self.at(late, Action::Late(index, purpose.clone(), txn));
                    let given_up = Event::TxnDone {
                        purpose,
                        took: CALL_TIMEOUT,
                        result: Err(error),
                    };
                    return self.at(CALL_TIMEOUT, Action::Deliver(index, given_up));
                }
                let outcome = (!away).then(|| self.land(index, &purpose, txn));
                let lost = self.rng.random_range(0..100) < self.lost_answers;
                if lost {
                    delay = CALL_TIMEOUT;
                }
                let result = outcome.filter(|_| !lost).ok_or(error);
                Event::TxnDone {
                    purpose,
                    took: delay,
                    result,
                }
            }
            Effect::Revoke { lease } => {
                if !away {
                    self.registry.revoke(lease);
                }
                Event::Revoked
            }
            effect => panic!("{effect:?} is not for the registry"),
        };
        self.at(delay, Action::Deliver(index, event));
    }

    pub(super) fn tell_watches(&mut self) {
        for index in 0..self.nodes.len() {
            let Some((watch, from)) = self.nodes[index].watch else {
                continue;
            };
            if self.deaf.contains(&index) {
                continue;
            }
            if self.registry_down || self.cut.contains(&index) {
                self.nodes[index].watch = None;
                let error = RegistryError::Unknown("keep-alive timed out".to_owned());
                let ended = Event::WatchEnded { watch, error };
                self.at(Duration::from_secs(3), Action::Deliver(index, ended));
                continue;
            }
            if let Some(batch) = self.registry.changes(from) {
                self.nodes[index].watch = Some((watch, batch.revision + 1));
                // The same for all batches: a watch keeps its order.
                let delay = Duration::from_millis(4);
                self.at(
                    delay,
                    Action::Deliver(index, Event::Watched { watch, batch }),
                );
            }
        }
    }
}
