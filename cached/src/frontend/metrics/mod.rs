//! `/metrics` in the OpenMetrics text format: everything is read when it is asked
//! for, nothing is kept twice. Never a key in a label.

mod encode;
mod families;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::pb::cached::admin::v1::{NodeStats, StatusResponse};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::FrontendParts;
use crate::requests::{Durations, ENDINGS, KINDS, PROTOCOLS};
use encode::{bytes, counter, counter_of, gauge, gauge_of};

/// What the body is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Encoded = Result<(), std::fmt::Error>;

/// All metrics of the process as text.
pub(super) async fn scrape(parts: &FrontendParts) -> Result<String, Failure> {
    let mut registry = Registry::with_prefix("cached");
    let snapshot = Snapshot::of(parts).await;
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    text::encode(&mut text, &registry)
        .map_err(|error| Failure::new(FailureCode::Internal, format!("metrics: {error}")))?;
    Ok(text)
}

/// Everything that is told, as it was at one instant.
#[derive(Debug)]
struct Snapshot {
    stats: NodeStats,
    status: StatusResponse,
    ready: bool,
    connections_refused: u64,
    hottest_share: f64,
    /// One for each request kind that has been seen: protocol, kind, endings, durations.
    requests: Vec<RequestRow>,
}

#[derive(Debug)]
struct RequestRow {
    protocol: &'static str,
    kind: &'static str,
    endings: [u64; ENDINGS.len()],
    durations: Durations,
}

impl Snapshot {
    async fn of(parts: &FrontendParts) -> Self {
        Self {
            stats: parts.operator.own_stats(),
            status: parts.operator.status().await,
            ready: parts.operator.ready().is_ok(),
            connections_refused: parts.counters.connections_refused.get(),
            hottest_share: parts.operator.hottest_share(),
            requests: request_rows(parts),
        }
    }
}

fn request_rows(parts: &FrontendParts) -> Vec<RequestRow> {
    let mut rows = Vec::new();
    for (protocol, protocol_label) in PROTOCOLS {
        for (kind, kind_label) in KINDS {
            let durations = parts.requests.durations(protocol, kind);
            if durations.count == 0 {
                continue;
            }
            let endings = ENDINGS.map(|(ending, _)| parts.requests.count(protocol, kind, ending));
            rows.push(RequestRow {
                protocol: protocol_label,
                kind: kind_label,
                endings,
                durations,
            });
        }
    }
    rows
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let encoder = &mut encoder;
        self.process(encoder)?;
        self.node(encoder)?;
        self.registry(encoder)?;
        self.groups(encoder)?;
        let help = "Share of the hottest key in the operations carried out here lately";
        let share = self.hottest_share;
        gauge_of(
            encoder,
            "hottest_key_share",
            help,
            Some(&Unit::Ratios),
            share,
        )?;
        self.requests(encoder)?;
        self.passing_on(encoder)?;
        self.getter(encoder)
    }
}

impl Snapshot {
    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let labels = [
            ("version", self.status.software_version.as_str()),
            ("role", &self.status.role),
        ];
        encoder
            .encode_descriptor("build", "What runs here", None, MetricType::Info)?
            .encode_info(&labels.as_slice())?;
        let seconds = self.stats.uptime_ms as f64 / 1e3;
        gauge_of(
            encoder,
            "uptime",
            "Age of the process",
            Some(&Unit::Seconds),
            seconds,
        )?;
        let seconds = self.stats.cpu_micros as f64 / 1e6;
        let help = "Processor time used, user and system";
        counter_of(encoder, "process_cpu", help, Some(&Unit::Seconds), seconds)?;
        let help = "Resident memory of the process";
        bytes(
            encoder,
            "process_resident_memory",
            help,
            self.stats.resident_bytes,
        )?;
        let connections = self
            .stats
            .requests
            .as_ref()
            .map_or(0, |requests| requests.connections);
        gauge(encoder, "connections", "Open connections", connections)?;
        let memory = self.stats.memory.unwrap_or_default();
        let help = "Held of Redis commands whose end has not come";
        bytes(encoder, "unfinished", help, memory.connection_bytes)?;
        let help = "Connections turned away because too many were open";
        counter(
            encoder,
            "connections_refused",
            help,
            self.connections_refused,
        )
    }

    fn node(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let (stats, status) = (&self.stats, &self.status);
        let help = "1 while requests should be sent here";
        gauge(encoder, "ready", help, self.ready.into())?;
        let help = "1 while this node serves nothing because it is not sure of itself";
        gauge(encoder, "fenced", help, status.fenced.into())?;
        let help = "1 while it serves without having reached the registry lately";
        gauge(encoder, "degraded", help, status.degraded.into())?;
        let help = "Bound on keys, values and their overhead";
        bytes(encoder, "memory_limit", help, stats.memory_limit_bytes)?;
        let help = "Keys, values and their overhead";
        bytes(encoder, "memory_used", help, stats.memory_used_bytes)?;
        gauge(
            encoder,
            "slots",
            "Slots that this node owns",
            stats.slots.into(),
        )?;
        let help = "Slots that this node took over empty";
        counter(encoder, "slots_lost", help, stats.slots_lost)?;
        gauge(
            encoder,
            "layout",
            "Number of the layout in force",
            status.layout,
        )?;
        let help = "Slots of the cluster without a living owner";
        gauge(
            encoder,
            "cluster_slots_unowned",
            help,
            status.slots_unowned.into(),
        )?;
        let members = [
            ("up", status.members_up),
            ("joining", status.members_joining),
            ("draining", status.members_draining),
            ("down", status.members_down),
        ];
        let help = "Members of the cluster by state, as this node sees them";
        let mut family = encoder.encode_descriptor("members", help, None, MetricType::Gauge)?;
        for (state, count) in members {
            family
                .encode_family(&[("state", state)].as_slice())?
                .encode_gauge(&count)?;
        }
        Ok(())
    }

    fn registry(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let Some(registry) = &self.status.registry else {
            return Ok(());
        };
        let help = "1 while the registry answers";
        gauge(
            encoder,
            "registry_reachable",
            help,
            registry.reachable.into(),
        )?;
        let help = "Duration of the last linearizable read";
        let seconds = registry.round_trip_micros as f64 / 1e6;
        gauge_of(
            encoder,
            "registry_round_trip",
            help,
            Some(&Unit::Seconds),
            seconds,
        )
    }
}
