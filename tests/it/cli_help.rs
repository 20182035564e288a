//! The help of every command, word for word: a change shows in a review.
//! `BLESS=1 cargo test -p cached-tests --test it cli_help` writes the texts anew.

use std::path::{Path, PathBuf};

use cached_tests::binaries;
use cached_tests::command::Runner;

/// Commands that have help of their own; the first word is the program.
const COMMANDS: [&str; 59] = [
    "cached",
    "cached dev",
    "cachectl",
    "cachectl get",
    "cachectl set",
    "cachectl delete",
    "cachectl locate",
    "cachectl status",
    "cachectl nodes",
    "cachectl ring",
    "cachectl stats",
    "cachectl hotkeys",
    "cachectl events",
    "cachectl check",
    "cachectl join",
    "cachectl drain",
    "cachectl undrain",
    "cachectl remove",
    "cachectl rebalance",
    "cachectl plan",
    "cachectl plan show",
    "cachectl plan apply",
    "cachectl migrations",
    "cachectl migrations list",
    "cachectl migrations watch",
    "cachectl migrations describe",
    "cachectl migrations pause",
    "cachectl migrations resume",
    "cachectl migrations cancel",
    "cachectl migrations rate",
    "cachectl blacklist",
    "cachectl blacklist list",
    "cachectl blacklist add",
    "cachectl blacklist remove",
    "cachectl groups",
    "cachectl groups list",
    "cachectl groups create",
    "cachectl groups describe",
    "cachectl groups flush",
    "cachectl bench",
    "cachectl top",
    "cachectl context",
    "cachectl context list",
    "cachectl context add",
    "cachectl context use",
    "cachectl context -",
    "cachectl context current",
    "cachectl context edit",
    "cachectl context validate",
    "cachectl context prompt",
    "cachectl context remove",
    "cachectl config",
    "cachectl config show",
    "cachectl completions",
    "cachectl man",
    "cachectl cheat",
    "cachectl debug",
    "cachectl debug bundle",
    "cachectl version",
];

/// Compares a text with a file of `tests/golden`, or writes it there.
fn golden(name: &str, text: &str) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let path: PathBuf = folder.join(format!("{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&path, text).unwrap();
        return Ok(());
    }
    match std::fs::read_to_string(&path) {
        Ok(expected) if expected == text => Ok(()),
        Ok(expected) => Err(format!("{name} says\n{text}\ninstead of\n{expected}")),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[tokio::test]
async fn help_is_as_it_was_agreed() {
    let mut differences = Vec::new();
    for command in COMMANDS {
        let mut words: Vec<&str> = command.split(' ').collect();
        let program = match words.remove(0) {
            "cached" => binaries::cached(),
            _ => binaries::cachectl(),
        };
        words.push("--help");
        let ran = Runner::new(&program, &words).run().await;
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
        differences.extend(golden(&command.replace(' ', "-"), &ran.out).err());
    }
    let differences = differences.join("\n\n");
    assert!(
        differences.is_empty(),
        "{differences}\n\nMeant so? Run it with BLESS=1."
    );
}
