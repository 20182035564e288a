//! The walls of the workspace, as a test: who may import whom, and what a file
//! must look like. ARCHITECTURE.md says why each wall stands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file in lines, tests not counted.
const FILE_LINES_MAX: usize = 600;
/// Longest function in lines.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest test module that may stay beside its code, in lines.
const INLINE_TEST_LINES_MAX: usize = 150;

/// Which of our crates each crate may depend on.
const EDGES: [(&str, &[&str]); 7] = [
    ("proto", &[]),
    ("client", &["cached-proto"]),
    ("cached", &["cached-client", "cached-proto"]),
    ("cachectl", &["cached-client", "cached-proto"]),
    ("examples", &["cached-client"]),
    ("tests", &["cached", "cached-client", "cached-proto"]),
    ("fuzz", &["cached", "cached-proto"]),
];

/// In these places (path prefixes), these words must not stand in code.
const WALLS: &[(&[&str], &[&str], &str)] = &[
    (
        &["proto/src"],
        &[
            "tokio",
            "tonic::",
            "std::net",
            "std::fs",
            "std::time::Instant",
            "SystemTime",
            "rand::",
        ],
        "a wrong ring loses keys silently: it must be testable without a network or a clock",
    ),
    (
        &["cached/src/frontend"],
        &[
            "crate::store",
            "crate::cluster",
            "crate::registry",
            "crate::peers",
            "crate::replication",
        ],
        "every protocol passes through Command, so that all behave alike",
    ),
    (
        &["cached/src/operator"],
        &["store::shard", "store::container", "store::entry"],
        "operators read counters, never the store's insides",
    ),
    (
        &["cached/src/router"],
        &[
            "crate::frontend",
            "cluster::state",
            "cluster::driver",
            "cluster::plan",
            "crate::registry",
        ],
        "the router knows of the cluster only its view",
    ),
    (
        &["cached/src/store"],
        &[
            "crate::router",
            "crate::cluster",
            "crate::frontend",
            "tokio",
            "::pb::",
            "crate::peers",
        ],
        "the store does not know that a cluster exists",
    ),
    (
        &["cached/src/transfer"],
        &[
            "cluster::plan",
            "cluster::state",
            "crate::router",
            "crate::frontend",
            "::pb::",
        ],
        "plans decide, transfers obey: what carries out never chooses",
    ),
    (
        &["cached/src/cluster/plan", "cached/src/cluster/plan_check"],
        &["crate::transfer::Transfers", "crate::peers::Peers"],
        "plans decide, transfers obey: what decides never sends",
    ),
    (
        &["cached/src/registry"],
        &["crate::cluster", "crate::router", "crate::store"],
        "where members meet is a detail",
    ),
    (
        &[
            "proto/src/ring",
            "cached/src/blacklist/breaker.rs",
            "cached/src/cluster/plan",
            "cached/src/cluster/state",
            "cached/src/registry/embedded/state.rs",
            "cached/src/router/decide.rs",
            "cached/src/router/journey.rs",
            "cached/src/store/arena",
            "cached/src/store/shard",
            "cached/src/store/expiry.rs",
            "cached/src/store/moves.rs",
            "cached/src/store/tables",
            "cached/src/transfer/flow.rs",
            "cached/src/transfer/meter.rs",
            "cached/src/transfer/stagings.rs",
            "cached/src/transfer/throttle.rs",
            "cached/src/transfer/welcome.rs",
            "client/src/route.rs",
            "client/src/backoff.rs",
        ],
        &[
            "tokio",
            "tonic",
            "std::net",
            "std::fs",
            "tracing::",
            "Instant::now",
            "SystemTime",
            ".await",
        ],
        "a decision that can be replayed can be understood",
    ),
    (
        &[
            "cachectl/src/top/action.rs",
            "cachectl/src/top/data.rs",
            "cachectl/src/top/dialog",
            "cachectl/src/top/effect.rs",
            "cachectl/src/top/keys.rs",
            "cachectl/src/top/link.rs",
            "cachectl/src/top/list.rs",
            "cachectl/src/top/noticed.rs",
            "cachectl/src/top/screen",
            "cachectl/src/top/shape.rs",
            "cachectl/src/top/state.rs",
            "cachectl/src/top/update",
            "cachectl/src/top/view",
        ],
        &["tokio", "std::fs", "Instant", "SystemTime", ".await"],
        "a screen that is a function of its messages can be tested and replayed",
    ),
    (
        &["cachectl/src", "client/src"],
        &["use cached::", " cached::", "(cached::", "<cached::"],
        "tools and clients meet nodes on the wire only",
    ),
];

