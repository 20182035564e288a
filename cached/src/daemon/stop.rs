//! How a process ends: its slots are handed over, it signs off, requests finish.

use std::pin::pin;
use std::time::Duration;

use cached_proto::operations::Want;
use cached_proto::records::MemberState;

use super::Daemon;
use crate::cluster::view::{ClusterView, MemberView};

/// Between two lines that say how far the hand-over is.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

/// Longest wait for the registry of a process that is told to end at once.
const HURRY: Duration = Duration::from_millis(500);

/// What was left when a process stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Entries that went with it.
    pub entries_left_behind: u64,
    /// When it signed off, another member was there that could have received them.
    pub others_were_there: bool,
    /// Tasks that did not end in time.
    pub tasks_left: Vec<(&'static str, usize)>,
}

impl Daemon {
    /// Hands its slots over, if somebody is there to take them, and serves meanwhile;
    /// then as [`Daemon::stop_without_drain`], all of it within the drain deadline. When
    /// `at_once` resolves, whatever still goes on is cut short.
    pub async fn stop(self, at_once: impl Future<Output = ()>) -> Stopped {
        let deadline = self.clock.now() + self.drain_deadline;
        let in_order = async {
            if self.name.is_some() && takers(&self.view.load()) > 0 {
                // What is left is for signing off and for the requests under way.
                self.hand_over(self.drain_deadline.mul_f64(0.8)).await;
            }
            let half = deadline.since(self.clock.now()) / 2;
            self.end(half, half).await
        };
        let ended = tokio::select! {
            biased;
            () = at_once => None,
            stopped = in_order => Some(stopped),
        };
        match ended {
            Some(stopped) => stopped,
            None => self.end(HURRY, Duration::ZERO).await,
        }
    }

    /// Signs off, stops accepting, finishes requests, ends every task: all of it
    /// within the drain deadline.
    pub async fn stop_without_drain(self) -> Stopped {
        let half = self.drain_deadline / 2;
        self.end(half, half).await
    }

    /// A part of the time is for the registry, the other for requests and tasks.
    async fn end(&self, sign_off: Duration, finish: Duration) -> Stopped {
        let others_were_there = takers(&self.view.load()) > 0;
        let entries_left_behind = self.cluster.sign_off(sign_off).await;
        let tasks_left = self.tasks.stop_within(finish).await;
        Stopped {
            entries_left_behind,
            others_were_there,
            tasks_left,
        }
    }

    /// Waits until all slots are taken over, at most so long, and says how far it is.
    async fn hand_over(&self, limit: Duration) {
        let mut leave = pin!(self.cluster.leave(limit));
        loop {
            let (slots, entries) = self.held();
            let entries = rounded(entries);
            tracing::info!("draining before the stop: {slots} slots, {entries} entries left");
            tokio::select! {
                biased;
                left = leave.as_mut() => {
                    if left > 0 {
                        tracing::warn!("the drain ended with {left} slots left");
                    }
                    return;
                }
                () = self.clock.sleep(PROGRESS_EVERY) => {}
            }
        }
    }

    /// Slots that are served here, and their entries.
    fn held(&self) -> (usize, u64) {
        let slots = self.store.slots();
        (slots.len(), slots.iter().map(|slot| slot.keys).sum())
    }
}

/// A number of entries for people.
fn rounded(entries: u64) -> String {
    match entries {
        0..10_000 => entries.to_string(),
        10_000..10_000_000 => format!("{}k", entries / 1000),
        _ => format!("{}M", entries / 1_000_000),
    }
}

/// How many other members could take this one's slots: they live, serve, and are not
/// about to give their own away.
fn takers(view: &ClusterView) -> usize {
    let others = view.members.iter().enumerate();
    let others = others.filter(|(index, _)| view.me != Some(*index as u16));
    others
        .filter(|(_, member)| takes_slots(view, member))
        .count()
}

