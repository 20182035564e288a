//! What a run came to, for people and for machines. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::mix::Kind;
use super::plan::Plan;
use super::record::{Latency, Record, Tally};
use crate::args::bench::Protocol;
use crate::error::{CliError, Code};
use crate::output::table::{Column, Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// Share of its core from which on the load itself may be what is measured.
const BUSY: f64 = 0.95;

/// Why measuring ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its time was over.
    Time,
    /// All operations were made.
    Operations,
    /// Ctrl-C.
    Interrupted,
}

impl Ended {
    fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Operations => "operations",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A phase that is not measured.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// How long it took.
    pub took: Duration,
    /// What was heard.
    pub record: Record,
    /// Keys that it did not get to.
    pub left: u64,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// What was done.
    pub plan: &'a Plan,
    /// Why measuring ended.
    pub ended: Ended,
    /// How long was measured.
    pub took: Duration,
    /// What was heard.
    pub record: Record,
    /// Operations that were due in an open loop and were not sent.
    pub unsent: u64,
    /// Name and address of each server, by number.
    pub servers: Vec<(String, String)>,
    /// Filling in the keys, if that was done.
    pub fill: Option<Sweep>,
    /// Removing the keys, if that was done.
    pub removal: Option<Sweep>,
    /// Share of its core that the load used while measuring, where the system tells.
    pub generator: Option<f64>,
}

