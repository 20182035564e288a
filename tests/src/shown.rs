//! Runs cachectl in every format it offers, and writes down what it said, made comparable:
//! for each command a text with a section for each run.
//!
//! ```text
//! $ cachectl nodes -o name
//! n1
//! 2> http://127.0.0.1:PORT answered · layout 1
//! exit 0
//! ```

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::Value;

use crate::binaries;
use crate::command::{Ran, Runner};
use crate::normal::{Normal, Shape};
use crate::tree;

/// Lines of a program that looks on: how many there are is a matter of time.
const PROGRESS: [&str; 5] = ["requested", "running", "paused", "done", "cancelled"];

/// What was shown so far.
#[derive(Debug)]
pub struct Shown {
    /// Settings of cachectl.
    environment: Vec<(String, String)>,
    /// Makes it comparable.
    pub normal: Normal,
    /// Every command that there is, and those whose fields were told.
    commands: Vec<String>,
    formats: Vec<String>,
    explained: BTreeSet<String>,
    /// Texts by command, with blanks.
    pub texts: BTreeMap<String, String>,
    /// Exit codes that were seen.
    pub codes: BTreeSet<i32>,
    /// What breaks a promise of its format.
    pub wrong: Vec<String>,
}

impl Shown {
    /// `environment`: settings of cachectl; `folder`: where files of the run lie.
    pub async fn new(environment: &[(&str, &str)], folder: &str) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            environment: environment.iter().map(own).collect(),
            normal: Normal::new(folder),
            commands: tree::commands().await,
            formats: tree::formats().await,
            explained: BTreeSet::new(),
            texts: BTreeMap::new(),
            codes: BTreeSet::new(),
            wrong: Vec::new(),
        }
    }

    /// Commands of which nothing was shown.
    pub fn missing(&self) -> Vec<&str> {
        let commands = self.commands.iter().map(String::as_str);
        commands
            .filter(|it| !self.texts.contains_key(*it))
            .collect()
    }

    /// Runs a line, and writes nothing down.
    pub async fn run(&self, line: &str) -> Ran {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut runner = Runner::new(&binaries::cachectl(), &words);
        for (name, value) in &self.environment {
            runner = runner.env(name, value);
        }
        runner.run().await
    }

    /// The same, which has to succeed.
    pub async fn prepare(&self, line: &str) -> Ran {
        let ran = self.run(line).await;
        assert!([0, 9].contains(&ran.code), "cachectl {line}: {ran:?}");
        ran
    }

    /// Shows a line in every format: of something that changes nothing, at once.
    pub async fn all(&mut self, line: &str) {
        let formats = self.formats_of(line);
        let ran = formats.iter().map(async |format| {
            let line = format!("{line} -o {format}");
            self.run(&line).await
        });
        let ran = join_all(ran).await;
        let mut told = Told::default();
        for (format, ran) in formats.iter().zip(ran) {
            self.take(line, format, &ran, &mut told);
        }
        self.wrong.extend(told.disagrees(line));
    }

    /// Shows lines in every format, one after another in each: what the first did the
    /// second undoes, or `before` does, which is not shown.
    pub async fn in_turn(&mut self, lines: &[&str], before: &str) {
        let mut told: Vec<Told> = lines.iter().map(|_| Told::default()).collect();
        let formats = lines.iter().map(|line| self.formats_of(line));
        let formats: Vec<Vec<String>> = formats.collect();
        for format in self.formats.clone() {
            let lines = lines.iter().zip(&mut told).zip(&formats);
            for ((line, told), _) in lines.filter(|(_, formats)| formats.contains(&format)) {
                if !before.is_empty() && format != "help" {
                    self.prepare(before).await;
                }
                let ran = self.run(&format!("{line} -o {format}")).await;
                self.take(line, &format, &ran, told);
            }
        }
        for (line, told) in lines.iter().zip(told) {
            self.wrong.extend(told.disagrees(line));
        }
    }

    /// Every format; what the fields mean only once for each command.
    fn formats_of(&mut self, line: &str) -> Vec<String> {
        let first = self.explained.insert(self.command(line));
        let formats = self.formats.iter().cloned();
        formats.filter(|format| first || format != "help").collect()
    }

    fn take(&mut self, line: &str, format: &str, ran: &Ran, told: &mut Told) {
        let command = self.command(line);
        let line = format!("{line} -o {format}");
        let out = self.out(ran, format, &mut told.shapes);
        let out = out.unwrap_or_else(|error| {
            self.wrong.push(format!("cachectl {line}: {error}"));
            self.normal.text(&ran.out)
        });
        match format {
            "json" if !ran.out.is_empty() => told.json = self.document(format, &ran.out),
            "yaml" if !ran.out.is_empty() => told.yaml = self.document(format, &ran.out),
            "jsonl" => told.records = self.records(&ran.out),
            _ => {}
        }
        self.write(&command, &line, ran, &out);
    }

    /// Shows a line as it is typed.
    pub async fn once(&mut self, line: &str) -> Ran {
        let command = self.command(line);
        self.show(&command, line).await
    }

    /// Shows a line that fails, for people and for machines, below `exit-codes`.
    pub async fn fails(&mut self, line: &str) {
        self.show("exit-codes", line).await;
        self.show("exit-codes", &format!("{line} -o json")).await;
    }

    async fn show(&mut self, command: &str, line: &str) -> Ran {
        let ran = self.run(line).await;
        let format = line.split(" -o ").nth(1).unwrap_or("table");
        let out = self.out(&ran, format, &mut Vec::new());
        let out = out.unwrap_or_else(|error| {
            self.wrong.push(format!("cachectl {line}: {error}"));
            self.normal.text(&ran.out)
        });
        self.write(command, line, &ran, &out);
        ran
    }

    /// The longest command that a line begins with.
    fn command(&self, line: &str) -> String {
        let line = format!("{line} ");
        let begins = |it: &&String| line.starts_with(&format!("{it} "));
        let found = self
            .commands
            .iter()
            .filter(begins)
            .max_by_key(|it| it.len());
        found
            .unwrap_or_else(|| panic!("no command: {line}"))
            .clone()
    }

    fn write(&mut self, command: &str, line: &str, ran: &Ran, out: &str) {
        let line = self.normal.text(line);
        let mut text = format!("$ cachectl {line}\n{out}");
        if !out.is_empty() && !out.ends_with('\n') {
            text.push_str("\n(without an end of line)\n");
        }
        let told = self.normal.text(&ran.err);
        for line in told.lines().filter(|line| !is_progress(line)) {
            text.push_str(format!("2> {line}").trim_end());
            text.push('\n');
        }
        text.push_str(&format!("exit {}\n\n", ran.code));
        self.codes.insert(ran.code);
        self.texts
            .entry(command.to_owned())
            .or_default()
            .push_str(&text);
    }

    /// Standard output made comparable, held against what its format promises.
    fn out(&self, ran: &Ran, format: &str, shapes: &mut Vec<Shape>) -> Result<String, String> {
        let out = &ran.out;
        if out.contains('\u{1b}') {
            return Err("colours or cursor movements in a pipe".to_owned());
        }
        match format {
            "json" | "yaml" if !out.is_empty() => {
                let document = self.document(format, out);
                if document["apiVersion"] != "v1" || !document["kind"].is_string() {
                    return Err("without apiVersion or kind".to_owned());
                }
                Ok(printed(format, &document))
            }
            "jsonl" => {
                let records = self.records(out);
                let lines = records.iter().map(|record| printed(format, record));
                Ok(lines.collect())
            }
            "plain" => {
                let drawn = |it: char| ('\u{2500}'..'\u{25a0}').contains(&it);
                match out.contains(drawn) {
                    true => Err("lines or bars in plain".to_owned()),
                    false if out.contains('\t') => Ok(self.normal.rows(out, shapes)),
                    false => Ok(self.normal.text(out)),
                }
            }
            "name" if out.contains([' ', '\t']) => Err("more than names".to_owned()),
            "table" | "wide" => {
                // Whether the load was the slower one is chance.
                let busy = |line: &&str| !line.starts_with("the load used its core");
                let kept: Vec<&str> = out.split_inclusive('\n').filter(busy).collect();
                let (text, found) = self.normal.tables(&kept.concat());
                *shapes = found;
                Ok(match out.ends_with('\n') {
                    true => text,
                    false => text.trim_end().to_owned(),
                })
            }
            _ => Ok(self.normal.text(out)),
        }
    }

    /// The records of lines; of a stream about a migration the last: how many come before is
    /// a matter of time.
    fn records(&self, text: &str) -> Vec<Value> {
        let records = text.lines().map(|line| self.document("jsonl", line));
        let mut records: Vec<Value> = records.collect();
        if records.iter().any(|record| record["op"].is_string()) {
            records.drain(..records.len() - 1);
        }
        records
    }

    fn document(&self, format: &str, text: &str) -> Value {
        let parsed: Result<Value, String> = match format {
            "yaml" => serde_yaml_ng::from_str(text).map_err(|error| error.to_string()),
            _ => serde_json::from_str(text).map_err(|error| error.to_string()),
        };
        let mut document = parsed.unwrap_or_else(|error| panic!("{error}: {text}"));
        // What is printed here stands for what was printed there.
        let (lines, again) = (text.lines().count(), printed(format, &document));
        assert_eq!(lines, again.lines().count(), "{format}: {text}");
        self.normal.document(&mut document);
        document
    }
}

