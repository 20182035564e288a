//! The loop that takes operations to their outcomes: decide, act, learn from the
//! answers, pause, and again, until all are settled or their time is over.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::time::Duration;

use cached_client::backoff::Backoff;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Operation, Outcome, Route};
use cached_proto::ring::slot_of;
use cached_proto::types::{Epoch, GroupName, MemberId, Slot};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::decide::{Decision, Question, decide, unavailable};
use super::journey::{Journey, State, any_due, is_due, line_up};
use super::local::{AtStore, Blocked};
use super::send::{Arrival, Job};
use super::{Router, chunks, groups};
use crate::blacklist::Admission;
use crate::clock::Moment;
use crate::cluster::view::ClusterView;
use crate::faults::{Fault, planted};
use crate::peers::Peer;
use crate::store::GroupId;

/// Peer calls and loads of one batch at a time: a batch must not take all the
/// getter's turns, nor open more streams than a few for each node.
const PARALLEL_MAX: usize = 32;

/// Operations of one group on their way together.
#[derive(Debug)]
pub(super) struct Trip {
    pub(super) group: GroupName,
    pub(super) started: Moment,
    pub(super) deadline: Moment,
    pub(super) backoff: Backoff,
    /// Another node passed them on: nothing is sent, nothing loaded uncached.
    pub(super) for_peer: bool,
}

/// An operation, and who finds its owner.
pub(super) struct Work {
    pub(super) operation: Operation,
    pub(super) route: Route,
    /// What a first attempt on its owner brought; `None`: there was none.
    pub(super) arrival: Option<Arrival>,
}

/// What a round does with an operation after deciding.
enum Step {
    Settled(Outcome),
    Paused(Failure),
    Blocked(Blocked),
    Refresh,
    Load,
    LoadUncached,
    Send(Peer, Epoch),
}

impl Router {
    /// Takes operations to their outcomes, in the order given. Some may be on their way
    /// already: then what arrived for them is known.
    pub(super) async fn travel(&self, trip: &Trip, work: Vec<Work>) -> Vec<Outcome> {
        let hash = self.parts.view.load().hash();
        let mut arrivals = Vec::new();
        let mut journeys = Vec::with_capacity(work.len());
        for (index, work) in work.into_iter().enumerate() {
            let slot = slot_of(hash, work.operation.key().as_bytes());
            let checked = self.check(&work.operation, trip.deadline, trip.started);
            let mut journey = Journey::new(work.operation, slot, work.route);
            match (work.arrival, checked) {
                (Some(arrival), _) => {
                    journey.leave();
                    arrivals.push((index, arrival));
                }
                (None, Err(failure)) => journey.settle(Err(failure)),
                (None, Ok(())) => {}
            }
            journeys.push(journey);
        }
        line_up(&mut journeys);
        self.arrive(arrivals, &mut journeys);
        self.parts.clock.pause_point().await;
        match self.find_group(trip).await {
            Ok(group) => self.go_rounds(trip, group, &mut journeys).await,
            Err(failure) => {
                let open = journeys.iter_mut().filter(|journey| !journey.is_settled());
                open.for_each(|journey| journey.settle(Err(failure.clone())));
            }
        }
        journeys.into_iter().map(Journey::into_outcome).collect()
    }

    /// Every journey is settled afterwards: what is ready is decided and settles, pauses,
    /// parks or leaves with a job, and each of these ends: redirects, refreshes and pauses
    /// are counted, jobs end by the deadline, and so does waiting for a slot.
    async fn go_rounds(&self, trip: &Trip, group: GroupId, journeys: &mut [Journey]) {
        let (clock, parking) = (&self.parts.clock, &self.parts.parking);
        let mut waiting = VecDeque::new();
        let mut running = FuturesUnordered::new();
        // Made before any slot is looked at: it hears of every wake after this moment.
        let mut woken = pin!(parking.changed());
        loop {
            let now = clock.now();
            if now >= trip.deadline {
                call_off(&mut waiting, journeys);
                let allowed = trip.deadline.since(trip.started);
                let here = journeys.iter_mut().filter(|journey| !journey.is_away());
                here.for_each(|journey| journey.expire(allowed));
            } else {
                if any_due(journeys) {
                    waiting.extend(self.round(trip, group, journeys));
                }
                let free = PARALLEL_MAX
                    .saturating_sub(running.len())
                    .min(waiting.len());
                running.extend(waiting.drain(..free).map(|job| self.run(trip, job)));
                self.plan_pauses(trip, journeys, now);
                if any_due(journeys) {
                    continue;
                }
            }
            if journeys.iter().all(Journey::is_settled) {
                return;
            }
            // Jobs end by the deadline of themselves, and know more about their outcome.
            let until = journeys.iter().filter_map(|journey| journey.again_at).min();
            let until = until.map_or(trip.deadline, |at| at.min(trip.deadline));
            let over = now >= trip.deadline;
            tokio::select! {
                biased;
                () = woken.as_mut() => {
                    // First listen, then look: else a wake between the two is lost.
                    woken.set(parking.changed());
                    journeys.iter_mut().filter(|journey| journey.is_parked()).for_each(Journey::wake);
                }
                Some(arrivals) = running.next() => {
                    self.arrive(arrivals, journeys);
                    // What arrived together goes on together.
                    while let Some(Some(arrivals)) = running.next().now_or_never() {
                        self.arrive(arrivals, journeys);
                    }
                }
                () = clock.sleep(until.since(now)), if !over => {
                    self.wake_due(trip, journeys);
                }
            }
        }
    }

