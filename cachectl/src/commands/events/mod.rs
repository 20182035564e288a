//! `events`: what happened, as all nodes saw it, and what happens.
//!
//! Reading order: `mod` (asks and follows), `merge` (pure: several journals as one).

mod merge;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cached_client::Admin;
use cached_client::admin::{EventsFrom, Happened, Severity};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::{self, SelectAll, Stream};
use serde_json::{Value, json};

use super::Session;
use crate::args::Format;
use crate::args::look::{self, AtLeast};
use crate::error::CliError;
use crate::output::table::{Table, text};
use crate::output::{Body, Report};
use merge::{Known, Told};

/// Between two tries to follow a node, and two looks for nodes that came.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long one node may take to tell what it keeps.
const BACKLOG_MAX: Duration = Duration::from_secs(5);

/// What one node says, for as long as it is asked.
type Feed = Pin<Box<dyn Stream<Item = Result<Happened, (String, String)>>>>;

/// `events`.
pub async fn events(session: &Session, args: &look::Events) -> Result<Report, CliError> {
    let admin = session.admin().await?;
    let members = members(session, &admin, args).await?;
    let since_ms = millis(now()).saturating_sub(millis(args.since));
    let from = EventsFrom {
        since_ms,
        ..EventsFrom::default()
    };
    let mut follower = Follower {
        session,
        args,
        admin: &admin,
        known: Known::default(),
        from: BTreeMap::new(),
    };
    let told = follower.backlog(&members, &from).await?;
    if !args.follow {
        return Ok(report(&told));
    }
    told.iter().try_for_each(|told| follower.print(told))?;
    let taken = session.interrupt.take();
    tokio::select! {
        biased;
        () = taken.pressed() => Ok(Report::nothing()),
        ended = follower.follow(&from) => ended,
    }
}

async fn members(
    session: &Session,
    admin: &Admin,
    args: &look::Events,
) -> Result<Vec<(String, String)>, CliError> {
    let topology = admin.topology().await?;
    session.source(&topology.endpoint, topology.value.layout);
    let mut found = super::living(&topology.value, args.node.as_deref())?;
    if args.node.is_none() {
        // Gateways are no members, and know what was asked of them.
        let named = session.endpoints().await?.into_iter();
        found.extend(named.map(|address| (address.clone(), address)));
    }
    Ok(found)
}

struct Follower<'a> {
    session: &'a Session,
    args: &'a look::Events,
    admin: &'a Admin,
    known: Known,
    /// Where each node is followed from, by its address.
    from: BTreeMap<String, EventsFrom>,
}

impl Follower<'_> {
    /// What the nodes keep, merged.
    async fn backlog(
        &mut self,
        members: &[(String, String)],
        from: &EventsFrom,
    ) -> Result<Vec<Told>, CliError> {
        let admin = self.admin;
        let asked = members.iter().map(|(name, address)| async move {
            (name, address, read(admin, address, from).await)
        });
        let (mut all, mut last) = (Vec::new(), None);
        // The same node may be reached by two addresses.
        let mut journals = BTreeSet::new();
        for (name, address, answer) in join_all(asked).await {
            match answer {
                Ok((_, at)) if !journals.insert(at.journal.clone()) => {}
                Ok((told, at)) => {
                    all.push(told);
                    self.from.insert(address.clone(), at);
                }
                Err(error) => {
                    let text = format!("{name} did not answer: {error}");
                    self.session.output.note(&text);
                    last = Some(error);
                }
            }
        }
        if let (Some(error), true) = (last, all.is_empty()) {
            return Err(error);
        }
        let told = all
            .into_iter()
            .flatten()
            .filter(|told| self.is_wanted(told));
        Ok(merge::merge(told.collect(), &mut self.known))
    }

    fn is_wanted(&self, told: &Told) -> bool {
        let least = match self.args.severity {
            AtLeast::Info => Severity::Info,
            AtLeast::Warning => Severity::Warning,
            AtLeast::Error => Severity::Error,
        };
        told.event.severity >= least
    }

    /// Prints what comes, from every member that there is, for ever.
    async fn follow(&mut self, from: &EventsFrom) -> Result<Report, CliError> {
        let mut feeds: SelectAll<Feed> = SelectAll::new();
        let mut followed: BTreeSet<String> = BTreeSet::new();
        for (address, from) in &self.from {
            followed.insert(address.clone());
            feeds.push(feed(self.admin.at(address), address.clone(), from.clone()));
        }
        let mut look = tokio::time::interval(LOOK_AGAIN);
        loop {
            tokio::select! {
                biased;
                Some(told) = feeds.next() => match told {
                    Ok(happened) => self.show(happened)?,
                    Err((address, why)) => {
                        let text = format!("{address} is silent, and asked again: {why}");
                        self.session.output.note(&text);
                    }
                },
                _ = look.tick() => {
                    let Ok(topology) = self.admin.topology().await else {
                        continue;
                    };
                    let node = self.args.node.as_deref();
                    let members = super::living(&topology.value, node).unwrap_or_default();
                    for (_, address) in members {
                        if followed.insert(address.clone()) {
                            feeds.push(feed(self.admin.at(&address), address, from.clone()));
                        }
                    }
                }
            }
        }
    }

    fn show(&mut self, happened: Happened) -> Result<(), CliError> {
        if happened.missed > 0 {
            let (node, missed) = (&happened.node, happened.missed);
            let text = format!("{node} does not keep {missed} earlier events any more");
            self.session.output.note(&text);
        }
        match Told::of(happened) {
            Some(told) if self.is_wanted(&told) && self.known.is_news(&told) => self.print(&told),
            _ => Ok(()),
        }
    }

    /// One event, at once.
    fn print(&self, told: &Told) -> Result<(), CliError> {
        let output = &self.session.output;
        match output.format() {
            Format::Json | Format::Jsonl | Format::Yaml => {
                let mut record = event_json(told);
                record["apiVersion"] = crate::output::format::API_VERSION.into();
                output.line(&record.to_string());
            }
            Format::Plain => output.line(&cells(told).join("\t")),
            Format::Name => output.line(&told.event.code),
            _ => output.line(&line(told)),
        }
        Ok(())
    }
}

