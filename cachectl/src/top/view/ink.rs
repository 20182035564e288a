//! What everything is drawn with: clipped texts, panels, bars. Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;
use ratatui::widgets::{Block, Widget};

use super::theme::Theme;
use crate::top::list::Tone;

/// A buffer to draw into, and how tones look.
#[derive(Debug)]
pub struct Ink<'a> {
    /// Where to.
    pub buffer: &'a mut Buffer,
    /// How tones look.
    pub theme: Theme,
}

/// A piece of a line.
pub type Piece = (Tone, String);

/// Columns that a text takes.
pub fn width(text: &str) -> u16 {
    if text.is_ascii() {
        return u16::try_from(text.len()).unwrap_or(u16::MAX);
    }
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// The beginning of a text, in so many columns; cut ones end with `…`.
pub fn cut(text: &str, columns: u16) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        let mut longer = short.clone();
        longer.push(c);
        if width(&longer) >= columns {
            break;
        }
        short = longer;
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

impl Ink<'_> {
    /// Writes a text at a place within an area; answers the column after it. What lies
    /// outside is not drawn.
    pub fn text(&mut self, area: Rect, x: u16, y: u16, text: &str, tone: Tone) -> u16 {
        let style = self.theme.style(tone);
        self.styled(area, x, y, text, style)
    }

    /// The same in any style.
    pub fn styled(&mut self, area: Rect, x: u16, y: u16, text: &str, style: Style) -> u16 {
        let area = area.intersection(self.buffer.area);
        let inside = y < area.bottom() && y >= area.top() && x < area.right() && x >= area.left();
        if !inside {
            return x;
        }
        let room = usize::from(area.right() - x);
        self.buffer.set_stringn(x, y, text, room, style).0
    }

    /// Writes pieces one after the other, from the left.
    pub fn line(&mut self, area: Rect, y: u16, pieces: &[Piece]) -> u16 {
        let mut x = area.x;
        for (tone, text) in pieces {
            x = self.text(area, x, y, text, *tone);
        }
        x
    }

    /// A frame with a title on the left and hints on the right; answers what is inside.
    pub fn panel(&mut self, area: Rect, title: &str, hints: &str) -> Rect {
        let area = area.intersection(self.buffer.area);
        if area.width < 2 || area.height < 2 {
            return Rect {
                width: 0,
                height: 0,
                ..area
            };
        }
        let block = Block::bordered().border_style(self.theme.style(Tone::Dim));
        let inner = block.inner(area);
        block.render(area, self.buffer);
        let room = area.width.saturating_sub(4);
        let title = format!(" {} ", cut(title, room.saturating_sub(2)));
        let end = self.text(area, area.x + 1, area.y, &title, Tone::Accent);
        let hints = format!(" {hints} ");
        let start = area.right().saturating_sub(width(&hints) + 2);
        if hints.len() > 2 && start > end {
            self.text(area, start, area.y, &hints, Tone::Dim);
        }
        inner
    }

    /// Blanks in the style of texts: for what lies on top.
    pub fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }

    /// Gives an area another look.
    pub fn restyle(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area, style);
    }
}

/// A bar of so many cells, in eighths of a cell.
pub fn bar(part: f64, cells: u16) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let cells = usize::from(cells);
    let part = if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let eighths = (part * (cells * 8) as f64) as usize;
    let (full, part) = (eighths / 8, eighths % 8);
    let rest = cells - full - usize::from(part > 0);
    format!("{}{}{}", "█".repeat(full), EIGHTHS[part], "░".repeat(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_their_width() {
        for (part, text) in [
            (0.0, "░░░░"),
            (0.5, "██░░"),
            (0.54, "██▏░"),
            (1.0, "████"),
            (7.0, "████"),
            (f64::NAN, "░░░░"),
        ] {
            assert_eq!(bar(part, 4), text, "{part}");
        }
        assert_eq!(bar(0.5, 0), "");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
    }
}
