//! Lists and descriptions.

use super::super::fixture::drain;
use super::*;
use crate::args::Format;
use crate::output::format::render;

#[test]
fn the_list_has_a_line_for_each() {
    let mut failed = drain();
    failed.state = OperationState::Failed;
    failed.reason = "its deadline has passed".to_owned();
    let shown = |operations: &[Operation]| {
        let bytes = render(&list(operations, true), Format::Table, None, false).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let expected = "\
ID           KIND   NODES  STATE     DONE  SLOTS   KEYS       SIZE  FAILURES  STARTED               BY          WHY
op-7f3a90c1  drain  n3     running  63.0%    630  6.30k  615.2 KiB         0  1970-01-01T00:00:02Z  alice@host  disk swap
op-7f3a90c1  drain  n3     failed       -    630  6.30k  615.2 KiB         0  1970-01-01T00:00:02Z  alice@host  its deadline has passed
";
    assert_eq!(shown(&[drain(), failed]), expected);
    let bytes = render(&list(&[drain()], false), Format::Table, None, false).unwrap();
    let unheard = String::from_utf8(bytes).unwrap();
    assert!(unheard.contains("running     -    630"), "{unheard}");
    assert!(shown(&[]).ends_with("nothing moves, and nothing has moved lately\n"));
}

#[test]
fn a_description_says_what_waits_and_why() {
    let text = description(&drain(), true);
    for part in [
        "op-7f3a90c1  drain n3  running\n",
        "asked     by alice@host: disk swap\n",
        "layout    58 (planned on 57)\n",
        "slots     630 of 1000 moved (63.0%)\n",
        "n3→n4  130/400 slots",
        "  1 retry: deadline exceeded on n4, next in 2s\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let known = unknown("op-9", &[drain()]);
    assert_eq!(known.code, Code::NotFound);
    assert!(known.message.contains("there are op-7f3a90c1"));
}

#[test]
fn what_is_only_planned_is_not_looked_on() {
    assert!(only_planned(&drain()).is_none());
    let planned = Operation {
        state: OperationState::Planned,
        ..drain()
    };
    let refusal = only_planned(&planned).unwrap();
    assert_eq!(refusal.code, Code::Conflict);
    assert_eq!(
        refusal.message,
        "op-7f3a90c1 is only planned: cachectl plan apply op-7f3a90c1"
    );
}

#[test]
fn machines_get_every_pair() {
    let json = operation_json(&drain());
    assert_eq!(
        (&json["name"], &json["kind"]),
        (&json!("op-7f3a90c1"), &json!("drain"))
    );
    assert_eq!(json["pairs"][1]["last_error"], "deadline exceeded on n4");
    assert_eq!(json["moved"]["slots"], 630);
}