/// What one node keeps, and where it is followed from.
async fn read(
    admin: &Admin,
    address: &str,
    from: &EventsFrom,
) -> Result<(Vec<Told>, EventsFrom), CliError> {
    let mut from = from.clone();
    let reading = async {
        let stream = admin.at(address).watch_events(&from.clone()).await?;
        let mut stream = std::pin::pin!(stream);
        let mut told = Vec::new();
        while let Some(happened) = stream.next().await {
            let happened = happened?;
            from.advance(&happened);
            told.extend(Told::of(happened));
        }
        Ok(told)
    };
    let told = tokio::time::timeout(BACKLOG_MAX, reading).await;
    let told = told.unwrap_or_else(|_| {
        let code = crate::error::Code::Timeout;
        Err(CliError::new(code, format!("{address} took too long")))
    })?;
    from.follow = true;
    Ok((told, from))
}

/// Follows a node for ever: what ends is begun anew where it ended.
fn feed(admin: Admin, address: String, mut from: EventsFrom) -> Feed {
    type Open = Option<Pin<Box<dyn Stream<Item = Result<Happened, cached_client::Error>> + Send>>>;
    from.follow = true;
    let state: (Open, EventsFrom, bool) = (None, from, false);
    Box::pin(stream::unfold(
        state,
        move |(mut open, mut from, mut told_silent)| {
            let (admin, address) = (admin.clone(), address.clone());
            async move {
                loop {
                    let next = match &mut open {
                        Some(stream) => stream.next().await,
                        None => match admin.watch_events(&from).await {
                            Ok(stream) => {
                                open = Some(Box::pin(stream));
                                continue;
                            }
                            Err(error) => Some(Err(error)),
                        },
                    };
                    match next {
                        Some(Ok(happened)) => {
                            from.advance(&happened);
                            return Some((Ok(happened), (open, from, false)));
                        }
                        other => {
                            open = None;
                            tokio::time::sleep(LOOK_AGAIN).await;
                            let why = match other {
                                Some(Err(error)) => error.to_string(),
                                _ => "it ended".to_owned(),
                            };
                            if !told_silent {
                                told_silent = true;
                                return Some((Err((address, why)), (open, from, told_silent)));
                            }
                        }
                    }
                }
            }
        },
    ))
}

fn report(told: &[Told]) -> Report {
    let mut table = Table::new([
        text("TIME"),
        text("SEVERITY"),
        text("NODE"),
        text("CODE").wide(),
        text("EVENT"),
        text("BY").rank(1),
    ]);
    for told in told {
        table.row(cells(told));
    }
    if told.is_empty() {
        table.footer = Some("nothing happened".to_owned());
    }
    let items: Vec<Value> = told.iter().map(event_json).collect();
    Report {
        body: Body::Table(table),
        json: json!({"kind": "events", "items": items}),
    }
}

fn cells(told: &Told) -> Vec<String> {
    let event = &told.event;
    vec![
        time(event.at_ms),
        event.severity.name().to_owned(),
        told.node.clone(),
        event.code.clone(),
        event.text.clone(),
        event.by.clone(),
    ]
}

/// A line of a log.
fn line(told: &Told) -> String {
    let event = &told.event;
    let by = match event.by.as_str() {
        "" => String::new(),
        by => format!("  [{by}]"),
    };
    let severity = event.severity.name().to_uppercase();
    format!(
        "{}  {severity:<7}  {:<8}  {}{by}",
        time(event.at_ms),
        told.node,
        event.text
    )
}

fn time(at_ms: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(at_ms));
    let at = at.unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(at).to_string()
}

fn event_json(told: &Told) -> Value {
    let event = &told.event;
    json!({
        "name": event.code,
        "at_ms": event.at_ms,
        "at": time(event.at_ms),
        "severity": event.severity.name(),
        "node": told.node,
        "sequence": event.sequence,
        "subject": event.subject,
        "text": event.text,
        "by": event.by,
    })
}

fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use cached_client::admin::EventRow;

    use super::*;

    #[test]
    fn lines_say_when_who_and_what() {
        let told = Told {
            node: "n4".to_owned(),
            event: EventRow {
                at_ms: 1_767_355_445_000,
                severity: Severity::Warning,
                text: "n5 is not attempted for a while".to_owned(),
                by: "ann@desk".to_owned(),
                ..EventRow::default()
            },
        };
        let expected =
            "2026-01-02T12:04:05Z  WARNING  n4        n5 is not attempted for a while  [ann@desk]";
        assert_eq!(line(&told), expected);
        assert!(report(&[]).json["items"].as_array().unwrap().is_empty());
    }
}
