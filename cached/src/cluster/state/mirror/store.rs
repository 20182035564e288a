//! Reading values: each key's own kind of record, checked before it is believed.

use std::collections::BTreeMap;

use cached_proto::records::MemberRecord;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::{Page, PageIndex, Row};
use cached_proto::types::{MemberId, NodeName};
use serde::de::DeserializeOwned;

use super::{Held, Mirror, Notice, Plan};
use crate::registry::Record;

impl Mirror {
    pub(super) fn store(
        &mut self,
        key: RegistryKey,
        record: &Record,
        out: &mut Vec<Notice>,
    ) -> Result<(), String> {
        match key {
            RegistryKey::Meta => {
                self.meta = Some(held(record, read(record)?));
                out.push(Notice::Meta);
            }
            RegistryKey::Member(name) => self.store_member(name, record, out)?,
            RegistryKey::Plan => {
                self.plan = Some(held(record, Plan::new(read(record)?)?));
                out.push(Notice::Plan);
            }
            // For those who look back.
            RegistryKey::Layout(_) => {}
            RegistryKey::Page(page) => self.store_page(page, record, out)?,
            RegistryKey::Group(name) => {
                self.groups.insert(name, read(record)?);
                out.push(Notice::Other);
            }
            RegistryKey::Blacklist(name) => {
                self.blacklist.insert(name, held(record, read(record)?));
                out.push(Notice::Other);
            }
            RegistryKey::Planner => {
                self.planner = Some(held(record, read(record)?));
                out.push(Notice::Other);
            }
            RegistryKey::Intent(name) => {
                self.intents.insert(name, held(record, read(record)?));
                out.push(Notice::Other);
            }
            RegistryKey::Operation(id) => {
                let value = held(record, read(record)?);
                self.operations.entry(id).or_default().record = Some(value);
                out.push(Notice::Other);
            }
            RegistryKey::Progress(id, name) => {
                let value = held(record, read(record)?);
                let operation = self.operations.entry(id).or_default();
                operation.progress.insert(name, value);
                out.push(Notice::Other);
            }
        }
        Ok(())
    }

    fn store_member(
        &mut self,
        name: NodeName,
        record: &Record,
        out: &mut Vec<Notice>,
    ) -> Result<(), String> {
        let member: MemberRecord = read(record)?;
        if member.id.name != name {
            return Err(format!("names {:?}", member.id.name));
        }
        let before = self.members.insert(name, held(record, member.clone()));
        let same_life = before
            .as_ref()
            .is_some_and(|b| b.create_revision == record.create_revision);
        if let Some(before) = before.filter(|_| !same_life) {
            out.push(Notice::MemberLeft(Box::new(before)));
        }
        // Told also when only the state changed: whoever listens knows who was there.
        out.push(Notice::MemberCame(Box::new(member)));
        Ok(())
    }

    /// Never an older page, never an older row: whatever the revision says, an
    /// epoch that went down or a generation that is not the newest is refused.
    fn store_page(
        &mut self,
        index: PageIndex,
        record: &Record,
        out: &mut Vec<Notice>,
    ) -> Result<(), String> {
        let page: Page = read(record)?;
        if let Some(known) = &self.pages[index.index()] {
            let known = &known.value;
            if page.generation < known.generation {
                return Err(format!(
                    "is of generation {} after {}",
                    page.generation, known.generation
                ));
            }
            let sank = |(new, old): (&Row, &Row)| new.epoch < old.epoch;
            if page.generation == known.generation && page.rows.iter().zip(&known.rows).any(sank) {
                return Err("shows an epoch that went down".to_owned());
            }
            for row in &known.rows {
                uncount(&mut self.rows, &row.owner);
            }
        }
        for row in &page.rows {
            *self.rows.entry(row.owner.clone()).or_default() += 1;
        }
        self.pages[index.index()] = Some(held(record, page));
        out.push(Notice::Page(index));
        Ok(())
    }
}

fn held<T>(record: &Record, value: T) -> Held<T> {
    Held {
        value,
        create_revision: record.create_revision,
        mod_revision: record.mod_revision,
    }
}

fn read<T: DeserializeOwned>(record: &Record) -> Result<T, String> {
    serde_json::from_slice(&record.value).map_err(|error| error.to_string())
}

fn uncount(rows: &mut BTreeMap<MemberId, u32>, owner: &MemberId) {
    if let Some(count) = rows.get_mut(owner) {
        *count -= 1;
        if *count == 0 {
            rows.remove(owner);
        }
    }
}
