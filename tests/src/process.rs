//! A process under test: started, read, signalled, and gone when dropped.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to say that it listens: it builds nothing and
/// reads little, but the machine may be busy with other tests.
const START_MAX: Duration = Duration::from_secs(30);

/// A running process whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    stopped: bool,
}

impl Process {
    /// Starts a program; what it says goes to `log`.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Self {
        Self::start_with(program, arguments, &[], log)
    }

    /// The same, with more environment variables.
    pub fn start_with(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        log: &Path,
    ) -> Self {
        let file = File::create(log).expect("the log file can be made");
        let child = Command::new(program)
            .args(arguments)
            .env(
                "CACHED_LOG",
                std::env::var("CACHED_TEST_LOG").unwrap_or("info".into()),
            )
            .env("NO_COLOR", "1")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be shared"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        Self {
            child,
            log: log.to_owned(),
            stopped: false,
        }
    }

    /// Waits for the line that says where it listens.
    pub async fn listening(&mut self) -> SocketAddr {
        let start = Instant::now();
        loop {
            if let Some(address) = listening_line(&self.output()) {
                return address;
            }
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                panic!("ended with {status} before it listened:\n{}", self.output());
            }
            assert!(
                start.elapsed() < START_MAX,
                "does not listen:\n{}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything it has said so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// SIGTERM: asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT: what Ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGHUP: asks it to read its files again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGSTOP: it stands still, and its connections stay.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        self.stopped = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
        self.stopped = false;
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for the end.
    pub async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return status;
            }
            assert!(
                start.elapsed() < deadline,
                "has not ended:\n{}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.log.display(), self.output());
        }
    }
}

/// Finds "listening on http://ADDRESS" in what a process said.
fn listening_line(output: &str) -> Option<SocketAddr> {
    let (_, rest) = output.split_once("listening on http")?;
    let rest = rest.strip_prefix('s').unwrap_or(rest).strip_prefix("://")?;
    let end = rest.find(|c: char| c.is_whitespace())?;
    rest[..end].parse().ok()
}
