//! Parses, checks, starts, waits for a signal, stops, and says by the exit code
//! what was left behind.

use std::io::Write;
use std::process::ExitCode;

use cached::args::{Cli, Command, DevArgs, modernize};
use cached::config::layers::{Layers, merge};
use cached::config::raw::RawConfig;
use cached::config::{Config, ConfigError, Role};
use cached::daemon::dev::{self, Dev};
use cached::daemon::{
    Daemon, Reread, RespAddresses, StartupError, StopSignals, Stopped, Surroundings,
};
use cached::telemetry;
use clap::Parser;

/// A cache allocates and frees small pieces all day, from several threads; this
/// allocator costs less of the processor for that than the system's. Its second version:
/// the third takes 8 MB more, and no less of the processor.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something could not be started or went wrong.
const FAILED: u8 = 1;
/// A setting cannot be used.
const USAGE: u8 = 2;
/// Stopped, and entries went with it.
const LEFT_BEHIND: u8 = 3;

fn main() -> ExitCode {
    // A large page counts as a whole where a few bytes of it are used: without them the
    // process takes 9 MB less, and no more of the processor. Who refuses keeps them.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let cli = Cli::parse_from(modernize(std::env::args_os()));
    // rustls wants one provider for the whole process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (raw, dev) = match &cli.command {
        Some(Command::Dev(dev)) => (&dev.raw, Some(dev)),
        None => (&cli.raw, None),
    };
    let (mut config, layers) = match read(&cli, raw) {
        Ok(read) => read,
        Err(error) => return complain(&error, USAGE),
    };
    if dev.is_some() {
        dev::fill_in(&mut config, &layers.origins);
    }
    if cli.print_config {
        return say(&config.describe(&layers.origins));
    }
    if cli.check {
        return say("the settings can be used\n");
    }
    if let Err(error) = telemetry::start(&config.log) {
        return complain(&error, USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, FAILED),
    };
    let ended = runtime.block_on(async {
        match dev {
            Some(dev) => run_dev(config, dev).await,
            None => run(config, cli.clone()).await,
        }
    });
    match ended {
        Ok(stopped) => exit_code(&stopped),
        Err(error) => match error.downcast_ref::<StartupError>() {
            Some(StartupError::Config(error)) => complain(error, USAGE),
            _ => complain(&error, FAILED),
        },
    }
}

fn read(cli: &Cli, flags: &RawConfig) -> Result<(Config, Layers), ConfigError> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let layers = merge(cli.config.as_deref(), environment, flags)?;
    if let Some(Command::Dev(_)) = cli.command {
        dev::check(&layers.origins)?;
    }
    Ok((Config::check(&layers)?, layers))
}

async fn run(config: Config, cli: Cli) -> anyhow::Result<Stopped> {
    let cluster = config.cluster.name.clone();
    let reread = Reread::new(move || read(&cli, &cli.raw).map(|(config, _)| config));
    let surroundings = Surroundings {
        reread: Some(reread),
        owns_process: true,
        ..Surroundings::default()
    };
    let daemon = Daemon::start(config, surroundings).await?;
    let mut signals = StopSignals::listen()?;
    let what = daemon
        .name
        .as_ref()
        .map_or("gateway".to_owned(), |name| format!("node {name}"));
    say(&format!(
        "{what} listening on {}://{} (cluster {cluster}, registry {})\n",
        daemon.scheme, daemon.address, daemon.registry
    ));
    say(&resp_lines(&what, daemon.resp));
    tokio::select! {
        biased;
        () = signals.next() => tracing::info!("stopping"),
        () = daemon.asked_to_leave() => tracing::info!("stopping: an operator asked for it"),
        reason = daemon.refused() => {
            daemon.stop_without_drain().await;
            anyhow::bail!(reason);
        }
    }
    Ok(daemon.stop(signals.next()).await)
}

