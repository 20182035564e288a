//! Keys of a group, listed slot by slot and some at a time: this node's, or those of
//! the whole cluster, each asked of its owner.

use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::types::{GroupName, Key, Slot};

use super::fan_out::{ASK_TIMEOUT, failure_of};
use super::{Operator, me};
use crate::peers::keys::{BELOW_BITS, CONTAINER_MASK, KeysPage, KeysPlace};
use crate::peers::{Peer, PeerError};
use crate::store::{ContainerId, GroupId, KeyCursor};

/// Bytes of keys in one page: far below a message.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Entries that are looked at for one page.
const PAGE_ENTRIES_MAX: usize = 10_000;

/// Tries after the first where a slot is changing hands, and the pause before each.
const RETRIES: u32 = 20;
const RETRY_PAUSE: Duration = Duration::from_millis(50);

fn position_of(cursor: KeyCursor) -> u64 {
    (cursor.container.0 & CONTAINER_MASK) << BELOW_BITS | u64::from(cursor.below)
}

/// The cursor of a position in a container; `None`, its start, if the position is one of
/// a container before.
fn cursor_of(position: u64, container: ContainerId) -> Option<KeyCursor> {
    let below = (position & u64::from(u32::MAX)) as u32;
    let same = position >> BELOW_BITS == container.0 & CONTAINER_MASK;
    (position != 0 && same).then_some(KeyCursor { container, below })
}

/// Which slots a listing goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Through {
    /// All that are served here.
    Own,
    /// Those of this node up to the first that is another's.
    Run,
}

impl Operator {
    /// Some keys of a group from a place on: looks at about `count` entries. Asks one
    /// node, and waits a while for one that is about to serve the slot.
    pub async fn keys(
        &self,
        group: &GroupName,
        from: KeysPlace,
        count: usize,
    ) -> Result<KeysPage, Failure> {
        let mut tries = 0;
        loop {
            let number = self.parts.view.load().number;
            let failure = match self.keys_at_owner(group, from, count).await {
                Err(failure) if failure.code == FailureCode::Unavailable && tries < RETRIES => {
                    failure
                }
                answer => return answer,
            };
            tracing::debug!(%failure, "keys cannot be listed yet");
            tries += 1;
            tokio::select! {
                biased;
                _ = self.parts.view.newer_than(number) => {}
                () = self.parts.clock.sleep(RETRY_PAUSE) => {}
            }
        }
    }

    async fn keys_at_owner(
        &self,
        group: &GroupName,
        from: KeysPlace,
        count: usize,
    ) -> Result<KeysPage, Failure> {
        let view = self.parts.view.load_full();
        if view.is_mine(from.slot) {
            return self.keys_for_peer(group, from, count);
        }
        let owner = view.owner(from.slot).filter(|_| view.table_loaded);
        let peer = owner.and_then(|(member, _)| {
            let address = member.record.as_ref()?.address.clone();
            let id = member.id.clone();
            Some(Peer { id, address })
        });
        let Some(peer) = peer else {
            return Err(unavailable(format!(
                "slot {} has no living owner",
                from.slot
            )));
        };
        let peers = &self.parts.peers;
        let asked = peers.keys(&peer, group, from, count, ASK_TIMEOUT).await;
        asked.map_err(|error| match error {
            // Nothing is changed by asking: it may always be asked again.
            PeerError::Unknown(why) => unavailable(why),
            error => failure_of(error),
        })
    }

    /// What another node asks for: keys of this node's slots from a place on, up to the
    /// first slot that is not its own.
    pub fn keys_for_peer(
        &self,
        group: &GroupName,
        from: KeysPlace,
        count: usize,
    ) -> Result<KeysPage, Failure> {
        self.list(group, from, count, Through::Run)
    }

    /// Keys of the slots that are served here, wherever others are.
    pub fn own_keys(
        &self,
        group: &GroupName,
        from: KeysPlace,
        count: usize,
    ) -> Result<KeysPage, Failure> {
        self.list(group, from, count, Through::Own)
    }

