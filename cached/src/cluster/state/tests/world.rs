//! Several states, a registry and the wires between them, in simulated time: the
//! driver's part is played by a queue. After every event it is checked that no slot
//! is served twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::records::Mode;
use cached_proto::types::{Epoch, Incarnation, MemberId, SLOTS, Slot};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::event::{Effect, Event, Level, Purpose, Registration};
use super::super::{Birth, State};
use super::registry::{Fake, LEASE, member_key};
use super::transfers::{Ledger, Transfers, in_order};
use crate::clock::{Moment, WallMs};
use crate::cluster::ClusterConfig;
use crate::cluster::shared::LastProbe;
use crate::cluster::testing;
use crate::cluster::view::{ClusterView, Fence, Serving};
use crate::registry::Txn;
use crate::transfer::order::MoveId;

const TICK: Duration = Duration::from_millis(100);

/// One life of a member.
pub(super) struct Node {
    pub(super) id: MemberId,
    pub(super) state: State,
    pub(super) fence: Fence,
    pub(super) served: BTreeMap<Slot, Epoch>,
    pub(super) view: ClusterView,
    pub(super) lost: u64,
    pub(super) signed_off: bool,
    pub(super) gave_up: Option<String>,
    /// Of the last registration, also after the sign-off.
    pub(super) last_create_revision: i64,
    pub(super) probed: BTreeMap<MemberId, (Moment, Option<bool>)>,
    pub(super) alive: bool,
    pub(super) paused: bool,
    /// Next revision to be told, and the watch's number.
    pub(super) watch: Option<(u64, i64)>,
    pub(super) transfers: Transfers,
    mode: Mode,
}

impl Node {
    pub(super) fn serving(&self, now: Moment) -> Serving {
        self.fence.check(now)
    }

    pub(super) fn create_revision(&self) -> i64 {
        self.state.create_revision().unwrap_or(0)
    }
}

pub(super) enum Action {
    Deliver(usize, Event),
    Registry(usize, Effect),
    /// A transaction that nobody waits for any more.
    Late(usize, Purpose, Txn),
    /// A batch has been sent once.
    Copied(usize, MoveId),
    /// A sealed batch has arrived.
    Drained(usize, MoveId),
}

