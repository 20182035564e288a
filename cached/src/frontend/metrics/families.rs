//! Metrics that come in families: by group, by kind of request; and the getter's.

use cached_proto::pb::cached::admin::v1::GroupStats;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::encode::{counter, gauge};
use super::{Encoded, RequestRow, Snapshot};
use crate::requests::ENDINGS;

impl Snapshot {
    pub(super) fn groups(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        type Row = (&'static str, &'static str, fn(&GroupStats) -> u64);
        const GAUGES: [Row; 1] = [("group_keys", "Entries", |group| group.keys)];
        const BYTES: [Row; 2] = [
            ("group_used", "Keys, values and their overhead", |group| {
                group.bytes
            }),
            (
                "group_limit",
                "This node's share of the group's bound",
                |group| group.limit_bytes,
            ),
        ];
        const COUNTERS: [Row; 7] = [
            ("group_hits", "Reads answered with an entry", |group| {
                group.hits
            }),
            ("group_misses", "Reads answered without", |group| {
                group.misses
            }),
            ("group_sets", "Writes stored", |group| group.sets),
            ("group_deletes", "Entries removed on request", |group| {
                group.deletes
            }),
            (
                "group_evictions",
                "Entries removed for lack of room",
                |group| group.evictions,
            ),
            (
                "group_expirations",
                "Entries whose time was over",
                |group| group.expirations,
            ),
            (
                "group_negative_hits",
                "Reads answered from a remembered \"not there\"",
                |group| group.negative_hits,
            ),
        ];
        for (name, help, value) in GAUGES {
            self.group_family(encoder, name, help, None, MetricType::Gauge, value)?;
        }
        for (name, help, value) in BYTES {
            self.group_family(
                encoder,
                name,
                help,
                Some(&Unit::Bytes),
                MetricType::Gauge,
                value,
            )?;
        }
        for (name, help, value) in COUNTERS {
            self.group_family(encoder, name, help, None, MetricType::Counter, value)?;
        }
        Ok(())
    }

    fn group_family(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        metric_type: MetricType,
        value: fn(&GroupStats) -> u64,
    ) -> Encoded {
        let is_counter = matches!(metric_type, MetricType::Counter);
        let mut family = encoder.encode_descriptor(name, help, unit, metric_type)?;
        for group in &self.stats.groups {
            let labels = [("group", group.group.as_str())];
            let labels = labels.as_slice();
            let mut metric = family.encode_family(&labels)?;
            if is_counter {
                metric.encode_counter::<NoLabelSet, _, u64>(&value(group), None)?;
            } else {
                metric.encode_gauge(&value(group))?;
            }
        }
        Ok(())
    }

    pub(super) fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let help = "Operations on keys by what became of them";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for row in &self.requests {
            for ((_, outcome), count) in ENDINGS.iter().zip(row.endings) {
                let labels = [
                    ("protocol", row.protocol),
                    ("operation", row.kind),
                    ("outcome", outcome),
                ];
                family
                    .encode_family(&labels.as_slice())?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "How long operations on keys took";
        let unit = Some(&Unit::Seconds);
        let kind = MetricType::Histogram;
        let mut family = encoder.encode_descriptor("request_duration", help, unit, kind)?;
        for RequestRow {
            protocol,
            kind,
            durations,
            ..
        } in &self.requests
        {
            let labels = [("protocol", *protocol), ("operation", *kind)];
            family
                .encode_family(&labels.as_slice())?
                .encode_histogram::<NoLabelSet>(
                    durations.sum,
                    durations.count,
                    &durations.buckets,
                    None,
                )?;
        }
        Ok(())
    }

    pub(super) fn passing_on(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let Some(requests) = &self.stats.requests else {
            return Ok(());
        };
        let help = "Operations passed on to their owner";
        counter(encoder, "forwarded", help, requests.forwarded)?;
        counter(
            encoder,
            "retries",
            "Attempts after the first",
            requests.retries,
        )
    }

    pub(super) fn getter(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let Some(getter) = self.stats.getter.as_ref().filter(|getter| getter.enabled) else {
            return Ok(());
        };
        let rows = [
            ("getter_loads", "Loads from the origin", getter.loads),
            (
                "getter_load_failures",
                "Loads that failed",
                getter.load_failures,
            ),
            (
                "getter_not_there",
                "Loads that found nothing",
                getter.not_there,
            ),
            (
                "getter_joined",
                "Requests that waited for a load already running",
                getter.joined,
            ),
            (
                "getter_fills_rejected",
                "Loads that a write overtook",
                getter.fills_rejected,
            ),
            (
                "getter_uncached",
                "Values handed out without being stored",
                getter.uncached,
            ),
        ];
        for (name, help, value) in rows {
            counter(encoder, name, help, value)?;
        }
        let help = "Loads that are under way, or whose time is not over";
        gauge(encoder, "getter_fill_tokens", help, self.stats.fill_tokens)
    }
}
