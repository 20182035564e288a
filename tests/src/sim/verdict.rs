//! What must be true in the end: of the history, and of the cluster when faults are over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cached_client::operation::{Operation, Reply};
use cached_client::types::Key;

use super::keys::Kind;
use super::scene::{PLAIN_GROUP, Scene, now};
use super::worker;
use crate::history::strict::{Verdict, check_key};
use crate::history::{Answer, Ask, Op, check};

/// Violations that are shown.
const SHOWN_MAX: usize = 5;

/// Keys of one batch of the last look.
const BATCH: usize = 256;

/// How often a key is asked for before it counts as not answered: once faults are over,
/// a table that is a moment old is the only excuse.
const TRIES: u32 = 5;

/// What is wrong with the history.
pub fn on_history(scene: &Scene, ops: &[Op]) -> Vec<String> {
    let losses = scene.losses();
    let violations = check(ops, &losses);
    let more = violations.len().saturating_sub(SHOWN_MAX);
    let mut found: Vec<String> = violations
        .iter()
        .take(SHOWN_MAX)
        .map(ToString::to_string)
        .collect();
    if more > 0 {
        found.push(format!("… and {more} more violations"));
    }
    // Attempts that nobody knows of may be repeated late: only without them is a write
    // one event.
    if scene.setting.retries == 0 && found.is_empty() {
        let mut by_key: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
        for op in ops.iter().filter(|op| op.key.starts_with('k')) {
            by_key.entry(&op.key).or_default().push(op);
        }
        for (key, ops) in by_key {
            match check_key(&ops, &losses) {
                Verdict::Linearizable => {}
                Verdict::Impossible => {
                    let lines: Vec<String> = ops.iter().map(|op| format!("\n    {op}")).collect();
                    let lines = lines.concat();
                    found.push(format!("the history of {key} is not linearizable:{lines}"));
                }
                Verdict::Undecided => tracing::warn!(key, "too long to decide"),
            }
        }
    }
    found
}

/// Reads every key, and one key of every hundredth slot or so, as a new client: all must
/// be answered (I17).
pub async fn look(scene: Arc<Scene>, done: Arc<std::sync::atomic::AtomicBool>) -> turmoil::Result {
    let client = worker::connect(&scene, PLAIN_GROUP).await;
    let name = |number| scene.setting.names.name(Kind::Plain, number);
    let mut names: Vec<String> = (0..scene.setting.keys).map(name).collect();
    names.extend((0..BATCH).map(|number| format!("probe {number}")));
    for names in names.chunks(BATCH) {
        let mut left: Vec<&String> = names.iter().collect();
        let mut why = String::new();
        for _ in 0..TRIES {
            let start = now();
            let gets = left.iter().map(|name| Operation::Get {
                key: Key::new(name.as_bytes().to_vec()).unwrap(),
                no_load: false,
                metadata_only: false,
            });
            let results = client.batch(gets.collect()).await;
            let mut failed = Vec::new();
            for (name, result) in left.into_iter().zip(results) {
                match result {
                    Ok(answer) => write_down(&scene, &client, name, answer.reply, start),
                    Err(error) => {
                        why = error.to_string();
                        failed.push(name);
                    }
                }
            }
            left = failed;
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        if let Some(first) = left.first() {
            let count = left.len();
            let problem =
                format!("I17: in the end {count} keys, as {first}, are not served: {why}");
            scene.problem(problem);
        }
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    Ok(())
}

fn write_down(scene: &Scene, client: &cached_client::Client, name: &str, reply: Reply, start: u64) {
    let slot = client
        .locate(&Key::new(name.as_bytes().to_vec()).unwrap())
        .slot;
    let answer = match reply {
        Reply::Get(None) => Answer::Miss,
        Reply::Get(Some(entry)) => match entry.version {
            Some(version) => Answer::Hit(worker::number_of(&entry.value), version),
            None => return,
        },
        _ => return,
    };
    let invoked = scene
        .history
        .invoke(u32::MAX, name, slot.number(), Ask::Get, start);
    scene.history.complete(invoked, answer, now());
    scene.trace((name, format!("{answer:?}")));
}