impl Outcome<'_> {
    /// Everything for people and machines.
    pub fn report(&self) -> Report {
        Report {
            body: Body::Tables(self.tables()),
            json: self.json(),
        }
    }

    /// How the process ends after its report.
    pub fn verdict(&self) -> Result<(), CliError> {
        if self.ended == Ended::Interrupted {
            return Err(CliError::new(
                Code::Interrupted,
                "ended early, as asked for.",
            ));
        }
        let sweeps = || [&self.fill, &self.removal].into_iter().flatten();
        let failed = self.record.counts().1;
        let swept: u64 = sweeps().map(|sweep| sweep.record.counts().1).sum();
        let errors = sweeps().flat_map(|sweep| sweep.record.errors());
        match self.record.errors().chain(errors).next() {
            None => Ok(()),
            Some((kind, _, sample)) => Err(CliError::new(
                Code::Partly,
                format!(
                    "{failed} operations failed, and {swept} while keys were filled in or removed; for one, {kind}: {sample}"
                ),
            )),
        }
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.by_kind()];
        if self.servers.len() > 1 {
            tables.push(self.by_server());
        }
        if self.record.errors().next().is_some() {
            tables.push(self.errors());
        }
        if let Some(last) = tables.last_mut() {
            last.footer = self.remarks();
        }
        tables
    }

    fn by_kind(&self) -> Table {
        let mut columns = vec![text("OPERATION"), number("COUNT"), number("FAILED").rank(1)];
        columns.extend([number("HIT%").rank(2), number("OPS/S")]);
        columns.extend(latency_columns());
        let mut table = Table::new(columns);
        table.header = Some(self.headline());
        let kinds = Kind::ALL.into_iter();
        let mut rows: Vec<(&str, Tally)> = kinds
            .filter_map(|kind| Some((kind.name(), self.record.of_kind(kind)?)))
            .collect();
        if rows.len() != 1 {
            rows.push(("all", self.record.total()));
        }
        for (name, tally) in rows {
            let hits = units::percent(tally.hits, tally.hits + tally.misses);
            let mut cells = vec![name.to_owned()];
            cells.extend([units::count(tally.answered()), units::count(tally.failed)]);
            cells.extend([hits.trim_end_matches('%').to_owned(), self.rate(&tally)]);
            cells.extend(latency_cells(&tally.latency));
            table.row(cells);
        }
        table
    }

    fn by_server(&self) -> Table {
        let mut columns = vec![text("NODE"), number("COUNT"), number("FAILED").rank(1)];
        columns.extend([text("ADDRESS").rank(2), number("OPS/S")]);
        columns.extend(latency_columns());
        let mut table = Table::new(columns);
        for (server, (name, address)) in self.servers.iter().enumerate() {
            let tally = self.record.of_node(server).unwrap_or_default();
            let mut cells = vec![name.clone()];
            cells.extend([units::count(tally.answered()), units::count(tally.failed)]);
            cells.extend([address.clone(), self.rate(&tally)]);
            cells.extend(latency_cells(&tally.latency));
            table.row(cells);
        }
        table
    }

    fn errors(&self) -> Table {
        let mut table = Table::new([text("ERROR"), number("COUNT"), text("THE FIRST ONE")]);
        for (kind, count, sample) in self.record.errors() {
            table.row([kind.to_owned(), count.to_string(), sample.to_owned()]);
        }
        table
    }

    fn headline(&self) -> String {
        let args = &self.plan.args;
        let lead = match args.rate {
            Some(rate) => format!("open loop at {rate}/s, latency from when each was due"),
            None => "closed loop".to_owned(),
        };
        format!(
            "{:.1} s · {lead} · {} · {} clients × {} × {} · seed {}",
            self.took.as_secs_f64(),
            protocol(args.protocol),
            args.clients,
            args.pipeline,
            args.batch,
            self.plan.seed,
        )
    }

    /// What should be known beside the figures; `None`: nothing.
    fn remarks(&self) -> Option<String> {
        let mut remarks = Vec::new();
        if self.unsent > 0 {
            remarks.push(format!(
                "{} operations were due and not sent: the servers, or this program, are slower than --rate",
                self.unsent
            ));
        }
        if let Some(busy) = self.generator.filter(|busy| *busy >= BUSY) {
            remarks.push(format!(
                "the load used its core {:.0}% of the time: these may be the limits of the load",
                busy * 100.0
            ));
        }
        for (what, sweep) in [
            ("filled in", &self.fill),
            ("removed at the end", &self.removal),
        ] {
            let Some(sweep) = sweep else { continue };
            let (answered, failed) = sweep.record.counts();
            let failed = failed + sweep.left;
            remarks.push(format!("{answered} keys were {what}, {failed} were not"));
        }
        (!remarks.is_empty()).then(|| remarks.join("\n"))
    }

    fn rate(&self, tally: &Tally) -> String {
        units::count(self.per_second(tally).round() as u64)
    }

    fn per_second(&self, tally: &Tally) -> f64 {
        tally.answered() as f64 / self.took.as_secs_f64().max(1e-6)
    }

    fn json(&self) -> Value {
        let kinds = Kind::ALL.into_iter();
        let items: Vec<Value> = kinds
            .filter_map(|kind| {
                let mut item = self.tally_json(&self.record.of_kind(kind)?);
                item["operation"] = kind.name().into();
                Some(item)
            })
            .collect();
        let servers = self.servers.iter().enumerate();
        let nodes: Vec<Value> = servers
            .map(|(server, (name, address))| {
                let tally = self.record.of_node(server).unwrap_or_default();
                let mut node = self.tally_json(&tally);
                node["name"] = name.as_str().into();
                node["address"] = address.as_str().into();
                node
            })
            .collect();
        let mut total = self.tally_json(&self.record.total());
        total["unsent"] = self.unsent.into();
        json!({
            "kind": "bench",
            "settings": self.settings_json(),
            "ended": self.ended.word(),
            "seconds": self.took.as_secs_f64(),
            "generator_cpu": self.generator,
            "total": total,
            "items": items,
            "nodes": nodes,
            "errors": errors_json(&self.record),
            "fill": self.fill.as_ref().map(sweep_json),
            "removal": self.removal.as_ref().map(sweep_json),
        })
    }

    fn tally_json(&self, tally: &Tally) -> Value {
        let latency = &tally.latency;
        json!({
            "count": tally.answered(),
            "failed": tally.failed,
            "hits": tally.hits,
            "misses": tally.misses,
            "per_second": self.per_second(tally),
            "latency_us": {
                "mean": latency.mean_us(),
                "p50": latency.us(0.5),
                "p90": latency.us(0.9),
                "p99": latency.us(0.99),
                "p999": latency.us(0.999),
                "max": latency.us(1.0),
            },
        })
    }

    fn settings_json(&self) -> Value {
        let args = &self.plan.args;
        let trace = args.trace.as_ref().map(|it| it.display().to_string());
        let drawn = trace.is_none();
        json!({
            "protocol": protocol(args.protocol),
            "clients": args.clients,
            "pipeline": args.pipeline,
            "batch": args.batch,
            "rate": args.rate,
            "mix": drawn.then(|| args.mix.to_string()),
            "dist": drawn.then(|| args.dist.to_string()),
            "keys": self.plan.keys,
            "size": args.size.to_string(),
            "trace": trace,
            "seed": self.plan.seed,
        })
    }
}

fn errors_json(record: &Record) -> Vec<Value> {
    let errors = record.errors();
    errors
        .map(|(kind, count, sample)| json!({"kind": kind, "count": count, "sample": sample}))
        .collect()
}

