//! Miss ratios of the recorded traces at equal numbers of entries, by policy: a table for
//! docs/benchmarks.md. `CACHED_TRACES` names the folder of the traces.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::process::ExitCode;

use cached_tests::{policies, trace};
use clap::Parser;

/// Replays access traces against eviction policies as their authors describe them.
#[derive(Debug, Parser)]
struct Arguments {
    /// Traces, `NAME.keys.xz` in the folder.
    #[arg(default_values_t = ["web07".to_owned(), "orm-night".to_owned()])]
    traces: Vec<String>,
    /// Sizes of the cache in percent of the distinct keys.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 5, 10, 20, 30])]
    percent: Vec<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let makers = || policies::ALL.iter().chain(&policies::OWN);
    let names: Vec<&str> = makers().map(|(name, _)| *name).collect();
    println!("| trace | size | {} | best |", names.join(" | "));
    println!("|---|---|{}---|", "---|".repeat(names.len()));
    for name in &arguments.traces {
        let Some(keys) = trace::keys(name) else {
            return ExitCode::FAILURE;
        };
        let (trace, distinct) = policies::numbered(&keys);
        for percent in &arguments.percent {
            let capacity = distinct * percent / 100;
            let ratios: Vec<(f64, &str)> = makers()
                .map(|(name, make)| {
                    let mut policy = make(capacity, distinct);
                    (policies::miss_ratio(&mut *policy, &trace), *name)
                })
                .collect();
            let best = ratios
                .iter()
                .take(policies::ALL.len())
                .min_by(|a, b| a.0.total_cmp(&b.0));
            let cells: Vec<String> = ratios.iter().map(|(it, _)| format!("{it:.4}")).collect();
            let best = best.map_or("", |(_, name)| name);
            println!(
                "| `{name}` | {percent} % | {} | {best} |",
                cells.join(" | ")
            );
        }
    }
    ExitCode::SUCCESS
}
