//! The first lines: where we are, how fresh it is, how the cluster is, the screens' names;
//! and banners for what everybody must see. Pure.

use ratatui::layout::Rect;

use super::clock;
use super::ink::{Ink, Piece, cut, width};
use crate::top::keys::Action;
use crate::top::link::Freshness;
use crate::top::list::Tone;
use crate::top::screen::nodes::down_for;
use crate::top::shape::NodeState;
use crate::top::state::{Screen, State};
use crate::units;

/// Draws both lines.
pub fn draw(state: &State, ink: &mut Ink<'_>, area: Rect) {
    draw_status(state, ink, area);
    draw_tabs(state, ink, area);
}

/// Draws the first line: what fits of it, the most important first.
pub fn draw_status(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let clock = format!("{}Z", clock(state.now.unix_ms));
    let mut room = area.width.saturating_sub(width(&clock) + 2);
    let mut kept: Vec<Piece> = Vec::new();
    for (tone, text) in status(state) {
        let text = format!(" {text} ");
        let columns = width(&text);
        if columns > room && !kept.is_empty() {
            continue;
        }
        room = room.saturating_sub(columns);
        kept.push((tone, text));
    }
    let end = ink.line(area, area.y, &kept);
    let start = area.right().saturating_sub(width(&clock) + 1);
    if start > end {
        ink.text(area, start, area.y, &clock, Tone::Dim);
    }
}

/// The first line, piece by piece.
fn status(state: &State) -> Vec<Piece> {
    let data = state.shown();
    let mut pieces = Vec::new();
    let name = match (&state.options.context, &data.shape) {
        (context, _) if !context.is_empty() => context.to_uppercase(),
        (_, Some(shape)) => shape.cluster.clone(),
        _ => "cachectl".to_owned(),
    };
    let tone = if state.options.production {
        Tone::Bad
    } else {
        Tone::Strong
    };
    pieces.push((tone, name));
    pieces.push(freshness(state));
    if let Some((since, _)) = &state.held {
        let age = state.now.since_start.saturating_sub(*since);
        pieces.push((Tone::Warn, format!("HELD {}s", age.as_secs())));
    }
    if let Some(shape) = &data.shape {
        pieces.push((Tone::Normal, layout(state, shape.layout)));
        let mut words = Vec::new();
        for state in [
            NodeState::Up,
            NodeState::Joining,
            NodeState::Draining,
            NodeState::Drained,
            NodeState::Standby,
            NodeState::Down,
        ] {
            match data.count(state) {
                0 => {}
                count => words.push(format!("{count} {}", state.name())),
            }
        }
        let tone = if data.count(NodeState::Down) > 0 {
            Tone::Bad
        } else {
            Tone::Normal
        };
        if words.is_empty() {
            words.push("no nodes".to_owned());
        }
        pieces.push((tone, words.join(" ")));
    }
    pieces.extend(registry(state));
    let (keys, bytes) = data.held();
    if !data.stats.is_empty() {
        pieces.push((Tone::Normal, format!("{} keys", units::count(keys))));
        pieces.push((Tone::Normal, units::bytes(bytes)));
    }
    pieces
}

fn layout(state: &State, layout: u64) -> String {
    let open = state.shown().open_operation();
    match open.filter(|it| it.base_layout > 0 && it.layout > it.base_layout) {
        Some(it) => format!("layout {}→{}", it.base_layout, it.layout),
        None => format!("layout {layout}"),
    }
}

fn registry(state: &State) -> Option<Piece> {
    let status = state.shown().status.as_ref()?;
    let kind = &status.registry.kind;
    Some(match state.registry_away() {
        None if kind == "embedded" => (Tone::Dim, "embedded registry".to_owned()),
        None => (Tone::Good, format!("{kind} ok")),
        Some(away) => (Tone::Bad, format!("{kind} DOWN {}s", away.as_secs())),
    })
}

/// A dot and how old what is shown is.
pub fn freshness(state: &State) -> Piece {
    if state.options.replay {
        let word = if state.ended {
            "REPLAY ended"
        } else {
            "REPLAY"
        };
        return (Tone::Warn, format!("◐ {word}"));
    }
    match state.freshness() {
        Freshness::Connecting => (Tone::Warn, "○ connecting".to_owned()),
        Freshness::Live(age) => (Tone::Good, format!("● live {:.1}s", age.as_secs_f64())),
        Freshness::Stale(age) => (Tone::Warn, format!("◐ stale {}s", age.as_secs())),
        Freshness::Reconnecting {
            attempt, retry_in, ..
        } => {
            let seconds = retry_in.as_secs_f64().ceil();
            (
                Tone::Bad,
                format!("○ reconnecting {attempt}/∞ in {seconds}s"),
            )
        }
    }
}