    /// Ends the pauses and waits whose time has come. At the deadline they are left as
    /// they are: what they wait for is told then.
    fn wake_due(&self, trip: &Trip, journeys: &mut [Journey]) {
        let now = self.parts.clock.now();
        if now >= trip.deadline {
            return;
        }
        let due = |journey: &&mut Journey| journey.again_at.is_some_and(|at| at <= now);
        for journey in journeys.iter_mut().filter(due) {
            if journey.is_paused() {
                self.parts.counters.retries.increment();
            }
            journey.wake();
        }
    }

    /// Says how long those pause that have just begun to. One draw for all, so that what
    /// failed together goes on together. What cannot succeed within the time left fails
    /// now rather than later.
    fn plan_pauses(&self, trip: &Trip, journeys: &mut [Journey], now: Moment) {
        let left = trip.deadline.since(now);
        let mut draw = None;
        for journey in journeys.iter_mut() {
            let State::Paused(failure) = &journey.state else {
                continue;
            };
            if journey.again_at.is_some() {
                continue;
            }
            let advice = failure.retry_after.unwrap_or(Duration::ZERO);
            let jitter = *draw.get_or_insert_with(|| self.jitter());
            match trip.backoff.pause(journey.pauses, left, jitter) {
                Some(pause) if advice < left => {
                    journey.pauses += 1;
                    journey.again_at = Some(now + pause.max(advice));
                }
                _ => {
                    let loadable = !trip.for_peer && self.may_load(&trip.group, &journey.operation);
                    journey.give_up(loadable);
                }
            }
        }
    }

    /// Decides every operation whose turn it is, and acts on the decisions together.
    /// Of one key goes out one write or some reads in a round: whether the next may
    /// follow is known when their answers are there.
    fn round(&self, trip: &Trip, group: GroupId, journeys: &mut [Journey]) -> Vec<Job> {
        let view = self.parts.view.load_full();
        let mut jobs = Vec::new();
        let mut sends: BTreeMap<Peer, Vec<(usize, Operation, Epoch)>> = BTreeMap::new();
        let mut stale: BTreeMap<(Slot, Epoch), Vec<usize>> = BTreeMap::new();
        // Asked once for each owner: a probe that a breaker lets through is the one
        // call in which all of this round's operations on that owner travel.
        let mut admissions = BTreeMap::new();
        let mut admit = |owner: &MemberId| self.admit_once(&mut admissions, owner);
        for index in 0..journeys.len() {
            if !is_due(journeys, index) {
                continue;
            }
            let journey = &mut journeys[index];
            match self.step(trip, group, &view, journey, &mut admit) {
                Step::Settled(outcome) => journey.settle(outcome),
                Step::Paused(failure) => journey.pause(failure),
                Step::Blocked(blocked) => self.park(journey, blocked),
                Step::Refresh => {
                    journey.refreshed = true;
                    stale.entry(journey.shown()).or_default().push(index);
                }
                Step::Load => jobs.push(self.load_job(trip, group, &view, index, journey)),
                Step::LoadUncached => {
                    jobs.push(Job::LoadUncached {
                        index,
                        operation: journey.operation.clone(),
                    });
                }
                Step::Send(peer, epoch) => {
                    sends
                        .entry(peer)
                        .or_default()
                        .push((index, journey.operation.clone(), epoch));
                }
            }
        }
        let value_bytes_max = self.parts.limits.value_bytes_max;
        for (peer, work) in sends {
            let runs = chunks::cut(work, value_bytes_max, |(_, operation, _)| operation);
            jobs.extend(runs.into_iter().map(|work| Job::Send {
                peer: peer.clone(),
                work,
            }));
        }
        let refresh = |((slot, epoch), indexes)| Job::Refresh {
            slot,
            epoch,
            indexes,
        };
        jobs.extend(stale.into_iter().map(refresh));
        for index in jobs.iter().flat_map(Job::indexes) {
            journeys[index].leave();
        }
        jobs
    }

