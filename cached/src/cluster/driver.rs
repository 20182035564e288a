//! The loop around the state: takes events, carries out what follows from them. It
//! never waits for the registry or a peer; helpers do, and send back what they learn.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::register::register;
use super::shared::{LastProbe, Shared, probe};
use super::slots::Opened;
use super::state::event::{Effect, Event, Level, Purpose};
use super::state::{State, still_after};
use crate::clock::Moment;
use crate::faults::crash_point;
use crate::peers::Peer;
use crate::registry::{Range, RegistryError, Snapshot};
use crate::tasks::Stop;
use crate::transfer::Told;

/// How often time alone is an event: much finer than any interval of the protocol,
/// and nothing to an idle processor.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Events that may wait: far more than helpers that can run at a time.
pub(super) const EVENTS_MAX: usize = 1024;

/// How often the list of problems is made anew for its "for N s".
const PROBLEMS_EVERY: Duration = Duration::from_secs(1);

/// How old a peer's own probe may be to found its opinion on.
const OPINION_FRESH: Duration = Duration::from_secs(2);

pub(super) struct Driver {
    shared: Arc<Shared>,
    state: State,
    events: mpsc::Receiver<Event>,
    told: mpsc::Receiver<Told>,
    /// Ends the watch that runs.
    watch: CancellationToken,
    problems_at: Moment,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: State,
        events: mpsc::Receiver<Event>,
        told: mpsc::Receiver<Told>,
    ) -> Self {
        let problems_at = Moment::default();
        Self {
            shared,
            state,
            events,
            told,
            watch: CancellationToken::new(),
            problems_at,
        }
    }

    pub(super) async fn run(mut self, stop: Stop) {
        let shared = self.shared.clone();
        let mut tick = std::pin::pin!(shared.clock.sleep(Duration::ZERO));
        loop {
            // The tick comes first: a flood of events must not hold time up.
            let event = tokio::select! { biased;
                () = stop.stopped() => break,
                () = &mut tick => {
                    tick.set(shared.clock.sleep(TICK));
                    Event::Tick { wall: shared.clock.wall() }
                }
                Some(told) = self.told.recv() => match told {
                    Told::Move { id, news } => Event::Move { id, news },
                    Told::Committed(record) => Event::Committed(record),
                },
                Some(event) = self.events.recv() => event,
                () = shared.view.refresh_asked() => Event::RefreshAsked,
            };
            let now = shared.clock.now();
            let effects = self.state.on_event(event, now);
            let published = effects
                .iter()
                .any(|effect| matches!(effect, Effect::Publish(_)));
            let mut opened = Opened::default();
            for effect in effects {
                self.carry_out(effect, &mut opened, now);
            }
            opened.finish(&self.shared);
            // Last, so that what follows from having stood still is seen first.
            let fence = shared.view.fence();
            fence.set_awake_until(now + still_after(shared.config.fence_after));
            self.note_facts(published, now);
        }
        self.watch.cancel();
    }

    fn note_facts(&mut self, published: bool, now: Moment) {
        let stale = published || now >= self.problems_at + PROBLEMS_EVERY;
        let problems = stale.then(|| self.state.problems(now));
        let trouble = self.state.move_trouble(now);
        let mut facts = self.shared.facts.lock();
        facts.registry_ok = self.state.registry_ok();
        facts.round_trip = self.state.round_trip();
        facts.create_revision = self.state.create_revision();
        facts.trouble = trouble;
        if let Some(problems) = problems {
            facts.problems = problems;
            self.problems_at = now;
        }
    }

    fn carry_out(&mut self, effect: Effect, opened: &mut Opened, now: Moment) {
        let shared = &self.shared;
        let fence = shared.view.fence();
        match effect {
            Effect::OpenSlot {
                slot,
                epoch,
                attempt,
            } => opened.open(shared, slot, epoch, attempt),
            Effect::CloseSlot { slot, epoch } => opened.close(shared, slot, epoch),
            Effect::RowRead {
                slot,
                epoch,
                attempt,
            } => shared.transfers.row_read(slot, epoch, attempt),
            Effect::WakeParked => shared.parking.wake(),
            Effect::StartMove(order) => shared.transfers.start(*order),
            Effect::SealMove(id) => shared.transfers.seal(&id),
            Effect::EndMove { id, end } => shared.transfers.end(&id, end),
            Effect::SetMoveRate(rate) => shared.transfers.set_rate(rate),
            Effect::OpenFence => fence.open(),
            Effect::CloseFence(reason) => fence.close(reason),
            Effect::ExtendFence { started } => fence.extend(started, shared.config.fence_after),
            Effect::DegradedUntil(until) => fence.set_degraded_until(until),
            Effect::Publish(view) => shared.view.publish(*view),
            Effect::Log { level, text } => log(level, &text),
            Effect::SignedOff => shared.signed_off.cancel(),
            Effect::GiveUp(why) => {
                shared.facts.lock().refused = Some(why);
                shared.gave_up.cancel();
            }
            Effect::Watch { watch, from } => self.watch(watch, from),
            Effect::Probe(peer) => self.probe(peer, now),
            Effect::Report { .. } | Effect::AskOpinion { .. } => self.ask_peer(effect),
            effect => self.ask_registry(effect, now),
        }
    }

    /// Runs a helper that ends in an event.
    fn help(&self, name: &'static str, work: impl Future<Output = Event> + Send + 'static) {
        let events = self.shared.events.clone();
        self.shared.tasks.spawn(name, |stop| async move {
            tokio::select! { biased;
                () = stop.stopped() => {}
                // An error says that the driver has ended, and nobody cares any more.
                event = work => drop(events.send(event).await),
            }
        });
    }

    fn ask_registry(&self, effect: Effect, started: Moment) {
        let (registry, clock) = (self.shared.registry.clone(), self.shared.clock.clone());
        let shared = self.shared.clone();
        match effect {
            Effect::Read(ranges) => self.help("cluster-read", async move {
                let (result, took) = read_all(&shared, ranges).await;
                Event::Read {
                    started,
                    took,
                    result,
                }
            }),
            Effect::SelfCheck { key } => self.help("cluster-self-check", async move {
                let result = registry.read(Range::Key(key)).await;
                Event::SelfChecked {
                    started,
                    took: clock.now().since(started),
                    result,
                }
            }),
            Effect::KeepAlive { lease } => self.help("cluster-keep-alive", async move {
                let result = registry.keep_alive(lease).await.map(drop);
                Event::KeptAlive { lease, result }
            }),
            Effect::Register(record) => self.help("cluster-register", async move {
                let ttl = shared.config.lease_ttl;
                let result = register(&registry, &shared.keys, &record, ttl).await;
                Event::Registered { started, result }
            }),
            Effect::Txn { purpose, txn } => self.help("cluster-txn", async move {
                let commit = matches!(purpose, Purpose::Commit(_));
                if commit {
                    crash_point("before-commit");
                }
                let result = registry.txn(txn).await;
                match &result {
                    Ok(_) if commit => crash_point("after-commit"),
                    Err(RegistryError::Unknown(_)) if commit => crash_point("in-doubt"),
                    _ => {}
                }
                Event::TxnDone {
                    purpose,
                    took: clock.now().since(started),
                    result,
                }
            }),
            Effect::Revoke { lease } => self.help("cluster-revoke", async move {
                if let Err(error) = registry.revoke(lease).await {
                    tracing::warn!("the lease could not be ended and will expire: {error}");
                }
                Event::Revoked
            }),
            effect => unreachable!("{effect:?} is carried out elsewhere"),
        }
    }

    fn probe(&self, peer: Peer, started: Moment) {
        let shared = self.shared.clone();
        self.help("cluster-probe", async move {
            let timeout = shared.config.probe_timeout;
            let result = probe(&*shared.peers, &shared.clock, &peer, timeout).await;
            let last = LastProbe::new(started, &peer.id, result.as_ref().map(|(it, _)| it));
            shared.remember_probe(peer.id.clone(), last);
            let result = result.map(|(answer, sample)| (answer, sample.offset_ms));
            Event::Probed {
                peer,
                started,
                result,
            }
        });
    }

    fn ask_peer(&self, effect: Effect) {
        let shared = self.shared.clone();
        let timeout = shared.config.probe_timeout;
        match effect {
            Effect::AskOpinion {
                of,
                about,
                inquiry,
                pause,
            } => {
                self.help("cluster-opinion", async move {
                    shared.clock.sleep(pause).await;
                    let verdict = shared
                        .peers
                        .opinion(&of, &about, OPINION_FRESH, timeout)
                        .await;
                    let result = verdict.map_err(|error| error.to_string());
                    Event::Opinion {
                        about: about.id,
                        from: of,
                        inquiry,
                        result,
                    }
                });
            }
            Effect::Report { to, suspects } => {
                self.shared.tasks.spawn("cluster-report", |stop| async move {
                    tokio::select! { biased;
                        () = stop.stopped() => {}
                        result = shared.peers.report(&to, suspects, timeout) => {
                            if let Err(error) = result {
                                let name = &to.id.name;
                                tracing::debug!("suspicions were not reported to {name}: {error}");
                            }
                        }
                    }
                });
            }
            effect => unreachable!("{effect:?} is carried out elsewhere"),
        }
    }

    /// Watches from a revision on, instead of the watch that runs.
    fn watch(&mut self, watch: u64, from: i64) {
        self.watch.cancel();
        self.watch = CancellationToken::new();
        let ended = self.watch.clone();
        let shared = self.shared.clone();
        self.shared.tasks.spawn("cluster-watch", |stop| async move {
            tokio::select! { biased;
                () = stop.stopped() => {}
                () = ended.cancelled() => {}
                error = follow(&shared, watch, from) => {
                    drop(shared.events.send(Event::WatchEnded { watch, error }).await);
                }
            }
        });
    }
}

