//! A program that is run to its end, and what it said.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::binaries;

/// How long a program may take: most ask a cluster a few questions, some look on while
/// slots move on a busy machine.
const END_MAX: Duration = Duration::from_secs(200);

/// What a program came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub bytes: Vec<u8>,
    /// The same as text.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

/// A program to be run, in an environment without settings of ours.
#[derive(Debug)]
pub struct Runner {
    command: Command,
    input: Vec<u8>,
}

impl Runner {
    /// Runs `program` with `arguments`.
    pub fn new(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy();
            if ours.starts_with("CACHED_") || ours.starts_with("CACHECTL_") || ours == "NO_COLOR" {
                command.env_remove(name);
            }
        }
        // No context file of whoever runs the tests.
        command.env("CACHECTL_CONFIG", "/nonexistent/config.toml");
        Self {
            command,
            input: Vec::new(),
        }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads from standard input.
    pub fn input(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    /// Runs it to its end.
    pub async fn run(mut self) -> Ran {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the program can be started");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A program that does not read its input may end before it is written.
        let _ = stdin.write_all(&self.input).await;
        drop(stdin);
        let ended = tokio::time::timeout(END_MAX, child.wait_with_output()).await;
        let output = ended.expect("it ends").expect("its output can be read");
        Ran {
            code: output.status.code().expect("no signal ended it"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            bytes: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// `cachectl` with some words and then those of a line, which are split at blanks.
pub fn cachectl(words: &[&str], line: &str) -> Runner {
    let words: Vec<&str> = words
        .iter()
        .copied()
        .chain(line.split_whitespace())
        .collect();
    Runner::new(&binaries::cachectl(), &words)
}