fn takes_slots(view: &ClusterView, member: &MemberView) -> bool {
    let Some(record) = &member.record else {
        return false;
    };
    let intent = view.intents.get(&member.id.name);
    let intent = intent.filter(|intent| intent.inc.is_none_or(|inc| inc == member.id.inc));
    let wanted = match intent.map(|intent| intent.want) {
        Some(Want::Serve) => true,
        Some(Want::Drain | Want::Leave) => false,
        None => !record.standby,
    };
    wanted && matches!(record.state, MemberState::Joining | MemberState::Up)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cached_proto::operation::{Condition, Operation};
    use cached_proto::operations::IntentRecord;
    use cached_proto::types::{Incarnation, Key, Slot};

    use super::*;
    use crate::config::Config;
    use crate::config::layers::Layers;
    use crate::config::raw::RawConfig;
    use crate::daemon::Surroundings;
    use crate::operator::fixture::view;

    fn left(change: impl FnOnce(&mut ClusterView)) -> usize {
        let mut view = view(&["n1", "n2"]);
        change(&mut view);
        takers(&view)
    }

    fn asked(view: &mut ClusterView, want: Want, inc: Option<Incarnation>) {
        let intent = IntentRecord {
            want,
            inc,
            weight: None,
            by: "ann@desk".to_owned(),
            at_ms: 0,
        };
        let name = view.members[1].id.name.clone();
        view.intents.insert(name, intent);
    }

    fn record(view: &mut ClusterView) -> &mut cached_proto::records::MemberRecord {
        view.members[1].record.as_mut().unwrap()
    }

    #[test]
    fn who_takes_slots_over_lives_and_keeps_its_own() {
        assert_eq!(left(|_| ()), 1);
        assert_eq!(left(|view| view.me = None), 2, "a gateway");
        assert_eq!(left(|view| view.members[1].record = None), 0);
        assert_eq!(left(|view| record(view).state = MemberState::Gone), 0);
        assert_eq!(left(|view| record(view).state = MemberState::Draining), 0);
        assert_eq!(left(|view| record(view).state = MemberState::Joining), 1);
        for want in [Want::Drain, Want::Leave] {
            assert_eq!(left(|view| asked(view, want, None)), 0);
            let earlier = Some(Incarnation(99));
            assert_eq!(left(|view| asked(view, want, earlier)), 1, "another life");
        }
        assert_eq!(left(|view| record(view).standby = true), 0);
        let joins = |view: &mut ClusterView| {
            record(view).standby = true;
            asked(view, Want::Serve, None);
        };
        assert_eq!(left(joins), 1);
    }

    /// A node that is its whole cluster, with one entry.
    async fn lone_node() -> Daemon {
        let raw = RawConfig {
            port: Some(0),
            ..RawConfig::default()
        };
        let origins = BTreeMap::new();
        let config = Config::check(&Layers { raw, origins }).unwrap();
        let group = config.group.clone();
        let daemon = Daemon::start(config, Surroundings::default())
            .await
            .unwrap();
        let slot = Slot::all().next().unwrap();
        let mut view = daemon.view.load_full();
        while daemon.store.slot(slot).is_none() || daemon.store.group(&group).is_none() {
            view = tokio::select! {
                newer = daemon.view.newer_than(view.number) => newer,
                () = daemon.clock.sleep(Duration::from_millis(10)) => view,
            };
        }
        let set = Operation::Set {
            key: Key::new("k").unwrap(),
            value: "v".into(),
            ttl: None,
            condition: Condition::Always,
        };
        let id = daemon.store.group(&group).unwrap();
        let wall = daemon.clock.wall();
        daemon.store.execute(slot, id, &set, wall).unwrap();
        daemon
    }

    #[tokio::test]
    async fn the_last_node_has_nobody_to_wait_for() {
        let daemon = lone_node().await;
        let deadline = daemon.drain_deadline;
        let clock = daemon.clock.clone();
        let started = clock.now();
        let stopped = daemon.stop(std::future::pending()).await;
        let expected = Stopped {
            entries_left_behind: 1,
            others_were_there: false,
            tasks_left: Vec::new(),
        };
        assert_eq!(stopped, expected);
        assert!(clock.now().since(started) < deadline / 2);
    }

    #[tokio::test]
    async fn a_second_signal_ends_it_where_it_stands() {
        let daemon = lone_node().await;
        let stopped = daemon.stop(std::future::ready(())).await;
        assert_eq!(stopped.entries_left_behind, 1);
        assert!(!stopped.others_were_there);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0, 9_999, 45_678, 12_345_678].map(rounded);
        assert_eq!(shown, ["0", "9999", "45k", "12M"]);
    }
}
