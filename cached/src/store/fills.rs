//! Fill tokens: proof that nothing touched a key between a miss and its fill. Pure.

use std::collections::BTreeMap;

use super::{ContainerId, GroupId};
use crate::clock::WallMs;

/// Tokens in one shard. Each stands for a load that runs, and loads are bounded
/// far below this; beyond it the oldest goes, which only costs a refused fill.
pub(crate) const TOKENS_MAX: usize = 4096;

/// Which key a token is for. Keys of a container are told apart by their hash
/// alone: two keys that share one can only make a fill be refused that might have
/// been stored, because every change of either key kills the token of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FillKey {
    pub(crate) container: ContainerId,
    pub(crate) hash: u64,
}

#[derive(Debug)]
struct Token {
    nonce: u64,
    group: GroupId,
    until: WallMs,
}

/// The living tokens of a shard. What is not in here is refused, so it may forget.
#[derive(Debug, Default)]
pub(crate) struct FillTable {
    tokens: BTreeMap<FillKey, Token>,
    /// Keys by nonce, that is by age.
    by_age: BTreeMap<u64, FillKey>,
    last_nonce: u64,
}

impl FillTable {
    /// Issues a token; one that the key has dies.
    pub(crate) fn begin(&mut self, key: FillKey, group: GroupId, until: WallMs) -> u64 {
        self.kill(key);
        if self.by_age.len() >= TOKENS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.tokens.remove(&oldest);
        }
        self.last_nonce += 1;
        let nonce = self.last_nonce;
        self.by_age.insert(nonce, key);
        self.tokens.insert(
            key,
            Token {
                nonce,
                group,
                until,
            },
        );
        nonce
    }

    /// Something happened to the key.
    pub(crate) fn kill(&mut self, key: FillKey) {
        if let Some(token) = self.tokens.remove(&key) {
            self.by_age.remove(&token.nonce);
        }
    }

    /// Whether a token lives.
    pub(crate) fn is_alive(&self, key: FillKey, nonce: u64, now: WallMs) -> bool {
        let token = self.tokens.get(&key);
        token.is_some_and(|token| token.nonce == nonce && now <= token.until)
    }

    /// Forgets a token that is not needed any more.
    pub(crate) fn end(&mut self, key: FillKey, nonce: u64) {
        if self.by_age.get(&nonce) == Some(&key) {
            self.kill(key);
        }
    }

    /// A group was flushed.
    pub(crate) fn kill_group(&mut self, group: GroupId) {
        self.retain(|_, token| token.group != group);
    }

    /// A container is gone.
    pub(crate) fn kill_container(&mut self, container: ContainerId) {
        self.retain(|key, _| key.container != container);
    }

    /// Forgets tokens whose time is over.
    pub(crate) fn expire(&mut self, now: WallMs) {
        self.retain(|_, token| now <= token.until);
    }

    /// Tokens held; some may be past their time.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Bytes that they take: about this.
    pub(crate) fn bytes(&self) -> u64 {
        // In two trees, of which a node is two thirds full.
        let token = size_of::<(FillKey, Token)>() + size_of::<(u64, FillKey)>();
        (self.len() * token * 3 / 2) as u64
    }

    fn retain(&mut self, keep: impl Fn(&FillKey, &Token) -> bool) {
        let by_age = &mut self.by_age;
        self.tokens.retain(|key, token| {
            let kept = keep(key, token);
            if !kept {
                by_age.remove(&token.nonce);
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(0);
    const UNTIL: WallMs = WallMs(100);

    fn key(hash: u64) -> FillKey {
        FillKey {
            container: ContainerId(1),
            hash,
        }
    }

    #[test]
    fn a_token_lives_until_it_ends_or_its_time() {
        let mut table = FillTable::default();
        let nonce = table.begin(key(1), GROUP, UNTIL);
        assert!(!table.is_alive(key(2), nonce, WallMs(0)), "another key");
        assert!(
            !table.is_alive(key(1), nonce + 1, WallMs(0)),
            "another nonce"
        );
        assert!(!table.is_alive(key(1), nonce, WallMs(101)), "too late");
        table.end(key(2), nonce);
        table.end(key(1), nonce + 1);
        assert!(table.is_alive(key(1), nonce, UNTIL));
        table.end(key(1), nonce);
        assert!(!table.is_alive(key(1), nonce, UNTIL), "used up");
        assert_eq!((table.len(), table.by_age.len()), (0, 0));
    }

    #[test]
    fn the_newest_token_of_a_key_counts() {
        let mut table = FillTable::default();
        let first = table.begin(key(1), GROUP, UNTIL);
        let second = table.begin(key(1), GROUP, UNTIL);
        assert!(!table.is_alive(key(1), first, WallMs(0)));
        assert!(table.is_alive(key(1), second, WallMs(0)));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut table = FillTable::default();
        let first = table.begin(key(0), GROUP, UNTIL);
        let second = table.begin(key(1), GROUP, UNTIL);
        (2..=TOKENS_MAX as u64).for_each(|hash| {
            table.begin(key(hash), GROUP, UNTIL);
        });
        assert_eq!(table.len(), TOKENS_MAX);
        assert_eq!(table.by_age.len(), TOKENS_MAX);
        assert!(!table.is_alive(key(0), first, WallMs(0)));
        assert!(table.is_alive(key(1), second, WallMs(0)));
    }

    #[test]
    fn groups_containers_and_time_kill() {
        let mut table = FillTable::default();
        let other = FillKey {
            container: ContainerId(2),
            hash: 3,
        };
        table.begin(key(1), GroupId(0), WallMs(10));
        table.begin(key(2), GroupId(1), WallMs(20));
        table.begin(other, GroupId(1), WallMs(30));
        table.expire(WallMs(11));
        assert_eq!(table.len(), 2);
        table.kill_container(ContainerId(2));
        assert_eq!(table.len(), 1);
        table.kill_group(GroupId(1));
        assert_eq!((table.len(), table.by_age.len()), (0, 0));
    }
}
