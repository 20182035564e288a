//! A run from its first connection to its last delete: fill in, measure, remove.

use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Makers;
use super::mix::Kind;
use super::pace::Schedule;
use super::panel::Panel;
use super::plan::{Plan, Shape};
use super::progress::{Look, line};
use super::record::{Failed, Record};
use super::report::{Ended, Outcome, Sweep};
use super::source::Source;
use super::wire::{Ask, Wire};
use super::work::{OFFSETS, Phase, Stop};
use super::written::Written;
use crate::commands::Session;
use crate::error::{CliError, Code};
use crate::interrupt::Taken;
use crate::output::canvas::Canvas;

/// Between two looks at the progress, drawn in place.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// Between two lines of progress, where they pile up.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Most servers that each client connects to before the clock starts.
const WARMED_MAX: usize = 16;
/// Letters of values: text in every protocol.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    session: &'a Session,
    plan: &'a Plan,
    makers: &'a Makers<'a>,
    bytes: Bytes,
    written: RefCell<Written>,
    stop: Stop,
    /// Until Ctrl-C was pressed once: the second time ends the program.
    taken: Option<Taken<'a>>,
}

/// What is special about a phase.
#[derive(Debug)]
struct Special {
    name: &'static str,
    shape: Shape,
    schedule: Option<Schedule>,
    duration: Option<Duration>,
    sets_on_miss: bool,
}

/// What a phase came to.
#[derive(Debug)]
struct Came {
    took: Duration,
    record: Record,
    left: u64,
    unsent: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        session: &'a Session,
        plan: &'a Plan,
        makers: &'a Makers<'a>,
    ) -> Result<Self, CliError> {
        Ok(Self {
            session,
            plan,
            makers,
            bytes: value_bytes(plan.args.size.max as usize, plan.seed),
            written: RefCell::new(Written::new(plan.keys)),
            stop: Stop::default(),
            taken: Some(session.interrupt.take()),
        })
    }

    /// Runs everything. Ctrl-C ends what runs, and keys are removed all the same.
    pub(super) async fn carry_out(mut self) -> Result<Outcome<'a>, CliError> {
        let mut fill = None;
        if let Some(source) = self.plan.fill() {
            fill = Some(self.sweep("fill", source).await?);
        }
        let source = self.plan.source()?;
        let special = Special {
            name: "bench",
            shape: self.plan.shape,
            schedule: self.plan.schedule(),
            duration: self.plan.duration,
            sets_on_miss: self.plan.sets_on_miss(),
        };
        let mut wires = self.wires(self.plan.shape).await?;
        let cpu = cpu_time();
        let came = self.phase(special, source, &mut wires).await?;
        let generator = cpu.zip(cpu_time()).map(|(before, after)| {
            after.saturating_sub(before).as_secs_f64() / came.took.as_secs_f64().max(1e-6)
        });
        drop(wires);
        let removal = self.removal().await?;
        let ended = match (&self.taken, came.left) {
            (None, _) => Ended::Interrupted,
            (Some(_), 0) => Ended::Operations,
            (Some(_), _) => Ended::Time,
        };
        Ok(Outcome {
            plan: self.plan,
            ended,
            took: came.took,
            record: came.record,
            unsent: came.unsent * u64::from(self.plan.args.batch),
            servers: self.makers.targets.known(),
            fill,
            removal,
            generator,
        })
    }

    /// Removes what was written, unless it shall stay.
    async fn removal(&mut self) -> Result<Option<Sweep>, CliError> {
        let keys = self.written.take();
        let Some(source) = self.plan.removal(keys).filter(|source| source.left() > 0) else {
            return Ok(None);
        };
        if self.stop.is_set() {
            let text = "removing the keys that were written; Ctrl-C leaves them";
            self.session.output.note(text);
        }
        self.stop = Stop::default();
        self.sweep("remove", source).await.map(Some)
    }

    /// A phase over keys that is not measured, in large rounds.
    async fn sweep(&mut self, name: &'static str, source: Source) -> Result<Sweep, CliError> {
        let special = Special {
            name,
            shape: self.plan.sweep,
            schedule: None,
            duration: None,
            sets_on_miss: false,
        };
        let mut wires = self.wires(self.plan.sweep).await?;
        let came = self.phase(special, source, &mut wires).await?;
        Ok(Sweep {
            took: came.took,
            record: came.record,
            left: came.left,
        })
    }

    /// The connections of every client, open: the first request shall not pay for them.
    /// Fails when nobody can be reached at all.
    async fn wires(&self, shape: Shape) -> Result<Vec<Wire>, CliError> {
        let clients = usize::from(self.plan.args.clients);
        let mut wires: Vec<Wire> = (0..clients)
            .map(|_| self.makers.wire(shape))
            .collect::<Result<_, _>>()?;
        let key = Bytes::from(self.plan.key(0));
        let servers = self.makers.targets.all(WARMED_MAX);
        let asks: Vec<Ask> = servers
            .into_iter()
            .map(|server| Ask {
                kind: Kind::Get,
                key: key.clone(),
                value: Bytes::new(),
                server,
            })
            .collect();
        let rounds = wires.iter_mut().map(|wire| wire.round(&asks));
        let heard = join_all(rounds).await.into_iter().flatten();
        let mut failed = None;
        for answer in heard {
            match answer.outcome {
                Ok(_) => return Ok(wires),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(failed) => Err(unreachable(&failed)),
            None => Ok(wires),
        }
    }

    /// Runs clients until they end, and shows how far they are.
    async fn phase(
        &mut self,
        special: Special,
        source: Source,
        wires: &mut [Wire],
    ) -> Result<Came, CliError> {
        let start = Instant::now();
        let phase = Phase {
            plan: self.plan,
            targets: &self.makers.targets,
            bytes: &self.bytes,
            written: &self.written,
            stop: &self.stop,
            source: RefCell::new(source),
            schedule: special.schedule.map(RefCell::new),
            shape: special.shape,
            sets_on_miss: special.sets_on_miss,
            start,
            end: special.duration.map(|duration| start + duration),
            record: RefCell::new(Record::default()),
        };
        let mut shown = Shown::new(
            self.session,
            special.name,
            special.duration,
            start,
            self.plan.args.tui,
        );
        let mut ticks = shown.ticks();
        {
            let mut running = pin!(phase.run(wires));
            loop {
                tokio::select! {
                    biased;
                    () = pressed(&self.taken) => {
                        // The next one ends the program.
                        self.taken = None;
                        self.stop.set();
                    }
                    _ = ticks.tick() => shown.show(&phase),
                    ended = &mut running => break ended?,
                }
            }
        }
        shown.clear();
        let took = start.elapsed();
        let left = phase.source.borrow().left();
        let missed = phase.schedule.map(|it| it.borrow().missed(took));
        Ok(Came {
            took,
            record: phase.record.into_inner(),
            left,
            // Without operations left there was nothing to be sent.
            unsent: missed.filter(|_| left > 0).unwrap_or(0),
        })
    }
}

