//! Simulates whole clusters from seeds: `sim --seed 7`, `sim --seeds 1..100`. Prints
//! for every seed that fails what is wrong and the command that repeats it.

use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cached_tests::sim::{self, Size};
use clap::Parser;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Simulates whole clusters from seeds.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// One seed, in this process.
    #[arg(long)]
    seed: Option<u64>,
    /// Many seeds, `FROM..TO`, each in a process of its own.
    #[arg(long, value_parser = range)]
    seeds: Option<(u64, u64)>,
    /// Processes at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// How long clients work and things go wrong, in simulated seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Simulate every seed twice, and compare.
    #[arg(long)]
    twice: bool,
    /// Stop at the first seed that fails.
    #[arg(long)]
    until_failure: bool,
    /// Log so much, as in `info` or `cached=debug`.
    #[arg(long)]
    log: Option<String>,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("{text:?} is not FROM..TO");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse().map_err(|_| wrong());
    Ok((number(from)?, number(to)?))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let passed = match (args.seed, args.seeds) {
        (Some(seed), _) if args.twice => many(&args, seed, seed),
        (Some(seed), _) => one(&args, seed),
        (None, Some((from, to))) => many(&args, from, to),
        (None, None) => {
            eprintln!("say --seed N or --seeds FROM..TO");
            false
        }
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A seed takes some seconds, on a busy machine a minute. In one that takes so long
/// somebody asks without an end, and simulated time stands still.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// Ends the process when it takes too long.
fn lose_patience(seed: u64) {
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        println!("seed {seed}\n  PROBLEM it has not ended after {PATIENCE:?}");
        std::process::exit(1);
    });
}

fn one(args: &Args, seed: u64) -> bool {
    lose_patience(seed);
    if !sim::chance::is_fixed() {
        eprintln!("random bytes do not come from the seed on this system");
        return false;
    }
    let shown = args.log.as_ref().map(|filter| {
        tracing_subscriber::fmt::layer()
            .with_timer(Simulated)
            .with_writer(std::io::stderr)
            .with_filter(EnvFilter::new(filter))
    });
    let errors = sim::panics::Errors.with_filter(LevelFilter::ERROR);
    tracing_subscriber::registry()
        .with(errors)
        .with(shown)
        .init();
    let size = Size {
        seconds: args.seconds,
    };
    let report = sim::run(seed, size);
    println!(
        "seed {seed}: {} operations, {} answered, {} events, {:.1} s simulated in {:.1} s, trace {:016x}",
        report.operations,
        report.answered,
        report.events.len(),
        report.simulated.as_secs_f64(),
        report.took.as_secs_f64(),
        report.trace,
    );
    if report.problems.is_empty() {
        return true;
    }
    println!("  {}", report.setting);
    for event in &report.events {
        println!("  {event}");
    }
    for problem in &report.problems {
        println!("  PROBLEM {problem}");
    }
    false
}

/// What a child process said.
struct Said {
    passed: bool,
    text: String,
}

fn child(args: &Args, seed: u64) -> Said {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["--seed", &seed.to_string()]);
    command.args(["--seconds", &args.seconds.to_string()]);
    if let Some(log) = &args.log {
        command.args(["--log", log]);
    }
    let output = command.output().expect("this program can be started");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Said {
        passed: output.status.success(),
        text,
    }
}

/// Simulates a seed once or twice; what is wrong.
fn check(args: &Args, seed: u64) -> Said {
    let first = child(args, seed);
    if !args.twice {
        return first;
    }
    let second = child(args, seed);
    let trace = |said: &Said| {
        let word = said.text.split("trace ").nth(1).unwrap_or_default();
        word.chars().take(16).collect::<String>()
    };
    let same = trace(&first) == trace(&second) && !trace(&first).is_empty();
    let mut text = first.text;
    if !same {
        text.push_str(&format!(
            "  PROBLEM the second run differs: {}",
            second.text
        ));
    }
    Said {
        passed: first.passed && second.passed && same,
        text,
    }
}

fn many(args: &Args, from: u64, to: u64) -> bool {
    let began = Instant::now();
    let next = Mutex::new(from..=to);
    let failed = Mutex::new(Vec::new());
    let done = Mutex::new(0_u64);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let Some(seed) = next.lock().unwrap().next() else {
                        return;
                    };
                    let said = check(args, seed);
                    print!("{}", said.text);
                    *done.lock().unwrap() += 1;
                    if !said.passed {
                        failed.lock().unwrap().push(seed);
                        stop.fetch_or(args.until_failure, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let (done, mut failed) = (done.into_inner().unwrap(), failed.into_inner().unwrap());
    failed.sort_unstable();
    summary(args, done, &failed, began.elapsed());
    failed.is_empty()
}

fn summary(args: &Args, done: u64, failed: &[u64], took: Duration) {
    let (seconds, count) = (args.seconds, failed.len());
    println!(
        "{done} seeds of {seconds} s and the time to settle, in {:.0} s: {count} failed",
        took.as_secs_f64()
    );
    for seed in failed {
        println!("  repeat with: sim --seed {seed} --seconds {seconds} --log info");
    }
}

/// Shows the simulated time in logs.
struct Simulated;

impl tracing_subscriber::fmt::time::FormatTime for Simulated {
    fn format_time(
        &self,
        out: &mut tracing_subscriber::fmt::format::Writer<'_>,
    ) -> std::fmt::Result {
        let elapsed = if turmoil::in_simulation() {
            turmoil::sim_elapsed()
        } else {
            None
        };
        write!(out, "{:10.4}", elapsed.unwrap_or_default().as_secs_f64())
    }
}
