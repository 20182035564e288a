//! The loop that takes operations to their outcomes: decide, act, learn from the
//! answers, pause, and again, until all are settled or their time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_client::backoff::Backoff;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Operation, Outcome, Route};
use cached_proto::ring::slot_of;
use cached_proto::types::{Epoch, GroupName, MemberId, Slot};
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::FuturesUnordered;

use super::decide::{Decision, Question, decide, unavailable};
use super::journey::{Journey, State, any_due, is_due, line_up};
use super::local::AtStore;
use super::send::{Arrival, Job};
use super::{Router, chunks, groups};
use crate::blacklist::Admission;
use crate::clock::Moment;
use crate::cluster::view::ClusterView;
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

/// What a round does with an operation after deciding.
enum Step {
    Settled(Outcome),
    Paused(Failure),
    Refresh,
    Load,
    LoadUncached,
    Send(Peer, Epoch),
}

impl Router {
    /// Takes operations to their outcomes, in the order given.
    pub(super) async fn travel(&self, trip: &Trip, work: Vec<(Operation, Route)>) -> Vec<Outcome> {
        let group = match self.find_group(trip).await {
            Ok(group) => group,
            Err(failure) => return work.iter().map(|_| Err(failure.clone())).collect(),
        };
        let hash = self.parts.view.load().hash();
        let set_out = |(operation, route): (Operation, Route)| {
            let slot = slot_of(hash, operation.key().as_bytes());
            let checked = self.check(&operation, trip.deadline, trip.started);
            let mut journey = Journey::new(operation, slot, route);
            if let Err(failure) = checked {
                journey.settle(Err(failure));
            }
            journey
        };
        let mut journeys: Vec<Journey> = work.into_iter().map(set_out).collect();
        line_up(&mut journeys);
        self.go_rounds(trip, group, &mut journeys).await;
        journeys.into_iter().map(Journey::into_outcome).collect()
    }

    /// Every journey is settled afterwards: each round settles or pauses what is
    /// ready, except for redirects and refreshes, which a journey counts; pauses
    /// are counted here; and time ends.
    async fn go_rounds(&self, trip: &Trip, group: GroupId, journeys: &mut [Journey]) {
        let clock = &self.parts.clock;
        let mut attempt = 0;
        loop {
            let now = clock.now();
            if now >= trip.deadline {
                let allowed = trip.deadline.since(trip.started);
                return journeys
                    .iter_mut()
                    .for_each(|journey| journey.expire(allowed));
            }
            if any_due(journeys) {
                self.round(trip, group, journeys).await;
                continue;
            }
            let left = trip.deadline.since(now);
            let pause = self.next_pause(trip, journeys, attempt, left);
            if any_due(journeys) {
                continue;
            }
            let Some(pause) = pause else {
                return;
            };
            attempt += 1;
            clock.sleep(pause).await;
            let paused = journeys.iter_mut().filter(|journey| journey.is_paused());
            paused.for_each(|journey| {
                self.parts.counters.retries.increment();
                journey.wake();
            });
        }
    }

    /// The pause before the next round; `None` when nothing is left to wait for.
    /// What cannot succeed within the time left fails now rather than later.
    fn next_pause(
        &self,
        trip: &Trip,
        journeys: &mut [Journey],
        attempt: u32,
        left: Duration,
    ) -> Option<Duration> {
        let pause = trip.backoff.pause(attempt, left, self.jitter());
        let mut advised = Duration::MAX;
        for journey in journeys.iter_mut() {
            let State::Paused(failure) = &journey.state else {
                continue;
            };
            let advice = failure.retry_after.unwrap_or(Duration::ZERO);
            if pause.is_none() || advice >= left {
                let loadable = !trip.for_peer && self.may_load(&trip.group, &journey.operation);
                journey.give_up(loadable);
            } else {
                advised = advised.min(advice);
            }
        }
        let waiting = journeys.iter().any(Journey::is_paused);
        pause.filter(|_| waiting).map(|pause| pause.max(advised))
    }

    /// Decides every operation whose turn it is, and acts on the decisions together.
    /// Of one key goes out one write or some reads in a round: whether the next may
    /// follow is known when their answers are there.
    async fn round(&self, trip: &Trip, group: GroupId, journeys: &mut [Journey]) {
        let view = self.parts.view.load_full();
        let mut jobs = Vec::new();
        let mut sends: BTreeMap<Peer, Vec<(usize, Operation, Epoch)>> = BTreeMap::new();
        let mut stale = Vec::new();
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
                Step::Refresh => stale.push(index),
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
        let refresh = self.refresh(trip, journeys, &stale);
        join(refresh, self.run_jobs(trip, jobs, journeys)).await;
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
        let question = Question {
            hint: journey.hint.as_ref(),
            refreshed: journey.refreshed,
            loadable: loadable && !trip.for_peer,
            ..self.question(view, journey.slot, journey.route, now)
        };
        match decide(&question, admit) {
            Decision::Local => {
                let wall = question.wall;
                match self.at_store(journey.slot, group, &journey.operation, loadable, wall) {
                    AtStore::Settled(outcome) => Step::Settled(outcome),
                    AtStore::Missed => Step::Load,
                    AtStore::NotServed(failure) => Step::Paused(failure),
                }
            }
            Decision::Listed(failure) if journey.was_attempted() => Step::Paused(failure),
            Decision::Refuse(failure) | Decision::Listed(failure) => Step::Settled(Err(failure)),
            Decision::RefreshFirst => Step::Refresh,
            Decision::LoadUncached => Step::LoadUncached,
            Decision::Forward { peer, epoch } => Step::Send(peer, epoch),
        }
    }

    /// Waits a short while for rows as new as others have shown them; nothing to
    /// wait for if nothing is stale.
    fn refresh<'a>(
        &'a self,
        trip: &Trip,
        journeys: &mut [Journey],
        stale: &[usize],
    ) -> impl Future<Output = ()> + use<'a> {
        let deadline = trip.deadline;
        let mark = |&index: &usize| {
            journeys[index].refreshed = true;
            journeys[index].shown()
        };
        let wanted: Vec<_> = stale.iter().map(mark).collect();
        async move {
            if wanted.is_empty() {
                return;
            }
            let newer = |(slot, epoch): &(Slot, Epoch), view: &ClusterView| {
                view.owner(*slot).is_some_and(|(_, known)| known >= *epoch)
            };
            let enough = |view: &ClusterView| wanted.iter().all(|row| newer(row, view));
            self.refresher.rows(deadline, enough).await;
        }
    }

    /// Runs jobs, some at a time, and tells each operation what arrived for it.
    async fn run_jobs(&self, trip: &Trip, jobs: Vec<Job>, journeys: &mut [Journey]) {
        let mut waiting = jobs.into_iter();
        let mut running: FuturesUnordered<_> = waiting
            .by_ref()
            .take(PARALLEL_MAX)
            .map(|job| self.run(trip, job))
            .collect();
        while let Some(arrivals) = running.next().await {
            for (index, arrival) in arrivals {
                let journey = &mut journeys[index];
                match arrival {
                    Arrival::Settled(outcome) => journey.settle(outcome),
                    Arrival::NotServed(failure) => journey.pause(failure),
                    Arrival::NotSent(failure) => journey.not_sent(failure),
                    Arrival::Lost(failure) => journey.lost(failure),
                    Arrival::Answered(outcome, epoch) => journey.answered(outcome, epoch),
                }
                if !journey.is_settled() {
                    // Whatever it was, the table may know better by now.
                    self.refresher.ask();
                }
            }
            if let Some(job) = waiting.next() {
                running.push(self.run(trip, job));
            }
        }
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