fn printed(format: &str, document: &Value) -> String {
    match format {
        "jsonl" => document.to_string() + "\n",
        "yaml" => serde_yaml_ng::to_string(document).expect("it was read"),
        _ => serde_json::to_string_pretty(document).expect("it was read") + "\n",
    }
}

/// What a line said in several formats.
#[derive(Debug, Default)]
struct Told {
    shapes: Vec<Shape>,
    json: Value,
    yaml: Value,
    records: Vec<Value>,
}

impl Told {
    /// Whether one format says other things than another.
    fn disagrees(&self, line: &str) -> Option<String> {
        if alike(&self.json) != alike(&self.yaml) {
            let (json, yaml) = (&self.json, &self.yaml);
            return Some(format!("{line}: as JSON {json}\nas YAML {yaml}"));
        }
        let mut items = self.json["items"].as_array()?.clone();
        for item in &mut items {
            item["apiVersion"] = "v1".into();
        }
        let records = &self.records;
        let same =
            |one: &[Value], other: &[Value]| one.iter().map(alike).eq(other.iter().map(alike));
        (!same(records, &items)).then(|| format!("{line}: items {items:?}\nlines {records:?}"))
    }
}

/// Without what differs from one format to the next: the format itself, and numbers of
/// layouts, which only grow.
fn alike(document: &Value) -> Value {
    match document {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !name.ends_with("layout"));
            kept.map(|(name, value)| (name.clone(), alike(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(alike).collect(),
        Value::String(text) if ["json", "jsonl", "yaml"].contains(&text.as_str()) => {
            "FORMAT".into()
        }
        other => other.clone(),
    }
}

/// `op-ID running  2.0%  …`.
fn is_progress(line: &str) -> bool {
    let state = line
        .strip_prefix("op-ID ")
        .and_then(|it| it.split("  ").next());
    line.contains("  ") && state.is_some_and(|state| PROGRESS.contains(&state))
}

/// Words between blanks; blanks between single quotes belong to a word.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for it in line.chars() {
        match (it, words.last_mut()) {
            ('\'', _) => quoted = !quoted,
            (' ', _) if !quoted => words.push(String::new()),
            (it, Some(word)) => word.push(it),
            (_, None) => {}
        }
    }
    words
}
