//! Rules that hold for every history of a correct cluster, in O(n log n): they use that
//! values are unique and that answers carry versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::types::Version;

use super::{Answer, Ask, Loss, Micros, Op, Violation};

/// Checks all keys. `losses` explain why entries may be gone; whatever else is missing
/// is a violation (I16).
pub fn check(ops: &[Op], losses: &[Loss]) -> Vec<Violation> {
    let mut by_key: BTreeMap<&Arc<str>, Vec<&Op>> = BTreeMap::new();
    for op in ops {
        by_key.entry(&op.key).or_default().push(op);
    }
    let mut found = Vec::new();
    for (key, mut ops) in by_key {
        ops.sort_by_key(|op| op.start);
        let history = KeyHistory {
            key,
            by_end: sorted_by_end(&ops),
            ops,
        };
        history.values_are_written_once(&mut found);
        history.versions_never_go_down(&mut found);
        history.what_is_gone_stays_gone(&mut found);
        history.losses_are_explained(losses, &mut found);
    }
    found
}

fn sorted_by_end<'a>(ops: &[&'a Op]) -> Vec<&'a Op> {
    let mut answered: Vec<&Op> = ops
        .iter()
        .copied()
        .filter(|op| op.over() < Micros::MAX)
        .collect();
    answered.sort_by_key(|op| op.over());
    answered
}

/// One key's operations, by their start, and the answered ones by their end.
struct KeyHistory<'a> {
    key: &'a Arc<str>,
    ops: Vec<&'a Op>,
    by_end: Vec<&'a Op>,
}

/// The value and version that an operation shows to be there at some time between its
/// start and its end.
fn shown(op: &Op) -> Option<(u64, Version)> {
    match op.answer {
        Answer::Hit(value, version) => Some((value, version)),
        Answer::Stored(version) => Some((op.writes()?, version)),
        _ => None,
    }
}

/// Whether nothing was there at some time between start and end, or from then on.
fn shows_nothing(op: &Op) -> bool {
    matches!(op.answer, Answer::Miss | Answer::Deleted(_))
        || (matches!(op.ask, Ask::Add(_)) && matches!(op.answer, Answer::Stored(_)))
}

impl<'a> KeyHistory<'a> {
    fn violation(&self, invariant: &'static str, problem: String, ops: &[&Op]) -> Violation {
        Violation {
            invariant,
            key: self.key.clone(),
            problem,
            ops: ops.iter().map(|op| (*op).clone()).collect(),
        }
    }

    /// Goes through the operations by their start, with every one that was over before
    /// told to `over` first.
    fn sweep(&self, mut over: impl FnMut(&'a Op), mut begins: impl FnMut(&'a Op)) {
        let mut ended = self.by_end.iter().peekable();
        for op in &self.ops {
            while let Some(before) = ended.next_if(|before| before.over() < op.start) {
                over(before);
            }
            begins(op);
        }
    }

    /// A version names one value; a value that is read was asked to be written before.
    fn values_are_written_once(&self, found: &mut Vec<Violation>) {
        let mut written: BTreeMap<u64, &Op> = BTreeMap::new();
        for op in &self.ops {
            if let Some(value) = op.writes() {
                written.insert(value, op);
            }
        }
        let mut versions: BTreeMap<Version, &Op> = BTreeMap::new();
        for op in &self.ops {
            let Some((value, version)) = shown(op) else {
                continue;
            };
            let first = versions.entry(version).or_insert(op);
            if shown(first).is_some_and(|(other, _)| other != value) {
                let problem = format!("version {version} has two values");
                found.push(self.violation("I10", problem, &[first, op]));
            }
            match written.get(&value) {
                None => {
                    let problem = format!("value {value} was never written");
                    found.push(self.violation("I11", problem, &[op]));
                }
                Some(write) if write.start > op.over() => {
                    let problem = format!("value {value} was read before it was written");
                    found.push(self.violation("I11", problem, &[op, write]));
                }
                Some(write) if write.answer == Answer::NotApplied => {
                    let problem = format!("value {value} was certainly not written, and read");
                    found.push(self.violation("I11", problem, &[write, op]));
                }
                Some(_) => {}
            }
        }
    }

