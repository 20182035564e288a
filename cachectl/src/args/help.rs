//! `cachectl --help`: commands in groups, what people type most first. Pure.

use clap::{Command, CommandFactory};

use super::Cli;

/// Groups and their commands, in the order in which they are shown.
const GROUPS: [(&str, &[&str]); 7] = [
    (
        "Cluster",
        &[
            "status", "nodes", "ring", "stats", "hotkeys", "events", "check",
        ],
    ),
    ("Screen", &["top"]),
    ("Data", &["get", "set", "delete", "locate"]),
    (
        "Changes",
        &[
            "join",
            "drain",
            "undrain",
            "remove",
            "rebalance",
            "plan",
            "migrations",
        ],
    ),
    ("Groups and blacklist", &["groups", "blacklist"]),
    ("Load", &["bench"]),
    (
        "This program",
        &[
            "context",
            "config",
            "completions",
            "man",
            "cheat",
            "debug",
            "version",
        ],
    ),
];

/// The command line, with help in groups.
pub fn command() -> Command {
    let command = Cli::command();
    let text = grouped(&command);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}\n{{all-args}}{{after-help}}"
    );
    // They are listed above.
    let hidden = command.mut_subcommands(|it| it.hide(true));
    hidden
        .help_template(template)
        .override_usage("cachectl [OPTIONS] <COMMAND>")
}

fn grouped(command: &Command) -> String {
    let mut text = String::new();
    for (title, names) in GROUPS {
        text.push_str(&format!("{title}:\n"));
        for name in names {
            let found = command.find_subcommand(name);
            let about = found.and_then(Command::get_about);
            let about = about.map_or(String::new(), ToString::to_string);
            text.push_str(&format!("  {name:<12} {about}\n"));
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        grouped.sort_unstable();
        let command = Cli::command();
        let visible = command.get_subcommands().filter(|it| !it.is_hide_set());
        let mut known: Vec<&str> = visible.map(Command::get_name).collect();
        known.sort_unstable();
        assert_eq!(grouped, known);
        let help = super::command().render_help().to_string();
        assert!(help.contains("Changes:\n  join "), "{help}");
        assert!(
            help.contains("--endpoint <URL>") && help.contains("Exit codes:"),
            "{help}"
        );
        assert!(!help.contains("Commands:"), "{help}");
        assert!(help.contains("[OPTIONS] <COMMAND>"), "{help}");
    }

    #[test]
    fn what_is_hidden_in_help_can_be_typed() {
        let typed = command().try_get_matches_from(["cachectl", "nodes"]);
        assert!(typed.is_ok());
        let wrong = command().try_get_matches_from(["cachectl", "node"]);
        assert!(wrong.unwrap_err().to_string().contains("nodes"));
    }
}
