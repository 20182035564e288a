//! What is known of the cluster, and the rates that follow from it. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cached_client::admin::{Blacklist, GroupStats, Latency, NodeStats, Operation, Status};
use cached_client::operations::OperationState;
use cached_client::records::GroupRecord;

use super::message::{HotKey, Now, Update};
use super::shape::{NodeState, Shape};

/// Samples of traffic: five minutes, one each second.
const SAMPLES_MAX: usize = 300;

/// Operations that are remembered; the cluster itself forgets old ones.
const OPERATIONS_MAX: usize = 100;

/// What is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// Members and rows.
    pub shape: Option<Shape>,
    /// The owner of each slot, as the shape says.
    pub owners: Vec<u16>,
    /// The shape when the layout was another one.
    pub before: Option<Shape>,
    /// When the shape was told.
    pub shape_at: Duration,
    /// Health.
    pub status: Option<Status>,
    /// When it was told.
    pub status_at: Duration,
    /// By incarnation.
    pub stats: BTreeMap<String, NodeStats>,
    /// By incarnation.
    pub rates: BTreeMap<String, Rates>,
    /// When the counters were told.
    pub stats_at: Option<Duration>,
    /// Traffic of the whole cluster, newest last.
    pub traffic: VecDeque<Rates>,
    /// By id.
    pub operations: BTreeMap<String, Operation>,
    /// Who does not attempt whom.
    pub blacklist: Blacklist,
    /// When that was told: entries end by themselves.
    pub blacklist_at: Duration,
    /// Groups and their settings.
    pub groups: Vec<GroupRecord>,
    /// Keys that are asked for often, hottest first.
    pub hot_keys: Vec<HotKey>,
    /// Counters of groups before and now, for their rates.
    pub group_rates: BTreeMap<String, Rates>,
}

/// What happened in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Reads, writes and removals.
    pub operations: f64,
    /// Reads that found an entry.
    pub hits: f64,
    /// Reads that found none.
    pub misses: f64,
    /// Entries removed for lack of room.
    pub evictions: f64,
    /// Processor time, of one core.
    pub cpu: f64,
    /// What all but a hundredth of the requests took at most; `None`: there were none, or
    /// it is not told.
    pub p99: Option<Duration>,
}

impl Rates {
    /// The part of reads that found an entry; `None`: nothing was read.
    pub fn hit_ratio(&self) -> Option<f64> {
        let reads = self.hits + self.misses;
        (reads > 0.0).then(|| self.hits / reads)
    }

    /// Percentiles cannot be added.
    fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.hits += other.hits;
        self.misses += other.misses;
        self.evictions += other.evictions;
        self.cpu += other.cpu;
    }
}

impl Data {
    /// Takes over what a stream said.
    pub fn absorb(&mut self, now: Now, update: Update) {
        match update {
            Update::Topology(shape) => self.absorb_shape(now, shape),
            Update::Status(status) => {
                self.status = Some(status);
                self.status_at = now.since_start;
            }
            Update::Stats(stats) => self.absorb_stats(now, stats),
            Update::Operation(operation) => self.absorb_operation(operation),
            Update::Blacklist(blacklist) => {
                self.blacklist = blacklist;
                self.blacklist_at = now.since_start;
            }
            Update::Groups(groups) => self.groups = groups,
            Update::HotKeys(keys) => self.hot_keys = keys,
            // The log has them.
            Update::Event(_) => {}
        }
    }

    fn absorb_shape(&mut self, now: Now, shape: Shape) {
        let other = self.shape.as_ref().filter(|old| old.layout != shape.layout);
        if let Some(old) = other {
            self.before = Some(old.clone());
        }
        self.owners = shape.owners();
        self.shape = Some(shape);
        self.shape_at = now.since_start;
    }

    fn absorb_operation(&mut self, operation: Operation) {
        if operation.state == OperationState::Planned {
            return;
        }
        self.operations.insert(operation.id.clone(), operation);
        if self.operations.len() > OPERATIONS_MAX {
            let oldest = self.operations.values().min_by_key(|it| it.requested_at_ms);
            if let Some(id) = oldest.map(|it| it.id.clone()) {
                self.operations.remove(&id);
            }
        }
    }

    fn absorb_stats(&mut self, now: Now, stats: Vec<NodeStats>) {
        let elapsed = self.stats_at.map(|at| now.since_start.saturating_sub(at));
        // Two answers at once say nothing about a second.
        let seconds = elapsed.map(|it| it.as_secs_f64()).filter(|it| *it > 0.05);
        let mut whole = Rates::default();
        let mut latency = Latency::default();
        let mut rates = BTreeMap::new();
        let mut groups: BTreeMap<String, Rates> = BTreeMap::new();
        for node in stats.iter().filter(|node| node.error.is_none()) {
            let before = self.stats.get(&node.incarnation);
            let before = before.filter(|before| before.error.is_none());
            let (Some(before), Some(seconds)) = (before, seconds) else {
                continue;
            };
            let took = node.latency.since(&before.latency);
            latency.add(&took);
            let mut sum = Rates {
                p99: took.quantile(0.99),
                cpu: node.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds,
                ..Rates::default()
            };
            for group in &node.groups {
                let old = before.groups.iter().find(|old| old.group == group.group);
                let since = difference(old, group, seconds);
                sum.add(&since);
                groups.entry(group.group.clone()).or_default().add(&since);
            }
            whole.add(&sum);
            rates.insert(node.incarnation.clone(), sum);
        }
        whole.p99 = latency.quantile(0.99);
        if seconds.is_some() {
            self.traffic.push_back(whole);
            if self.traffic.len() > SAMPLES_MAX {
                self.traffic.pop_front();
            }
            self.rates = rates;
            self.group_rates = groups;
        }
        self.stats = stats
            .into_iter()
            .map(|node| (node.incarnation.clone(), node))
            .collect();
        self.stats_at = Some(now.since_start);
    }

