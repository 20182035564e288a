//! `completions`, `man` and `cheat`: made from the command line's own description.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::env::Shells;
use serde_json::json;

use crate::args::Cli;
use crate::args::tools::{self, Shell};
use crate::error::{CliError, Code};
use crate::output::{Body, Report};

/// The variable by which a shell asks this program to complete.
pub const COMPLETE: &str = "COMPLETE";

/// `completions`: what a shell reads to ask this program.
pub fn completions(args: &tools::Completions) -> Result<Report, CliError> {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Elvish => "elvish",
        Shell::Powershell => "powershell",
    };
    let shells = Shells::builtins();
    let completer = shells.completer(name);
    let completer = completer.ok_or_else(|| CliError::usage(format!("no such shell: {name}")))?;
    let mut script = Vec::new();
    completer
        .write_registration(COMPLETE, "cachectl", "cachectl", "cachectl", &mut script)
        .map_err(failed)?;
    Ok(text(script))
}

/// `man`: one page, or one for each command into a folder.
pub fn man(args: &tools::Man) -> Result<Report, CliError> {
    let command = Cli::command();
    match &args.out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(failed)?;
            Ok(text(page))
        }
        Some(folder) => {
            let pages = write_pages(command, folder)
                .map_err(|error| CliError::usage(format!("{}: {error}", folder.display())))?;
            let said = format!("{pages} pages are in {}\n", folder.display());
            Ok(text(said.into_bytes()))
        }
    }
}

fn write_pages(command: clap::Command, folder: &Path) -> std::io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)?;
    let pages = std::fs::read_dir(folder)?.filter_map(Result::ok);
    let is_page = |path: &Path| path.extension().is_some_and(|it| it == "1");
    Ok(pages.filter(|entry| is_page(&entry.path())).count())
}

/// `cheat`: what people do, and how it is typed.
pub fn cheat() -> Report {
    text(CHEAT.as_bytes().to_vec())
}

fn text(bytes: Vec<u8>) -> Report {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Report {
        json: json!({"kind": "text", "text": text}),
        body: Body::Text(text),
    }
}

fn failed(error: std::io::Error) -> CliError {
    CliError::new(Code::Failure, error.to_string())
}

const CHEAT: &str = "\
Look
  cachectl status                              is it well, and if not, why
  cachectl nodes                               who is there, how full, how good
  cachectl hotkeys --by bytes                  what is asked for most
  cachectl events -f --severity warning        what goes wrong, as it does
  cachectl stats -w --delta                    rates instead of sums
  cachectl locate KEY --explain                where a key lives

Keys
  cachectl get KEY                             cachectl get KEY --from n2
  cachectl set KEY VALUE --ttl 10m             cachectl set KEY @FILE --nx
  cachectl delete --pattern 'user:*' --dry-run what would go

Change
  cachectl drain n3 --dry-run                  what a drain would move
  cachectl drain n3 -m 'disk swap'             empty a node that stays
  cachectl remove n3                           empty it and let it end
  cachectl join n4                             give a node its share
  cachectl migrations watch                    how far it is; Ctrl-C only detaches
  cachectl migrations rate ID 20MiB            slower
  cachectl migrations cancel ID                what has moved stays moved

Scripts
  cachectl status --wait 2m                    0 when healthy, 10 if not by then
  cachectl check --format nagios               0, 1, 2 or 3
  cachectl nodes -o name                       one name a line
  cachectl hotkeys -o help                     what the fields mean

Several clusters
  cachectl context add prod --endpoint https://a:8001 --set production=true
  cachectl context use prod                    cachectl context -
  cachectl config show                         what is in force, and why

Shell
  source <(cachectl completions bash)
";
