//! The benchmark of moving slots, as a program: real processes, a real etcd, a load that
//! checks every answer. Prints the tables of docs/benchmarks.md.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cached_tests::etcd;
use cached_tests::load::moves::{self, MoveOptions, MoveReport};
use clap::Parser;

/// Moves slots between real nodes under a load that checks every answer.
#[derive(Debug, Parser)]
struct Arguments {
    /// 50,000 entries and 1,000 writes in a second, for a look.
    #[arg(long)]
    quick: bool,
    /// Entries, each written once before the load begins.
    #[arg(long)]
    entries: Option<usize>,
    /// Bytes of a value.
    #[arg(long)]
    value_bytes: Option<usize>,
    /// Sets and deletes in a second.
    #[arg(long)]
    writes: Option<u32>,
    /// Workers, each with one batch under way.
    #[arg(long)]
    workers: Option<usize>,
    /// Operations of a batch.
    #[arg(long)]
    batch: Option<usize>,
    /// Seconds of each steady phase.
    #[arg(long)]
    steady: Option<u64>,
    /// One more flag of each node, as in `--node-flag=--log=debug`.
    #[arg(long)]
    node_flag: Vec<String>,
    /// Writes the figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Arguments {
    fn options(&self) -> MoveOptions {
        let mut options = if self.quick {
            MoveOptions::quick()
        } else {
            MoveOptions::full()
        };
        let load = &mut options.load;
        load.entries = self.entries.unwrap_or(load.entries);
        load.value_bytes = self.value_bytes.unwrap_or(load.value_bytes);
        load.writes_per_second = self.writes.unwrap_or(load.writes_per_second);
        load.workers = self.workers.unwrap_or(load.workers);
        load.batch = self.batch.unwrap_or(load.batch);
        options.flags.extend(self.node_flag.iter().cloned());
        if let Some(seconds) = self.steady {
            options.steady = Duration::from_secs(seconds);
        }
        options
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !etcd::is_there() {
        return ExitCode::FAILURE;
    }
    let say = |text: &str| eprintln!("… {text}");
    let report = moves::run(&arguments.options(), &say).await;
    println!("{}\n\n{}", report.table(), targets(&report));
    if let Some(path) = &arguments.json {
        let text = format!("{:#}\n", report.json());
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    let faults = report.load.errors() + report.load.untrue();
    if faults + report.load.lost_keys().count() as u64 > 0 {
        eprintln!("{:#?}", report.load.samples());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The figures that the project wants to reach, and whether this run did.
fn targets(report: &MoveReport) -> String {
    let idle = |name| {
        let moved = report.moves.iter().find(|moved| moved.name == name);
        moved.map_or(0.0, |moved| moved.megabytes_per_second())
    };
    let (join, drain) = (report.load.phase("join"), report.load.phase("drain"));
    let steady = report.load.phase("steady 3");
    let longest = join.longest.max(drain.longest).as_secs_f64() * 1000.0;
    let p99 = join.millis(0.99).max(drain.millis(0.99)) / steady.millis(0.99).max(1e-3);
    let writes = join.writes_per_second().min(drain.writes_per_second());
    let rate = idle("join, idle").min(idle("drain, idle"));
    let faults: u64 = report
        .load
        .phases
        .iter()
        .map(|phase| phase.errors + phase.faults())
        .sum();
    let line = |what: &str, value: String, reached: bool| {
        format!(
            "| {what} | {value} | {} |",
            if reached { "yes" } else { "no" }
        )
    };
    [
        "| target | measured | reached |".to_owned(),
        "| --- | --- | --- |".to_owned(),
        line("≥ 145 MB/s idle", format!("{rate:.0} MB/s"), rate >= 145.0),
        line(
            "longest request ≤ 20 ms",
            format!("{longest:.1} ms"),
            longest <= 20.0,
        ),
        line("p99 ≤ 1.5 × steady", format!("{p99:.2} ×"), p99 <= 1.5),
        line(
            "≥ 30,000 writes/s meanwhile",
            format!("{writes:.0}"),
            writes >= 30_000.0,
        ),
        line(
            "0 errors, lost, stale, resurrected",
            faults.to_string(),
            faults == 0,
        ),
    ]
    .join("\n")
}
