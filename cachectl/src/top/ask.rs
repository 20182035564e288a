//! Asks the cluster for what the state wants, one call each, and tells what came of it.

use std::sync::Arc;

use cached_client::admin::PlanAsk;
use cached_client::operation::{Condition, Operation, Reply as ClientReply};
use cached_client::records::GroupRecord;
use cached_client::types::{GroupName, Key, NodeName, Ttl};
use cached_client::{Applied, Client, Error as ClientError};

use super::effect::{Ask, Change};
use super::feed::Hub;
use super::message::{Found, FoundEntry, Reply};
use crate::commands::operator;
use crate::error::CliError;
use crate::units;

/// Values up to this size are fetched to be looked at.
const PREVIEW_FETCHED_MAX: u64 = 64 << 10;

/// Characters of a value that are shown.
const PREVIEW_CHARS: usize = 300;

/// Asks, and answers what came of it: an error is for people.
pub async fn ask(hub: Arc<Hub>, ask: Ask) -> Result<Reply, String> {
    let changes = !ask.only_looks();
    let result = carry_out(&hub, ask).await;
    if changes {
        // What was changed is seen at once.
        hub.retry.notify_waiters();
    }
    result.map_err(|error| error.to_string())
}

async fn carry_out(hub: &Hub, ask: Ask) -> Result<Reply, CliError> {
    let by = operator();
    match ask {
        Ask::Plan { change, node } => {
            let admin = hub.everybody().await?;
            let plan = admin.plan(&planned(change, &node)?, &by).await?;
            Ok(Reply::Plan(Box::new(plan.value)))
        }
        Ask::Apply {
            id,
            base_layout,
            options,
            ..
        } => {
            let admin = hub.everybody().await?;
            let applied = admin.plan_apply(&id, base_layout, &options, &by).await;
            let applied = applied.map_err(|error| unsure(&id, error))?;
            Ok(Reply::Operation(Box::new(applied.value)))
        }
        Ask::Control { id, control } => {
            let admin = hub.everybody().await?;
            let operation = admin.control_operation(&id, control, &by).await?;
            Ok(Reply::Operation(Box::new(operation.value)))
        }
        Ask::Block { node, ttl, reason } => {
            let admin = hub.everybody().await?;
            admin
                .blacklist_add(&NodeName::new(&node)?, ttl, &reason, &by)
                .await?;
            Ok(Reply::Done(format!(
                "{node} is blacklisted for {}",
                units::age(ttl)
            )))
        }
        Ask::Unblock { node } => {
            let admin = hub.everybody().await?;
            let removed = admin
                .blacklist_remove(&NodeName::new(&node)?, &by)
                .await?
                .value;
            let text = if removed {
                "is attempted again"
            } else {
                "was not listed by hand"
            };
            Ok(Reply::Done(format!("{node} {text}")))
        }
        Ask::CreateGroup {
            name,
            max_bytes,
            ttl,
        } => {
            let record = GroupRecord {
                name: GroupName::new(&name)?,
                max_bytes: Some(max_bytes).filter(|bytes| *bytes > 0),
                default_ttl_ms: ttl.map(|ttl| ttl.as_millis() as u64),
                policy: Default::default(),
                resp_db: None,
            };
            hub.everybody().await?.group_create(record, &by).await?;
            Ok(Reply::Done(format!("group {name} is there")))
        }
        Ask::Flush { group } => flush(hub, &group, &by).await,
        Ask::LookUp { group, key } => look_up(hub, group, key).await,
        Ask::Set { .. } | Ask::Delete { .. } => write(hub, ask).await,
    }
}

fn planned(change: Change, node: &str) -> Result<PlanAsk, CliError> {
    let nodes = vec![NodeName::new(node)?];
    Ok(match change {
        Change::Drain => PlanAsk {
            drain: nodes,
            ..PlanAsk::default()
        },
        Change::Undrain => PlanAsk {
            undrain: nodes,
            ..PlanAsk::default()
        },
        Change::Join => PlanAsk {
            join: nodes,
            ..PlanAsk::default()
        },
    })
}