#[test]
fn crates_depend_only_where_the_arrows_go() {
    for (folder, allowed) in EDGES {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let manifest: toml::Table = manifest.parse().unwrap();
        for section in ["dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(|it| it.as_table()) else {
                continue;
            };
            let ours = dependencies.keys().filter(|name| name.starts_with("cache"));
            let extra: Vec<_> = ours
                .filter(|name| !allowed.contains(&name.as_str()))
                .collect();
            assert!(extra.is_empty(), "{folder} must not depend on {extra:?}");
        }
    }
}

#[test]
fn walls_stand() {
    let mut broken = Vec::new();
    for (places, words, reason) in WALLS {
        let behind = |file: &String| {
            // The one test that joins both ends of a move over a real connection.
            let joins = file.as_str() == "cached/src/frontend/grpc/tests/moving.rs";
            !joins && places.iter().any(|place| file.starts_with(place))
        };
        for file in sources().filter(behind) {
            let text = read(&root().join(&file));
            for (number, line) in code_lines(&text) {
                if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                    broken.push(format!("{file}:{number}: {word:?} ({reason})"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_registry_stays_a_detail() {
    let lawful = |file: &str| {
        let daemon = ["registry/", "config/", "args.rs"];
        match file.split_once("/src/") {
            Some(("cached", path)) => daemon.iter().any(|place| path.starts_with(place)),
            Some(("client", path)) => path.starts_with("topology/etcd") || path == "config.rs",
            _ => true,
        }
    };
    let mut broken = Vec::new();
    for file in sources().filter(|file| !lawful(file)) {
        for (number, line) in code_lines(&read(&root().join(&file))) {
            if line.contains("etcd_client") || line.contains("etcd::") {
                broken.push(format!("{file}:{number}: {line}"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    let mut broken = Vec::new();
    for file in sources() {
        let text = read(&root().join(&file));
        let first = text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") {
            broken.push(format!(
                "{file}:1: the first line says what the file is for (//! …)"
            ));
        }
        let is_test = file.ends_with("tests.rs") || file.contains("tests/");
        let all = text.lines().count();
        let inline_tests = text
            .lines()
            .skip_while(|line| !line.starts_with("mod tests {"))
            .count();
        if !is_test && all - inline_tests > FILE_LINES_MAX {
            broken.push(format!("{file}: {} lines; two rooms?", all - inline_tests));
        }
        if inline_tests > INLINE_TEST_LINES_MAX {
            broken.push(format!(
                "{file}: {inline_tests} lines of tests belong into a tests.rs"
            ));
        }
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            if line.ends_with([' ', '\t']) {
                broken.push(format!("{file}:{number}: trailing blank"));
            }
            if ["TODO", "FIXME", "XXX", "#[ignore"]
                .iter()
                .any(|mark| line.contains(mark))
                && file != "tests/tidy.rs"
            {
                broken.push(format!("{file}:{number}: unfinished: {line}"));
            }
        }
        if !is_test {
            broken.extend(long_functions(&file, &text));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn texts_speak_of_the_project_alone() {
    let mut broken = Vec::new();
    let texts = ["md", "toml", "yml", "yaml", "proto"];
    for path in files(&root()) {
        let name = relative(&path);
        let is_text = path
            .extension()
            .is_some_and(|it| texts.contains(&it.to_str().unwrap()));
        let is_source = name.ends_with(".rs") && !name.starts_with("tests/");
        if !(is_text || is_source) || name == "Cargo.lock" {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            for word in ["/work/", "/root/", "../shared/design", ".library"] {
                if line.contains(word) {
                    broken.push(format!("{name}:{}: {word}", number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in files(&root())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
    {
        for target in read(&path)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            if !path.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {target}", relative(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Functions over the limit, found by their indentation: rustfmt keeps it true.
fn long_functions(file: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let head = [
            "fn ",
            "pub fn ",
            "async fn ",
            "pub async fn ",
            "pub(super) fn ",
            "pub(crate) fn ",
        ];
        if !head.iter().any(|head| code.starts_with(head)) || code.ends_with(';') {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[start..]
            .iter()
            .position(|line| *line == end)
            .unwrap_or(0)
            + 1;
        if length > FUNCTION_LINES_MAX {
            found.push(format!(
                "{file}:{}: a function of {length} lines",
                start + 1
            ));
        }
    }
    found
}

/// Lines that are code: without comments, attributes and what follows `mod tests`.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .collect()
}

/// Rust sources of the product, the examples and the tests, relative to the root.
fn sources() -> impl Iterator<Item = String> {
    let found: BTreeSet<String> = files(&root())
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .map(|path| relative(path))
        .filter(|path| !path.ends_with("/tests.rs"))
        .collect();
    found.into_iter()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
