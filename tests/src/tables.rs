//! Tables as they are printed: headings, cells that stand under them, and the way back to
//! text. Pure.

/// Text between two blanks or more, and its place in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it says.
    pub(crate) text: String,
    start: usize,
    end: usize,
}

/// The cells of a line, wherever they belong.
pub(crate) fn tokens(line: &str) -> Vec<Token> {
    let chars: Vec<char> = line.chars().collect();
    let (mut tokens, mut at): (Vec<Token>, usize) = (Vec::new(), 0);
    for word in line.split(' ') {
        let (start, end) = (at, at + word.chars().count());
        at = end + 1;
        match tokens.last_mut() {
            _ if word.is_empty() => {}
            Some(last) if last.end + 1 == start => {
                last.end = end;
                last.text = chars[last.start..end].iter().collect();
            }
            _ => tokens.push(Token {
                text: word.to_owned(),
                start,
                end,
            }),
        }
    }
    tokens
}

/// Headings are in capitals, and there are several.
pub(crate) fn is_heading(tokens: &[Token]) -> bool {
    let capital = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || " %/.".contains(it);
    let letters = |it: &Token| it.text.starts_with(|it: char| it.is_ascii_uppercase());
    tokens.len() > 1
        && tokens
            .iter()
            .all(|it| letters(it) && it.text.chars().all(capital))
}

/// The cells of a line; `None`: it belongs to no table, since some of it stands under no
/// heading.
pub(crate) fn row(line: &str, titles: &[Token]) -> Option<Vec<Option<Token>>> {
    let found = tokens(line);
    let mut row = vec![None; titles.len()];
    if found.len() < 2 {
        return None;
    }
    for token in found {
        let under = |title: &&Token| title.start == token.start || title.end == token.end;
        let at = titles.iter().position(|title| under(&title))?;
        row[at] = Some(token);
    }
    Some(row)
}

/// Which columns stand right: those that some cell ends and does not begin with its heading,
/// and those of figures, whose cells may happen to be as wide as it.
pub(crate) fn right_aligned(
    titles: &[Token],
    rows: &[Vec<Option<Token>>],
    are_figures: impl Fn(&str) -> bool,
) -> Vec<bool> {
    let columns = titles.iter().enumerate();
    let right = columns.map(|(at, title)| {
        let cells = rows.iter().filter_map(|row| row[at].as_ref());
        let mut cells = cells.filter(|cell| cell.start != title.start);
        are_figures(&title.text) || cells.any(|cell| cell.end == title.end)
    });
    right.collect()
}

/// Rows of cells as a table, trimmed at the right.
pub(crate) fn laid_out(cells: &[Vec<String>], right: &[bool]) -> String {
    let width = |at: usize| cells.iter().map(|row| row[at].chars().count()).max();
    let widths: Vec<usize> = (0..right.len()).filter_map(width).collect();
    let mut text = String::new();
    for row in cells {
        let cells = row.iter().zip(&widths).zip(right);
        let cells = cells.map(|((cell, width), right)| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