pub(super) struct World {
    pub(super) now: Moment,
    pub(super) registry: Fake,
    pub(super) nodes: Vec<Node>,
    pub(super) log: Vec<(Moment, String)>,
    queue: BTreeMap<(Moment, u64), Action>,
    sequence: u64,
    next_tick: Moment,
    pub(super) rng: StdRng,
    /// The registry answers nobody.
    pub(super) registry_down: bool,
    /// It refuses everybody, at once.
    pub(super) registry_refuses: bool,
    /// How often it was called.
    pub(super) calls: u64,
    /// Lives that cannot reach the registry.
    pub(super) cut: BTreeSet<usize>,
    /// Pairs of lives, in both directions, that cannot reach each other.
    pub(super) unlinked: BTreeSet<(usize, usize)>,
    /// Whoever is at the first one's address does not let the second one in.
    pub(super) refusing: BTreeSet<(usize, usize)>,
    /// Lives whose watch has fallen silent.
    pub(super) deaf: BTreeSet<usize>,
    /// Chance, in percent, that a transaction lands and its answer is lost.
    pub(super) lost_answers: u32,
    /// Chance, in percent, that it is given up first and lands seconds later.
    pub(super) late_landings: u32,
    pub(super) events: u64,
    /// Looks at every transaction before it is carried out.
    pub(super) audit: Option<fn(&Purpose, &Txn, &Node)>,
    pub(super) audited: u64,
    /// What happened to data.
    pub(super) ledger: Ledger,
    /// All members are of mode strict.
    pub(super) is_strict: bool,
    /// How slow the registry's answers are at most; `None`: as fast as usual.
    pub(super) slow: Option<Duration>,
    /// Slots that are looked at after every event.
    pub(super) sample: Vec<Slot>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Moment::from_micros(1_000_000),
            registry: Fake::new(),
            nodes: Vec::new(),
            log: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            next_tick: Moment::from_micros(1_000_000),
            rng: StdRng::seed_from_u64(seed),
            registry_down: false,
            registry_refuses: false,
            calls: 0,
            cut: BTreeSet::new(),
            unlinked: BTreeSet::new(),
            refusing: BTreeSet::new(),
            deaf: BTreeSet::new(),
            lost_answers: 0,
            late_landings: 0,
            events: 0,
            audit: None,
            audited: 0,
            ledger: Ledger::default(),
            is_strict: true,
            slow: None,
            sample: Slot::all().step_by(509).collect(),
        }
    }

    /// Starts a member whose name is free; answers its index.
    pub(super) fn start(&mut self, config: &ClusterConfig, name: &str) -> usize {
        self.start_after(config, name, None)
    }

    /// A member with settings like `config`, as the next life of its name.
    pub(super) fn start_after(
        &mut self,
        config: &ClusterConfig,
        name: &str,
        predecessor: Option<(MemberId, super::super::Absent)>,
    ) -> usize {
        let config = ClusterConfig {
            member: Some(testing::member(name)),
            ..config.clone()
        };
        self.start_life(&config, predecessor)
    }

    /// The member that the settings name.
    pub(super) fn start_as(&mut self, config: &ClusterConfig) -> usize {
        self.start_life(config, None)
    }

    fn start_life(
        &mut self,
        config: &ClusterConfig,
        predecessor: Option<(MemberId, super::super::Absent)>,
    ) -> usize {
        let mut record = config.member.clone().expect("a member");
        let name = record.id.name.clone();
        record.id.inc = Incarnation(self.rng.random());
        let config = ClusterConfig {
            member: Some(record.clone()),
            ..config.clone()
        };
        let registration = self.registry.register(&record, self.now + LEASE);
        let Registration::Ours {
            lease,
            create_revision,
        } = registration
        else {
            panic!("{name} is taken")
        };
        let birth = Birth {
            lease,
            create_revision,
            at: self.now,
            predecessor,
        };
        let state = State::new(config.clone(), Some(birth), self.rng.random(), self.now);
        self.is_strict &= config.mode == Mode::Strict;
        self.nodes.push(Node {
            id: record.id,
            state,
            fence: Fence::new(config.mode == Mode::Strict),
            served: BTreeMap::new(),
            view: ClusterView::empty(),
            lost: 0,
            signed_off: false,
            gave_up: None,
            last_create_revision: 0,
            probed: BTreeMap::new(),
            alive: true,
            paused: false,
            watch: None,
            transfers: Transfers::default(),
            mode: config.mode,
        });
        self.nodes.len() - 1
    }

    /// kill -9.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
    }

    pub(super) fn pause(&mut self, node: usize, paused: bool) {
        self.nodes[node].paused = paused;
    }

    pub(super) fn unlink(&mut self, a: usize, b: usize) {
        self.unlinked.insert((a, b));
        self.unlinked.insert((b, a));
    }

    pub(super) fn send(&mut self, node: usize, event: Event) {
        self.at(Duration::ZERO, Action::Deliver(node, event));
    }

    /// Runs for a time.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run_while(end, |_| true);
        self.now = end;
    }

    /// Runs until something is so; answers how long that took.
    pub(super) fn run_until(&mut self, limit: Duration, so: impl Fn(&Self) -> bool) -> Duration {
        let (start, end) = (self.now, self.now + limit);
        self.run_while(end, |world| !so(world));
        assert!(so(self), "not within {limit:?}; log:\n{}", self.story());
        self.now.since(start)
    }

    /// The end of the log, for people.
    pub(super) fn story(&self) -> String {
        let line =
            |(at, text): &(Moment, String)| format!("{:9.3} {text}\n", at.as_micros() as f64 / 1e6);
        self.log[self.log.len().saturating_sub(60)..]
            .iter()
            .map(line)
            .collect()
    }

    pub(super) fn logged(&self, text: &str) -> bool {
        self.log.iter().any(|(_, line)| line.contains(text))
    }

    fn run_while(&mut self, end: Moment, go_on: impl Fn(&Self) -> bool) {
        while go_on(self) {
            let next = self.queue.keys().next().map(|(at, _)| *at);
            let at = next.map_or(self.next_tick, |at| at.min(self.next_tick));
            if at > end {
                return;
            }
            self.now = self.now.max(at);
            if !self.registry_down {
                self.registry.expire(self.now);
            }
            if next.is_some_and(|at| at <= self.next_tick) {
                let (_, action) = self.queue.pop_first().unwrap();
                self.act(action);
            } else {
                self.next_tick = self.next_tick + TICK;
                for node in 0..self.nodes.len() {
                    self.deliver(
                        node,
                        Event::Tick {
                            wall: WallMs(self.now.as_micros() / 1_000),
                        },
                    );
                }
            }
            self.tell_watches();
            self.check();
            if self.events.is_multiple_of(10) {
                self.use_a_slot();
            }
        }
    }

    pub(super) fn at(&mut self, delay: Duration, action: Action) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), action);
    }

    pub(super) fn delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(500..8_000))
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Deliver(node, event) => self.deliver(node, event),
            Action::Registry(node, effect) => self.call_registry(node, effect),
            Action::Late(node, purpose, txn) => drop(self.land(node, &purpose, txn)),
            Action::Copied(node, id) if self.nodes[node].alive => self.copied(node, id),
            Action::Drained(node, id) if self.nodes[node].alive => self.drained(node, id),
            Action::Copied(..) | Action::Drained(..) => {}
        }
    }

    fn deliver(&mut self, node: usize, event: Event) {
        if !self.nodes[node].alive {
            return;
        }
        if self.nodes[node].paused {
            if !matches!(event, Event::Tick { .. }) {
                self.at(TICK, Action::Deliver(node, event));
            }
            return;
        }
        if let Event::Probed {
            peer,
            started,
            result,
        } = &event
        {
            let result = result.as_ref().map(|(answer, _)| answer);
            let last = LastProbe::new(*started, &peer.id, result);
            self.nodes[node]
                .probed
                .insert(peer.id.clone(), (*started, last.fenced));
        }
        self.events += 1;
        let effects = self.nodes[node].state.on_event(event, self.now);
        in_order(&effects);
        let own = &mut self.nodes[node];
        own.last_create_revision = own.create_revision().max(own.last_create_revision);
        for effect in effects {
            self.carry_out(node, effect);
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        let now = self.now;
        let node = &mut self.nodes[index];
        match effect {
            Effect::OpenSlot {
                slot,
                epoch,
                attempt,
            } => {
                node.served.insert(slot, epoch);
                let empty = !self.open_data(index, slot, epoch, attempt);
                let lost = empty && epoch > super::super::FIRST_EPOCH;
                self.nodes[index].lost += u64::from(lost);
            }
            Effect::RowRead {
                slot,
                epoch,
                attempt,
            } => self.row_read(index, slot, epoch, attempt),
            Effect::WakeParked => node.transfers.wakes += 1,
            Effect::SetMoveRate(rate) => node.transfers.rate = rate,
            Effect::StartMove(order) => self.start_move(index, *order),
            Effect::SealMove(id) => self.seal_move(index, id),
            Effect::EndMove { id, end } => self.end_move(index, &id, end),
            Effect::CloseSlot { slot, epoch } => {
                node.transfers.data.remove(&slot);
                assert_eq!(
                    node.served.remove(&slot),
                    Some(epoch),
                    "closed what was not open"
                );
                self.closes_lawfully(index, slot, epoch);
            }
            Effect::OpenFence => node.fence.open(),
            Effect::CloseFence(reason) => node.fence.close(reason),
            Effect::ExtendFence { started } => node.fence.extend(started, Duration::from_secs(5)),
            Effect::DegradedUntil(until) => node.fence.set_degraded_until(until),
            Effect::Publish(view) => {
                assert!(view.number > node.view.number, "views go forward");
                node.view = *view;
            }
            Effect::Log { level, text } => {
                let name = &node.id.name;
                let mark = if level == Level::Error { "ERROR " } else { "" };
                self.log.push((now, format!("{name}: {mark}{text}")));
            }
            Effect::SignedOff => node.signed_off = true,
            Effect::GiveUp(why) => node.gave_up = Some(why),
            Effect::Watch { watch, from } => node.watch = Some((watch, from)),
            Effect::Probe(peer) => self.probe(index, peer),
            Effect::Report { to, suspects } => {
                let refused = self.refuses(&to, index);
                if let Some(to) = self.reachable(index, &to).filter(|_| !refused) {
                    let from = self.nodes[index].id.name.clone();
                    let delay = self.delay();
                    self.at(
                        delay,
                        Action::Deliver(to, Event::Reported { from, suspects }),
                    );
                }
            }
            Effect::AskOpinion {
                of,
                about,
                inquiry,
                pause,
            } => {
                self.ask_opinion(index, of, about, inquiry, pause);
            }
            effect => {
                let delay = self.delay();
                self.at(delay, Action::Registry(index, effect));
            }
        }
    }

    /// I1: in mode strict no slot is served by two nodes at any instant.
    fn check(&self) {
        for slot in &self.sample {
            let serves = |node: &&Node| {
                node.alive
                    && node.mode == Mode::Strict
                    && node.served.contains_key(slot)
                    && !node.transfers.sealed.contains(slot)
                    && node.serving(self.now) == Serving::Yes
            };
            let servers: Vec<_> = self.nodes.iter().filter(serves).map(|n| &n.id).collect();
            assert!(
                servers.len() <= 1,
                "slot {slot} is served by {servers:?}:\n{}",
                self.story()
            );
        }
    }

    // ---- what tests ask ----

    pub(super) fn serves(&self, node: usize) -> usize {
        let node = &self.nodes[node];
        match node.serving(self.now) {
            Serving::Fenced(_) => 0,
            Serving::Yes | Serving::Degraded => node.served.len(),
        }
    }

    pub(super) fn answers(&self, node: usize) -> bool {
        self.nodes[node].alive && !self.nodes[node].paused
    }

    /// Every slot is served by exactly one living node.
    pub(super) fn whole(&self) -> bool {
        let living = (0..self.nodes.len()).filter(|node| self.nodes[*node].alive);
        living.map(|node| self.serves(node)).sum::<usize>() == usize::from(SLOTS)
    }

    pub(super) fn registered(&self, name: &str) -> bool {
        self.registry.get(&member_key(name)).is_some()
    }

    pub(super) fn problems(&self, node: usize) -> Vec<String> {
        self.nodes[node].state.problems(self.now)
    }
}