    /// What is shown after another was shown has at least its version; what is written
    /// after it a higher one.
    fn versions_never_go_down(&self, found: &mut Vec<Violation>) {
        let newest: std::cell::Cell<Option<(Version, &Op)>> = std::cell::Cell::new(None);
        self.sweep(
            |before| {
                if let Some((_, version)) = shown(before)
                    && newest.get().is_none_or(|(newest, _)| version > newest)
                {
                    newest.set(Some((version, before)));
                }
            },
            |op| {
                let (Some((_, version)), Some((newest, before))) = (shown(op), newest.get()) else {
                    return;
                };
                let too_low = match op.answer {
                    Answer::Stored(_) => version <= newest,
                    _ => version < newest,
                };
                if too_low {
                    let problem = format!("version {version} after version {newest}");
                    found.push(self.violation("I10", problem, &[before, op]));
                }
            },
        );
    }

    /// A version that was there, and then was not, is never there again.
    fn what_is_gone_stays_gone(&self, found: &mut Vec<Violation>) {
        // By version: the first time by which it was certainly there.
        let mut there: BTreeMap<Version, &Op> = BTreeMap::new();
        for op in &self.by_end {
            if let Some((_, version)) = shown(op) {
                there.entry(version).or_insert(op);
            }
        }
        let gone: std::cell::Cell<Option<&Op>> = std::cell::Cell::new(None);
        self.sweep(
            |before| {
                if shows_nothing(before) && gone.get().is_none_or(|gone| before.start > gone.start)
                {
                    gone.set(Some(before));
                }
            },
            |op| {
                let (Answer::Hit(_, version), Some(gone)) = (op.answer, gone.get()) else {
                    return;
                };
                if let Some(first) = there.get(&version)
                    && first.over() < gone.start
                {
                    let problem = format!("version {version} was gone and came back");
                    found.push(self.violation("I11", problem, &[first, gone, op]));
                }
            },
        );
    }

    /// What was there is there until something is known that may have removed it.
    fn losses_are_explained(&self, losses: &[Loss], found: &mut Vec<Violation>) {
        let explanations = self.explanations(losses);
        let latest: std::cell::Cell<Option<&Op>> = std::cell::Cell::new(None);
        self.sweep(
            |before| {
                if shown(before).is_some() && latest.get().is_none_or(|op| before.start > op.start)
                {
                    latest.set(Some(before));
                }
            },
            |op| {
                let misses = matches!(op.answer, Answer::Miss | Answer::Deleted(false))
                    || matches!((op.ask, op.answer), (Ask::Add(_), Answer::Stored(_)));
                let Some(there) = latest.get().filter(|_| misses) else {
                    return;
                };
                if !explanations.explain(there.start, op.over()) {
                    let problem = "an entry is gone, and nothing explains it".to_owned();
                    found.push(self.violation("I16", problem, &[there, op]));
                }
            },
        );
    }

    /// Everything that may have removed the entry, as intervals.
    fn explanations(&self, losses: &[Loss]) -> Explanations {
        let mut intervals: Vec<(Micros, Micros)> = Vec::new();
        for op in &self.ops {
            let removed_nothing = matches!(op.answer, Answer::NotApplied | Answer::Deleted(false));
            if op.ask == Ask::Delete && !removed_nothing {
                intervals.push((op.start, op.over()));
            }
            if let Some(from) = op.may_vanish_from {
                intervals.push((from, Micros::MAX));
            }
        }
        if let Some(slot) = self.ops.first().map(|op| op.slot) {
            let covering = losses.iter().filter(|loss| loss.covers(slot));
            intervals.extend(covering.map(|loss| (loss.from, loss.to)));
        }
        Explanations::new(intervals)
    }
}

/// Intervals by their start, each with the latest end of it and all before it.
struct Explanations(Vec<(Micros, Micros)>);

impl Explanations {
    fn new(mut intervals: Vec<(Micros, Micros)>) -> Self {
        intervals.sort_unstable();
        let mut latest = 0;
        for (_, end) in &mut intervals {
            latest = latest.max(*end);
            *end = latest;
        }
        Self(intervals)
    }

    /// Whether one of them touches the time between `after` and `before`.
    fn explain(&self, after: Micros, before: Micros) -> bool {
        let begun = self.0.partition_point(|(start, _)| *start <= before);
        begun > 0 && self.0[begun - 1].1 >= after
    }
}
