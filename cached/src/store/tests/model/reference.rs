//! The plainest store that could be right: a list of entries in the order of their
//! use, searched from end to end.

use super::*;

/// Slot, group and key.
pub(super) type Name = (u16, usize, Key);

pub(super) struct ModelEntry {
    pub(super) name: Name,
    pub(super) value: Option<Bytes>,
    pub(super) version: Version,
    pub(super) deadline: Option<u64>,
    /// When it was last used.
    pub(super) used: u64,
}

impl ModelEntry {
    pub(super) fn charge(&self) -> u64 {
        Store::entry_bytes(
            self.name.2.as_bytes().len(),
            self.value.as_ref().map_or(0, Bytes::len),
        )
    }

    fn is_over(&self, now: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) now: u64,
    /// From the least to the most recently used.
    pub(super) entries: Vec<ModelEntry>,
    /// By slot: epoch and number of the last change.
    pub(super) slots: [Option<(u64, u64)>; SLOTS as usize],
    pub(super) last_epoch: u64,
    pub(super) tokens: Vec<(Name, FillToken, u64)>,
    pub(super) counters: [GroupCounters; GROUPS],
}

impl Model {
    /// The place of a living entry; removes one whose time is over.
    pub(super) fn find(&mut self, name: &Name) -> Option<usize> {
        let at = self.entries.iter().position(|entry| entry.name == *name)?;
        if self.entries[at].is_over(self.now) {
            self.expire(at);
            return None;
        }
        Some(at)
    }

    fn expire(&mut self, at: usize) {
        let entry = self.entries.remove(at);
        self.counters[entry.name.1].expirations += u64::from(entry.value.is_some());
    }

    pub(super) fn current(&self, at: Option<usize>) -> Option<Version> {
        let entry = &self.entries[at?];
        entry.value.is_some().then_some(entry.version)
    }

    pub(super) fn next_version(&mut self, slot: u16) -> Version {
        let (epoch, seq) = self.slots[usize::from(slot)]
            .as_mut()
            .expect("checked by the caller");
        *seq += 1;
        version(*epoch, *seq)
    }

    pub(super) fn kill(&mut self, name: &Name) {
        self.tokens.retain(|(other, _, _)| other != name);
    }

    pub(super) fn bytes(&self, group: Option<usize>) -> u64 {
        let counted = |entry: &&ModelEntry| group.is_none_or(|group| entry.name.1 == group);
        self.entries
            .iter()
            .filter(counted)
            .map(ModelEntry::charge)
            .sum()
    }

    pub(super) fn check_fits(&self, name: &Name, value: Option<&Bytes>) -> Result<(), Refused> {
        let needed = Store::entry_bytes(name.2.as_bytes().len(), value.map_or(0, Bytes::len));
        let group = GROUP_BYTES[name.1].unwrap_or(u64::MAX);
        for (limit, of) in [
            (group, "this node's share of the group"),
            (NODE_BYTES, "the node"),
        ] {
            if needed > limit {
                return Err(Refused::TooLarge { needed, limit, of });
            }
        }
        Ok(())
    }

    /// Removes the old entry, makes room, and appends the new one.
    pub(super) fn put(
        &mut self,
        name: Name,
        value: Option<Bytes>,
        deadline: Option<u64>,
    ) -> Version {
        self.entries.retain(|entry| entry.name != name);
        let version = self.next_version(name.0);
        let group = name.1;
        let entry = ModelEntry {
            name,
            value,
            version,
            deadline,
            used: self.now,
        };
        let group_limit = GROUP_BYTES[group].unwrap_or(u64::MAX);
        while self.bytes(Some(group)) + entry.charge() > group_limit {
            let oldest = self.entries.iter().position(|entry| entry.name.1 == group);
            self.evict(oldest.expect("the entry alone fits"));
        }
        while self.bytes(None) + entry.charge() > NODE_BYTES {
            self.evict(0);
        }
        self.entries.push(entry);
        version
    }

    fn evict(&mut self, at: usize) {
        let entry = self.entries.remove(at);
        self.counters[entry.name.1].evictions += u64::from(entry.value.is_some());
        self.kill(&entry.name);
    }

    pub(super) fn use_now(&mut self, at: usize) -> &mut ModelEntry {
        let mut entry = self.entries.remove(at);
        entry.used = self.now;
        self.entries.push(entry);
        self.entries.last_mut().expect("just pushed")
    }