fn draw_tabs(state: &State, ink: &mut Ink<'_>, area: Rect) {
    let y = area.y + 1;
    let mut end = area.x;
    for (screen, x, text) in tabs(state.screen, area) {
        let tone = if screen == state.screen {
            Tone::Accent
        } else {
            Tone::Dim
        };
        end = ink.text(area, x, y, &text, tone);
    }
    let mode = match (state.options.replay, state.options.read_only) {
        (true, _) => "recording",
        (_, true) => "read-only",
        _ => "read-write",
    };
    let help = state.keys.hints(&[(&[Action::Help], "help")]);
    let text = format!("{mode}  {help}");
    let start = area.right().saturating_sub(width(&text) + 1);
    if start > end {
        ink.text(area, start, y, &text, Tone::Dim);
    }
}

/// Where each screen's name stands.
fn tabs(shown: Screen, area: Rect) -> Vec<(Screen, u16, String)> {
    let long = area.width >= 116;
    let mut x = area.x + 1;
    let mut tabs = Vec::new();
    for (index, screen) in Screen::ALL.into_iter().enumerate() {
        let name = if long { screen.title() } else { screen.short() };
        let name = format!("{} {name}", index + 1);
        let text = if screen == shown {
            format!("[{name}]")
        } else {
            format!("{name} ")
        };
        let columns = width(&text);
        tabs.push((screen, x, text));
        x = x.saturating_add(columns + u16::from(long));
    }
    tabs
}

/// The screen whose name stands in this column.
pub fn tab_at(state: &State, column: u16) -> Option<Screen> {
    let area = Rect::new(0, 0, state.columns, 2);
    let at = |(_, x, text): &(Screen, u16, String)| (*x..*x + width(text)).contains(&column);
    tabs(state.screen, area)
        .into_iter()
        .find(at)
        .map(|(screen, ..)| screen)
}

/// What everybody must see, the worst first.
pub fn banners(state: &State) -> Vec<Piece> {
    let mut banners = Vec::new();
    if let Freshness::Reconnecting { reason, age, .. } = state.freshness() {
        let age = age.map_or("nothing is known yet".to_owned(), |age| {
            format!(
                "what is shown is {}s old, nothing can be changed",
                age.as_secs()
            )
        });
        banners.push((
            Tone::Bad,
            format!("nobody answers: {reason}; {age}; r tries again now"),
        ));
    }
    banners.extend(registry_banner(state));
    let data = state.shown();
    if let Some(shape) = &data.shape {
        let down = shape
            .nodes
            .iter()
            .filter(|node| node.state == NodeState::Down);
        let down: Vec<String> = down
            .map(|node| {
                let why = if node.detail.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", node.detail)
                };
                format!(
                    "{} DOWN {}s{why}",
                    node.name,
                    down_for(state, node).as_secs()
                )
            })
            .collect();
        if !down.is_empty() {
            let shown = down[..down.len().min(3)].join(", ");
            let more = down.len().saturating_sub(3);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            banners.push((Tone::Bad, format!("{shown}{more}")));
        }
        if let Some(status) = &data.status {
            banners.extend(views_differ(shape.layout, status.layout, &status.node));
        }
    }
    banners
}

fn registry_banner(state: &State) -> Option<Piece> {
    let status = state.data.status.as_ref()?;
    let away = state.registry_away()?;
    let after = if status.fenced {
        format!("{} serves nothing until it is back", status.node)
    } else if status.mode == "strict" {
        "reads and writes end when the leases do; joins and drains wait".to_owned()
    } else {
        "reads and writes continue, joins and drains wait".to_owned()
    };
    let text = format!(
        "{} unreachable {}s: ring frozen at layout {}, {after}",
        status.registry.kind,
        away.as_secs(),
        status.layout
    );
    Some((Tone::Bad, text))
}

/// Two nodes see different layouts: for a moment this is as it should be, so only one
/// that lasts is worth a line, and that one is drawn again and again.
fn views_differ(shape: u64, status: u64, node: &str) -> Option<Piece> {
    let text = format!("views differ: layout {shape} is shown, {node} says {status}");
    (shape.abs_diff(status) > 1).then_some((Tone::Warn, text))
}

/// Draws as many banners as there is room for.
pub fn draw_banners(banners: &[Piece], ink: &mut Ink<'_>, area: Rect) {
    for ((tone, text), y) in banners.iter().zip(area.top()..area.bottom()) {
        let text = cut(text, area.width.saturating_sub(4));
        ink.text(area, area.x, y, &format!(" ! {text}"), *tone);
    }
}
