//! Groups: listed, created, emptied.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::GROUPS_MAX;
use cached_proto::pb::cached::admin::v1::{FlushGroupResponse, flush_group_response::Node};
use cached_proto::records::GroupRecord;
use cached_proto::types::{GroupName, Invalid, Ttl};

use super::fan_out::{Whom, ask_all, everyone, failure_of};
use super::{Operator, check_note};
use crate::cluster::view::{MemberView, Serving};

/// How long one member may take to drop a group: freeing millions of entries
/// takes longer than a question does.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

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
        let created = self.parts.cluster.create_group(group).await?;
        tracing::info!(group = %created.name, by, "group created");
        Ok(created)
    }

    /// Drops a group's entries on every member that owns slots; one result for
    /// each, and a failed one is tried once more. Entries written meanwhile may
    /// stay; loads that run are not stored.
    pub async fn flush_group(
        &self,
        group: &GroupName,
        by: &str,
    ) -> Result<FlushGroupResponse, Failure> {
        check_note("by", by)?;
        let view = self.parts.view.load_full();
        if !view.groups.contains_key(group) {
            return Err(unknown_group(group));
        }
        let mut owners = everyone(&view);
        owners.retain(|whom| whom.member().slots > 0);
        let nodes = ask_all(owners, |whom| self.flush_at(whom, group)).await;
        let keys: u64 = nodes.iter().map(|node| node.keys).sum();
        let failed = nodes.iter().filter(|node| node.failure.is_some()).count();
        tracing::info!(%group, by, keys, failed, "group flushed");
        Ok(FlushGroupResponse { nodes })
    }

    async fn flush_at(&self, whom: Whom, group: &GroupName) -> Node {
        let first = self.try_flush_at(&whom, group).await;
        // Dropping twice is dropping once, so even an unknown outcome is tried again.
        let last = match first {
            Ok(keys) => Ok(keys),
            Err(_) => self.try_flush_at(&whom, group).await,
        };
        let name = whom.member().id.name.to_string();
        match last {
            Ok(keys) => Node {
                name,
                keys,
                failure: None,
            },
            Err(failure) => Node {
                name,
                keys: 0,
                failure: Some(failure.into()),
            },
        }
    }

    async fn try_flush_at(&self, whom: &Whom, group: &GroupName) -> Result<u64, Failure> {
        match whom {
            Whom::Me(_) => self.flush_own(group).await,
            Whom::Living(_, peer) => {
                let peers = Arc::clone(&self.parts.peers);
                peers
                    .flush(peer, group, FLUSH_TIMEOUT)
                    .await
                    .map(|flushed| flushed.keys)
                    .map_err(failure_of)
            }
            Whom::Away(member) => Err(away(member)),
        }
    }

    /// Drops a group's entries here, in short steps between which others run. Refused
    /// while this process is not sure that its slots are its own; fails when it lost
    /// that certainty meanwhile, with entries dropped or not. Dropping the future
    /// leaves the rest of the entries.
    pub async fn flush_own(&self, group: &GroupName) -> Result<u64, Failure> {
        self.check_serving()?;
        let id = self
            .parts
            .store
            .group(group)
            .ok_or_else(|| unknown_group(group))?;
        let mut keys = 0;
        for step in self.parts.store.flush_in_steps(id) {
            keys += step;
            tokio::task::yield_now().await;
        }
        // What another member serves by now was not dropped there.
        self.check_serving().map_err(Failure::maybe_applied)?;
        Ok(keys)
    }

    fn check_serving(&self) -> Result<(), Failure> {
        if let Serving::Fenced(_) = self.serving() {
            let message = format!("{} serves nothing now; flush again", self.shown_name());
            return Err(Failure::new(FailureCode::Unavailable, message));
        }
        Ok(())
    }
}

fn unknown_group(group: &GroupName) -> Failure {
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
    if let Some(ms) = group.default_ttl_ms {
        Ttl::from_ms(ms).map_err(|bad| Invalid::new("default_ttl_ms", bad.problem))?;
    }
    Ok(())
}
