//! The slot table as the registry holds it: 256 pages of 64 rows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::types::{Epoch, Incarnation, Invalid, MemberId, SLOTS, Slot};

/// Rows of a page: the unit of one registry key, so that a commit conflicts only
/// with commits of neighbouring slots.
pub const PAGE_ROWS: u16 = 64;

/// Pages of a table.
pub const PAGES: u16 = SLOTS / PAGE_ROWS;

/// Number of a page, below [`PAGES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PageIndex(u16);

impl PageIndex {
    /// Checks the number.
    pub fn new(number: u16) -> Result<Self, Invalid> {
        if number < PAGES {
            return Ok(Self(number));
        }
        Err(Invalid::new(
            "page",
            format!("{number} is not below {PAGES}"),
        ))
    }

    /// The page that holds a slot's row.
    pub fn of(slot: Slot) -> Self {
        Self(slot.number() / PAGE_ROWS)
    }

    /// The number, to index with.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All pages in ascending order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..PAGES).map(Self)
    }

    /// The slots of the page in ascending order.
    pub fn slots(self) -> impl ExactSizeIterator<Item = Slot> {
        let first = self.0 * PAGE_ROWS;
        (first..first + PAGE_ROWS).map(|number| Slot::new(number).expect("a page's slots exist"))
    }
}

impl fmt::Display for PageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for PageIndex {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text
            .parse()
            .map_err(|_| Invalid::new("page", "is not a number"))?;
        Self::new(number)
    }
}

/// Who owns a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The owner; it may be dead.
    pub owner: MemberId,
    /// Number of this ownership.
    pub epoch: Epoch,
    /// Number of the last try to move the slot.
    pub attempt: u64,
    /// Incarnations that hold every acknowledged write, the owner's included.
    pub isr: Vec<Incarnation>,
}

/// 64 neighbouring rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PageJson", into = "PageJson")]
pub struct Page {
    /// Raised when a cluster is rebuilt from its nodes' tables.
    pub generation: u64,
    /// Exactly [`PAGE_ROWS`] rows, ascending.
    pub rows: Vec<Row>,
}

/// A page as it is written: members once, rows name them by index.
#[derive(Serialize, Deserialize)]
struct PageJson {
    generation: u64,
    /// Owners of the page's rows.
    members: Vec<MemberId>,
    /// In-sync incarnations that own none of the page's rows; their indices go on
    /// where those of `members` end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Incarnation>,
    /// [owner, epoch, attempt, [in-sync members]]
    rows: Vec<RowJson>,
}

type RowJson = (u16, u64, u64, Vec<u16>);

impl PageJson {
    fn row(&self, (owner, epoch, attempt, isr): &RowJson) -> Result<Row, String> {
        let Some(owner) = self.members.get(usize::from(*owner)) else {
            return Err(format!(
                "owner {owner}; the page has {} members",
                self.members.len()
            ));
        };
        let inc = |index: &u16| {
            let index = usize::from(*index);
            let other = || self.others.get(index - self.members.len());
            self.members
                .get(index)
                .map(|member| &member.inc)
                .or_else(other)
                .copied()
        };
        let incs: Option<Vec<_>> = isr.iter().map(inc).collect();
        let isr = incs.ok_or_else(|| format!("in-sync members {isr:?} that the page lacks"))?;
        if !isr.contains(&owner.inc) {
            return Err("no owner among its in-sync members".to_owned());
        }
        Ok(Row {
            owner: owner.clone(),
            epoch: Epoch(*epoch),
            attempt: *attempt,
            isr,
        })
    }
}

impl TryFrom<PageJson> for Page {
    type Error = Invalid;
    fn try_from(json: PageJson) -> Result<Self, Invalid> {
        if json.rows.len() != usize::from(PAGE_ROWS) {
            let problem = format!(
                "has {} rows; a page has exactly {PAGE_ROWS}",
                json.rows.len()
            );
            return Err(Invalid::new("page", problem));
        }
        let rows = json.rows.iter().enumerate().map(|(number, row)| {
            let wrong = |problem| Invalid::new("page", format!("row {number} has {problem}"));
            json.row(row).map_err(wrong)
        });
        Ok(Self {
            generation: json.generation,
            rows: rows.collect::<Result<_, _>>()?,
        })
    }
}