    fn list(
        &self,
        group: &GroupName,
        from: KeysPlace,
        count: usize,
        through: Through,
    ) -> Result<KeysPage, Failure> {
        self.check_serving()?;
        let id = self.group_id(group)?;
        let view = self.parts.view.load_full();
        let mut page = KeysPage::default();
        let mut left = count.clamp(1, PAGE_ENTRIES_MAX);
        let mut bytes = 0;
        let mut place = Some(from);
        while let Some(at) = place {
            if left == 0 || bytes > PAGE_BYTES_MAX {
                page.next = Some(at);
                break;
            }
            let served = self.parts.store.slot(at.slot).is_some();
            if through == Through::Run && !(served && view.is_mine(at.slot)) {
                if at == from {
                    return Err(unavailable(format!("slot {} is not served here", at.slot)));
                }
                page.next = Some(at);
                break;
            }
            let before = page.keys.len();
            let position = self.list_slot(id, at, left, &mut page.keys);
            bytes += page.keys[before..].iter().map(length).sum::<usize>();
            left = match position {
                Some(_) => 0,
                None => left.saturating_sub(page.keys.len() - before),
            };
            place = match position {
                Some(position) => Some(KeysPlace { position, ..at }),
                None => KeysPlace::at(at.slot.number() + 1),
            };
        }
        Ok(page)
    }

    /// Some keys of one slot, from a place on; answers where in it the listing goes on.
    fn list_slot(
        &self,
        group: GroupId,
        from: KeysPlace,
        count: usize,
        keys: &mut Vec<Key>,
    ) -> Option<u64> {
        let store = &self.parts.store;
        let container = store.slot(from.slot)?.container;
        let cursor = cursor_of(from.position, container);
        let page = store.keys(from.slot, cursor, count);
        let own = page.keys.into_iter().filter(|(other, _)| *other == group);
        keys.extend(own.map(|(_, key)| key));
        page.next.map(position_of)
    }

    /// Up to `count` keys of one slot that is served here.
    pub fn own_keys_in(&self, group: &GroupName, slot: Slot, count: usize) -> Vec<Key> {
        let mut keys = Vec::new();
        let Some(id) = self.parts.store.group(group) else {
            return keys;
        };
        let mut position = Some(0);
        while let Some(at) = position.filter(|_| keys.len() < count) {
            let from = KeysPlace { slot, position: at };
            position = self.list_slot(id, from, PAGE_ENTRIES_MAX, &mut keys);
        }
        keys.truncate(count);
        keys
    }

    /// How many keys a group has, over the whole cluster or here. Fails if somebody
    /// who may have some does not answer.
    pub async fn count_keys(&self, group: &GroupName, own_node_only: bool) -> Result<u64, Failure> {
        let told = self.stats(own_node_only).await;
        if let Some(silent) = told.nodes.iter().find(|node| !node.error.is_empty()) {
            let message = format!("keys of {} are not known: {}", silent.name, silent.error);
            return Err(unavailable(message));
        }
        let groups = told.nodes.iter().flat_map(|node| &node.groups);
        let own = groups.filter(|told| told.group == group.as_str());
        Ok(own.map(|told| told.keys).sum())
    }

    /// This process's name, and its incarnation, which is empty for a gateway.
    pub fn own_id(&self) -> (String, String) {
        let view = self.parts.view.load();
        let incarnation = me(&view).map(|member| member.id.inc.to_string());
        (
            self.shown_name().to_owned(),
            incarnation.unwrap_or_default(),
        )
    }

    /// How much memory entries may take here, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.parts.store.memory_bytes()
    }
}

fn length(key: &Key) -> usize {
    key.as_bytes().len()
}

fn unavailable(message: String) -> Failure {
    Failure::new(FailureCode::Unavailable, message).retry_after(RETRY_PAUSE)
}

/// What a made-up member answers: one key, and then the next one's slots.
#[cfg(test)]
pub(super) fn one_key(member: &str, from: KeysPlace) -> KeysPage {
    let view = super::fixture::view(&["n1", "n2", "n3"]);
    let own = super::fixture::slots_of(&view, member);
    let next = own.last().map(|last| last.number() + 1);
    KeysPage {
        keys: vec![Key::new(format!("{member}-{}", from.slot)).expect("lawful")],
        next: next.and_then(KeysPlace::at),
    }
}
