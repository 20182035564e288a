//! The journal's bounds, and what two looks at a cluster come to.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::operations::OperationState;
use cached_proto::records::{BlacklistRecord, MemberState};
use cached_proto::types::{Epoch, Incarnation, NodeName};

use super::changes::{Limits, Seen};
use super::watch::Watcher;
use super::{EVENTS_MAX, Journal, Note, Severity};
use crate::clock::{Clock, Moment, WallMs};
use crate::cluster::view::{ClusterView, FenceReason, Serving};
use crate::operator::fixture;

fn note(text: &str) -> Note {
    Note::new(Severity::Info, "test", "", text)
}

fn texts(journal: &Journal, after: u64) -> Vec<String> {
    let page = journal.after(after, WallMs(0), 10);
    page.events
        .into_iter()
        .map(|event| event.note.text)
        .collect()
}

#[tokio::test]
async fn readers_go_on_where_they_were_and_learn_what_they_missed() {
    let journal = Journal::new(7, Clock::tokio(1_000));
    assert_eq!(texts(&journal, 0), Vec::<String>::new());
    for number in 1..=EVENTS_MAX + 5 {
        journal.note(note(&number.to_string()));
    }
    let page = journal.after(0, WallMs(0), 2);
    assert_eq!((page.missed, page.events[0].sequence), (5, 6));
    let newest = EVENTS_MAX as u64 + 5;
    assert_eq!(texts(&journal, newest - 1), [newest.to_string()]);
    let beyond = journal.after(newest + 9, WallMs(0), 2);
    assert!(beyond.events.is_empty() && beyond.missed == 0);
    assert!(journal.after(0, WallMs(2_000), 9).events.is_empty());
    journal.grown_beyond(newest - 1).await;
    let waits = tokio::time::timeout(Duration::from_millis(5), journal.grown_beyond(newest));
    assert!(waits.await.is_err());
}

#[test]
fn long_texts_are_cut() {
    let journal = Journal::new(7, Clock::system());
    journal.note(note(&"é".repeat(2_000)));
    let text = texts(&journal, 0).remove(0);
    assert!(text.len() <= super::TEXT_BYTES_MAX && text.ends_with('…'));
}

fn seen(change: impl FnOnce(&mut ClusterView)) -> Seen {
    let mut view = fixture::view(&["n1", "n2", "n3"]);
    change(&mut view);
    Seen {
        view: Arc::new(view),
        serving: Serving::Yes,
        listed: Vec::new(),
        limits: Limits::default(),
        wall: WallMs(50_000),
    }
}

/// Codes and texts of what happened between the usual view and the changed one.
fn happened(change: impl FnOnce(&mut ClusterView)) -> Vec<(String, String)> {
    let now = Moment::from_micros(0);
    let mut watcher = Watcher::new(seen(|_| {}), now);
    let after = seen(|view| {
        view.number += 1;
        change(view);
    });
    let notes = watcher.see(after, now);
    let told = notes.into_iter();
    told.map(|note| (note.code.to_owned(), note.text)).collect()
}