/// Nobody knows whether it was asked for: says how to find out.
fn unsure(id: &str, error: ClientError) -> CliError {
    let unknown = error.applied() == Applied::Unknown;
    let mut error = CliError::from(error);
    if unknown {
        error
            .message
            .push_str(&format!("; it may have been started, look for {id}"));
    }
    error
}

async fn flush(hub: &Hub, group: &str, by: &str) -> Result<Reply, CliError> {
    let admin = hub.everybody().await?;
    let nodes = admin.group_flush(&GroupName::new(group)?, by).await?.value;
    let keys: u64 = nodes
        .iter()
        .filter_map(|node| node.result.as_ref().ok())
        .sum();
    let failed: Vec<&str> = nodes
        .iter()
        .filter(|it| it.result.is_err())
        .map(|it| it.node.as_str())
        .collect();
    let mut text = format!("{group}: {} keys removed", units::count(keys));
    if !failed.is_empty() {
        text.push_str(&format!("; failed on {}", failed.join(", ")));
    }
    Ok(Reply::Done(text))
}

async fn client(hub: &Hub, group: &str) -> Result<Client, CliError> {
    let client = hub.client().await?;
    Ok(match group {
        "" => client,
        group => client.with_group(GroupName::new(group)?),
    })
}

async fn look_up(hub: &Hub, group: String, text: String) -> Result<Reply, CliError> {
    let client = client(hub, &group).await?;
    let key = Key::new(text.as_bytes().to_vec())?;
    let location = client.locate(&key);
    let entry = read(&client, &key).await;
    let (entry, problem) = match entry {
        Ok(entry) => (entry, String::new()),
        Err(error) => (None, error.to_string()),
    };
    let vnode = location.virtual_node.as_ref();
    Ok(Reply::Found(Box::new(Found {
        group,
        key: text,
        slot: location.slot.number(),
        owner: location
            .owner
            .map_or(String::new(), |owner| owner.id.name.to_string()),
        range: (location.range.0.number(), location.range.1.number()),
        virtual_node: vnode.map_or("-".to_owned(), |(member, number)| {
            format!("{}#{number}", member.id.name)
        }),
        next: location
            .next
            .iter()
            .skip(1)
            .take(3)
            .map(|it| it.id.name.to_string())
            .collect(),
        entry,
        problem,
    })))
}

/// What a key holds; large values are not fetched.
async fn read(client: &Client, key: &Key) -> Result<Option<FoundEntry>, ClientError> {
    let get = |metadata_only| Operation::Get {
        key: key.clone(),
        no_load: true,
        metadata_only,
    };
    let ClientReply::Get(Some(entry)) = client.execute(get(true)).await?.reply else {
        return Ok(None);
    };
    let mut preview = "(too large to be shown)".to_owned();
    if entry.value_bytes <= PREVIEW_FETCHED_MAX
        && let ClientReply::Get(Some(whole)) = client.execute(get(false)).await?.reply
    {
        let text = String::from_utf8_lossy(&whole.value);
        let shown = |c: char| if c.is_control() { '·' } else { c };
        preview = text.chars().take(PREVIEW_CHARS).map(shown).collect();
    }
    Ok(Some(FoundEntry {
        bytes: entry.value_bytes,
        preview,
        ttl: entry.ttl_ms.map(std::time::Duration::from_millis),
        version: entry
            .version
            .map_or("-".to_owned(), |version| version.to_string()),
    }))
}

async fn write(hub: &Hub, ask: Ask) -> Result<Reply, CliError> {
    match ask {
        Ask::Set {
            group,
            key,
            value,
            ttl,
        } => {
            let client = client(hub, &group).await?;
            let operation = Operation::Set {
                key: Key::new(key.as_bytes().to_vec())?,
                value: value.into(),
                ttl: ttl
                    .map(|ttl| Ttl::from_ms(ttl.as_millis() as u64))
                    .transpose()?,
                condition: Condition::Always,
            };
            client.execute(operation).await?;
            look_up(hub, group, key).await
        }
        Ask::Delete { group, key } => {
            let client = client(hub, &group).await?;
            let operation = Operation::Delete {
                key: Key::new(key.as_bytes().to_vec())?,
                condition: Condition::Always,
            };
            client.execute(operation).await?;
            look_up(hub, group, key).await
        }
        _ => Err(CliError::usage("nothing to write")),
    }
}
