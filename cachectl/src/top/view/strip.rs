//! The ring as one line of letters: who owns most of each cell; cells with slots on the
//! move are marked. Pure.

use ratatui::layout::Rect;

use super::ink::Ink;
use crate::top::data::Data;
use crate::top::list::Tone;
use crate::top::shape::{NOBODY, SLOTS, majority};

/// Letters for nodes, in the order of their names.
const LETTERS: &[u8] = b"123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The letter of a node; `+`: beyond the last letter.
pub fn letter(owner: u16) -> char {
    match LETTERS.get(usize::from(owner)) {
        Some(letter) => char::from(*letter),
        None if owner == NOBODY => '?',
        None => '+',
    }
}

/// Draws one line.
pub fn draw(ink: &mut Ink<'_>, area: Rect, data: &Data, mark: Option<u16>) {
    let cells = usize::from(area.width);
    if cells == 0 || area.height == 0 || data.owners.is_empty() {
        return;
    }
    let moving = data.moving();
    for (cell, x) in (0..cells).zip(area.x..) {
        let (first, end) = (
            cell * SLOTS / cells,
            ((cell + 1) * SLOTS / cells).max(cell * SLOTS / cells + 1),
        );
        let range = first as u16..end as u16;
        if mark.is_some_and(|slot| range.contains(&slot)) {
            ink.text(area, x, area.y, "◆", Tone::Bad);
            continue;
        }
        match moving.range(range).next() {
            Some((_, receiver)) => ink.text(area, x, area.y, "▒", Tone::Node(*receiver)),
            None => {
                let owner = majority(&data.owners, first, end);
                ink.text(
                    area,
                    x,
                    area.y,
                    &letter(owner).to_string(),
                    Tone::Node(owner),
                )
            }
        };
    }
}

/// `1=n1 2=n2 ▒=moving`, in so many columns.
pub fn legend(data: &Data, columns: usize) -> String {
    let nodes = data.shape.iter().flat_map(|shape| &shape.nodes).enumerate();
    let owning = nodes.filter(|(_, node)| node.slots > 0);
    let mut text = String::new();
    for (index, node) in owning {
        let next = format!("{}={} ", letter(index as u16), node.name);
        if text.chars().count() + next.chars().count() > columns.saturating_sub(9) {
            text.push_str("… ");
            break;
        }
        text.push_str(&next);
    }
    if !data.moving().is_empty() {
        text.push_str("▒=moving");
    }
    text.trim_end().to_owned()
}