fn sweep_json(sweep: &Sweep) -> Value {
    let (answered, failed) = sweep.record.counts();
    json!({
        "seconds": sweep.took.as_secs_f64(),
        "count": answered,
        "failed": failed,
        "left": sweep.left,
        "errors": errors_json(&sweep.record),
    })
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Grpc => "grpc",
        Protocol::Rest => "rest",
        Protocol::Resp => "resp",
    }
}

fn latency_columns() -> [Column; 5] {
    [
        number("P50"),
        number("P90").rank(3),
        number("P99"),
        number("P99.9").rank(1),
        number("MAX"),
    ]
}

fn latency_cells(latency: &Latency) -> [String; 5] {
    [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| match latency.count() {
        0 => "-".to_owned(),
        _ => units::latency(latency.us(quantile)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan_of;
    use super::super::record::Failed;
    use super::*;
    use crate::args::Format;
    use crate::output::format::render;

    fn outcome(plan: &Plan) -> Outcome<'_> {
        let mut record = Record::default();
        for us in 1..=1000 {
            let latency = Duration::from_micros(us);
            record.answered(us as usize % 2, Kind::Get, latency, Some(us > 100));
        }
        record.answered(0, Kind::Set, Duration::from_millis(3), None);
        Outcome {
            plan,
            ended: Ended::Time,
            took: Duration::from_secs(2),
            record,
            unsent: 0,
            servers: ["n1", "n2"]
                .map(|it| (it.to_owned(), format!("{it}:1")))
                .to_vec(),
            fill: None,
            removal: None,
            generator: Some(0.5),
        }
    }

    fn shown(outcome: &Outcome<'_>, format: Format) -> String {
        String::from_utf8(render(&outcome.report(), format, None, false).unwrap()).unwrap()
    }

    #[test]
    fn people_get_a_table_by_kind_and_one_by_node() {
        let plan = plan_of("--clients 4", None).unwrap();
        let text = shown(&outcome(&plan), Format::Table);
        let mut lines = text.lines();
        let headline = "2.0 s · closed loop · grpc · 4 clients × 1 × 1 · seed 7";
        assert_eq!(lines.next(), Some(headline));
        assert!(
            lines
                .next()
                .is_some_and(|line| line.starts_with("OPERATION  COUNT  FAILED"))
        );
        let get = "get        1.00k       0  90.0    500   500us   900us   990us   999us  1.00ms";
        assert_eq!(lines.next(), Some(get));
        assert!(text.contains("\nNODE  COUNT"), "{text}");
        assert!(
            text.contains("n2      500       0  n2:1       250"),
            "{text}"
        );
        assert!(outcome(&plan).verdict().is_ok());
    }

    #[test]
    fn machines_get_raw_numbers() {
        let plan = plan_of("--rate 100", None).unwrap();
        let document = outcome(&plan).report().json;
        assert_eq!(document["items"][0]["operation"], "get");
        assert_eq!(document["items"][0]["latency_us"]["p50"], 500);
        assert_eq!(document["items"][0]["misses"], 100);
        assert_eq!(document["total"]["count"], 1001);
        assert_eq!(document["nodes"][1]["name"], "n2");
        assert_eq!(document["settings"]["rate"], 100.0);
    }

    #[test]
    fn failures_are_shown_and_decide_the_exit_code() {
        let plan = plan_of("", None).unwrap();
        let mut outcome = outcome(&plan);
        outcome
            .record
            .failed(1, Kind::Set, Failed::new("busy", "a limit is reached"));
        let text = shown(&outcome, Format::Table);
        assert!(text.contains("busy       1  a limit is reached"), "{text}");
        assert_eq!(outcome.verdict().unwrap_err().code, Code::Partly);
        outcome.ended = Ended::Interrupted;
        assert_eq!(outcome.verdict().unwrap_err().code, Code::Interrupted);
    }

    #[test]
    fn remarks_say_what_would_mislead() {
        let plan = plan_of("--rate 5", None).unwrap();
        let mut outcome = outcome(&plan);
        (outcome.unsent, outcome.generator) = (7, Some(0.99));
        let mut record = Record::default();
        record.answered(0, Kind::Delete, Duration::ZERO, Some(true));
        outcome.removal = Some(Sweep {
            took: Duration::from_secs(1),
            record,
            left: 2,
        });
        let text = shown(&outcome, Format::Table);
        for part in [
            "7 operations were due",
            "core 99%",
            "1 keys were removed at the end, 2 were not",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
