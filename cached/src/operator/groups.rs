//! Groups: listed, created, emptied.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::GROUPS_MAX;
use cached_proto::pb::cached::admin::v1::FlushGroupResponse;
use cached_proto::records::GroupRecord;
use cached_proto::types::{GroupName, Invalid, MemberId, Slot, Ttl};

use super::coverage::Coverage;
use super::fan_out::{Whom, ask_all, failure_of};
use super::{Operator, check_note};
use crate::cluster::view::{MemberView, Serving};
use crate::journal::{Note, Severity};
use crate::peers::Flushed;
use crate::store::{ContainerId, GroupId};

/// How long one member may take to drop a group: freeing millions of entries
/// takes longer than a question does. One that hangs is asked twice before the end.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1_800);

/// How long a flush goes after slots that change hands: a person waits for it,
/// and is to be told what came of it before clients stop waiting, after 5 s.
const FLUSH_DEADLINE: Duration = Duration::from_secs(4);

/// Highest number of a database: one for each group. 0 is every node's own group.
const RESP_DB_MAX: u32 = GROUPS_MAX as u32;

/// Before members are asked again, if nothing changes earlier: about a seal.
const FLUSH_PAUSE: Duration = Duration::from_millis(20);

impl Operator {
    /// All groups by name.
    pub fn groups(&self) -> Vec<GroupRecord> {
        self.parts.view.load().groups.values().cloned().collect()
    }

    /// Creates a group for the whole cluster. The same settings again are no
    /// conflict; other settings are.
    pub async fn create_group(&self, group: GroupRecord, by: &str) -> Result<GroupRecord, Failure> {
        check_note("by", by)?;
        check_group(&group)?;
        let view = self.parts.view.load_full();
        if view.groups.len() >= GROUPS_MAX && !view.groups.contains_key(&group.name) {
            let problem = format!("{} is one too many; the limit is {GROUPS_MAX}", group.name);
            return Err(Invalid::new("group", problem).into());
        }
        let mut others = view
            .groups
            .values()
            .filter(|other| other.name != group.name);
        if let Some(number) = group.resp_db
            && let Some(other) = others.find(|other| other.resp_db == Some(number))
        {
            let message = format!("database {number} is group {} already", other.name);
            return Err(Failure::new(FailureCode::Conflict, message));
        }
        let created = self.parts.cluster.create_group(group).await?;
        tracing::info!(group = %created.name, by, "group created");
        let text = format!("group {} is there", created.name);
        self.note(Note::new(Severity::Info, "group-created", &created.name, text).by(by));
        Ok(created)
    }

    /// Drops a group's entries in every slot, wherever it is meanwhile: members are asked
    /// for the slots that they own until each slot was served by one of them from before
    /// to after its own dropping, so slots that change hands are met at their new owner.
    /// One result for each member that was asked; those with a failure may hold entries
    /// of before. Entries written meanwhile may stay; loads that run are not stored.
    pub async fn flush_group(
        &self,
        group: &GroupName,
        by: &str,
    ) -> Result<FlushGroupResponse, Failure> {
        check_note("by", by)?;
        let mut view = self.parts.view.load_full();
        if !view.groups.contains_key(group) {
            return Err(unknown_group(group));
        }
        if !view.table_loaded {
            let message = "this node has not loaded the slot table yet";
            return Err(Failure::new(FailureCode::Unavailable, message));
        }
        let deadline = self.parts.clock.now() + FLUSH_DEADLINE;
        let mut coverage = Coverage::new();
        loop {
            let left = deadline.since(self.parts.clock.now());
            let timeout = left.min(FLUSH_TIMEOUT);
            let asked = coverage.to_ask(&view);
            let nobody = asked.is_empty();
            let answers = ask_all(asked, |whom| self.flush_at(whom, group, timeout)).await;
            for (member, answer) in answers {
                coverage.answered(member, answer);
            }
            let over = self.parts.clock.now() >= deadline;
            if coverage.is_complete() || nobody || over {
                break;
            }
            tokio::select! {
                biased;
                _ = self.parts.view.newer_than(view.number) => {}
                () = self.parts.clock.sleep(FLUSH_PAUSE) => {}
            }
            view = self.parts.view.load_full();
        }
        let nodes = coverage.into_nodes(&self.parts.view.load());
        let keys: u64 = nodes.iter().map(|node| node.keys).sum();
        let failed = nodes.iter().filter(|node| node.failure.is_some()).count();
        tracing::info!(%group, by, keys, failed, "group flushed");
        let text = match failed {
            0 => format!("group {group} was flushed: {keys} keys"),
            _ => format!("group {group} was flushed: {keys} keys; {failed} nodes failed"),
        };
        self.note(Note::new(Severity::Warning, "group-flushed", group, text).by(by));
        Ok(FlushGroupResponse { nodes })
    }

