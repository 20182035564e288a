//! Texts that are compared with files of `tests/golden`, or written there with `BLESS=1`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What to do about differences.
pub const HINT: &str = "Meant so? Run it with BLESS=1, and read what `git diff` shows.";

/// Lines around a difference that are shown.
const AROUND: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn blessed() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Compares a text with `tests/golden/NAME.txt`, or writes it there.
///
/// # Errors
/// What is different, line by line.
pub fn compare(name: &str, text: &str) -> Result<(), String> {
    let path = folder().join(format!("{name}.txt"));
    if blessed() {
        let parent = path.parent().expect("it lies in a folder");
        std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        return std::fs::write(&path, text).map_err(|error| error.to_string());
    }
    match std::fs::read_to_string(&path) {
        Ok(expected) if expected == text => Ok(()),
        Ok(expected) => Err(format!(
            "{name}: - as agreed, + as it is\n{}",
            difference(&expected, text)
        )),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Files of a folder of `tests/golden` that nothing is compared with; blessing removes them.
pub fn stale(under: &str, names: &BTreeSet<String>) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(folder().join(under)) else {
        return Vec::new();
    };
    let files = files.filter_map(Result::ok).map(|file| file.path());
    let unknown = files.filter(|path| {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy());
        !stem.is_some_and(|stem| names.contains(&*stem))
    });
    let kept = unknown.filter(|path| !(blessed() && std::fs::remove_file(path).is_ok()));
    kept.map(|path| format!("{}: no command has it", path.display()))
        .collect()
}

/// Lines that are gone and lines that are new, with some around them.
fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let edits = edits(&before, &after);
    let near = |at: usize| {
        let (from, to) = (
            at.saturating_sub(AROUND),
            (at + AROUND + 1).min(edits.len()),
        );
        edits[from..to].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut text = String::new();
    let mut last = 0;
    for (at, (mark, line)) in edits.iter().enumerate().filter(|(at, _)| near(*at)) {
        if at > last + 1 {
            text.push_str("  ...\n");
        }
        last = at;
        text.push_str(&format!("{mark} {line}\n"));
    }
    text
}

/// The shortest way from one list of lines to another: `-` gone, `+` new, ` ` the same.
fn edits<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<(char, &'a str)> {
    // Longest run of common lines from each pair of places on.
    let mut common = vec![vec![0_u32; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            common[i][j] = match before[i] == after[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut edits) = (0, 0, Vec::new());
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            edits.push((' ', before[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == after.len() || i < before.len() && common[i + 1][j] >= common[i][j + 1] {
            edits.push(('-', before[i]));
            i += 1;
        } else {
            edits.push(('+', after[j]));
            j += 1;
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_lines_with_some_around() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let after = before.replace('2', "two").replace("9\n", "9\n10\n");
        let expected = "  1\n- 2\n+ two\n  3\n  4\n  5\n  ...\n  7\n  8\n  9\n+ 10\n";
        assert_eq!(difference(before, &after), expected);
    }
}
