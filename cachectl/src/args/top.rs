//! The command line of `top`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::top::state::Screen;

/// `top`.
#[derive(Clone, Debug, Args)]
pub struct Top {
    /// Write everything that the cluster tells to this file, for --replay.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Show what was recorded, at the pace at which it happened.
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Show only rows that this matches, as `/` does: a regular expression, `!` inverts it.
    #[arg(long, value_name = "REGEX", default_value = "")]
    pub filter: String,
    /// Sort by the column of this title.
    #[arg(long, value_name = "COLUMN", default_value = "")]
    pub sort: String,
    /// Where to begin.
    #[arg(long, value_enum, value_name = "SCREEN", default_value = "overview")]
    pub screen: Screen,
    /// Draw with ASCII characters alone, whatever the locale says.
    #[arg(long)]
    pub ascii: bool,
    /// Colours that suit the terminal's background.
    #[arg(
        long,
        value_enum,
        value_name = "THEME",
        env = "CACHECTL_THEME",
        default_value = "dark"
    )]
    pub theme: ThemeName,
    /// Print the keys, as top.toml spells them, and end.
    #[arg(long)]
    pub print_keys: bool,
    /// Print the styles, as top.toml spells them, and end.
    #[arg(long)]
    pub print_theme: bool,
}

/// Sets of colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ThemeName {
    /// For dark backgrounds.
    Dark,
    /// For light backgrounds.
    Light,
    /// Without colours: words, bold, underlined and reversed say it all.
    Mono,
}
