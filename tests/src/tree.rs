//! The commands of cachectl and the formats it offers, as its own help lists them.

use crate::binaries;
use crate::command::Runner;

/// Every command with the words that lead to it, those of groups too; without the program.
pub async fn commands() -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = vec![String::new()];
    while let Some(command) = open.pop() {
        let below = listed(&help(&command).await);
        open.extend(
            below
                .iter()
                .rev()
                .map(|name| format!("{command} {name}").trim().to_owned()),
        );
        if !command.is_empty() {
            found.push(command);
        }
    }
    found
}

/// Every value of `-o`.
pub async fn formats() -> Vec<String> {
    let help = help("").await;
    let option = help.split("--output <FORMAT>").nth(1).unwrap_or_default();
    let values = option.lines().map(str::trim);
    let values = values
        .skip_while(|line| *line != "Possible values:")
        .skip(1);
    let values = values.map_while(|line| line.strip_prefix("- ")?.split(':').next());
    values.map(str::to_owned).collect()
}

async fn help(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
    let ran = Runner::new(&binaries::cachectl(), &words).run().await;
    assert_eq!(ran.code, 0, "{command}: {ran:?}");
    ran.out
}

/// Names at the start of lines that stand in by two, before the options.
fn listed(help: &str) -> Vec<String> {
    let before = help.lines().take_while(|line| *line != "Options:");
    let names = before.filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        let is_name = name.chars().all(|it| it.is_ascii_lowercase() || it == '-');
        (is_name && !name.is_empty()).then(|| name.to_owned())
    });
    names.collect()
}