    pub(super) fn execute(
        &mut self,
        name: Name,
        operation: &Operation,
    ) -> Result<Executed, Refused> {
        if self.slots[usize::from(name.0)].is_none() {
            return Err(Refused::NotServed(slot(name.0)));
        }
        if let Operation::Set { value, .. } = operation {
            self.check_fits(&name, Some(value))?;
        }
        match operation {
            Operation::Update { update, .. } => {
                let updated = self.update(&name, update)?;
                return Ok(Executed::Reply(Reply::Update(updated)));
            }
            Operation::SetMany {
                first,
                others,
                if_absent,
            } => {
                let items: Vec<_> = std::iter::once(first).chain(others).collect();
                let place = (name.0, name.1);
                return Ok(Executed::Reply(self.set_many(place, &items, *if_absent)?));
            }
            _ => {}
        }
        let found = self.find(&name);
        let current = self.current(found);
        Ok(Executed::Reply(match operation {
            Operation::Get { metadata_only, .. } => {
                return Ok(self.get(name.1, found, *metadata_only));
            }
            Operation::Set { condition, .. } if !holds(*condition, current) => Reply::Set {
                stored: false,
                version: current,
            },
            Operation::Set { value, ttl, .. } => {
                self.kill(&name);
                self.counters[name.1].sets += 1;
                let ttl_ms = ttl.map(Ttl::as_ms).or(DEFAULT_TTL_MS[name.1]);
                let deadline = ttl_ms.map(|ms| self.now + ms);
                let version = self.put(name, Some(value.clone()), deadline);
                Reply::Set {
                    stored: true,
                    version: Some(version),
                }
            }
            Operation::Delete { condition, .. } => self.delete(&name, found, *condition),
            Operation::Update { .. } | Operation::SetMany { .. } => unreachable!("done above"),
            Operation::Touch { ttl, .. } => {
                if current.is_some() {
                    let deadline = ttl.map(|ttl| self.now + ttl.as_ms());
                    self.use_now(found.expect("it has a version")).deadline = deadline;
                }
                Reply::Touch {
                    found: current.is_some(),
                }
            }
        }))
    }

    fn get(&mut self, group: usize, found: Option<usize>, metadata_only: bool) -> Executed {
        let Some(at) = found else {
            self.counters[group].misses += 1;
            return Executed::Reply(Reply::Get(None));
        };
        let now = self.now;
        let entry = if metadata_only {
            &mut self.entries[at]
        } else {
            self.use_now(at)
        };
        let Some(value) = entry.value.clone() else {
            self.counters[group].negative_hits += 1;
            return Executed::KnownAbsent;
        };
        let reply = Entry {
            value_bytes: value.len() as u64,
            value: if metadata_only { Bytes::new() } else { value },
            version: Some(entry.version),
            ttl_ms: entry.deadline.map(|deadline| deadline - now),
            loaded: false,
            uncached: false,
        };
        self.counters[group].hits += 1;
        Executed::Reply(Reply::Get(Some(reply)))
    }

    fn delete(&mut self, name: &Name, found: Option<usize>, condition: Condition) -> Reply {
        self.kill(name);
        let current = self.current(found);
        if current.is_some() && !holds(condition, current) {
            return Reply::Delete {
                deleted: false,
                version: current,
            };
        }
        if let Some(at) = found {
            self.entries.remove(at);
            self.next_version(name.0);
        }
        self.counters[name.1].deletes += u64::from(current.is_some());
        Reply::Delete {
            deleted: current.is_some(),
            version: None,
        }
    }

    pub(super) fn fill(
        &mut self,
        name: Name,
        token: FillToken,
        fill: Fill,
    ) -> Result<Filled, Refused> {
        let at = self
            .tokens
            .iter()
            .position(|(other, known, _)| *other == name && *known == token);
        let until = at.map(|at| self.tokens.remove(at).2);
        if until.is_none_or(|until| self.now > until) {
            self.counters[name.1].fills_rejected += 1;
            return Ok(Filled::Rejected);
        }
        let (value, ttl_ms) = match fill {
            Fill::Value { value, ttl } => {
                (Some(value), ttl.map(Ttl::as_ms).or(DEFAULT_TTL_MS[name.1]))
            }
            Fill::Absent { ttl } => (None, Some(ttl.as_ms())),
        };
        self.check_fits(&name, value.as_ref())?;
        self.find(&name);
        let deadline = ttl_ms.map(|ms| self.now + ms);
        Ok(Filled::Stored(self.put(name, value, deadline)))
    }

    pub(super) fn flush(&mut self, group: usize) -> u64 {
        self.tokens.retain(|(name, _, _)| name.1 != group);
        let mut keys = 0;
        while let Some(at) = self.entries.iter().position(|entry| entry.name.1 == group) {
            let entry = self.entries.remove(at);
            self.next_version(entry.name.0);
            keys += u64::from(entry.value.is_some());
        }
        self.counters[group].deletes += keys;
        keys
    }

    pub(super) fn drop_slot(&mut self, slot: u16) -> u64 {
        self.tokens.retain(|(name, _, _)| name.0 != slot);
        let before = self.keys(|name| name.0 == slot);
        self.entries.retain(|entry| entry.name.0 != slot);
        self.slots[usize::from(slot)] = None;
        before
    }

    pub(super) fn sweep(&mut self) -> usize {
        let now = self.now;
        self.tokens.retain(|(_, _, until)| now <= *until);
        let is_due = |entry: &ModelEntry| {
            entry
                .deadline
                .is_some_and(|deadline| deadline / BUCKET_MS < now / BUCKET_MS)
        };
        let mut removed = 0;
        while let Some(at) = self.entries.iter().position(is_due) {
            self.expire(at);
            removed += 1;
        }
        removed
    }

    pub(super) fn keys(&self, counted: impl Fn(&Name) -> bool) -> u64 {
        let keys = self.entries.iter().filter(|entry| entry.value.is_some());
        keys.filter(|entry| counted(&entry.name)).count() as u64
    }

    pub(super) fn counters(&self, group: usize) -> GroupCounters {
        GroupCounters {
            keys: self.keys(|name| name.1 == group),
            bytes: self.bytes(Some(group)),
            ..self.counters[group]
        }
    }
}

pub(super) fn holds(condition: Condition, current: Option<Version>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::IfAbsent => current.is_none(),
        Condition::IfPresent => current.is_some(),
        Condition::IfVersion(version) => current == Some(version),
    }
}