impl From<Page> for PageJson {
    fn from(page: Page) -> Self {
        let mut members: Vec<MemberId> = Vec::new();
        let mut others: Vec<Incarnation> = Vec::new();
        let owners: Vec<u16> = page
            .rows
            .iter()
            .map(|row| index_in(&mut members, &row.owner))
            .collect();
        let mut rows = Vec::with_capacity(page.rows.len());
        for (row, owner) in page.rows.iter().zip(owners) {
            let isr = row.isr.iter().map(|inc| {
                match members.iter().position(|member| member.inc == *inc) {
                    Some(index) => index as u16,
                    None => members.len() as u16 + index_in(&mut others, inc),
                }
            });
            rows.push((owner, row.epoch.0, row.attempt, isr.collect()));
        }
        Self {
            generation: page.generation,
            members,
            others,
            rows,
        }
    }
}

/// Where an item stands in a list, which it is added to if it is new. A page has
/// few members: a scan is quicker than a map.
fn index_in<T: Clone + PartialEq>(list: &mut Vec<T>, item: &T) -> u16 {
    let index = list
        .iter()
        .position(|known| known == item)
        .unwrap_or_else(|| {
            list.push(item.clone());
            list.len() - 1
        });
    index as u16
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::types::NodeName;

    fn member(number: u8) -> MemberId {
        let name = NodeName::new(format!("n{number}")).unwrap();
        MemberId {
            name,
            inc: Incarnation(u128::from(number)),
        }
    }

    fn row() -> impl Strategy<Value = Row> {
        let replicas = vec(any::<u8>(), 0..3);
        (any::<u8>(), any::<u64>(), any::<u64>(), replicas).prop_map(
            |(owner, epoch, attempt, replicas)| {
                let replicas = replicas.into_iter().map(|number| member(number).inc);
                let owner = member(owner);
                let isr = [owner.inc].into_iter().chain(replicas).collect();
                Row {
                    owner,
                    epoch: Epoch(epoch),
                    attempt,
                    isr,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn pages_come_back(generation: u64, rows in vec(row(), usize::from(PAGE_ROWS))) {
            let page = Page { generation, rows };
            let json = serde_json::to_vec(&page).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Page>(&json).unwrap(), page);
        }
    }

    fn json(rows: &[&str]) -> String {
        let n1 = r#"{"name":"n1","inc":"00000000000000000000000000000001"}"#;
        let rows = rows.join(",");
        format!(r#"{{"generation":1,"members":[{n1}],"rows":[{rows}]}}"#)
    }

    #[test]
    fn a_page_is_written_compactly() {
        let owner = member(1);
        let row = Row {
            isr: vec![owner.inc],
            owner,
            epoch: Epoch(1),
            attempt: 0,
        };
        let page = Page {
            generation: 1,
            rows: vec![row; 64],
        };
        assert_eq!(
            serde_json::to_string(&page).unwrap(),
            json(&["[0,1,0,[0]]"; 64])
        );
    }

    #[test]
    fn malformed_pages_say_what_is_wrong() {
        let mut rows = ["[0,1,0,[0]]"; 64];
        let refusal = |rows: &[&str]| {
            serde_json::from_str::<Page>(&json(rows))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal(&rows[1..]),
            "page has 63 rows; a page has exactly 64"
        );
        for (row, says) in [
            (
                "[1,1,0,[0]]",
                "page row 7 has owner 1; the page has 1 members",
            ),
            (
                "[0,1,0,[0,1]]",
                "page row 7 has in-sync members [0, 1] that the page lacks",
            ),
            (
                "[0,1,0,[]]",
                "page row 7 has no owner among its in-sync members",
            ),
        ] {
            rows[7] = row;
            assert_eq!(refusal(&rows), says);
        }
        for row in [
            "[0,1,0]",
            "[-1,1,0,[0]]",
            "[70000,1,0,[0]]",
            "null",
            "[0,1,0,[0],1]",
        ] {
            rows[7] = row;
            assert!(serde_json::from_str::<Page>(&json(&rows)).is_err(), "{row}");
        }
    }
}
