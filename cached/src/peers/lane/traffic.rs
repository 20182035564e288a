//! The calls on one lane: which wait to be sent, which to be answered, and what becomes
//! of them when the lane ends. Pure.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use crate::peers::{Answered, Passed};

/// Operations of one lane at a time, those that wait to be sent included. As many may
/// wait for slow origins before others go by calls of their own.
pub(super) const CALLS_MAX: usize = 1024;

/// Bytes of keys and values that one message carries, about. What is longer goes by a
/// call of its own, so that short calls never wait behind it.
pub(in crate::peers) const MESSAGE_BYTES: usize = 64 * 1024;

/// Bytes that an operation takes in a message beside key and value, about.
const OPERATION_BYTES: usize = 64;

/// An operation on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) passed: Passed,
    pub(super) answer: oneshot::Sender<Answered>,
}

impl Call {
    /// Bytes that it takes in a message, about.
    fn bytes(&self) -> usize {
        let operation = &self.passed.operation;
        OPERATION_BYTES + operation.key().as_bytes().len() + operation.payload_bytes()
    }
}

/// Why a call was not taken.
#[derive(Debug)]
pub(super) enum NoWay {
    /// Too many are under way, or it is too long.
    Full,
    /// The lane takes no more calls.
    Closed(Box<Call>),
}

/// Whether a lane takes calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// No new calls; those that wait are still sent and answered.
    Closing,
    /// It is over.
    Ended,
}

/// All calls of one lane.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    phase: Phase,
    waiting: VecDeque<Call>,
    sent: BTreeMap<u64, oneshot::Sender<Answered>>,
    /// Numbers given so far.
    numbers: u64,
}

impl Traffic {
    /// Takes a call in. True: nothing was waiting before it, so the sender may be asleep.
    pub(super) fn enter(&mut self, call: Call) -> Result<bool, NoWay> {
        if self.phase != Phase::Open {
            return Err(NoWay::Closed(Box::new(call)));
        }
        if self.waiting.len() + self.sent.len() >= CALLS_MAX || call.bytes() > MESSAGE_BYTES {
            return Err(NoWay::Full);
        }
        let was_idle = self.waiting.is_empty();
        self.waiting.push_back(call);
        Ok(was_idle)
    }

    /// What goes out with the next message, with the numbers of the calls. Whose caller
    /// has given up is left out.
    pub(super) fn depart(&mut self) -> Vec<(u64, Passed)> {
        let mut departing = Vec::with_capacity(self.waiting.len());
        let mut bytes = 0;
        while let Some(call) = self.waiting.pop_front() {
            bytes += call.bytes();
            if bytes > MESSAGE_BYTES && !departing.is_empty() {
                self.waiting.push_front(call);
                break;
            }
            if !call.answer.is_closed() {
                self.numbers += 1;
                self.sent.insert(self.numbers, call.answer);
                departing.push((self.numbers, call.passed));
            }
        }
        departing
    }

    /// Who waits for that answer; `None`: nobody here asked.
    pub(super) fn arrive(&mut self, number: u64) -> Option<oneshot::Sender<Answered>> {
        self.sent.remove(&number)
    }

    /// No call waits to be sent or answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    /// How many calls wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether it takes calls.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// How many calls were sent so far.
    pub(super) fn numbers(&self) -> u64 {
        self.numbers
    }

    /// Takes no more calls.
    pub(super) fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
    }

    /// It is over: those that were sent, whose outcome nobody knows any more, and those
    /// that were not.
    pub(super) fn end(&mut self) -> (Vec<oneshot::Sender<Answered>>, Vec<Call>) {
        self.phase = Phase::Ended;
        let sent = std::mem::take(&mut self.sent).into_values().collect();
        (sent, self.waiting.drain(..).collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cached_proto::operation::{Condition, Operation};
    use cached_proto::types::{Epoch, GroupName, Key};

    use super::*;
    use crate::clock::Moment;

    fn call(value_bytes: usize) -> (Call, oneshot::Receiver<Answered>) {
        let (answer, answered) = oneshot::channel();
        let operation = Operation::Set {
            key: Key::new("k").unwrap(),
            value: Bytes::from(vec![0; value_bytes]),
            ttl: None,
            condition: Condition::Always,
        };
        let passed = Passed {
            group: GroupName::new("g").unwrap(),
            operation,
            epoch: Epoch(1),
            until: Moment::default(),
        };
        (Call { passed, answer }, answered)
    }

    /// Enters calls whose callers wait.
    fn enter(traffic: &mut Traffic, sizes: &[usize]) -> Vec<oneshot::Receiver<Answered>> {
        let each = |&size: &usize| {
            let (call, answered) = call(size);
            traffic.enter(call).unwrap();
            answered
        };
        sizes.iter().map(each).collect()
    }

    fn numbers(departing: &[(u64, Passed)]) -> Vec<u64> {
        departing.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn what_is_due_together_departs_together_up_to_a_messages_bytes() {
        let mut traffic = Traffic::default();
        let _waiting = enter(&mut traffic, &[1, 2, 3, 40_000, 40_000, 5]);
        assert_eq!(numbers(&traffic.depart()), [1, 2, 3, 4]);
        assert_eq!(numbers(&traffic.depart()), [5, 6]);
        assert_eq!(numbers(&traffic.depart()), [0; 0]);
        assert!(!traffic.is_idle());
        for number in 1..=6 {
            assert!(traffic.arrive(number).is_some());
            assert!(traffic.arrive(number).is_none(), "answered twice");
        }
        assert!(traffic.is_idle());
    }

    #[test]
    fn only_the_first_to_wait_wakes_the_sender() {
        let mut traffic = Traffic::default();
        let (first, _a) = call(1);
        let (second, _b) = call(1);
        assert!(matches!(traffic.enter(first), Ok(true)));
        assert!(matches!(traffic.enter(second), Ok(false)));
        traffic.depart();
        let (third, _c) = call(1);
        assert!(matches!(traffic.enter(third), Ok(true)));
    }

    #[test]
    fn what_is_too_much_goes_another_way() {
        let mut traffic = Traffic::default();
        let long = call(MESSAGE_BYTES).0;
        assert!(matches!(traffic.enter(long), Err(NoWay::Full)));
        let waiting = enter(&mut traffic, &[1; CALLS_MAX]);
        while !traffic.depart().is_empty() {}
        let more = || call(1).0;
        assert!(matches!(traffic.enter(more()), Err(NoWay::Full)));
        // Giving up makes no room: the peer still works on it.
        drop(waiting);
        assert!(matches!(traffic.enter(more()), Err(NoWay::Full)));
        traffic.arrive(17);
        assert!(traffic.enter(more()).is_ok());
    }

    #[test]
    fn whoever_gave_up_before_it_was_sent_is_never_sent() {
        let mut traffic = Traffic::default();
        let mut waiting = enter(&mut traffic, &[1, 1, 1]);
        drop(waiting.remove(1));
        assert_eq!(traffic.depart().len(), 2);
    }

    #[test]
    fn the_end_tells_the_sent_from_the_unsent() {
        let mut traffic = Traffic::default();
        let _sent = enter(&mut traffic, &[1, 1]);
        traffic.depart();
        let _unsent = enter(&mut traffic, &[1]);
        traffic.close();
        let refused = call(1).0;
        assert!(matches!(traffic.enter(refused), Err(NoWay::Closed(_))));
        assert_eq!(traffic.waiting(), 1, "it is still sent");
        let (sent, unsent) = traffic.end();
        assert_eq!((sent.len(), unsent.len()), (2, 1));
        assert!(traffic.is_idle());
    }
}