fn codes(change: impl FnOnce(&mut ClusterView)) -> Vec<String> {
    happened(change).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn members_come_and_go() {
    assert_eq!(codes(|_| {}), Vec::<String>::new());
    for (state, code) in [
        (MemberState::Joining, "member-joining"),
        (MemberState::Draining, "member-draining"),
        (MemberState::Gone, "member-left"),
    ] {
        let told = codes(|view| view.members[1].record.as_mut().unwrap().state = state);
        assert_eq!(told, [code]);
    }
    let told = happened(|view| {
        view.members[2].record = None;
        view.members[2].detail = "lease expired".to_owned();
    });
    assert_eq!(told[0].0, "member-down");
    assert!(
        told[0]
            .1
            .starts_with("n3 is down: lease expired; it owned "),
        "{told:?}"
    );
    let now = Moment::from_micros(0);
    let mut watcher = Watcher::new(seen(|view| view.members[2].record = None), now);
    let back = watcher.see(seen(|view| view.number += 1), now);
    assert_eq!(back[0].code, "member-back");
    assert_eq!(codes(|view| drop(view.members.pop())), ["member-down"]);
}

#[test]
fn operations_begin_and_end_in_one_look_too() {
    let operation = |state| {
        let mut record = fixture::operation("op-1", state);
        (record.started_ms, record.by) = (7, "ann@desk".to_owned());
        fixture::known(record, 3)
    };
    let told = codes(|view| view.operations = vec![operation(OperationState::Running)]);
    assert_eq!(told, ["operation-started"]);
    let told = codes(|view| view.operations = vec![operation(OperationState::Failed)]);
    assert_eq!(told, ["operation-started", "operation-failed"]);
    let now = Moment::from_micros(0);
    let running = seen(|view| view.operations = vec![operation(OperationState::Running)]);
    let mut watcher = Watcher::new(running, now);
    let done = seen(|view| {
        view.number += 1;
        view.operations = vec![operation(OperationState::Done)];
    });
    let notes = watcher.see(done.clone(), now);
    assert_eq!(
        (notes[0].code, notes[0].by.as_str()),
        ("operation-done", "ann@desk")
    );
    assert_eq!(notes[0].identity, "operation-done/op-1");
    assert!(watcher.see(done, now).is_empty());
}

#[test]
fn the_giver_tells_of_moves_and_the_taker_of_takeovers() {
    let taken = happened(|view| {
        view.members[1].record = None;
        for owner in view.owners.iter_mut().filter(|owner| owner.member == 1) {
            (owner.member, owner.epoch) = (0, Epoch(2));
        }
    });
    assert_eq!(taken.len(), 2);
    assert_eq!(
        taken[1],
        (
            "takeover".to_owned(),
            "took over 5461 slots of n2, empty".to_owned()
        )
    );
    let give = |view: &mut ClusterView| {
        view.owners[0].member = 2;
        view.owners[1].member = 2;
    };
    assert_eq!(
        happened(give),
        [("slots-moved".to_owned(), "2 slots went to n3".to_owned())]
    );
    // While more are to come, they are told together.
    let told = codes(|view| {
        give(view);
        view.to_move = 9;
    });
    assert!(told.is_empty());
    // What another living member gave, that one tells.
    let told = codes(|view| {
        for owner in view.owners.iter_mut().filter(|owner| owner.member == 1) {
            owner.member = 0;
        }
    });
    assert!(told.is_empty());
}

#[test]
fn outages_fences_and_lists_are_told_once() {
    let lost = |view: &mut ClusterView| view.registry_lost_since = Some(Moment::from_micros(1));
    assert_eq!(codes(lost), ["registry-lost"]);
    let entry = BlacklistRecord {
        target: NodeName::new("n2").unwrap(),
        inc: Incarnation(1),
        reason: "disk".to_owned(),
        by: "ann@desk".to_owned(),
        since_ms: 1,
        expires_ms: 2,
    };
    let listed = |view: &mut ClusterView| {
        view.blacklist.insert(entry.target.clone(), entry.clone());
    };
    assert_eq!(codes(listed), ["blacklist-added"]);
    let now = Moment::from_micros(0);
    let mut watcher = Watcher::new(seen(listed), now);
    let expired = watcher.see(seen(|view| view.number += 1), now);
    assert_eq!(expired[0].code, "blacklist-expired");
    let mut fenced = seen(|_| {});
    fenced.serving = Serving::Fenced(FenceReason::Expired);
    let mut watcher = Watcher::new(seen(|_| {}), now);
    assert_eq!(watcher.see(fenced.clone(), now)[0].code, "fenced");
    assert!(watcher.see(fenced, now).is_empty());
}

#[test]
fn limits_are_told_now_and_then() {
    let at = |secs: u64| Moment::from_micros(secs * 1_000_000);
    let mut watcher = Watcher::new(seen(|_| {}), at(0));
    let mut hit = seen(|_| {});
    hit.limits.connections_refused = 3;
    assert!(watcher.see(hit.clone(), at(1)).is_empty());
    let told = watcher.see(hit.clone(), at(10));
    assert_eq!(told[0].code, "limit-connections");
    assert!(told[0].text.starts_with("3 connections"));
    hit.limits.keys_shed = 2;
    assert!(watcher.see(hit.clone(), at(12)).is_empty());
    assert_eq!(watcher.see(hit, at(20))[0].code, "limit-room");
}
