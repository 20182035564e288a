//! The journals of several nodes as one. Pure.

use std::collections::{BTreeSet, VecDeque};

use cached_client::admin::{EventRow, Happened};

/// What all nodes see, they see within this many milliseconds: a lease's end, a clock
/// that is off.
const TOGETHER_MS: u64 = 30_000;

/// Events that are remembered to know them again.
const REMEMBERED_MAX: usize = 1_024;

/// An event, and who told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) node: String,
    pub(super) event: EventRow,
}

impl Told {
    /// `None`: the message holds no event.
    pub(super) fn of(happened: Happened) -> Option<Self> {
        let Happened { node, event, .. } = happened;
        event.map(|event| Self { node, event })
    }
}

/// Knows what was told before by another node.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Identity, time, and who has told it.
    told: VecDeque<(String, u64, BTreeSet<String>)>,
}

impl Known {
    /// Whether it is news. The same node seeing the same again is.
    pub(super) fn is_news(&mut self, told: &Told) -> bool {
        let event = &told.event;
        if event.identity.is_empty() {
            return true;
        }
        let before = self.told.iter_mut().find(|(identity, at, nodes)| {
            *identity == event.identity
                && at.abs_diff(event.at_ms) <= TOGETHER_MS
                && !nodes.contains(&told.node)
        });
        if let Some((_, _, nodes)) = before {
            nodes.insert(told.node.clone());
            return false;
        }
        if self.told.len() >= REMEMBERED_MAX {
            self.told.pop_front();
        }
        let nodes = BTreeSet::from([told.node.clone()]);
        self.told
            .push_back((event.identity.clone(), event.at_ms, nodes));
        true
    }
}

/// Events of several nodes in the order of their time, each told once.
pub(super) fn merge(mut all: Vec<Told>, known: &mut Known) -> Vec<Told> {
    all.sort_by(|a, b| {
        let key = |told: &Told| (told.event.at_ms, told.node.clone(), told.event.sequence);
        key(a).cmp(&key(b))
    });
    all.retain(|told| known.is_news(told));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(node: &str, at_ms: u64, identity: &str) -> Told {
        let event = EventRow {
            at_ms,
            identity: identity.to_owned(),
            ..EventRow::default()
        };
        Told {
            node: node.to_owned(),
            event,
        }
    }

    fn seen(all: Vec<Told>) -> Vec<(String, u64)> {
        let merged = merge(all, &mut Known::default());
        merged
            .into_iter()
            .map(|told| (told.node, told.event.at_ms))
            .collect()
    }

    #[test]
    fn what_several_saw_is_told_once() {
        let all = vec![
            told("n2", 1_200, "plan/7"),
            told("n1", 1_000, "plan/7"),
            told("n3", 900, ""),
            told("n1", 901, ""),
            // Seen again by the same two, a moment later.
            told("n1", 9_000, "plan/7"),
            told("n2", 9_100, "plan/7"),
        ];
        let expected = [("n3", 900), ("n1", 901), ("n1", 1_000), ("n1", 9_000)];
        assert_eq!(seen(all), expected.map(|(node, at)| (node.to_owned(), at)));
    }

    #[test]
    fn long_after_is_another_time() {
        let all = vec![told("n1", 0, "x/1"), told("n2", 40_000, "x/1")];
        assert_eq!(seen(all).len(), 2);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut known = Known::default();
        for number in 0..2 * REMEMBERED_MAX {
            assert!(known.is_news(&told("n1", 0, &format!("x/{number}"))));
        }
        assert_eq!(known.told.len(), REMEMBERED_MAX);
    }
}