async fn run_dev(mut config: Config, args: &DevArgs) -> anyhow::Result<Stopped> {
    anyhow::ensure!(
        config.role != Role::Gateway,
        "`cached dev` brings its own gateway: leave --api out"
    );
    // A cluster that meets only itself has nothing to wait for when it stops.
    config.cluster.expect = 1;
    let mut dev = Dev::start(config, args.nodes, args.ports).await?;
    let mut signals = StopSignals::listen()?;
    // What is printed can be typed at once: nobody is told "not yet".
    for process in dev.nodes.iter().chain([&dev.gateway]) {
        let mut view = process.view.load_full();
        while !view.table_loaded {
            view = process.view.newer_than(view.number).await;
        }
    }
    say(&welcome(&dev));
    run_until_stopped(&mut dev, &mut signals).await;
    tracing::info!("stopping");
    tokio::select! {
        biased;
        () = signals.next() => Ok(Stopped::default()),
        stopped = dev.stop() => Ok(stopped),
    }
}

/// Nodes that an operator removes end one by one; a signal ends everything.
async fn run_until_stopped(dev: &mut Dev, signals: &mut StopSignals) {
    loop {
        let node = tokio::select! {
            biased;
            () = signals.next() => return,
            node = dev.asked_to_leave() => dev.nodes.remove(node),
        };
        tracing::info!("stopping a node: an operator asked for it");
        let mut over = false;
        let at_once = async {
            signals.next().await;
            over = true;
        };
        node.stop(at_once).await;
        if over {
            return;
        }
    }
}

/// Where clients of the Redis protocol are awaited.
fn resp_lines(what: &str, addresses: RespAddresses) -> String {
    let line = |kind: &str, address: Option<std::net::SocketAddr>| {
        let line = |address| format!("{what}: Redis protocol for {kind} clients on {address}\n");
        address.map(line).unwrap_or_default()
    };
    line("plain", addresses.plain) + &line("cluster", addresses.cluster)
}

/// What to type next.
fn welcome(dev: &Dev) -> String {
    let (scheme, api) = (dev.gateway.scheme, dev.gateway.address);
    let mut text = String::new();
    for node in &dev.nodes {
        let name = node.name.as_ref().map_or("node", |name| name.as_str());
        text.push_str(&format!(
            "node {name} listening on {scheme}://{}\n",
            node.address
        ));
        text.push_str(&resp_lines(&format!("node {name}"), node.resp));
    }
    text.push_str(&format!("gateway listening on {scheme}://{api}\n"));
    let first = dev.nodes.first().map_or(api, |node| node.address);
    let endpoint = if first.port() == cached::config::NODE_PORT && scheme == "http" {
        String::new()
    } else {
        format!(" --endpoint {scheme}://{first}")
    };
    let resp = dev.nodes.first().map(|node| node.resp).unwrap_or_default();
    let tls = if scheme == "https" { " --tls" } else { "" };
    let port = |address: Option<std::net::SocketAddr>| address.map(|address| address.port());
    let plain = port(resp.plain).map(|port| format!("  redis-cli{tls} -p {port} get Tom\n"));
    let cluster = port(resp.cluster).map(|port| format!("  redis-cli{tls} -c -p {port} get Tom\n"));
    let redis = plain.unwrap_or_default() + &cluster.unwrap_or_default();
    text.push_str(&format!(
        "
A cluster of {} nodes runs in this process; Ctrl-C ends it. In another terminal:

  curl -X POST '{scheme}://{api}/api/set?key=Tom' -d 630
  curl '{scheme}://{api}/api?key=Tom'
  curl '{scheme}://{api}/api/stats'
  target/release/cachectl{endpoint} nodes
  target/release/cachectl{endpoint} ring --as bar
  target/release/cachectl{endpoint} top
{redis}
",
        dev.nodes.len()
    ));
    text
}

fn exit_code(stopped: &Stopped) -> ExitCode {
    for (name, count) in &stopped.tasks_left {
        tracing::warn!(task = name, count, "did not end in time");
    }
    let entries = stopped.entries_left_behind;
    if entries == 0 {
        return ExitCode::SUCCESS;
    }
    if !stopped.others_were_there {
        tracing::info!(entries, "stopped; nobody was there to receive its entries");
        return ExitCode::SUCCESS;
    }
    tracing::warn!(entries, "stopped with entries left behind");
    ExitCode::from(LEFT_BEHIND)
}

/// To standard output; a reader that went away is no error.
fn say(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    ExitCode::SUCCESS
}

fn complain(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "cached: {error}");
    ExitCode::from(code)
}