/// Resolves when Ctrl-C is pressed, if it is taken.
async fn pressed(taken: &Option<Taken<'_>>) {
    match taken {
        Some(taken) => taken.pressed().await,
        None => std::future::pending().await,
    }
}

/// The progress as people see it.
struct Shown<'a> {
    session: &'a Session,
    name: &'static str,
    duration: Option<Duration>,
    start: Instant,
    last: Instant,
    canvas: Canvas,
    /// With `--tui`.
    panel: Option<Panel>,
}

impl<'a> Shown<'a> {
    fn new(
        session: &'a Session,
        name: &'static str,
        duration: Option<Duration>,
        start: Instant,
        tui: bool,
    ) -> Self {
        Self {
            session,
            name,
            duration,
            start,
            last: start,
            canvas: Canvas::default(),
            panel: tui.then(Panel::default),
        }
    }

    fn ticks(&self) -> tokio::time::Interval {
        let every = match self.session.output.draws() {
            true => DRAW_EVERY,
            false => LINE_EVERY,
        };
        let mut ticks = interval_at(self.start + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }

    fn show(&mut self, phase: &Phase<'_>) {
        let now = Instant::now();
        let mut record = phase.record.borrow_mut();
        let recent = record.take_recent();
        let (answered, failed) = record.counts();
        let left = Some(phase.source.borrow().left()).filter(|left| *left < u64::MAX / 2);
        let look = Look {
            phase: self.name,
            elapsed: now.duration_since(self.start),
            duration: self.duration,
            answered,
            failed,
            left,
            recent: &recent,
            interval: now.duration_since(self.last),
        };
        self.last = now;
        let output = &self.session.output;
        match (&mut self.panel, output.draws()) {
            (Some(panel), true) => {
                let lines = panel.lines(&look, output.error_width(), output.unicode());
                self.canvas.draw(output, &lines);
            }
            (None, true) => self.canvas.draw(output, &[line(&look)]),
            (_, false) => output.note(&line(&look)),
        }
    }

    /// Takes the drawn line away.
    fn clear(&mut self) {
        if self.session.output.draws() {
            self.canvas.draw(&self.session.output, &[]);
        }
    }
}

fn unreachable(failed: &Failed) -> CliError {
    let code = match failed.kind.as_str() {
        "unreachable" | "lost" => Code::Unreachable,
        "timeout" => Code::Timeout,
        _ => Code::Failure,
    };
    let message = format!("no server answers: {}", failed.message);
    CliError::new(code, message).hint(
        "nodes are asked at the addresses that they advertise; --route endpoint asks those named",
    )
}

/// Bytes that values are cut from: text that does not pack well, the same for each seed.
fn value_bytes(longest: usize, seed: u64) -> Bytes {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0; longest + OFFSETS];
    random.fill(bytes.as_mut_slice());
    for byte in &mut bytes {
        *byte = LETTERS[usize::from(*byte) % LETTERS.len()];
    }
    bytes.into()
}

/// Processor time of this thread, which does all the work; `None`: the system does not
/// tell.
fn cpu_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = told.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}
