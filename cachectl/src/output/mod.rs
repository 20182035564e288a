//! The only place that prints: results to standard output, words to standard error.

pub mod canvas;
pub mod fields;
pub mod format;
pub mod spark;
pub mod table;

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use serde_json::Value;

use crate::args::{Color, Format, Global};
use crate::error::{CliError, Code};
use table::Table;

/// What a command has to say: the same content for people and for machines.
#[derive(Clone, Debug)]
pub struct Report {
    /// Lines for people.
    pub body: Body,
    /// One document for machines; an object whose `items`, if it has some, are the
    /// records of the line formats.
    pub json: Value,
}

impl Report {
    /// Nothing is to be said, in no format.
    pub fn nothing() -> Self {
        Self {
            body: Body::Text(String::new()),
            json: Value::Null,
        }
    }

    /// Nothing more is to be said.
    pub fn silent() -> Self {
        Self {
            body: Body::Text(String::new()),
            json: serde_json::json!({"items": []}),
        }
    }
}

/// What people see.
#[derive(Clone, Debug)]
pub enum Body {
    /// Rows and columns; the first column is the name.
    Table(Table),
    /// Several of them, an empty line between; names are those of the first.
    Tables(Vec<Table>),
    /// Text that is laid out already.
    Text(String),
    /// Text that is laid out for people, and what it says as rows for the line formats.
    Drawn {
        /// For people.
        text: String,
        /// For `plain` and `name`.
        rows: Table,
    },
    /// Bytes that are printed as they are, in every format but the JSON ones.
    Raw(Vec<u8>),
}

impl Body {
    /// Facts below each other, each after its name.
    pub fn facts(facts: Vec<(&str, String)>) -> Self {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines = facts
            .iter()
            .map(|(name, value)| format!("{name:<width$}  {value}\n"));
        let text = lines.collect();
        let mut rows = Table::new([table::text("FACT"), table::text("VALUE")]);
        for (name, value) in facts {
            rows.row([name.to_owned(), value]);
        }
        Self::Drawn { text, rows }
    }
}

/// Where output goes, and how.
#[derive(Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
    verbose: bool,
    color_out: bool,
    color_err: bool,
    /// Columns of the terminal; `None`: piped, nothing is dropped or cut.
    width: Option<usize>,
    /// Columns of the terminal on standard error; `None`: piped, or it cannot draw.
    error_width: Option<usize>,
    /// What is not said again.
    once: OnceLock<String>,
}

impl Output {
    /// Looks at flags, environment and both streams.
    pub fn new(global: &Global) -> Self {
        let colored = |terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color(),
        };
        let terminal = std::io::stdout().is_terminal();
        Self {
            format: global.output,
            quiet: global.quiet,
            verbose: global.verbose,
            color_out: colored(terminal),
            color_err: colored(std::io::stderr().is_terminal()),
            width: terminal.then(table::terminal_width),
            error_width: (std::io::stderr().is_terminal() && !is_dumb())
                .then(table::terminal_width),
            once: OnceLock::new(),
        }
    }

    /// Prints a result.
    pub fn report(&self, report: &Report) -> Result<(), CliError> {
        let bytes = format::render(report, self.format, self.width, self.color_out)?;
        write_all(&mut std::io::stdout().lock(), &bytes)
    }

    /// Prints a result for people, whatever the format.
    pub fn report_as_table(&self, report: &Report) -> Result<(), CliError> {
        let bytes = format::render(report, Format::Table, self.width, self.color_out)?;
        write_all(&mut std::io::stdout().lock(), &bytes)
    }

    /// Prints a result again: on a terminal in the place of the one before.
    pub fn redraw(&self, report: &Report) -> Result<(), CliError> {
        if self.width.is_some() && self.is_for_people() && !is_dumb() {
            write_all(&mut std::io::stdout().lock(), b"\x1b[H\x1b[2J")?;
        }
        self.report(report)
    }

    /// Whether results may have colours.
    pub fn colors_wanted(&self) -> bool {
        self.color_out
    }

    /// A message for people, on standard error.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// The same, which the next one like it does not repeat.
    pub fn note_once(&self, text: &str) {
        if self.once.get().is_none_or(|said| said != text) {
            let _ = self.once.set(text.to_owned());
            self.note(text);
        }
    }

    /// A message for people who want to know more, on standard error.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// An error, on standard error; one without words was told before.
    pub fn error(&self, error: &CliError) {
        if error.message.is_empty() {
            return;
        }
        let (red, reset) = if self.color_err {
            ("\x1b[31m", "\x1b[0m")
        } else {
            ("", "")
        };
        let mut stderr = std::io::stderr().lock();
        if matches!(error.code, Code::Detached | Code::Interrupted) {
            // As it was asked for: no error, but not the end either.
            let _ = writeln!(stderr, "{}  {}", error.message, error.hint);
            return;
        }
        let _ = writeln!(stderr, "{red}error:{reset} {}", error.message);
        if !error.hint.is_empty() {
            let _ = writeln!(stderr, "hint:  {}", error.hint);
        }
    }

    /// One line on standard output, at once: a record of something that goes on.
    pub fn line(&self, text: &str) {
        let _ = write_all(
            &mut std::io::stdout().lock(),
            format!("{text}\n").as_bytes(),
        );
    }

    /// The format that was asked for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether results are for people's eyes.
    pub fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Whether lines on standard error can be drawn in place.
    pub fn draws(&self) -> bool {
        self.is_for_people() && !self.quiet && self.error_width.is_some()
    }

    /// Columns of the terminal on standard error.
    pub fn error_width(&self) -> usize {
        self.error_width.unwrap_or(table::WIDTH_USUAL)
    }

    /// Whether standard output may be coloured.
    pub fn colors(&self) -> bool {
        self.color_out
    }

    /// Whether the terminal is said to show more than ASCII.
    pub fn unicode(&self) -> bool {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL")
            .or_else(|| set("LC_CTYPE"))
            .or_else(|| set("LANG"));
        locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
    }

    /// Asks on standard error; `None` where nobody can answer. Ctrl-C is heard meanwhile.
    pub async fn ask(&self, question: &str) -> Option<String> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        let _ = write!(std::io::stderr().lock(), "{question} ");
        let read = || {
            let mut answer = String::new();
            let read = std::io::stdin().read_line(&mut answer);
            read.ok().map(|_| answer.trim().to_owned())
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// A reader that has seen enough (`| head`) is no error.
fn write_all(stream: &mut impl Write, bytes: &[u8]) -> Result<(), CliError> {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::new(
            Code::Failure,
            format!("standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
