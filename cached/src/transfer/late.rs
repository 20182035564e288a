//! What the planted fault R19 does to the order of changes. Pure.

use crate::store::Change;

/// Entries that were taken from the log and wait to be sent too late.
#[derive(Debug, Default)]
pub(super) struct Late(Vec<Change>);

impl Late {
    /// The changes of one message with the entries of the one before in place of its own,
    /// after everything that happened to them since. A seal ends that.
    pub(super) fn put_off(&mut self, taken: Vec<Change>) -> Vec<Change> {
        let (puts, rest): (Vec<_>, Vec<_>) = taken
            .into_iter()
            .partition(|it| matches!(it, Change::Put { .. }));
        let (seals, mut sent): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|it| matches!(it, Change::Seal { .. }));
        sent.append(&mut self.0);
        self.0 = puts;
        if !seals.is_empty() {
            sent.append(&mut self.0);
        }
        sent.extend(seals);
        sent
    }
}
