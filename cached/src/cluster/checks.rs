//! What is checked before a node becomes part of a cluster: its settings, its clock,
//! the registry's version. Pure; refusals say what to change.

use std::time::Duration;

use cached_proto::limits::CLOCK_OFFSET_MS_MAX;
use cached_proto::records::{MetaRecord, Mode};
use cached_proto::ring::ALGORITHM;
use cached_proto::types::NodeName;

use super::ClusterConfig;

/// Refuses a node that was told something else than the cluster was bootstrapped with.
pub(crate) fn settings(config: &ClusterConfig, meta: &MetaRecord) -> Result<(), String> {
    let cluster = &meta.cluster;
    let differs =
        |what: &str, theirs: &dyn std::fmt::Display, ours: &dyn std::fmt::Display, fix: String| {
            Err(format!(
                "cluster {cluster} uses {what} {theirs}, this node {ours}: {fix}"
            ))
        };
    let flag = |name: &str, value: &dyn std::fmt::Display| {
        format!("start it with --{name} {value}, or in another cluster (--cluster)")
    };
    if config.cluster != meta.cluster {
        let (theirs, ours) = (&meta.cluster, &config.cluster);
        return Err(format!(
            "the registry's prefix of cluster {ours} holds cluster {theirs}"
        ));
    }
    if config.hash != meta.hash {
        return differs(
            "key hash",
            &meta.hash,
            &config.hash,
            flag("hash", &meta.hash),
        );
    }
    if config.mode != meta.mode {
        return differs("mode", &meta.mode, &config.mode, flag("mode", &meta.mode));
    }
    if config.virtual_nodes != meta.virtual_nodes {
        let fix = flag("virtual-nodes", &meta.virtual_nodes);
        return differs(
            "virtual nodes",
            &meta.virtual_nodes,
            &config.virtual_nodes,
            fix,
        );
    }
    if ALGORITHM != meta.algorithm {
        let fix = "run the version of the other members".to_owned();
        return differs("ring algorithm", &meta.algorithm, &ALGORITHM, fix);
    }
    Ok(())
}

/// One probe as a clock sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockSample {
    /// From sending to the answer.
    pub(crate) round_trip: Duration,
    /// The other clock less ours in the middle of the round trip, in milliseconds.
    pub(crate) offset_ms: i64,
}

/// Refuses a clock that is certainly off: of several samples the quickest is the most
/// exact, and it is exact to half its round trip.
pub(crate) fn clock(member: &NodeName, samples: &[ClockSample]) -> Result<(), String> {
    let Some(best) = samples.iter().min_by_key(|sample| sample.round_trip) else {
        return Ok(());
    };
    let doubt = u64::try_from(best.round_trip.as_millis() / 2).unwrap_or(u64::MAX);
    let off = best.offset_ms.unsigned_abs();
    if off <= CLOCK_OFFSET_MS_MAX.saturating_add(doubt) {
        return Ok(());
    }
    let direction = if best.offset_ms > 0 {
        "behind"
    } else {
        "ahead of"
    };
    Err(format!(
        "the clock of this node is {off} ms {direction} that of {member}; the limit is \
         {CLOCK_OFFSET_MS_MAX} ms, because times to live travel as deadlines: set the clock \
         (NTP) of whichever is wrong"
    ))
}

/// What to say of a registry server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Good,
    Warn(String),
    Refuse(String),
}

/// Judges the registry server's version: before 3.5.28 and 3.6.9 leases could end early
/// and linearizable reads be stale (R11, R13), which mode `strict` cannot bear.
pub(crate) fn version(server: &str, mode: Mode) -> Version {
    let mut parts = server
        .split(['.', '-', '+'])
        .map(|part| part.parse::<u32>().ok());
    let mut next = || parts.next().flatten();
    let least = match (next(), next(), next()) {
        (Some(3), Some(5), Some(patch)) if patch >= 28 => return Version::Good,
        (Some(3), Some(6), Some(patch)) if patch >= 9 => return Version::Good,
        (Some(3), Some(minor), _) if minor > 6 => return Version::Good,
        (Some(major), ..) if major > 3 => return Version::Good,
        (Some(3), Some(6), _) => "3.6.9",
        _ => "3.5.28",
    };
    let text = format!(
        "the registry server is version {server}; before {least} it may end leases early and \
         answer reads from the past"
    );
    match mode {
        Mode::Available => Version::Warn(text),
        Mode::Strict => Version::Refuse(format!(
            "{text}, which --mode strict cannot bear: upgrade it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing;
    use cached_proto::ring::hash::KeyHash;

    #[test]
    fn each_setting_that_differs_is_refused_by_both_values_and_the_flag() {
        let config = testing::config("n1");
        let good = testing::meta(&config);
        assert_eq!(settings(&config, &good), Ok(()));
        let cases: [(MetaRecord, [&str; 3]); 4] = [
            (
                MetaRecord {
                    hash: KeyHash::Xxh3,
                    ..good.clone()
                },
                ["hash xxh3", "crc16", "--hash xxh3"],
            ),
            (
                MetaRecord {
                    mode: Mode::Strict,
                    ..good.clone()
                },
                ["mode strict", "available", "--mode strict"],
            ),
            (
                MetaRecord {
                    virtual_nodes: 60,
                    ..good.clone()
                },
                ["nodes 60", "node 50", "--virtual-nodes 60"],
            ),
            (
                MetaRecord {
                    algorithm: 9,
                    ..good
                },
                ["algorithm 9", "node 1", "version of the other members"],
            ),
        ];
        for (meta, words) in cases {
            let refusal = settings(&config, &meta).unwrap_err();
            for word in words {
                assert!(refusal.contains(word), "{refusal:?} lacks {word:?}");
            }
        }
    }

    #[test]
    fn the_quickest_sample_judges_the_clock() {
        let n1 = NodeName::new("n1").unwrap();
        let sample = |ms, offset_ms| ClockSample {
            round_trip: Duration::from_millis(ms),
            offset_ms,
        };
        assert_eq!(clock(&n1, &[]), Ok(()));
        assert_eq!(clock(&n1, &[sample(900, 700), sample(2, 500)]), Ok(()));
        assert_eq!(
            clock(&n1, &[sample(400, 650)]),
            Ok(()),
            "within half a round trip"
        );
        let behind = clock(&n1, &[sample(900, 0), sample(2, 700)]).unwrap_err();
        assert!(behind.contains("700 ms behind that of n1"), "{behind}");
        let ahead = clock(&n1, &[sample(2, -502)]).unwrap_err();
        assert!(ahead.contains("502 ms ahead of that of n1"), "{ahead}");
    }

    #[test]
    fn old_servers_are_warned_of_and_refused_in_strict() {
        for good in ["3.5.28", "3.5.30", "3.6.9", "3.7.0", "4.0.0", "3.6.10-rc.1"] {
            assert_eq!(version(good, Mode::Strict), Version::Good, "{good}");
        }
        for old in ["3.4.23", "3.5.27", "3.6.8", "unknown", ""] {
            assert!(
                matches!(version(old, Mode::Available), Version::Warn(_)),
                "{old}"
            );
            assert!(
                matches!(version(old, Mode::Strict), Version::Refuse(_)),
                "{old}"
            );
        }
        let Version::Warn(text) = version("3.6.8", Mode::Available) else {
            panic!("good")
        };
        assert!(text.contains("before 3.6.9"), "{text}");
    }
}
