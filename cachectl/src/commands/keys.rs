//! `delete --pattern`: keys by what they look like, over all nodes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cached_client::operation::{Condition, Operation, Reply};
use cached_client::types::Key;
use cached_client::{Admin, Client};
use globset::{Glob, GlobMatcher};
use serde_json::{Value, json};

use super::Session;
use crate::args::Delete;
use crate::error::{CliError, Code};
use crate::output::table::{Table, text};
use crate::output::{Body, Report};

/// Most keys of one deletion: they are held in memory, to be counted before they go.
const KEYS_MAX: usize = 1_000_000;

/// Keys that are deleted with one call.
const AT_A_TIME: usize = 1_000;

/// Deletes what a pattern matches, or with `--dry-run` shows it.
pub(super) async fn delete_matching(
    session: &Session,
    args: &Delete,
    pattern: &str,
) -> Result<Report, CliError> {
    let matcher = matcher(pattern)?;
    let client = super::data::in_group(session.client().await?, &args.place)?;
    let keys = matching(&session.admin().await?, args, &matcher).await?;
    if args.dry_run || keys.is_empty() {
        session.output.note(&found(keys.len(), pattern));
        return Ok(report(keys.iter().map(|key| (key, None))));
    }
    let question = format!("{}. Delete them?", found(keys.len(), pattern));
    session.confirm(&question).await?;
    delete(&client, keys.into_iter().collect()).await
}

fn found(keys: usize, pattern: &str) -> String {
    match keys {
        1 => format!("1 key matches {pattern}"),
        keys => format!("{keys} keys match {pattern}"),
    }
}

fn matcher(pattern: &str) -> Result<GlobMatcher, CliError> {
    let glob = Glob::new(pattern);
    let glob = glob.map_err(|error| CliError::usage(format!("--pattern: {error}")))?;
    Ok(glob.compile_matcher())
}

fn matches(matcher: &GlobMatcher, key: &[u8]) -> bool {
    matcher.is_match(OsStr::from_bytes(key))
}

async fn matching(
    admin: &Admin,
    args: &Delete,
    matcher: &GlobMatcher,
) -> Result<BTreeSet<Key>, CliError> {
    let group = args.place.group.as_deref();
    let group = group
        .map(cached_client::types::GroupName::new)
        .transpose()?;
    let (mut keys, mut cursor) = (BTreeSet::new(), 0);
    loop {
        let (page, next) = admin.list_keys(group.as_ref(), cursor).await?;
        for key in page.into_iter().filter(|key| matches(matcher, key)) {
            keys.insert(Key::new(key)?);
        }
        if keys.len() > KEYS_MAX {
            let text = format!("more than {KEYS_MAX} keys match; nothing was deleted");
            return Err(CliError::new(Code::Refused, text).hint("narrow the pattern"));
        }
        if next == 0 {
            return Ok(keys);
        }
        cursor = next;
    }
}

async fn delete(client: &Client, keys: Vec<Key>) -> Result<Report, CliError> {
    let mut results = Vec::with_capacity(keys.len());
    for some in keys.chunks(AT_A_TIME) {
        let delete = |key: &Key| Operation::Delete {
            key: key.clone(),
            condition: Condition::Always,
        };
        let outcomes = client.batch(some.iter().map(delete).collect()).await;
        for outcome in outcomes {
            // Who was deleted meanwhile is gone as well.
            let reply = outcome.map_err(|error| {
                let done = results.len();
                CliError::from(error).hint(format!("{done} keys were deleted before"))
            })?;
            results.push(matches!(reply.reply, Reply::Delete { deleted: true, .. }));
        }
    }
    Ok(report(keys.iter().zip(results.into_iter().map(Some))))
}

/// Keys and whether they were deleted; `None`: nobody tried.
fn report<'a>(keys: impl Iterator<Item = (&'a Key, Option<bool>)>) -> Report {
    let mut table = Table::new([text("KEY"), text("RESULT")]);
    let mut items: Vec<Value> = Vec::new();
    for (key, deleted) in keys {
        let result = match deleted {
            Some(true) => "deleted",
            Some(false) => "not there",
            None => "matches",
        };
        table.row([key.to_string(), result.to_owned()]);
        items.push(json!({"key": key.to_string(), "deleted": deleted == Some(true)}));
    }
    Report {
        body: Body::Table(table),
        json: json!({"kind": "deleted", "items": items}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_keys_of_any_bytes() {
        let hit = |pattern: &str, key: &[u8]| matches(&matcher(pattern).unwrap(), key);
        assert!(hit("user:*", b"user:1/x"));
        assert!(!hit("user:*", b"xuser:1"));
        assert!(hit("user:?", b"user:1") && !hit("user:?", b"user:12"));
        assert!(hit("[ab]*", b"b1") && !hit("[ab]*", b"c1"));
        assert!(hit("a*", b"a\xff\n"));
        assert!(matcher("a[").is_err());
    }
}
