//! Is a history of one key linearizable? A search after Wing, Gong and Lowe: orders of
//! the operations are tried, and no pair of "done so far" and "state" twice.

use std::collections::{BTreeMap, HashSet};

use cached_proto::types::Version;

use super::{Answer, Ask, Loss, Micros, Op};

/// Pairs that are looked at before the question is given up: some seconds.
const PAIRS_MAX: usize = 2_000_000;

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains every answer.
    Linearizable,
    /// There is none.
    Impossible,
    /// It took too long to find out.
    Undecided,
}

/// One thing that happens to the register.
#[derive(Clone, Copy, Debug)]
struct Step {
    start: Micros,
    /// It happens by then, if it happens.
    end: Micros,
    /// Whether it certainly happens.
    certain: bool,
    action: Action,
}

/// What it does. Values stand for versions: each write has one of its own.
#[derive(Clone, Copy, Debug)]
enum Action {
    Read(Option<u64>),
    Write(u64),
    /// Only if this is there.
    WriteOver(u64, Option<u64>),
    /// It was refused because something else than this was there.
    Differs(Option<u64>),
    /// Was something there? `None`: unknown.
    Remove(Option<bool>),
}

impl Action {
    /// The state afterwards; `None`: impossible in this state.
    fn apply(self, state: Option<u64>) -> Option<Option<u64>> {
        match self {
            Self::Read(value) => (value == state).then_some(state),
            Self::Write(value) => Some(Some(value)),
            Self::WriteOver(value, over) => (over == state).then_some(Some(value)),
            Self::Differs(value) => (value != state).then_some(state),
            Self::Remove(Some(found)) => (found == state.is_some()).then_some(None),
            Self::Remove(None) => Some(None),
        }
    }
}

/// Decides for the operations of one key. Times to live must not have been used on it.
pub fn check_key(ops: &[&Op], losses: &[Loss]) -> Verdict {
    let mut steps = steps_of(ops);
    if let Some(first) = ops.first() {
        let covering = losses.iter().filter(|loss| loss.covers(first.slot));
        steps.extend(covering.map(|loss| Step {
            start: loss.from,
            end: loss.to,
            certain: false,
            action: Action::Remove(None),
        }));
    }
    steps.sort_by_key(|step| step.start);
    Search::new(steps).run()
}

fn steps_of(ops: &[&Op]) -> Vec<Step> {
    let mut values: BTreeMap<Version, u64> = BTreeMap::new();
    for op in ops {
        match op.answer {
            Answer::Hit(value, version) => {
                values.insert(version, value);
            }
            Answer::Stored(version) => {
                values.extend(op.writes().map(|value| (version, value)));
            }
            _ => {}
        }
    }
    // A version that nobody ever saw equals nothing: 0 is no value.
    let value_of = |version: Version| Some(values.get(&version).copied().unwrap_or(0));
    ops.iter()
        .filter_map(|op| {
            let action = match (op.ask, op.answer) {
                (_, Answer::NotApplied) | (Ask::Get, Answer::Unknown) => return None,
                (Ask::Get, Answer::Hit(value, _)) => Action::Read(Some(value)),
                (Ask::Get, _) => Action::Read(None),
                (Ask::Set(value), _) => Action::Write(value),
                (Ask::Add(_), Answer::Refused) => Action::Differs(None),
                (Ask::Add(value), _) => Action::WriteOver(value, None),
                (Ask::Swap(_, version), Answer::Refused) => Action::Differs(value_of(version)),
                (Ask::Swap(value, version), _) => Action::WriteOver(value, value_of(version)),
                (Ask::Delete, Answer::Deleted(found)) => Action::Remove(Some(found)),
                (Ask::Delete, _) => Action::Remove(None),
            };
            let certain = op.answer != Answer::Unknown;
            Some(Step {
                start: op.start,
                end: op.over(),
                certain,
                action,
            })
        })
        .collect()
}

/// One step that was chosen, and what to return to when it was wrong.
struct Choice {
    step: usize,
    state_before: Option<u64>,
    latest_before: Micros,
}

struct Search {
    /// By their start.
    steps: Vec<Step>,
    done: Vec<u64>,
    state: Option<u64>,
    /// The latest start of a step that is done: time has come that far.
    latest: Micros,
    certain_left: usize,
    choices: Vec<Choice>,
    seen: HashSet<(Vec<u64>, Option<u64>)>,
}

impl Search {
    fn new(steps: Vec<Step>) -> Self {
        Self {
            done: vec![0; steps.len().div_ceil(64)],
            state: None,
            latest: 0,
            certain_left: steps.iter().filter(|step| step.certain).count(),
            choices: Vec::new(),
            seen: HashSet::new(),
            steps,
        }
    }

    fn run(mut self) -> Verdict {
        let mut from = 0;
        while self.certain_left > 0 {
            if self.seen.len() > PAIRS_MAX {
                return Verdict::Undecided;
            }
            if let Some(step) = self.next(from) {
                self.choose(step);
                from = 0;
            } else if let Some(choice) = self.choices.pop() {
                from = choice.step + 1;
                self.undo(&choice);
            } else {
                return Verdict::Impossible;
            }
        }
        Verdict::Linearizable
    }

    fn is_done(&self, step: usize) -> bool {
        self.done[step / 64] & (1 << (step % 64)) != 0
    }

    /// The first step from `from` on that can come next and leads to something new.
    fn next(&mut self, from: usize) -> Option<usize> {
        let open = (0..self.steps.len()).filter(|step| !self.is_done(*step));
        let certain = open
            .map(|step| self.steps[step])
            .filter(|step| step.certain);
        let must_by = certain.map(|step| step.end).min()?;
        for index in from..self.steps.len() {
            let step = self.steps[index];
            if step.start > must_by {
                return None;
            }
            if self.is_done(index) || step.end < self.latest {
                continue;
            }
            let Some(after) = step.action.apply(self.state) else {
                continue;
            };
            let mut done = self.done.clone();
            done[index / 64] |= 1 << (index % 64);
            if self.seen.insert((done, after)) {
                return Some(index);
            }
        }
        None
    }

    fn choose(&mut self, index: usize) {
        let step = self.steps[index];
        self.choices.push(Choice {
            step: index,
            state_before: self.state,
            latest_before: self.latest,
        });
        self.done[index / 64] |= 1 << (index % 64);
        self.state = step
            .action
            .apply(self.state)
            .expect("only possible steps are chosen");
        self.latest = self.latest.max(step.start);
        self.certain_left -= usize::from(step.certain);
    }

    fn undo(&mut self, choice: &Choice) {
        let index = choice.step;
        self.done[index / 64] &= !(1 << (index % 64));
        self.state = choice.state_before;
        self.latest = choice.latest_before;
        self.certain_left += usize::from(self.steps[index].certain);
    }
}
