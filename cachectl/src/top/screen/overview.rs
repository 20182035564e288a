//! Overview: nodes, traffic, hot keys, ring, migrations, events; what does not fit is left
//! out, the least important first. Pure.

use ratatui::layout::Rect;

use super::{draw_list, events, keys, migrations, split, split_right};
use crate::output::spark::sparkline;
use crate::top::data::Rates;
use crate::top::list::Tone;
use crate::top::state::State;
use crate::top::view::ink::Ink;
use crate::top::view::{circle, strip};
use crate::units;

/// Columns of the ring's panel.
const RING_COLUMNS: u16 = 34;

/// Rows in which the circle is as wide as its panel.
const CIRCLE_ROWS: u16 = 20;

/// What can be left out, and how many rows each takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rows {
    nodes: u16,
    traffic: u16,
    keys: u16,
    strip: u16,
    migrations: u16,
    events: u16,
    circle: bool,
}

/// Shares rows out. `wants`: nodes, hot keys, lines about migrations. Pure.
fn share(area: Rect, wants: (u16, u16, u16)) -> Rows {
    let (nodes, hot, moves) = wants;
    let circle = area.width >= 100 && area.height >= 24;
    let strip = if circle { 0 } else { 3 };
    let moves = if moves == 0 { 0 } else { moves + 2 };
    let mut rows = Rows {
        nodes: nodes.clamp(1, 6) + 3,
        traffic: 4,
        keys: if hot == 0 { 0 } else { hot.min(5) + 3 },
        strip,
        migrations: moves,
        events: 4,
        circle,
    };
    let sum = |it: &Rows| it.nodes + it.traffic + it.keys + it.strip + it.migrations + it.events;
    // In this order they are given up.
    let give_up: [fn(&mut Rows); 5] = [
        |it| it.keys = 0,
        |it| it.traffic = 0,
        |it| it.events = 0,
        |it| it.migrations = it.migrations.min(5),
        |it| it.strip = 0,
    ];
    for part in give_up {
        if sum(&rows) > area.height {
            part(&mut rows);
        }
    }
    // What is left over: first to all nodes and the circle, then to events.
    let mut left = area.height.saturating_sub(sum(&rows));
    let beside = rows.nodes + rows.traffic + rows.keys;
    let round = if circle {
        CIRCLE_ROWS.saturating_sub(beside)
    } else {
        0
    };
    let more = left.min((nodes + 3).saturating_sub(rows.nodes).max(round));
    rows.nodes += more;
    left -= more;
    if rows.events > 0 {
        rows.events += left;
    } else {
        rows.nodes += left;
    }
    rows.nodes = rows.nodes.min(area.height);
    rows
}

/// Draws the screen.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    if state.expanded {
        return draw_list(state, ink, area, "Nodes");
    }
    let data = state.shown();
    let nodes = data.shape.as_ref().map_or(0, |shape| shape.nodes.len());
    let moves = data
        .open_operation()
        .map_or(0, |it| migrations::lines(it).min(6));
    let hot = data.hot_keys.len() as u16;
    let rows = share(area, (nodes as u16, hot, moves));
    let upper = rows.nodes + rows.traffic + rows.keys;
    let (mut left, rest) = split(area, upper);
    if rows.circle {
        let (nodes, ring) = split_right(left, RING_COLUMNS);
        left = nodes;
        draw_ring(state, ink, ring);
    }
    let (top, below) = split(left, rows.nodes);
    draw_list(state, ink, top, "Nodes");
    let (middle, below) = split(below, rows.traffic);
    draw_traffic(state, ink, middle);
    keys::draw_hot(state, ink, below);
    let (ring, rest) = split(rest, rows.strip);
    draw_strip(state, ink, ring);
    let (moving, rest) = split(rest, rows.migrations);
    if let Some(operation) = data.open_operation() {
        migrations::draw_one(state, ink, moving, operation);
    }
    events::draw_newest(state, ink, rest);
}

fn draw_ring(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let data = state.shown();
    let vnodes = data.shape.as_ref().map_or(0, |shape| shape.virtual_nodes);
    let inner = ink.panel(area, "Ring", &format!("{vnodes} vn/node"));
    let mark = state.found.as_ref().map(|found| found.slot);
    let (circle_area, below) = split(inner, inner.height.saturating_sub(2));
    circle::draw(ink, circle_area, data, mark, state.look.ascii);
    strip::draw(ink, below, data, mark);
    let legend = strip::legend(data, usize::from(inner.width));
    ink.text(below, below.x, below.y + 1, &legend, Tone::Dim);
}

fn draw_strip(state: &State, ink: &mut Ink<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let data = state.shown();
    let legend = strip::legend(data, usize::from(area.width.saturating_sub(26)));
    let vnodes = data.shape.as_ref().map_or(0, |shape| shape.virtual_nodes);
    let inner = ink.panel(
        area,
        &format!("Ring  {legend}"),
        &format!("{vnodes} vn/node"),
    );
    let mark = state.found.as_ref().map(|found| found.slot);
    strip::draw(ink, inner, data, mark);
}

fn draw_traffic(state: &State, ink: &mut Ink<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let data = state.shown();
    let inner = ink.panel(area, "Traffic (5m)", "");
    let now = data.traffic.back().copied().unwrap_or_default();
    let cells = inner.width.saturating_sub(32);
    let hit = now
        .hit_ratio()
        .map_or("-".to_owned(), |it| format!("{:.1}%", it * 100.0));
    let count = |value: f64| units::count(value.round() as u64);
    let p99 = |it: &Rates| it.p99.map_or(0.0, |took| took.as_secs_f64());
    let lines = [
        (
            "ops/s",
            count(now.operations),
            sparkline(
                data.traffic.iter().map(|it| it.operations),
                usize::from(cells),
                true,
            ),
            format!("hit {hit}"),
        ),
        (
            "p99ms",
            now.p99.map_or("-".to_owned(), units::millis),
            sparkline(data.traffic.iter().map(p99), usize::from(cells), true),
            format!("evict {}/s", count(now.evictions)),
        ),
    ];
    for ((label, value, spark, right), y) in lines.into_iter().zip(inner.top()..inner.bottom()) {
        let pieces = [
            (Tone::Dim, format!(" {label:<6} ")),
            (Tone::Strong, format!("{value:<6} ")),
            (Tone::Accent, spark),
        ];
        ink.line(inner, y, &pieces);
        ink.text(
            inner,
            inner.right().saturating_sub(15),
            y,
            &right,
            Tone::Normal,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(width: u16, height: u16, moves: u16) -> Rows {
        share(Rect::new(0, 0, width, height), (5, 5, moves))
    }

    #[test]
    fn the_least_important_goes_first() {
        let large = of(120, 37, 4);
        assert!(large.circle && large.keys > 0 && large.traffic > 0 && large.events > 0);
        let usual = of(80, 21, 4);
        assert_eq!((usual.circle, usual.keys, usual.traffic), (false, 0, 0));
        assert!(usual.strip > 0 && usual.migrations > 0 && usual.nodes >= 8);
        let small = of(60, 12, 4);
        assert_eq!((small.events, small.keys), (0, 0));
    }

    #[test]
    fn no_row_is_shared_out_twice() {
        for height in 0..70 {
            for width in [40, 80, 120] {
                for moves in [0, 4, 6] {
                    let it = of(width, height, moves);
                    let sum =
                        it.nodes + it.traffic + it.keys + it.strip + it.migrations + it.events;
                    assert!(sum <= height.max(9 + 5), "{width}x{height}: {it:?}");
                }
            }
        }
    }
}
