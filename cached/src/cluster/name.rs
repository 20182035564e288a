//! Registering under a name that somebody may hold (R18).

use std::time::Duration;

use cached_proto::records::{MemberRecord, MemberState};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::MemberId;

use super::StartError;
use super::register::{read_member, register};
use super::start::Starting;
use super::state::event::Registration;
use super::state::{Absent, Birth, grace};
use crate::clock::Moment;
use crate::peers::{Peer, Unanswered};
use crate::registry::{Compare, Record, Txn, Write};

/// How often the name is looked at while its last holder may come back for it.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Probes of the holder of the own name, before it counts as dead.
const NAME_PROBES: usize = 3;

/// How often the name is fought for before the start is given up.
const NAME_TRIES: usize = 5;

impl Starting<'_> {
    /// Registers under the name (R18). A holder that answers keeps it; one that does
    /// not loses its key and gets G to notice that it still lives.
    pub(super) async fn claim_name(&self, member: &MemberRecord) -> Result<Birth, StartError> {
        let (registry, clock) = (&self.parts.registry, &self.parts.clock);
        let ttl = self.parts.config.lease_ttl;
        let key = self.keys.key(&RegistryKey::Member(member.id.name.clone()));
        let mut predecessor = None;
        for _ in 0..NAME_TRIES {
            if let Some(holder) = self
                .patiently(|| read_member(registry, key.clone()))
                .await?
            {
                predecessor = self.oust(&key, holder).await?;
                continue;
            }
            let at = clock.now();
            match self
                .patiently(|| register(registry, &self.keys, member, ttl))
                .await?
            {
                Registration::Ours {
                    lease,
                    create_revision,
                } => {
                    return Ok(Birth {
                        lease,
                        create_revision,
                        at,
                        predecessor,
                    });
                }
                Registration::TakenBy(_) => predecessor = None,
            }
        }
        let name = &member.id.name;
        Err(StartError::Refused(format!(
            "name {name} is contested: others register it again and again; choose another --name"
        )))
    }

    /// Removes the key of a holder that does not answer and waits until it cannot be
    /// serving any more. `None`: the name is held again, by whomever.
    async fn oust(
        &self,
        key: &str,
        (record, holder): (Record, MemberRecord),
    ) -> Result<Option<(MemberId, Absent)>, StartError> {
        let (registry, clock) = (&self.parts.registry, &self.parts.clock);
        let signed_off = holder.state == MemberState::Gone;
        if !signed_off {
            self.refuse_if_alive(&holder).await?;
        }
        let txn = Txn {
            compares: vec![Compare::CreateRevision(
                key.to_owned(),
                record.create_revision,
            )],
            writes: vec![Write::Delete(key.to_owned())],
        };
        self.patiently(|| registry.txn(txn.clone())).await?;
        let mut absent: Option<Absent> = None;
        loop {
            if self
                .patiently(|| read_member(registry, key.to_owned()))
                .await?
                .is_some()
            {
                return Ok(None);
            }
            // Counted from the first look that found the name free: the deletion was
            // before. Every later look proves that nobody came back.
            let absent = absent.get_or_insert_with(|| Absent {
                since: clock.now(),
                signed_off,
                removed_here: true,
                address: holder.address.clone(),
                detail: "its name was registered again by a new incarnation".to_owned(),
            });
            if signed_off || self.waited_since(absent.since) {
                return Ok(Some((holder.id, absent.clone())));
            }
            clock.sleep(LOOK_EVERY).await;
        }
    }

    fn waited_since(&self, since: Moment) -> bool {
        self.parts.clock.now().since(since) >= grace(self.parts.config.fence_after)
    }

    async fn refuse_if_alive(&self, holder: &MemberRecord) -> Result<(), StartError> {
        let peer = Peer {
            id: holder.id.clone(),
            address: holder.address.clone(),
        };
        let MemberId { name, inc } = &holder.id;
        for _ in 0..NAME_PROBES {
            let address = &holder.address;
            match self.probe(&peer).await {
                Ok((id, _)) if id == holder.id => {
                    return Err(StartError::Refused(format!(
                        "name {name} is taken by a living node at {address} (incarnation {inc}); \
                         choose another --name"
                    )));
                }
                // It may be that holder, which its key says has lived lately.
                Err(Unanswered::Refused(why)) => {
                    return Err(StartError::Refused(format!(
                        "name {name} is taken by a node at {address} (incarnation {inc}) that \
                         refuses the calls of this one: {why}; choose another --name, or give \
                         all nodes the same tokens and certificates"
                    )));
                }
                Ok(_) | Err(Unanswered::Silent(_)) => {}
            }
        }
        let wait = grace(self.parts.config.fence_after).as_secs_f32();
        tracing::info!(
            "{name} was running at {} and does not answer: its name is free in {wait:.1} s",
            holder.address
        );
        Ok(())
    }
}
