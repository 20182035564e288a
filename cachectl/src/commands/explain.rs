//! `locate --explain`: what stands around a key besides its owner.

use cached_client::admin::{BlacklistEntry, Operation};
use cached_client::topology::Location;
use serde_json::{Value, json};

use super::Session;

/// What is known beside the table; empty where nobody could be asked.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Where the slot is on its way to, and how far.
    pending: Option<(String, String)>,
    /// Who does not attempt the owner.
    blacklisted_by: Vec<String>,
}

impl Around {
    /// Asks for it. What does not answer is left out: the key's place is known without.
    pub(super) async fn ask(session: &Session, location: &Location) -> Self {
        let Ok(admin) = session.admin().await else {
            return Self::default();
        };
        let operations = admin.operations(false).await;
        let operations = operations.map_or(Vec::new(), |answered| answered.value);
        let blacklist = admin.blacklist(false).await;
        let entries = blacklist.map_or(Vec::new(), |answered| answered.value.entries);
        let owner = location.owner.as_ref().map(|owner| owner.id.name.as_str());
        Self {
            pending: pending(&operations, location.slot.number().into()),
            blacklisted_by: blacklisted_by(&entries, owner),
        }
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> [(&'static str, String); 2] {
        let pending = match &self.pending {
            Some((to, state)) => format!("{state}, to {to}"),
            None => "none".to_owned(),
        };
        let by = match self.blacklisted_by.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        [("pending", pending), ("blacklisted by", by)]
    }

    /// The same for machines.
    pub(super) fn add_to(&self, json: &mut Value) {
        let pending = self.pending.as_ref();
        json["pending"] =
            pending.map_or(Value::Null, |(to, state)| json!({"to": to, "state": state}));
        json["blacklisted_by"] = json!(self.blacklisted_by);
    }
}

/// The batch that a slot travels with.
fn pending(operations: &[Operation], slot: u32) -> Option<(String, String)> {
    let open = operations
        .iter()
        .filter(|operation| operation.state.is_open());
    let pairs = open.flat_map(|operation| &operation.pairs);
    let batches = pairs.flat_map(|pair| pair.batches.iter().map(|batch| (&pair.to, batch)));
    let mut found = batches.filter(|(_, batch)| batch.slots.contains(&slot));
    found
        .next()
        .map(|(to, batch)| (to.clone(), batch.state.clone()))
}

/// Who does not attempt a member; `*`: nobody does.
fn blacklisted_by(entries: &[BlacklistEntry], owner: Option<&str>) -> Vec<String> {
    let about = entries
        .iter()
        .filter(|entry| Some(entry.target.as_str()) == owner);
    about.map(|entry| entry.observer.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_blames_the_owner_is_named() {
        let entry = |observer: &str, target: &str| BlacklistEntry {
            observer: observer.to_owned(),
            target: target.to_owned(),
            ..BlacklistEntry::default()
        };
        let entries = [entry("*", "n1"), entry("n2", "n1"), entry("n2", "n3")];
        assert_eq!(blacklisted_by(&entries, Some("n1")), ["*", "n2"]);
        assert!(blacklisted_by(&entries, None).is_empty());
        let around = Around {
            pending: Some(("n4".to_owned(), "copying".to_owned())),
            blacklisted_by: Vec::new(),
        };
        let told = around.lines().map(|(_, text)| text);
        assert_eq!(told, ["copying, to n4", "none"]);
    }
}
