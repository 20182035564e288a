//! Draws a list: as many columns as fit, the selected row in the middle. Pure.

use ratatui::layout::Rect;

use super::ink::{Ink, bar, cut, width};
use crate::top::list::{Cell, Choice, Column, List, Tone};

/// Columns between two columns.
const GAP: u16 = 2;

/// Cells of a bar in a table.
const BAR: u16 = 8;

/// No column is wider: what is longer is cut.
const WIDEST: u16 = 40;

/// The last column is as wide as there is room, but not narrower than this.
const LAST: u16 = 28;

/// Draws it into an area. `choice`: what is selected and sorted by, where rows can be
/// chosen; `wide`: with every column.
pub fn draw(ink: &mut Ink<'_>, area: Rect, list: &List, choice: Option<&Choice>, wide: bool) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    let (columns, bars) = columns(list, area.width, wide);
    let mut x = area.x + 2;
    for (index, width) in &columns {
        let column = &list.columns[*index];
        let sorted = choice.filter(|it| column.title.eq_ignore_ascii_case(&it.sort));
        let mark = match sorted.map(|it| it.reverse) {
            None => "",
            Some(false) => "▼",
            Some(true) => "▲",
        };
        let title = Cell::text(format!("{}{mark}", column.title)).tone(Tone::Strong);
        cell(ink, area, (x, area.y), *width, column, &title, false);
        x = x.saturating_add(width + GAP);
    }
    let height = usize::from(area.height - 1);
    let place = choice.map(|choice| list.place(choice));
    let last_top = list.rows.len().saturating_sub(height);
    let top = place.unwrap_or(0).saturating_sub(height / 2).min(last_top);
    for (row, y) in (top..list.rows.len()).zip(area.y + 1..area.bottom()) {
        let selected = Some(row) == place;
        if selected {
            ink.text(area, area.x, y, "▸", Tone::Accent);
        }
        let mut x = area.x + 2;
        for (index, width) in &columns {
            let column = &list.columns[*index];
            cell(
                ink,
                area,
                (x, y),
                *width,
                column,
                &list.rows[row].cells[*index],
                bars,
            );
            x = x.saturating_add(width + GAP);
        }
        if selected {
            let style = ink.theme.selected();
            ink.restyle(
                Rect {
                    y,
                    height: 1,
                    ..area
                },
                style,
            );
        }
    }
    if list.rows.is_empty() && area.height > 1 {
        let text = match list.all {
            0 => "nothing yet".to_owned(),
            all => {
                let filter = choice.map_or("", |choice| &choice.filter.text);
                format!("none of {all} matches {filter}")
            }
        };
        ink.text(area, area.x + 2, area.y + 1, &text, Tone::Dim);
    }
}

fn cell(
    ink: &mut Ink<'_>,
    area: Rect,
    at: (u16, u16),
    room: u16,
    column: &Column,
    cell: &Cell,
    bars: bool,
) {
    let (mut x, y) = at;
    let mut text = cut(&cell.text, room);
    if let (true, Some(part)) = (bars, cell.bar) {
        let own = room.saturating_sub(BAR + 1);
        text = format!(
            "{} {:>own$}",
            bar(part, BAR),
            cell.text,
            own = usize::from(own)
        );
    } else if column.right {
        x += room.saturating_sub(width(&text));
    }
    ink.text(area, x, y, &text, cell.tone);
}

/// Which columns are shown, how wide each is, and whether bars are.
fn columns(list: &List, room: u16, wide: bool) -> (Vec<(usize, u16)>, bool) {
    let mut shown: Vec<usize> = (0..list.columns.len())
        .filter(|index| wide || !list.columns[*index].wide)
        .collect();
    let last = shown
        .last()
        .copied()
        .filter(|index| !list.columns[*index].right);
    let wishes: Vec<u16> = (0..list.columns.len())
        .map(|index| natural(list, index))
        .collect();
    let least = |index: usize| match Some(index) == last {
        true => wishes[index].min(LAST),
        false => wishes[index].min(WIDEST),
    };
    let has_bar = |index: &usize| list.rows.iter().any(|row| row.cells[*index].bar.is_some());
    let needs = |shown: &[usize]| -> u16 {
        let sum: u16 = shown.iter().map(|index| least(*index) + GAP).sum();
        sum.saturating_add(2).saturating_sub(GAP)
    };
    while needs(&shown) > room {
        // The last one among those of the highest rank goes first.
        let next = shown
            .iter()
            .copied()
            .filter(|index| list.columns[*index].rank > 0);
        let Some(drop) = next.max_by_key(|index| (list.columns[*index].rank, *index)) else {
            break;
        };
        shown.retain(|index| *index != drop);
    }
    let with_bars: u16 = shown.iter().filter(|index| has_bar(index)).count() as u16 * (BAR + 1);
    let bars = with_bars > 0 && needs(&shown) + with_bars <= room;
    let spare = room.saturating_sub(needs(&shown) + if bars { with_bars } else { 0 });
    let width = |index: usize| {
        let bar = if bars && has_bar(&index) { BAR + 1 } else { 0 };
        let own = least(index);
        bar + if Some(index) == last {
            wishes[index].min(own + spare)
        } else {
            own
        }
    };
    (
        shown
            .into_iter()
            .map(|index| (index, width(index)))
            .collect(),
        bars,
    )
}

fn natural(list: &List, index: usize) -> u16 {
    let cells = list.rows.iter().map(|row| width(&row.cells[index].text));
    // Room for the mark of the sorted column, so that sorting moves nothing.
    let title = width(list.columns[index].title) + 1;
    cells.chain([title]).max().unwrap_or(0).min(400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::list::{Row, number, text};

    #[test]
    fn columns_of_low_rank_go_first() {
        let row = Row {
            id: "a".to_owned(),
            cells: vec![
                Cell::text("node-1"),
                Cell::text("10.0.0.1:8001"),
                Cell::number(1.0, "1").bar(0.5),
            ],
        };
        let list = List::new(
            [text("NODE", 0), text("ADDR", 5), number("MEM", 1)],
            vec![row],
        );
        let shown = |room| {
            let (columns, bars) = columns(&list, room, false);
            (columns.iter().map(|it| it.0).collect::<Vec<_>>(), bars)
        };
        assert_eq!(shown(60), (vec![0, 1, 2], true));
        assert_eq!(shown(31), (vec![0, 1, 2], false));
        assert_eq!(shown(25), (vec![0, 2], true));
        assert_eq!(shown(10), (vec![0], false));
        assert_eq!(shown(1), (vec![0], false));
    }
}
