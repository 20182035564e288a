//! The whole picture in ASCII: for terminals and fonts that have nothing else. Pure.

use ratatui::buffer::Buffer;

/// Replaces every other character by one that says the same.
pub fn translate(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().is_ascii() {
            continue;
        }
        let c = cell.symbol().chars().next().unwrap_or(' ');
        let mut bytes = [0; 4];
        cell.set_symbol(ascii(c).encode_utf8(&mut bytes));
    }
}

fn ascii(c: char) -> char {
    match c {
        '─' | '━' | '–' => '-',
        '│' => '|',
        '┌' | '┐' | '└' | '┘' => '+',
        '→' | '▸' => '>',
        '←' => '<',
        '↑' | '▲' => '^',
        '↓' | '▼' => 'v',
        '…' => '~',
        '·' => '-',
        '●' => '*',
        '◐' => '%',
        '○' => 'o',
        '◆' => '@',
        '▒' | '█' | '▉' | '▊' | '▋' | '▌' => '#',
        '░' | '▍' | '▎' | '▏' => '.',
        '▁' => '_',
        '▂' => '.',
        '▃' => ':',
        '▄' => '-',
        '▅' => '=',
        '▆' => '+',
        '▇' => '*',
        '×' => 'x',
        '∞' => '~',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn nothing_else_is_left() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "n3→n1 █▍░ é", Style::default());
        translate(&mut buffer);
        let line: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(line, "n3>n1 #.. ? ");
    }
}
