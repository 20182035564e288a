//! Whom nobody should attempt: circuit breakers of every node, and operators' entries.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::pb::cached::admin::v1::{BlacklistEntry, ListBlacklistResponse};
use cached_proto::records::BlacklistRecord;
use cached_proto::types::{Invalid, MemberId, NodeName};

use super::fan_out::{ASK_TIMEOUT, Whom, ask_all, everyone};
use super::{Operator, check_note, millis};
use crate::blacklist::Listed;
use crate::clock::WallMs;
use crate::cluster::view::ClusterView;
use crate::journal::{Note, Severity};

/// How long an operator's entry lasts when nothing is said: as long as the
/// breakers' own.
const TTL_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// Longest life of an operator's entry: a week outlasts any repair; what should
/// stay away for longer is better removed.
const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

impl Operator {
    /// Breakers and operators' entries as all members see them, and who could not
    /// be asked. With `own_node_only`, this process's breakers and the operators'.
    pub async fn blacklist(&self, own_node_only: bool) -> ListBlacklistResponse {
        let view = self.parts.view.load_full();
        let mut list = ListBlacklistResponse {
            entries: manual_entries(&view, self.parts.clock.wall()),
            unanswered: Vec::new(),
        };
        if own_node_only {
            list.entries.extend(self.own_blacklist());
            return list;
        }
        if view.me.is_none() {
            // A gateway is no member, and its breakers are asked by nobody else.
            list.entries.extend(self.own_blacklist());
        }
        for answer in ask_all(everyone(&view), |whom| self.blacklist_of(whom)).await {
            match answer {
                Ok(entries) => list.entries.extend(entries),
                Err(name) => list.unanswered.push(name),
            }
        }
        list
    }

    /// A member's breakers; its name when it could not be asked.
    async fn blacklist_of(&self, whom: Whom) -> Result<Vec<BlacklistEntry>, String> {
        match whom {
            Whom::Me(_) => Ok(self.own_blacklist()),
            Whom::Away(member) => Err(member.id.name.to_string()),
            Whom::Living(member, peer) => {
                let peers = Arc::clone(&self.parts.peers);
                let answer = peers.blacklist(&peer, ASK_TIMEOUT).await;
                answer.map_err(|_| member.id.name.to_string())
            }
        }
    }

    /// This process's own circuit breakers.
    pub fn own_blacklist(&self) -> Vec<BlacklistEntry> {
        let observer = self.shown_name();
        self.parts
            .breakers
            .listed()
            .into_iter()
            .map(|listed| entry(observer, listed))
            .collect()
    }

    /// Lists a member for every node, in the life that it has now. `ttl` zero means
    /// five minutes. The last member that is not listed cannot be listed.
    pub async fn add_blacklist(
        &self,
        target: &NodeName,
        ttl: Duration,
        reason: &str,
        by: &str,
    ) -> Result<(), Failure> {
        check_note("reason", reason)?;
        check_note("by", by)?;
        let ttl_ms = lifetime_ms(ttl)?;
        let view = self.parts.view.load_full();
        let WallMs(since_ms) = self.parts.clock.wall();
        let entry = BlacklistRecord {
            target: target.clone(),
            inc: living(&view, target)?.inc,
            reason: reason.to_owned(),
            by: by.to_owned(),
            since_ms,
            expires_ms: since_ms.saturating_add(ttl_ms),
        };
        self.parts.cluster.add_blacklist(entry).await?;
        tracing::info!(%target, reason, by, ttl_ms, "member blacklisted");
        Ok(())
    }

    /// Takes an operator's entry back; false: there was none. Circuit breakers
    /// close by themselves when their target answers.
    pub async fn remove_blacklist(&self, target: &NodeName, by: &str) -> Result<bool, Failure> {
        check_note("by", by)?;
        let removed = self.parts.cluster.remove_blacklist(target).await?;
        tracing::info!(%target, by, removed, "member taken off the blacklist");
        if removed {
            let text = format!("{target} was taken off the blacklist");
            self.note(Note::new(Severity::Info, "blacklist-removed", target, text).by(by));
        }
        Ok(removed)
    }
}

/// An open breaker as it is shown.
fn entry(observer: &str, listed: Listed) -> BlacklistEntry {
    BlacklistEntry {
        observer: observer.to_owned(),
        target: listed.target.name.to_string(),
        failures: listed.failures,
        since_ms: listed.since.0,
        expires_in_ms: millis(listed.expires_in),
        last_error: listed.last_error,
        next_probe_in_ms: millis(listed.next_probe_in),
        ..BlacklistEntry::default()
    }
}

fn lifetime_ms(ttl: Duration) -> Result<u64, Failure> {
    let ttl = if ttl.is_zero() { TTL_DEFAULT } else { ttl };
    if ttl > TTL_MAX {
        let problem = format!(
            "of {} s is over the limit of {} s (a week)",
            ttl.as_secs(),
            TTL_MAX.as_secs()
        );
        return Err(Invalid::new("ttl", problem).into());
    }
    Ok(millis(ttl))
}

/// The member of that name that is alive.
fn living(view: &ClusterView, name: &NodeName) -> Result<MemberId, Failure> {
    let alive = view.members.iter().filter(|member| member.record.is_some());
    let found = alive.map(|member| &member.id).find(|id| id.name == *name);
    found.cloned().ok_or_else(|| {
        let message = format!("{name} is no living member; see the list of nodes");
        let mut failure = Failure::new(FailureCode::NotFound, message);
        failure.field = Some("target");
        failure
    })
}

/// Operators' entries whose time is not over.
fn manual_entries(view: &ClusterView, WallMs(now_ms): WallMs) -> Vec<BlacklistEntry> {
    let entries = view
        .blacklist
        .values()
        .filter(|record| record.expires_ms > now_ms);
    entries
        .map(|record| BlacklistEntry {
            observer: "*".to_owned(),
            target: record.target.to_string(),
            manual: true,
            since_ms: record.since_ms,
            expires_in_ms: record.expires_ms - now_ms,
            reason: record.reason.clone(),
            by: record.by.clone(),
            ..BlacklistEntry::default()
        })
        .collect()
}
