//! Rows and columns without lines around them, fitted to the terminal.

use comfy_table::{Cell, CellAlignment, ContentArrangement, presets};

/// Width to assume when the terminal does not tell.
pub(super) const WIDTH_USUAL: usize = 80;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// 0 always stays; higher numbers are dropped first when the terminal is narrow.
    pub rank: u8,
    /// Numbers stand right.
    pub right: bool,
    /// Only with `-o wide`.
    pub wide: bool,
}

/// A text column that stays.
pub const fn text(title: &'static str) -> Column {
    Column {
        title,
        rank: 0,
        right: false,
        wide: false,
    }
}

/// A number column that stays.
pub const fn number(title: &'static str) -> Column {
    Column {
        title,
        rank: 0,
        right: true,
        wide: false,
    }
}

impl Column {
    /// Dropped on narrow terminals, higher ranks first.
    pub const fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    /// Shown with `-o wide` only.
    pub const fn wide(mut self) -> Self {
        self.wide = true;
        self
    }
}

/// Rows with as many cells as there are columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Left to right.
    pub columns: Vec<Column>,
    /// Top to bottom.
    pub rows: Vec<Vec<String>>,
    /// Sums of the rows, below them; for people alone.
    pub totals: Vec<Vec<String>>,
    /// Said above the table.
    pub header: Option<String>,
    /// Said below the table.
    pub footer: Option<String>,
}

impl Table {
    /// No rows yet.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
            totals: Vec::new(),
            header: None,
            footer: None,
        }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl Into<Vec<String>>) {
        let mut cells = cells.into();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        // Whoever splits a line at blanks finds as many words in each.
        let empty = cells.iter_mut().filter(|cell| cell.is_empty());
        empty.for_each(|cell| cell.push('-'));
        self.rows.push(cells);
    }

    /// The table as text. `width`: columns of the terminal, if it is one.
    pub fn render(&self, wide: bool, width: Option<usize>, color: bool) -> String {
        let mut shown: Vec<usize> = (0..self.columns.len())
            .filter(|&i| wide || !self.columns[i].wide)
            .collect();
        if let Some(width) = width.filter(|_| !wide) {
            self.fit(&mut shown, width);
        }
        let mut text = self
            .header
            .as_ref()
            .map_or(String::new(), |header| format!("{header}\n"));
        // Headings over nothing say nothing.
        if self.header.is_none() || !self.rows.is_empty() {
            text.push_str(&self.lay_out(&shown, color));
        }
        if let Some(footer) = &self.footer {
            text.push_str(footer);
            text.push('\n');
        }
        text
    }

    /// Drops columns, highest rank first, until the rest fits.
    fn fit(&self, shown: &mut Vec<usize>, width: usize) {
        while self.width_of(shown) > width {
            let droppable = shown
                .iter()
                .enumerate()
                .filter(|(_, i)| self.columns[**i].rank > 0);
            // The last of equals goes first: the left end of a table is what people read.
            let Some((position, _)) = droppable.max_by_key(|(_, i)| self.columns[**i].rank) else {
                return;
            };
            shown.remove(position);
        }
    }

    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        self.rows.iter().chain(&self.totals)
    }

    fn width_of(&self, shown: &[usize]) -> usize {
        let widths = shown.iter().map(|&i| {
            let cells = self.lines().map(|row| row[i].chars().count());
            cells
                .chain([self.columns[i].title.chars().count()])
                .max()
                .unwrap_or(0)
        });
        widths.sum::<usize>() + 2 * shown.len().saturating_sub(1)
    }

    fn lay_out(&self, shown: &[usize], color: bool) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(shown.iter().map(|&i| Cell::new(self.columns[i].title)));
        for row in self.lines() {
            table.add_row(shown.iter().map(|&i| Cell::new(&row[i])));
        }
        for (position, &i) in shown.iter().enumerate() {
            if let Some(column) = table.column_mut(position) {
                column.set_padding((0, 2));
                if self.columns[i].right {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let mut text = String::new();
        for (number, line) in table.to_string().lines().enumerate() {
            let line = line.trim_end();
            match number {
                0 if color => text.push_str(&format!("\x1b[1m{line}\x1b[0m")),
                _ if color => text.push_str(&colored(line)),
                _ => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }
}

/// Colours the words for states; the words stay, so colour never carries meaning alone.
fn colored(line: &str) -> String {
    let states = [
        ("DOWN", 31),
        ("joining", 33),
        ("draining", 33),
        ("drained", 33),
        ("standby", 33),
        ("gone", 31),
    ];
    match states
        .iter()
        .find(|(word, _)| line.split_whitespace().any(|it| it == *word))
    {
        Some((word, color)) => line.replacen(word, &format!("\x1b[{color}m{word}\x1b[0m"), 1),
        None => line.to_owned(),
    }
}

/// Columns of the terminal on standard output.
pub(super) fn terminal_width() -> usize {
    let told = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    told.or_else(|| comfy_table::Table::new().width().map(usize::from))
        .unwrap_or(WIDTH_USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let columns = [
            text("NODE"),
            text("STATE"),
            number("KEYS").rank(1),
            text("ADDRESS").rank(2),
            text("INCARNATION").wide(),
        ];
        let mut table = Table::new(columns);
        table.row(["n1", "up", "2590", "10.0.0.11:8001", "abc"].map(str::to_owned));
        table.row(["n10", "DOWN", "?", "", "def"].map(str::to_owned));
        table
    }

    #[test]
    fn piped_nothing_is_dropped() {
        let expected = "\
NODE  STATE  KEYS  ADDRESS
n1    up     2590  10.0.0.11:8001
n10   DOWN      ?  -
";
        assert_eq!(sample().render(false, None, false), expected);
    }

    #[test]
    fn narrow_terminals_lose_the_highest_rank_first() {
        let narrow = sample().render(false, Some(30), false);
        assert_eq!(narrow.lines().next(), Some("NODE  STATE  KEYS"));
        let narrower = sample().render(false, Some(5), false);
        assert_eq!(narrower.lines().next(), Some("NODE  STATE"));
    }

    #[test]
    fn wide_shows_everything() {
        assert!(
            sample()
                .render(true, Some(20), false)
                .contains("INCARNATION")
        );
    }

    #[test]
    fn colour_leaves_the_words() {
        let text = sample().render(false, None, true);
        assert!(text.contains("\x1b[31mDOWN\x1b[0m"), "{text:?}");
    }
}