    fn admit_once(
        &self,
        admissions: &mut BTreeMap<MemberId, Admission>,
        owner: &MemberId,
    ) -> Admission {
        if let Some(admission) = admissions.get(owner) {
            return admission.clone();
        }
        let admission = self.parts.breakers.admit(owner);
        admissions.insert(owner.clone(), admission.clone());
        admission
    }

    fn step(
        &self,
        trip: &Trip,
        group: GroupId,
        view: &ClusterView,
        journey: &Journey,
        admit: &mut dyn FnMut(&MemberId) -> Admission,
    ) -> Step {
        if journey.last_resort {
            return Step::LoadUncached;
        }
        let loadable = self.may_load(&trip.group, &journey.operation);
        let now = self.parts.clock.now();
        let asked = match planted(Fault::R14) {
            true => trip.started,
            false => now,
        };
        let question = Question {
            hint: journey.hint.as_ref(),
            refreshed: journey.refreshed,
            loadable: loadable && !trip.for_peer,
            ..self.question(view, journey.slot, journey.route, asked)
        };
        match decide(&question, admit) {
            Decision::Local => {
                let times = (question.wall, asked);
                match self.at_store(journey.slot, group, &journey.operation, loadable, times) {
                    AtStore::Settled(outcome) => Step::Settled(outcome),
                    AtStore::Missed => Step::Load,
                    AtStore::Blocked(blocked) => Step::Blocked(blocked),
                }
            }
            Decision::Listed(failure) if journey.was_attempted() => Step::Paused(failure),
            Decision::Refuse(failure) | Decision::Listed(failure) => Step::Settled(Err(failure)),
            Decision::AwaitReturn(failure) => Step::Blocked(Blocked::vanished(failure)),
            Decision::RefreshFirst => Step::Refresh,
            Decision::LoadUncached => Step::LoadUncached,
            Decision::Forward { peer, epoch } => Step::Send(peer, epoch),
        }
    }

    /// Tells each operation what arrived for it.
    fn arrive(&self, arrivals: Vec<(usize, Arrival)>, journeys: &mut [Journey]) {
        for (index, arrival) in arrivals {
            let journey = &mut journeys[index];
            let refreshed = matches!(arrival, Arrival::Refreshed);
            match arrival {
                Arrival::Settled(outcome) => journey.settle(outcome),
                Arrival::Blocked(blocked) => self.park(journey, blocked),
                Arrival::NotSent(failure) => journey.not_sent(failure),
                Arrival::Lost(failure) => journey.lost(failure),
                Arrival::Answered(outcome, epoch) => journey.answered(outcome, epoch),
                Arrival::Refreshed => journey.come_back(),
            }
            if !journey.is_settled() && !refreshed {
                // Whatever it was, the table may know better by now.
                self.refresher.ask();
            }
        }
    }

    fn park(&self, journey: &mut Journey, blocked: Blocked) {
        let now = self.parts.clock.now();
        journey.park(blocked, now, |bytes| self.parts.parking.enter(bytes));
    }

    /// The group's number in the store. A group that nobody here knows is looked
    /// for in the registry once a second; group names are few, so most are typing
    /// errors. In between nobody here knows whether the group was just created.
    async fn find_group(&self, trip: &Trip) -> Result<GroupId, Failure> {
        let find = || groups::resolve(&self.parts.view.load(), &self.parts.store, &trip.group);
        if let Some(group) = find() {
            return Ok(group);
        }
        if !self.parts.view.load().table_loaded {
            let message = "this node has not loaded the slot table yet";
            return Err(unavailable(message, Duration::from_secs(1)));
        }
        let known = |view: &ClusterView| view.groups.contains_key(&trip.group);
        let looked = self.refresher.groups(trip.deadline, known).await;
        find().ok_or_else(|| {
            if let Err(pause) = looked {
                let message = format!(
                    "group {:?} is not known here, and the registry was read a moment ago",
                    trip.group
                );
                return unavailable(message, pause);
            }
            let message = format!("group {:?} does not exist", trip.group);
            let mut failure = Failure::new(FailureCode::UnknownGroup, message);
            failure.field = Some("group");
            failure
        })
    }
}

/// Gives up what has not been begun: it was certainly not carried out.
fn call_off(waiting: &mut VecDeque<Job>, journeys: &mut [Journey]) {
    for index in waiting.drain(..).flat_map(|job| job.indexes()) {
        journeys[index].come_back();
    }
}