    /// The operation that is open, or asked for.
    pub fn open_operation(&self) -> Option<&Operation> {
        let open = |it: &&Operation| it.state.is_open() || it.state == OperationState::Requested;
        self.operations.values().find(open)
    }

    /// Operations, newest first.
    pub fn operations_by_age(&self) -> Vec<&Operation> {
        let mut operations: Vec<&Operation> = self.operations.values().collect();
        operations.sort_by(|one, other| {
            let key = |it: &Operation| (it.state.is_final(), std::cmp::Reverse(it.requested_at_ms));
            key(one)
                .cmp(&key(other))
                .then_with(|| one.id.cmp(&other.id))
        });
        operations
    }

    /// Members in this state.
    pub fn count(&self, state: NodeState) -> usize {
        let nodes = self.shape.iter().flat_map(|shape| &shape.nodes);
        nodes.filter(|node| node.state == state).count()
    }

    /// For each slot that is on its way: the receiver.
    pub fn moving(&self) -> BTreeMap<u16, u16> {
        let (Some(operation), Some(shape)) = (self.open_operation(), &self.shape) else {
            return BTreeMap::new();
        };
        let mut moving = BTreeMap::new();
        for pair in &operation.pairs {
            let receiver = shape.nodes.iter().position(|node| node.name == pair.to);
            let receiver = receiver.and_then(|index| u16::try_from(index).ok());
            let slots = pair.batches.iter().flat_map(|batch| &batch.slots);
            for slot in slots.filter_map(|slot| u16::try_from(*slot).ok()) {
                moving.insert(slot, receiver.unwrap_or(super::shape::NOBODY));
            }
        }
        moving
    }

    /// What all nodes hold: keys and bytes.
    pub fn held(&self) -> (u64, u64) {
        let known = self.stats.values();
        known.fold((0, 0), |(keys, bytes), node| {
            let own: u64 = node.groups.iter().map(|group| group.keys).sum();
            (keys + own, bytes + node.memory_used_bytes)
        })
    }
}

fn difference(old: Option<&GroupStats>, new: &GroupStats, seconds: f64) -> Rates {
    let zero = GroupStats::default();
    let old = old.unwrap_or(&zero);
    let per_second = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
    let all = |it: &GroupStats| it.hits + it.misses + it.sets + it.deletes;
    Rates {
        operations: per_second(all(new), all(old)),
        hits: per_second(new.hits, old.hits),
        misses: per_second(new.misses, old.misses),
        evictions: per_second(new.evictions, old.evictions),
        ..Rates::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            since_start: Duration::from_secs(seconds),
            unix_ms: 0,
        }
    }

    fn stats(inc: &str, hits: u64, misses: u64) -> NodeStats {
        NodeStats {
            incarnation: inc.to_owned(),
            groups: vec![GroupStats {
                group: "g".to_owned(),
                hits,
                misses,
                ..GroupStats::default()
            }],
            latency: Latency::new([(20, hits), (5000, misses)]),
            ..NodeStats::default()
        }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let mut data = Data::default();
        data.absorb(at(1), Update::Stats(vec![stats("a", 100, 0)]));
        assert!(data.traffic.is_empty(), "one sample is no rate");
        data.absorb(at(3), Update::Stats(vec![stats("a", 160, 40)]));
        let rates = data.rates["a"];
        assert_eq!((rates.operations, rates.hits), (50.0, 30.0));
        assert_eq!(rates.hit_ratio(), Some(0.6));
        assert_eq!(rates.p99, Some(Duration::from_millis(5)));
        assert_eq!(data.traffic.back(), Some(&rates));
        // A new life begins at zero, and has no rate yet.
        data.absorb(at(4), Update::Stats(vec![stats("b", 5, 5)]));
        assert_eq!(data.rates.get("b"), None);
        assert_eq!(data.traffic.back(), Some(&Rates::default()));
    }

    #[test]
    fn counters_that_went_back_are_no_rate() {
        let mut data = Data::default();
        data.absorb(at(1), Update::Stats(vec![stats("a", 100, 7)]));
        data.absorb(at(2), Update::Stats(vec![stats("a", 3, 7)]));
        assert_eq!(data.rates["a"].operations, 0.0);
        assert_eq!(data.rates["a"].hit_ratio(), None);
    }

    #[test]
    fn samples_are_bounded() {
        let mut data = Data::default();
        for second in 0..SAMPLES_MAX as u64 + 50 {
            data.absorb(at(second), Update::Stats(vec![stats("a", second, 0)]));
        }
        assert_eq!(data.traffic.len(), SAMPLES_MAX);
    }

    #[test]
    fn the_last_layout_is_kept_for_comparison() {
        let mut data = Data::default();
        let shape = |layout| Shape {
            layout,
            ..Shape::default()
        };
        for layout in [3, 3, 4, 4] {
            data.absorb(at(1), Update::Topology(shape(layout)));
        }
        assert_eq!(data.before.as_ref().map(|it| it.layout), Some(3));
        assert_eq!(data.shape.as_ref().map(|it| it.layout), Some(4));
    }
}
