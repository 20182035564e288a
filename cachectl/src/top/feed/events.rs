//! Events: the journal of every member is followed, and of every member that comes.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cached_client::admin::{EventRow, EventsFrom};
use futures_util::StreamExt;
use tokio::task::{AbortHandle, JoinSet};

use super::{End, Hub, heard};
use crate::top::message::{EventLine, Update};

/// Journals that are followed: what matters is told by every node that sees it.
const JOURNALS_MAX: usize = 32;

/// Between two looks for members that came or went.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Between two tries to follow a member.
const TRY_AGAIN: Duration = Duration::from_secs(3);

/// Follows everybody's journal for ever. What a member's stream fails with is not told:
/// the member is seen to be down soon, or answers again.
pub(super) async fn follow(hub: &Arc<Hub>) -> End {
    let mut tasks = JoinSet::new();
    let mut followed: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        let members = hub.members().await;
        let mut addresses: Vec<String> = members.into_iter().map(|(_, address)| address).collect();
        addresses.truncate(JOURNALS_MAX);
        followed.retain(|address, task| {
            let stays = addresses.contains(address);
            if !stays {
                task.abort();
            }
            stays
        });
        for address in addresses {
            let start = |address: &String| tasks.spawn(journal(hub.clone(), address.clone()));
            followed.entry(address).or_insert_with_key(start);
        }
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(LOOK_AGAIN).await;
        if hub.is_over() {
            return End::Over;
        }
    }
}

/// Follows one member's journal for ever.
async fn journal(hub: Arc<Hub>, address: String) {
    let mut from = EventsFrom {
        follow: true,
        ..EventsFrom::default()
    };
    loop {
        if let Ok(admin) = hub.everybody().await
            && let Ok(events) = admin.at(address.clone()).watch_events(&from).await
        {
            let mut events = pin!(events);
            while let Some(Ok(told)) = events.next().await {
                from.advance(&told);
                let Some(event) = told.event else {
                    continue;
                };
                let update = Update::Event(line(&told.node, event));
                if !heard(&hub, address.clone(), update).await {
                    return;
                }
            }
        }
        hub.pause(TRY_AGAIN).await;
    }
}

/// What only one node saw says which.
fn line(node: &str, event: EventRow) -> EventLine {
    let text = match event.identity.is_empty() {
        true => format!("{node}: {}", event.text),
        false => event.text,
    };
    EventLine {
        at_ms: event.at_ms,
        severity: event.severity.name().to_owned(),
        text,
        by: event.by,
        identity: event.identity,
    }
}