    async fn flush_at(
        &self,
        whom: Whom,
        group: &GroupName,
        timeout: Duration,
    ) -> (MemberId, Result<Flushed, Failure>) {
        let answer = match &whom {
            Whom::Me(_) => self.flush_own(group).await,
            Whom::Living(_, peer) => {
                let flushed = self.parts.peers.flush(peer, group, timeout).await;
                flushed.map_err(failure_of)
            }
            Whom::Away(member) => Err(away(member)),
        };
        (whom.member().id.clone(), answer)
    }

    /// Drops a group's entries here, in short steps between which others run, and says
    /// which slots were served by the same container from before to after, and sealed at
    /// no time in between. Refused while this process is not sure that its slots are its own; fails
    /// when it lost that certainty meanwhile, with entries dropped or not. Dropping the
    /// future leaves the rest of the entries.
    pub async fn flush_own(&self, group: &GroupName) -> Result<Flushed, Failure> {
        self.check_serving()?;
        let id = self.group_id(group)?;
        let before = self.open_slots();
        let mut keys = 0;
        for step in self.parts.store.flush_in_steps(id) {
            keys += step;
            tokio::task::yield_now().await;
        }
        let after = self.open_slots();
        // What another member serves by now was not dropped there.
        self.check_serving().map_err(Failure::maybe_applied)?;
        let stayed = before
            .iter()
            .filter(|(slot, it)| after.get(slot) == Some(it));
        let slots = stayed.map(|(slot, _)| *slot).collect();
        Ok(Flushed { keys, slots })
    }

    /// The group's number in the store.
    pub(super) fn group_id(&self, group: &GroupName) -> Result<GroupId, Failure> {
        let id = self.parts.store.group(group);
        id.ok_or_else(|| unknown_group(group))
    }

    /// Slots that serve and are not sealed, each with its container, and how often that
    /// was sealed: a flush leaves out what is sealed.
    fn open_slots(&self) -> BTreeMap<Slot, (ContainerId, u32)> {
        let slots = self.parts.store.slots();
        let open = slots.iter().filter(|info| !info.sealed);
        let each = open.map(|info| (info.slot, (info.container, info.seals)));
        each.collect()
    }

    pub(super) fn check_serving(&self) -> Result<(), Failure> {
        if let Serving::Fenced(_) = self.serving() {
            let message = format!("{} serves nothing now; try again", self.shown_name());
            return Err(Failure::new(FailureCode::Unavailable, message));
        }
        Ok(())
    }
}

pub(super) fn unknown_group(group: &GroupName) -> Failure {
    let message = format!("group {group} does not exist; create it first");
    Failure::new(FailureCode::UnknownGroup, message)
}

fn away(member: &MemberView) -> Failure {
    let message = format!(
        "{} is no member now; its slots come back empty unless it returns",
        member.id.name
    );
    Failure::new(FailureCode::Unavailable, message)
}

/// What a group's settings must keep to.
fn check_group(group: &GroupRecord) -> Result<(), Failure> {
    if group.max_bytes == Some(0) {
        let problem = "is 0, which would hold nothing; leave it out for no bound of its own";
        return Err(Invalid::new("max_bytes", problem).into());
    }
    if let Some(number) = group.resp_db
        && !(1..=RESP_DB_MAX).contains(&number)
    {
        let problem = format!("is {number}; it must be between 1 and {RESP_DB_MAX}");
        return Err(Invalid::new("resp_db", problem).into());
    }
    if let Some(ms) = group.default_ttl_ms {
        Ttl::from_ms(ms).map_err(|bad| Invalid::new("default_ttl_ms", bad.problem))?;
    }
    Ok(())
}
