//! Rows and columns before they are drawn: sorted, filtered, selected by id. Pure.

use regex::{Regex, RegexBuilder};

/// What a text is meant to look like; themes decide how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As usual.
    #[default]
    Normal,
    /// Less important.
    Dim,
    /// To be seen first.
    Strong,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// What can be chosen, and titles.
    Accent,
    /// In the colour of this node.
    Node(u16),
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// What is shown.
    pub text: String,
    /// How.
    pub tone: Tone,
    /// What it is sorted by; `None`: its text.
    pub number: Option<f64>,
    /// A bar of this part before the text, where there is room.
    pub bar: Option<f64>,
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// A number, as it is shown.
    pub fn number(number: f64, text: impl Into<String>) -> Self {
        Self {
            number: Some(number),
            ..Self::text(text)
        }
    }

    /// Nobody knows.
    pub fn unknown(text: &str) -> Self {
        Self::number(-1.0, text).tone(Tone::Dim)
    }

    /// The same in this tone.
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// The same with a bar.
    pub fn bar(mut self, part: f64) -> Self {
        self.bar = Some(part);
        self
    }
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Numbers stand on the right.
    pub right: bool,
    /// The higher, the sooner it is dropped; 0: never.
    pub rank: u8,
    /// Only when asked for more.
    pub wide: bool,
}

/// A column of texts.
pub const fn text(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        right: false,
        rank,
        wide: false,
    }
}

/// A column of numbers.
pub const fn number(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        right: true,
        rank,
        wide: false,
    }
}

/// The same column, shown only when asked for more.
pub const fn wide(column: Column) -> Column {
    Column {
        wide: true,
        ..column
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it stands for, whatever its place.
    pub id: String,
    /// As many as there are columns.
    pub cells: Vec<Cell>,
}

/// Rows and columns.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows.
    pub rows: Vec<Row>,
    /// Rows before the filter.
    pub all: usize,
}

/// What the user chose for a list.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The row selected, and its place when it was seen last.
    pub selected: Option<(String, usize)>,
    /// The column by whose title rows are sorted; empty: as they come.
    pub sort: String,
    /// The other way round.
    pub reverse: bool,
    /// Which rows are shown.
    pub filter: Filter,
}

impl List {
    /// Columns and rows as they come.
    pub fn new(columns: impl Into<Vec<Column>>, rows: Vec<Row>) -> Self {
        let all = rows.len();
        Self {
            columns: columns.into(),
            rows,
            all,
        }
    }

    /// Filtered and sorted as it was chosen.
    pub fn arranged(mut self, choice: &Choice) -> Self {
        self.rows.retain(|row| choice.filter.matches(row));
        let by = |column: &Column| column.title.eq_ignore_ascii_case(&choice.sort);
        if let Some(column) = self.columns.iter().position(by) {
            self.rows.sort_by(|one, other| {
                let (one, other) = (&one.cells[column], &other.cells[column]);
                match (one.number, other.number) {
                    (Some(one), Some(other)) => other.total_cmp(&one),
                    _ => one.text.cmp(&other.text),
                }
            });
        }
        if choice.reverse {
            self.rows.reverse();
        }
        self
    }

    /// Where the selected row is: its own place, or the one it had.
    pub fn place(&self, choice: &Choice) -> usize {
        let Some((id, place)) = &choice.selected else {
            return 0;
        };
        let found = self.rows.iter().position(|row| row.id == *id);
        found
            .unwrap_or(*place)
            .min(self.rows.len().saturating_sub(1))
    }

    /// The selected row.
    pub fn selected(&self, choice: &Choice) -> Option<&Row> {
        self.rows.get(self.place(choice))
    }

    /// The choice moved by so many rows.
    pub fn step(&self, choice: &mut Choice, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        let place = self.place(choice).saturating_add_signed(by).min(last);
        let row = self.rows.get(place);
        choice.selected = row.map(|row| (row.id.clone(), place));
    }
}

/// Which rows are shown: a regular expression, inverted by a leading `!`.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// As it was typed.
    pub text: String,
    pattern: Option<Regex>,
    inverted: bool,
}

impl Filter {
    /// Small letters match both; what is no expression is taken as it stands.
    pub fn new(text: &str) -> Self {
        let (inverted, words) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let build = |words: &str| {
            let any_case = !words.chars().any(char::is_uppercase);
            let mut builder = RegexBuilder::new(words);
            // What somebody types at a prompt needs no more.
            builder
                .case_insensitive(any_case)
                .size_limit(1 << 20)
                .build()
        };
        let pattern = build(words).or_else(|_| build(&regex::escape(words))).ok();
        Self {
            text: text.to_owned(),
            pattern: pattern.filter(|_| !words.is_empty()),
            inverted,
        }
    }

    /// Nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.pattern.is_none()
    }

    fn matches(&self, row: &Row) -> bool {
        let Some(pattern) = &self.pattern else {
            return true;
        };
        let found = row.cells.iter().any(|cell| pattern.is_match(&cell.text));
        found != self.inverted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let row = |id: &str, ops: f64| Row {
            id: id.to_owned(),
            cells: vec![Cell::text(id), Cell::number(ops, ops.to_string())],
        };
        let rows = vec![row("n1", 5.0), row("n2", 9.0), row("n3", 7.0)];
        List::new([text("NODE", 0), number("OPS/S", 1)], rows)
    }

    fn ids(list: &List) -> Vec<&str> {
        list.rows.iter().map(|row| row.id.as_str()).collect()
    }

    #[test]
    fn numbers_sort_from_the_largest_and_texts_from_a() {
        let choice = |sort: &str, reverse| Choice {
            sort: sort.to_owned(),
            reverse,
            ..Choice::default()
        };
        for (sort, reverse, expected) in [
            ("", false, ["n1", "n2", "n3"]),
            ("ops/s", false, ["n2", "n3", "n1"]),
            ("OPS/S", true, ["n1", "n3", "n2"]),
            ("NODE", true, ["n3", "n2", "n1"]),
            ("unknown", false, ["n1", "n2", "n3"]),
        ] {
            assert_eq!(
                ids(&list().arranged(&choice(sort, reverse))),
                expected,
                "{sort}"
            );
        }
    }

    #[test]
    fn filters_are_expressions_and_can_be_inverted() {
        for (filter, expected) in [
            ("", vec!["n1", "n2", "n3"]),
            ("n[12]", vec!["n1", "n2"]),
            ("!n1", vec!["n2", "n3"]),
            ("N1", vec![]),
            ("^9$", vec!["n2"]),
            ("(", vec![]),
            ("!", vec!["n1", "n2", "n3"]),
        ] {
            let choice = Choice {
                filter: Filter::new(filter),
                ..Choice::default()
            };
            assert_eq!(ids(&list().arranged(&choice)), expected, "{filter}");
        }
    }

    #[test]
    fn the_selection_follows_its_row() {
        let mut choice = Choice::default();
        assert_eq!(list().place(&choice), 0);
        list().step(&mut choice, 2);
        assert_eq!(choice.selected, Some(("n3".to_owned(), 2)));
        choice.sort = "OPS/S".to_owned();
        let sorted = list().arranged(&choice);
        assert_eq!(sorted.place(&choice), 1);
        sorted.step(&mut choice, -9);
        assert_eq!(choice.selected, Some(("n2".to_owned(), 0)));
        // The row is gone: the one at its place.
        choice.selected = Some(("n9".to_owned(), 7));
        assert_eq!(sorted.place(&choice), 2);
        let none = List::default();
        none.step(&mut choice, 1);
        assert_eq!((none.place(&choice), choice.selected), (0, None));
    }
}
