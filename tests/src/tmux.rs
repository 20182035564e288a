//! A terminal that can be typed into and looked at: tmux, with a server of its own.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use crate::wait;

/// How long a picture may take to come.
const PICTURE_MAX: Duration = Duration::from_secs(20);

/// One terminal with a shell in it; it ends with this.
#[derive(Debug)]
pub struct Screen {
    folder: TempDir,
}

/// Whether tests may use tmux. Without one they skip and say so, unless
/// `CACHED_REQUIRE_TMUX` is set, as `make test` does.
pub fn is_there() -> bool {
    if Command::new("tmux").arg("-V").output().is_ok() {
        return true;
    }
    assert!(
        std::env::var_os("CACHED_REQUIRE_TMUX").is_none(),
        "no tmux found: install tmux"
    );
    eprintln!("skipped: no tmux found; install tmux");
    false
}

impl Screen {
    /// A terminal of so many columns and rows that runs this line in a shell.
    pub fn start(columns: u16, rows: u16, line: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let screen = Self { folder };
        let size = [columns.to_string(), rows.to_string()];
        let shell = format!("{line}; echo; echo ENDED; sleep 600");
        let started = screen.tmux(&[
            "new-session",
            "-d",
            "-s",
            "s",
            "-x",
            &size[0],
            "-y",
            &size[1],
            &shell,
        ]);
        assert!(started.status.success(), "tmux does not start: {started:?}");
        screen
    }

    /// A file in a folder that goes with it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Presses keys, as tmux names them.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "s"], keys].concat());
    }

    /// Types a text.
    pub fn type_in(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "s", "-l", text]);
    }

    /// What it shows.
    pub fn text(&self) -> String {
        let shown = self.tmux(&["capture-pane", "-p", "-t", "s"]);
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    /// Waits until all of these words are shown; what is shown then.
    pub async fn shows(&self, words: &[&str]) -> String {
        self.becomes(&format!("{words:?} are shown"), PICTURE_MAX, |text| {
            words.iter().all(|word| text.contains(word))
        })
        .await
    }

    /// Waits until what is shown is as it should be; what is shown then.
    pub async fn becomes(
        &self,
        what: &str,
        deadline: Duration,
        mut right: impl FnMut(&str) -> bool,
    ) -> String {
        wait::until(what, deadline, || {
            let text = self.text();
            let answer = if right(&text) {
                Ok(text)
            } else {
                Err(Shown(text))
            };
            async { answer }
        })
        .await
    }

    /// Whether the alternate screen is on, the cursor is shown and the mouse is reported:
    /// each 0 or 1.
    pub fn modes(&self) -> String {
        self.told("#{alternate_on} #{cursor_flag} #{mouse_any_flag}")
    }

    /// Ends what runs in it at once, as `kill -9` does.
    pub fn kill(&self) {
        self.signal("KILL");
    }

    /// Sends a signal to what runs in it.
    pub fn signal(&self, name: &str) {
        let (signal, shell) = (format!("-{name}"), self.told("#{pane_pid}"));
        let children = Command::new("pkill").args([&signal, "-P", &shell]).status();
        assert!(
            children.is_ok_and(|status| status.success()),
            "nothing runs"
        );
    }

    /// What tmux knows of it.
    fn told(&self, format: &str) -> String {
        let told = self.tmux(&["display-message", "-p", "-t", "s", format]);
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let socket = self.folder.path().join("socket");
        Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .args(["-f", "/dev/null"])
            .args(arguments)
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .env("CACHECTL_CONFIG", "/nonexistent/config.toml")
            .output()
            .expect("the caller asked is_there()")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// A picture, line by line in a panic's message.
struct Shown(String);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}", self.0)
    }
}
