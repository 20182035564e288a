//! Parses, runs one command, prints its report, and ends with its exit code.

use std::pin::pin;
use std::process::ExitCode;

use cachectl::args::Cli;
use cachectl::commands::{self, Session};
use cachectl::error::CliError;
use cachectl::interrupt::Interrupt;
use cachectl::output::Output;
use cachectl::settings;
use clap::Parser;

/// What a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    let settings = match settings::resolve(&cli.global) {
        Ok(settings) => settings,
        Err(error) => return fail(&output, &error),
    };
    let session = Session {
        settings,
        output,
        global: cli.global,
        interrupt: Interrupt::default(),
    };
    let mut running = pin!(commands::run(&session, &cli.command));
    let done = loop {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => if !session.interrupt.press() {
                // At once: a question that waits for its answer would hold the runtime.
                std::process::exit(INTERRUPTED);
            },
            done = &mut running => break done,
        }
    };
    match done.and_then(|report| session.output.report(&report)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&session.output, &error),
    }
}

fn fail(output: &Output, error: &CliError) -> ExitCode {
    output.error(error);
    ExitCode::from(error.code as u8)
}