/// Reads ranges one after the other; answers how long the slowest took, too.
async fn read_all(
    shared: &Shared,
    ranges: Vec<Range>,
) -> (Result<Vec<(Range, Snapshot)>, RegistryError>, Duration) {
    let (mut listings, mut slowest) = (Vec::with_capacity(ranges.len()), Duration::ZERO);
    for range in ranges {
        let started = shared.clock.now();
        let answer = shared.registry.read(range.clone()).await;
        slowest = slowest.max(shared.clock.now().since(started));
        match answer {
            Ok(snapshot) => listings.push((range, snapshot)),
            Err(error) => return (Err(error), slowest),
        }
    }
    (Ok(listings), slowest)
}

/// Passes changes on until the watch ends.
async fn follow(shared: &Shared, watch: u64, from: i64) -> RegistryError {
    let mut changes = match shared.registry.watch(shared.keys.prefix(), from).await {
        Ok(changes) => changes,
        Err(error) => return error,
    };
    loop {
        match changes.next().await {
            Ok(batch) => drop(shared.events.send(Event::Watched { watch, batch }).await),
            Err(error) => return error,
        }
    }
}

fn log(level: Level, text: &str) {
    match level {
        Level::Info => tracing::info!("{text}"),
        Level::Warn => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
    }
}
