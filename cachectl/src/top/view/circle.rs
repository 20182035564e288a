//! The ring as a circle of dots, slot 0 at the top, clockwise; slots on the move on an
//! inner arc in the receiver's colour. Pure.

use std::f64::consts::TAU;

use ratatui::layout::Rect;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Painter, Shape as Drawing};

use super::ink::Ink;
use super::strip::letter;
use super::theme::Theme;
use crate::top::data::Data;
use crate::top::list::Tone;
use crate::top::shape::{NOBODY, SLOTS, majority};
use crate::units;

/// The circle is drawn in so many arcs; each shows who owns most of it.
const ARCS: usize = 720;

/// Letters around the circle, so that it reads without colour.
const LETTERS: usize = 24;

/// Smallest area in which a circle is one.
pub const SMALLEST: (u16, u16) = (24, 12);

/// Draws the circle of what is known; `mark`: a slot to point at.
pub fn draw(ink: &mut Ink<'_>, area: Rect, data: &Data, mark: Option<u16>, ascii: bool) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 || data.owners.is_empty() {
        return;
    }
    // A character is about twice as high as wide: a unit is the width of one.
    let (half_width, half_height) = (f64::from(area.width) / 2.0, f64::from(area.height));
    let radius = half_width.min(half_height) - 1.5;
    let moving: Vec<(u16, u16)> = data.moving().into_iter().collect();
    let arcs = Arcs {
        owners: &data.owners,
        moving: &moving,
        radius,
        theme: &ink.theme,
    };
    let labels = labels(&data.owners, radius, &ink.theme);
    let located = ink.theme.style(Tone::Bad);
    let marker = if ascii {
        Marker::Custom('*')
    } else {
        Marker::Braille
    };
    let canvas = Canvas::default()
        .marker(marker)
        .x_bounds([-half_width, half_width])
        .y_bounds([-half_height, half_height])
        .paint(|context| {
            context.draw(&arcs);
            context.layer();
            for (x, y, span) in &labels {
                context.print(*x, *y, Line::from(span.clone()));
            }
            if let Some(slot) = mark {
                let (x, y) = point(f64::from(slot) / SLOTS as f64, radius);
                context.print(x, y, Line::from(Span::styled("◆", located)));
            }
        });
    canvas.render(area, ink.buffer);
    legend(ink, area, data);
}

struct Arcs<'a> {
    owners: &'a [u16],
    moving: &'a [(u16, u16)],
    radius: f64,
    theme: &'a Theme,
}

impl Drawing for Arcs<'_> {
    fn draw(&self, painter: &mut Painter<'_, '_>) {
        let mut dot = |part: f64, radius: f64, owner: u16| {
            let (x, y) = point(part, radius);
            if let Some((x, y)) = painter.get_point(x, y) {
                painter.paint(x, y, self.theme.node(owner));
            }
        };
        for arc in 0..ARCS {
            let (first, end) = (arc * SLOTS / ARCS, (arc + 1) * SLOTS / ARCS);
            let owner = majority(self.owners, first, end);
            if owner != NOBODY {
                dot(arc as f64 / ARCS as f64, self.radius, owner);
                dot(arc as f64 / ARCS as f64, self.radius - 0.5, owner);
            }
        }
        for (slot, receiver) in self.moving {
            let part = f64::from(*slot) / SLOTS as f64;
            dot(part, self.radius - 2.0, *receiver);
        }
    }
}

/// Where a part of the circle is; 0 is at the top, and it goes clockwise.
fn point(part: f64, radius: f64) -> (f64, f64) {
    let angle = TAU * part;
    (radius * angle.sin(), radius * angle.cos())
}

fn labels(owners: &[u16], radius: f64, theme: &Theme) -> Vec<(f64, f64, Span<'static>)> {
    let step = SLOTS / LETTERS;
    let label = |index: usize| {
        let owner = majority(owners, index * step, index * step + SLOTS / ARCS);
        let (x, y) = point(index as f64 / LETTERS as f64, radius);
        let text = letter(owner).to_string();
        (x, y, Span::styled(text, theme.style(Tone::Node(owner))))
    };
    (0..LETTERS).map(label).collect()
}

/// Names and shares in the middle, as many as there is room for.
fn legend(ink: &mut Ink<'_>, area: Rect, data: &Data) {
    let Some(shape) = &data.shape else {
        return;
    };
    let owning: Vec<(usize, String)> = shape
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.slots > 0)
        .map(|(index, node)| {
            let share = units::percent(node.slots.into(), SLOTS as u64);
            let name: String = node.name.chars().take(8).collect();
            (index, format!("{}={name} {share}", letter(index as u16)))
        })
        .collect();
    let rows = usize::from(area.height / 2).saturating_sub(1);
    let top = area.y + area.height.saturating_sub(owning.len().min(rows) as u16) / 2;
    for ((index, text), y) in owning.iter().take(rows).zip(top..) {
        let x = area.x + area.width.saturating_sub(15) / 2;
        ink.text(area, x, y, text, Tone::Node(*index as u16));
    }
}
