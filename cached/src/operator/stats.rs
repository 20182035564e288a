//! Counters: this process's own, and those of every member.

use std::sync::Arc;

use cached_proto::pb::cached::admin::v1::{
    GetterStats, GroupStats, LatencyBucket, MemoryStats, NodeStats, RecentStats, RequestStats,
    StatsResponse,
};
use cached_proto::types::GroupName;

use super::fan_out::{ASK_TIMEOUT, Whom, ask_all, everyone};
use super::{Operator, me, millis, process};
use crate::cluster::view::MemberView;
use crate::counters::Counters;
use crate::recent::Counted;
use crate::requests::{BOUNDS_MICROS, BUCKETS};
use crate::store::{GroupCounters, GroupSettings, MemoryUse};

impl Operator {
    /// Counters of every member (a gateway is none), each asked directly and for
    /// at most a second; who cannot be asked has a row that says why. With
    /// `own_node_only`, this process's own, whatever it is.
    pub async fn stats(&self, own_node_only: bool) -> StatsResponse {
        if own_node_only {
            return StatsResponse {
                nodes: vec![self.own_stats()],
            };
        }
        let view = self.parts.view.load_full();
        let mut nodes = ask_all(everyone(&view), |whom| self.stats_of(whom)).await;
        if view.me.is_none() && self.parts.name.is_some() {
            nodes.push(self.own_stats());
        }
        StatsResponse { nodes }
    }

    async fn stats_of(&self, whom: Whom) -> NodeStats {
        match whom {
            Whom::Me(_) => self.own_stats(),
            Whom::Away(member) => silent(&member, "is no member now".to_owned()),
            Whom::Living(member, peer) => {
                let peers = Arc::clone(&self.parts.peers);
                match peers.stats(&peer, ASK_TIMEOUT).await {
                    Ok(stats) => stats,
                    Err(error) => silent(&member, error.to_string()),
                }
            }
        }
    }

    /// This process's own counters.
    pub fn own_stats(&self) -> NodeStats {
        let parts = &self.parts;
        let view = parts.view.load();
        let me = me(&view);
        let groups = parts.store.group_counters();
        let fills_rejected = groups
            .iter()
            .map(|(_, _, counters)| counters.fills_rejected)
            .sum();
        let resident_bytes = process::resident_bytes();
        let counted = Counted::now(&parts.store, &parts.requests);
        let (window, recent) = parts.recent.until(parts.clock.now(), &counted);
        NodeStats {
            name: self.shown_name().to_owned(),
            incarnation: me
                .map(|member| member.id.inc.to_string())
                .unwrap_or_default(),
            address: me.map(address).unwrap_or_default(),
            error: String::new(),
            uptime_ms: millis(parts.clock.now().since(parts.started)),
            memory_limit_bytes: parts.store.memory_bytes(),
            memory_used_bytes: parts.store.used_bytes(),
            resident_bytes,
            slots: me.map_or(0, |member| member.slots),
            groups: groups.into_iter().map(group_stats).collect(),
            requests: Some(request_stats(&parts.counters)),
            getter: Some(getter_stats(
                &parts.counters,
                parts.getter_enabled,
                fills_rejected,
            )),
            fill_tokens: parts.store.fill_tokens(),
            slots_lost: parts.counters.slots_lost.get(),
            cpu_micros: process::cpu_micros(),
            keys_shed: parts.counters.keys_shed.get(),
            parked: parts.parking.waiting() as u64,
            staged_bytes: parts.transfers.staged_bytes(),
            memory: Some(memory_stats(
                &parts.store.memory_use(),
                parts.counters.unfinished_bytes.get(),
                resident_bytes,
            )),
            latency: latency_buckets(&counted.latency),
            recent: Some(recent_stats(millis(window), &recent)),
        }
    }
}

/// The row of a member that did not answer.
fn silent(member: &MemberView, error: String) -> NodeStats {
    NodeStats {
        name: member.id.name.to_string(),
        incarnation: member.id.inc.to_string(),
        address: address(member),
        error,
        ..NodeStats::default()
    }
}

fn address(member: &MemberView) -> String {
    member
        .record
        .as_ref()
        .map(|record| record.address.clone())
        .unwrap_or_default()
}

fn group_stats(
    (group, settings, counters): (GroupName, GroupSettings, GroupCounters),
) -> GroupStats {
    GroupStats {
        group: group.to_string(),
        keys: counters.keys,
        bytes: counters.bytes,
        limit_bytes: settings.max_bytes.unwrap_or(0),
        hits: counters.hits,
        misses: counters.misses,
        sets: counters.sets,
        deletes: counters.deletes,
        evictions: counters.evictions,
        expirations: counters.expirations,
        negative_hits: counters.negative_hits,
    }
}

/// What resident memory is; of several nodes in one process, all of it is each one's.
fn memory_stats(used: &MemoryUse, connection_bytes: u64, resident_bytes: u64) -> MemoryStats {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    MemoryStats {
        payload_bytes: used.payload,
        staged_bytes: used.staged,
        overhead_bytes: used.overhead,
        table_bytes: used.tables,
        free_bytes: used.free,
        index_bytes: used.index,
        connection_bytes,
        other_bytes: signed(resident_bytes) - signed(used.sum() + connection_bytes),
    }
}

fn recent_stats(window_ms: u64, recent: &Counted) -> RecentStats {
    RecentStats {
        window_ms,
        operations: recent.operations,
        hits: recent.hits,
        misses: recent.misses,
        evictions: recent.evictions,
        latency: latency_buckets(&recent.latency),
    }
}

/// Buckets that hold something.
fn latency_buckets(counts: &[u64; BUCKETS]) -> Vec<LatencyBucket> {
    let buckets = BOUNDS_MICROS.into_iter().zip(*counts);
    let told = buckets.filter(|(_, count)| *count > 0);
    let told = told.map(|(up_to_micros, count)| LatencyBucket {
        up_to_micros,
        count,
    });
    told.collect()
}

fn request_stats(counters: &Counters) -> RequestStats {
    RequestStats {
        rest: counters.rest.get(),
        grpc: counters.grpc.get(),
        resp: counters.resp.get(),
        peer: counters.peer.get(),
        forwarded: counters.forwarded.get(),
        retries: counters.retries.get(),
        failures: counters.failures.get(),
        connections: counters.connections.get(),
    }
}

fn getter_stats(counters: &Counters, enabled: bool, fills_rejected: u64) -> GetterStats {
    GetterStats {
        enabled,
        loads: counters.loads.get(),
        load_failures: counters.load_failures.get(),
        not_there: counters.loads_not_there.get(),
        joined: counters.loads_joined.get(),
        fills_rejected,
        uncached: counters.loads_uncached.get(),
    }
}
