//! Where the programs under test are; built first, so that a test never runs old ones.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Path of `cached`.
pub fn cached() -> PathBuf {
    folder().join("cached")
}

/// Path of `cachectl`.
pub fn cachectl() -> PathBuf {
    folder().join("cachectl")
}

/// Path of an example.
pub fn example(name: &str) -> PathBuf {
    folder().join("examples").join(name)
}

fn folder() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

/// Builds them, or takes those in `CACHED_PROGRAMS` as they are.
fn build() -> PathBuf {
    if let Some(folder) = std::env::var_os("CACHED_PROGRAMS") {
        return folder.into();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bins", "--examples"]);
    cargo.args(["-p", "cached", "-p", "cachectl", "-p", "cached-examples"]);
    if cfg!(debug_assertions) {
        // Crash points and known faults, which no release has.
        cargo.args(["--features", "cached/faults"]);
    } else {
        cargo.arg("--release");
    }
    let status = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the programs under test do not build");
    // target/debug/deps/it-… or target/debug/move_load -> target/debug
    let path = std::env::current_exe().expect("a test knows its own path");
    let folder = path.parent().expect("programs lie in folders");
    let above = folder.parent().filter(|_| folder.ends_with("deps"));
    above.unwrap_or(folder).to_owned()
}
