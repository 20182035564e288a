//! Counters as rates: what changed between two looks at all nodes. Pure.

use std::time::Duration;

use cached_client::admin::{GroupStats, NodeStats};

/// What every node counted in a second on average; its latency is of all between the two. Who was not seen before, or was started
/// anew between the two, counts from nothing; sizes stay what they are.
pub(super) fn rates(before: &[NodeStats], after: &[NodeStats], took: Duration) -> Vec<NodeStats> {
    let seconds = took.as_secs_f64().max(1e-3);
    let after = after.iter();
    let rated = after.map(|node| {
        let same = |old: &&NodeStats| old.incarnation == node.incarnation && old.error.is_none();
        let old = before.iter().find(same).cloned().unwrap_or_default();
        rate(&old, node, seconds)
    });
    rated.collect()
}

fn rate(old: &NodeStats, new: &NodeStats, seconds: f64) -> NodeStats {
    let per = |new: u64, old: u64| (new.saturating_sub(old) as f64 / seconds).round() as u64;
    let mut rated = new.clone();
    for group in &mut rated.groups {
        let before = old.groups.iter().find(|it| it.group == group.group);
        let before = before.cloned().unwrap_or_default();
        *group = GroupStats {
            hits: per(group.hits, before.hits),
            misses: per(group.misses, before.misses),
            sets: per(group.sets, before.sets),
            deletes: per(group.deletes, before.deletes),
            evictions: per(group.evictions, before.evictions),
            expirations: per(group.expirations, before.expirations),
            negative_hits: per(group.negative_hits, before.negative_hits),
            ..group.clone()
        };
    }
    let (requests, was) = (&mut rated.requests, &old.requests);
    requests.rest = per(requests.rest, was.rest);
    requests.grpc = per(requests.grpc, was.grpc);
    requests.resp = per(requests.resp, was.resp);
    requests.peer = per(requests.peer, was.peer);
    requests.forwarded = per(requests.forwarded, was.forwarded);
    requests.retries = per(requests.retries, was.retries);
    requests.failures = per(requests.failures, was.failures);
    let (getter, was) = (&mut rated.getter, &old.getter);
    getter.loads = per(getter.loads, was.loads);
    getter.load_failures = per(getter.load_failures, was.load_failures);
    getter.not_there = per(getter.not_there, was.not_there);
    getter.joined = per(getter.joined, was.joined);
    getter.fills_rejected = per(getter.fills_rejected, was.fills_rejected);
    getter.uncached = per(getter.uncached, was.uncached);
    rated.latency = new.latency.since(&old.latency);
    rated.cpu = new.cpu.saturating_sub(old.cpu).div_f64(seconds);
    rated
}

#[cfg(test)]
mod tests {
    use cached_client::admin::Latency;

    use super::*;

    fn node(incarnation: &str, hits: u64, keys: u64) -> NodeStats {
        NodeStats {
            incarnation: incarnation.to_owned(),
            groups: vec![GroupStats {
                group: "g".to_owned(),
                hits,
                keys,
                ..GroupStats::default()
            }],
            cpu: Duration::from_millis(hits),
            latency: Latency::new([(hits, hits)]),
            ..NodeStats::default()
        }
    }

    #[test]
    fn counters_become_rates_and_sizes_stay() {
        let before = [node("a", 100, 5), node("b", 900, 5)];
        let after = [node("a", 300, 7), node("c", 50, 1)];
        let rated = rates(&before, &after, Duration::from_secs(2));
        assert_eq!((rated[0].groups[0].hits, rated[0].groups[0].keys), (100, 7));
        assert_eq!(rated[0].cpu, Duration::from_millis(100));
        assert_eq!(rated[0].latency, Latency::new([(300, 300)]));
        assert_eq!(rated[1].groups[0].hits, 25, "started anew in between");
    }
}
