//! A linter for plans: what is wrong with one, whoever made it. It looks at the
//! record as it will be written, and counts for itself instead of planning again.

mod finding;
#[cfg(test)]
pub(super) mod tests;

pub use finding::Finding;

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::assignment::Assignment;
use cached_proto::records::{PlanMember, PlanRecord};
use cached_proto::types::{MemberId, SLOTS};

use crate::cluster::plan::{Current, Move, Movement, closed_share, difference, fair_share};

/// Checks a plan against the table that it starts from, the members that may be
/// given slots, and what may be moved. Empty: nothing is wrong.
pub fn plan_check(
    current: &Current,
    record: &PlanRecord,
    eligible: &[PlanMember],
    movement: Movement,
) -> Vec<Finding> {
    plan_check_around(current, record, eligible, &BTreeSet::new(), movement)
}

/// The same for a plan that gives nothing to the `closed` ones of the eligible members.
pub(super) fn plan_check_around(
    current: &Current,
    record: &PlanRecord,
    eligible: &[PlanMember],
    closed: &BTreeSet<MemberId>,
    movement: Movement,
) -> Vec<Finding> {
    let assignment = match Assignment::try_from(record) {
        Ok(assignment) => assignment,
        Err(invalid) => return vec![Finding::Malformed(invalid)],
    };
    let mut ledger = Ledger::new(current, &assignment, eligible, movement);
    if movement == Movement::Free {
        ledger.close(closed);
    }
    let members = ledger.accounts.iter();
    let mut findings: Vec<_> = members
        .flat_map(|(id, account)| ledger.audit(id, account))
        .collect();
    findings.extend(ledger.needless_moves());
    findings.extend(ledger.forbidden_moves());
    findings
}

/// What one member has, gives and gets.
#[derive(Default)]
struct Account {
    /// `None`: not eligible.
    weight: Option<u32>,
    /// Its slots are no orphans.
    living: bool,
    /// Eligible, and given nothing all the same: what it may keep.
    keeps: Option<u32>,
    before: u32,
    after: u32,
    lost: u32,
    gained: u32,
}

struct Ledger<'a> {
    accounts: BTreeMap<&'a MemberId, Account>,
    moves: Vec<Move>,
    /// Weights of those that share `shared` slots.
    total_weight: u64,
    shared: u32,
    movement: Movement,
}

impl<'a> Ledger<'a> {
    fn new(
        current: &'a Current,
        assignment: &'a Assignment,
        eligible: &'a [PlanMember],
        movement: Movement,
    ) -> Self {
        let mut accounts: BTreeMap<&MemberId, Account> = BTreeMap::new();
        for member in eligible {
            accounts.entry(&member.id).or_default().weight = Some(member.weight);
        }
        for (holder, slots) in current.holders.iter().zip(current.slots()) {
            let account = accounts.entry(&holder.id).or_default();
            (account.living, account.before) = (holder.living, slots);
        }
        for (member, slots) in assignment.members().iter().zip(assignment.slots()) {
            accounts.entry(&member.id).or_default().after += slots;
        }
        let moves = difference(current, assignment);
        for Move { from, to, slots } in &moves {
            if let Some(account) = from.as_ref().and_then(|from| accounts.get_mut(from)) {
                account.lost += slots;
            }
            if let Some(account) = accounts.get_mut(to) {
                account.gained += slots;
            }
        }
        let total_weight = eligible.iter().map(|member| u64::from(member.weight)).sum();
        Self {
            accounts,
            moves,
            total_weight,
            shared: u32::from(SLOTS),
            movement,
        }
    }

    /// Leaves members out of those that share.
    fn close(&mut self, closed: &BTreeSet<MemberId>) {
        let (all, mut kept) = (self.total_weight, 0);
        for (id, account) in &mut self.accounts {
            let weight = account.weight.filter(|weight| *weight > 0);
            if let Some(weight) = weight.filter(|_| closed.contains(*id)) {
                let before = if account.living { account.before } else { 0 };
                let keeps = closed_share(before, weight, all);
                account.keeps = Some(keeps);
                self.total_weight -= u64::from(weight);
                kept += keeps;
            }
        }
        self.shared -= kept;
    }

    /// A member's share rounded down and up; nothing for those that are not eligible.
    fn share(&self, account: &Account) -> (u32, u32) {
        let Some(weight) = account.weight.filter(|weight| *weight > 0) else {
            return (0, 0);
        };
        if let Some(keeps) = account.keeps {
            return (keeps, keeps);
        }
        let (low, rest) = fair_share(self.shared, weight, self.total_weight);
        (low, if rest > 0 { low + 1 } else { low })
    }

    /// What is wrong with one member's slots.
    fn audit(&self, id: &MemberId, account: &Account) -> Vec<Finding> {
        let Account {
            after: slots,
            lost,
            gained,
            ..
        } = *account;
        let member = || id.clone();
        let mut findings = Vec::new();
        let keeps = self.movement == Movement::OrphansOnly && account.living && gained == 0;
        if account.weight.is_none() {
            if slots > 0 && !keeps {
                findings.push(Finding::NotEligible {
                    member: member(),
                    slots,
                });
            }
            return findings;
        }
        let (low, high) = self.share(account);
        let broken = match self.movement {
            Movement::Free => slots < low || slots > high,
            // Who keeps more than its share leaves others less; it is given nothing.
            Movement::OrphansOnly => gained > 0 && slots > high,
        };
        if broken {
            findings.push(Finding::QuotaBroken {
                member: member(),
                slots,
                low,
                high,
            });
        }
        if account.living && lost > 0 && gained > 0 {
            findings.push(Finding::Swapped {
                member: member(),
                lost,
                gained,
            });
        }
        findings
    }

    /// Owners that live and are eligible give away what is above their share
    /// rounded down, less one for each that can be rounded up.
    fn needless_moves(&self) -> Option<Finding> {
        if self.movement != Movement::Free {
            return None;
        }
        let stay = || {
            self.accounts
                .values()
                .filter(|a| a.living && a.weight.is_some())
        };
        let moved = stay().map(|account| account.lost).sum();
        let above: u32 = stay()
            .map(|a| a.before.saturating_sub(self.share(a).0))
            .sum();
        let can_round = stay().map(|a| (a.before, self.share(a)));
        let can_round = can_round
            .filter(|(before, (low, high))| before > low && high > low)
            .count();
        let rounded_down: u32 = self.accounts.values().map(|a| self.share(a).0).sum();
        let round_up = u32::from(SLOTS).saturating_sub(rounded_down);
        let least = above - round_up.min(can_round as u32);
        (moved > least).then_some(Finding::NeedlessMoves { moved, least })
    }

    /// Moves that [`Movement::OrphansOnly`] forbids.
    fn forbidden_moves(&self) -> Vec<Finding> {
        let lives = |id: &MemberId| self.accounts.get(id).is_some_and(|account| account.living);
        let forbidden = self
            .moves
            .iter()
            .filter(|m| m.from.as_ref().is_some_and(lives));
        let forbidden = forbidden.filter(|_| self.movement == Movement::OrphansOnly);
        forbidden.cloned().map(Finding::MovedFromLiving).collect()
    }
}
