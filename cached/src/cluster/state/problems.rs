//! What keeps the cluster from being healthy, for people. Healthy: every member is up
//! or drained as it was asked to, nobody waits to join, every slot is where the plan
//! wants it, no operation is open, and the registry answers.

use cached_proto::records::MemberState;
use cached_proto::table::PAGES;
use cached_proto::types::{MemberId, NodeName};

use super::State;
use crate::clock::Moment;
use crate::cluster::view::MemberView;

impl State {
    /// Everything that keeps the cluster from being healthy, as this process sees it.
    pub(crate) fn problems(&self, now: Moment) -> Vec<String> {
        let mut problems: Vec<String> = self.refused.iter().cloned().collect();
        problems.extend(self.own_problems());
        problems.extend(self.registry_problems(now));
        problems.extend(self.table_problems());
        problems.extend(self.move_problems(now));
        for member in self.member_views() {
            let name = &member.id.name;
            match (&member.record, member.absent_since) {
                (None, since) => {
                    let seconds = since.map_or(0, |since| now.since(since).as_secs());
                    problems.push(format!("{name} is down for {seconds} s: {}", member.detail));
                }
                (Some(_), _) if !member.detail.is_empty() && !self.at_rest(&member) => {
                    problems.push(format!("{name}: {}", member.detail));
                }
                (Some(_), _) => {}
            }
        }
        problems.extend(self.clocks_off());
        problems
    }

    fn own_problems(&self) -> Option<String> {
        if let Some(other) = self.name_taken_by() {
            let (name, inc, at) = (&other.id.name, other.id.inc, &other.address);
            return Some(format!(
                "the name {name} was taken by incarnation {inc} at {at} while this process was cut \
                 off: it does not serve any more; stop it, or start it under another --name"
            ));
        }
        let waits = self.me.is_some() && self.registered().is_none() && !self.leaving();
        waits.then(|| "this process is not registered and serves nothing until it is".to_owned())
    }

    fn registry_problems(&self, now: Moment) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(since) = self.reads.lost_since {
            let (seconds, error) = (now.since(since).as_secs(), &self.reads.last_error);
            problems.push(format!(
                "the registry has been unreachable for {seconds} s: {error}"
            ));
        }
        for (key, why) in &self.mirror.unreadable {
            problems.push(format!("the registry key {key} is ignored: {why}"));
        }
        problems
    }

    fn table_problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.planner.fault.iter().cloned().collect();
        let (members, pages) = (self.members().count(), self.mirror.pages_loaded());
        if self.mirror.meta.is_none() {
            let expect = self.config.expect;
            problems.push(format!(
                "the cluster is not bootstrapped: {members} of {expect} expected members are here"
            ));
        } else if pages < usize::from(PAGES) {
            problems.push(format!(
                "the table is half written: {pages} of {PAGES} pages"
            ));
        }
        let living = |id: &MemberId| self.mirror.living(id).is_some();
        let unowned = self.mirror.rows.iter().filter(|(id, _)| !living(id));
        let unowned: u32 = unowned.map(|(_, slots)| slots).sum();
        if unowned > 0 {
            problems.push(format!("{unowned} slots have no living owner"));
        }
        problems.extend(self.plan_problems());
        problems
    }

    /// What is not as it was planned, beside the slots of the dead.
    fn plan_problems(&self) -> Option<String> {
        let displaced = self.displaced();
        if let Some(open) = self.mirror.open_operation().map(|held| &held.value) {
            let left: u32 = displaced.values().sum();
            let (id, kind, state) = (&open.id, open.kind.name(), open.state.name());
            let nodes: Vec<&str> = open.nodes.iter().map(NodeName::as_str).collect();
            // A rebalance is about nobody in particular.
            let what = match nodes.is_empty() {
                true => kind.to_owned(),
                false => format!("{kind} {}", nodes.join(", ")),
            };
            return Some(format!(
                "operation {id} ({what}) is {state}: {left} slots left"
            ));
        }
        let living = displaced.iter();
        let living = living.filter(|(id, _)| self.mirror.living(id).is_some());
        let left: u32 = living.map(|(_, slots)| slots).sum();
        (left > 0).then(|| format!("{left} slots are not where the plan wants them"))
    }

    /// Whether a member is where it should be although it owns nothing: it was asked to.
    fn at_rest(&self, member: &MemberView) -> bool {
        let Some(record) = &member.record else {
            return false;
        };
        let suspected = self.picture.suspected.contains_key(&member.id);
        let refuses = self.refusal(&member.id).is_some();
        !suspected
            && !refuses
            && match record.state {
                MemberState::Joining => self.wants_none(record),
                MemberState::Draining => member.slots == 0,
                MemberState::Up | MemberState::Gone => false,
            }
    }
}
