//! `top.toml`: other keys and colours, read when the screen starts.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::keys::{Chord, Keymap};
use super::view::theme::Paints;
use crate::contexts;
use crate::error::CliError;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    keys: BTreeMap<Spanned<String>, Vec<Chord>>,
    theme: Paints,
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Taste {
    /// Keys, those of the file among them.
    pub keys: Keymap,
    /// What it wants painted otherwise.
    pub paints: Paints,
}

/// Beside the file with the contexts; `None`: nobody's home is known.
fn path() -> Option<PathBuf> {
    contexts::path().map(|path| path.with_file_name("top.toml"))
}

impl Taste {
    /// Reads the file; what is usual where there is none.
    pub fn load() -> Result<Self, CliError> {
        let Some(path) = path() else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            // A part of the path is no folder: then there is no file either.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(Self::default())
            }
            Err(error) => {
                let text = format!("{} cannot be read: {error}", path.display());
                Err(CliError::usage(text))
            }
        }
    }

    /// Reads its text; an error names the file, the line and the field.
    fn parse(text: &str, path: &Path) -> Result<Self, CliError> {
        let path = path.display();
        let written: Written =
            toml::from_str(text).map_err(|error| CliError::usage(format!("{path}: {error}")))?;
        let bad = |line: usize, name: &str, why: &str| {
            let text = format!("{path}, line {line}: keys.{name}: {why}");
            CliError::usage(text).hint("`cachectl top --print-keys` prints the keys that hold")
        };
        let line = |name: &Spanned<String>| 1 + text[..name.span().start].matches('\n').count();
        let mut keys = Keymap::default();
        for (name, chords) in &written.keys {
            let bound = keys.bind(name.get_ref(), chords.clone());
            bound.map_err(|why| bad(line(name), name.get_ref(), &why))?;
        }
        if let Some((one, other, key)) = keys.check() {
            // Whichever the file names, or the later of both.
            let named = written
                .keys
                .keys()
                .filter(|name| [one, other].contains(&name.get_ref().as_str()));
            let at = named.max_by_key(|name| name.span().start);
            let (name, line) = at.map_or((one, 0), |it| (it.get_ref().as_str(), line(it)));
            let rival = if name == one { other } else { one };
            let why = format!("{} is the key of {rival} already", key.spelled());
            return Err(bad(line, name, &why));
        }
        Ok(Self {
            keys,
            paints: written.theme,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::state::Look;
    use crate::top::view::theme::Theme;

    fn read(text: &str) -> Result<Taste, String> {
        Taste::parse(text, Path::new("top.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_printed_can_be_read_and_says_the_same() {
        for light in [false, true] {
            let look = Look {
                light,
                ..Look::default()
            };
            let theme = Theme::new(look);
            let printed = format!("{}\n{}", Keymap::default().print(), theme.print());
            let taste = read(&printed).unwrap();
            assert_eq!(taste.keys.print(), Keymap::default().print());
            let dark = Theme::new(Look::default());
            assert_eq!(dark.painted(&taste.paints).print(), theme.print());
        }
    }

    #[test]
    fn a_file_says_only_what_differs() {
        let taste = read("[keys]\nquit = [\"f10\"]\n[theme]\nbad = \"#ff0000 bold\"\n").unwrap();
        assert!(taste.keys.print().contains("quit = [\"f10\"]"));
        assert!(taste.keys.print().contains("drain = [\"d\"]"));
        let theme = Theme::new(Look::default()).painted(&taste.paints);
        assert!(
            theme.print().contains("bad = \"#FF0000 bold\""),
            "{}",
            theme.print()
        );
        let mono = Look {
            mono: true,
            ..Look::default()
        };
        let mono = Theme::new(mono);
        assert_eq!(mono.clone().painted(&taste.paints).print(), mono.print());
        assert!(read("").is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_file_line_and_field() {
        for (text, words) in [
            (
                "[keys]\n\ndrane = [\"d\"]\n",
                &["top.toml, line 3: keys.drane: no action"][..],
            ),
            (
                "[keys]\nhold = [\"hyper-h\"]\n",
                &["top.toml: ", "line 2", "hold", "is no key"],
            ),
            ("[keys]\nhold = \"h\"\n", &["top.toml: ", "line 2", "hold"]),
            (
                "[keys]\ndrain = [\"ctrl-d\"]\n",
                &["line 2: keys.drain", "Ctrl"],
            ),
            (
                "[keys]\nwide = [\"f3\"]\nhold = [\"e\"]\n",
                &["top.toml, line 3: keys.hold: e is the key of expand already"],
            ),
            (
                "[keys]\nsort = [\"o\"]\nfilter = [\"o\"]\n",
                &["line 3: keys.filter: o is the key of sort already"],
            ),
            (
                "[theme]\nbad = \"rad\"\n",
                &["top.toml: ", "line 2", "bad", "is no colour"],
            ),
            ("[theme]\nugly = \"red\"\n", &["line 2", "ugly", "accent"]),
            ("[themes]\n", &["line 1", "themes"]),
            ("[keys\n", &["line 1"]),
        ] {
            let refusal = read(text).unwrap_err();
            for word in words {
                assert!(
                    refusal.contains(word),
                    "{text:?}: {word:?} is not in: {refusal}"
                );
            }
        }
    }
}
