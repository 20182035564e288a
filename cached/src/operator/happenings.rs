//! What happened on this node, event by event, for somebody who follows.

use cached_proto::pb::cached::admin::v1 as pb;

use super::Operator;
use crate::clock::WallMs;
use crate::journal::{Event, Severity};

/// Events that are taken out of the journal at a time.
const PAGE: usize = 256;

/// Where somebody stands who follows the journal.
#[derive(Debug)]
pub struct EventWatch {
    after: u64,
    since: WallMs,
    follow: bool,
    greeted: bool,
    /// Taken out and not told yet, newest first.
    page: Vec<Event>,
}

impl EventWatch {
    /// From after an event of this journal, and not before a time. A sequence of another
    /// journal (of an earlier life of the process) says nothing here: all are told.
    pub fn new(operator: &Operator, request: &pb::EventsRequest) -> Self {
        let same = request.journal == operator.parts.journal.id();
        Self {
            after: if same { request.after_sequence } else { 0 },
            since: WallMs(request.since_ms),
            follow: request.follow,
            greeted: false,
            page: Vec::new(),
        }
    }
}

impl Operator {
    /// The next thing to tell; `None`: there is nothing more, and nobody follows, or the
    /// process ends. First of all a message without an event says who answers, and how
    /// many events are not kept any more. Cancel-safe.
    pub async fn next_event(&self, watch: &mut EventWatch) -> Option<pb::EventsResponse> {
        let journal = &self.parts.journal;
        loop {
            if let Some(event) = watch.page.pop() {
                watch.after = event.sequence;
                return Some(self.tell_event(Some(event), 0));
            }
            let page = journal.after(watch.after, watch.since, PAGE);
            watch.page = page.events;
            watch.page.reverse();
            if !watch.greeted || (page.missed > 0 && !watch.page.is_empty()) {
                watch.greeted = true;
                watch.after += page.missed;
                return Some(self.tell_event(None, page.missed));
            }
            if !watch.page.is_empty() {
                continue;
            }
            // What is older than the time asked for is not told, and not waited for.
            watch.after = watch.after.max(page.newest);
            if !watch.follow {
                return None;
            }
            tokio::select! {
                biased;
                () = self.stopped() => return None,
                () = journal.grown_beyond(watch.after) => {}
            }
        }
    }

    fn tell_event(&self, event: Option<Event>, missed: u64) -> pb::EventsResponse {
        pb::EventsResponse {
            node: self.shown_name().to_owned(),
            journal: self.parts.journal.id().to_owned(),
            event: event.map(event_to_pb),
            missed,
        }
    }
}

fn event_to_pb(event: Event) -> pb::Event {
    let note = event.note;
    let severity = match note.severity {
        Severity::Info => pb::EventSeverity::Info,
        Severity::Warning => pb::EventSeverity::Warning,
        Severity::Error => pb::EventSeverity::Error,
    };
    pb::Event {
        sequence: event.sequence,
        at_ms: event.at.0,
        severity: severity.into(),
        code: note.code.to_owned(),
        subject: note.subject,
        text: note.text,
        by: note.by,
        identity: note.identity,
    }
}
