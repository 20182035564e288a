//! Parses, runs one command, prints its report, and ends with its exit code.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use cachectl::args::{Cli, Format, help};
use cachectl::commands::{self, Session};
use cachectl::error::CliError;
use cachectl::interrupt::Interrupt;
use cachectl::output::{Output, fields};
use cachectl::settings::{self, Sources};
use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;

/// What a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    // A shell that asks what could be typed is answered, and this never returns.
    CompleteEnv::with_factory(Cli::command).complete();
    run()
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> ExitCode {
    let started = Instant::now();
    let matches = help::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let output = Output::new(&cli.global);
    if output.format() == Format::Help {
        let told = fields::fields(&cli.command).and_then(|report| output.report_as_table(&report));
        return end(&output, told);
    }
    let settings = match commands::needs_no_context(&cli.command) {
        true => settings::without_context(&cli.global),
        false => settings::resolve(&cli.global, &Sources::of(&matches)),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return fail(&output, &error),
    };
    for value in &settings.values {
        let (name, value, origin) = (value.name, &value.value, value.origin.name());
        output.detail(&format!("{name} {value:?} ({origin})"));
    }
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
    let took = started.elapsed().as_millis();
    session.output.detail(&format!("took {took} ms"));
    end(
        &session.output,
        done.and_then(|report| session.output.report(&report)),
    )
}

fn end(output: &Output, done: Result<(), CliError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(output, &error),
    }
}

fn fail(output: &Output, error: &CliError) -> ExitCode {
    output.error(error);
    ExitCode::from(error.code as u8)
}
