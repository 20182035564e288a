//! The streams: each is a task that asks, tells what it hears, and tries again for ever.

mod events;
#[cfg(test)]
mod example;
mod hot;
mod hub;
pub mod record;
pub mod replay;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cached_client::{Admin, Error as ClientError};
use futures_util::StreamExt;
use tokio::task::JoinSet;

pub use hub::Hub;

use super::message::{Source, Told, Update};
use super::shape::{NodeState, Shape};
use crate::error::CliError;

/// Pause after the first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often health and counters are asked for.
const OFTEN: Duration = Duration::from_secs(1);

/// How often is asked for what changes rarely.
const RARELY: Duration = Duration::from_secs(3);

/// Why a stream ended.
#[derive(Debug)]
enum End {
    /// Nobody answered; the second word: something had been heard before.
    Failed(String, bool),
    /// The screen is gone.
    Over,
}

impl End {
    fn before(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string(), false)
    }

    fn after(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string(), true)
    }
}

/// Starts every stream.
pub fn start(tasks: &mut JoinSet<()>, hub: &Arc<Hub>) {
    for source in Source::ALL {
        tasks.spawn(follow(source, hub.clone()));
    }
}

/// Follows a stream for ever.
async fn follow(source: Source, hub: Arc<Hub>) {
    let mut failures: u32 = 0;
    loop {
        let end = match source {
            Source::Topology => topology(&hub).await,
            Source::Operations => operations(&hub).await,
            Source::Status | Source::Stats => poll(&hub, source, OFTEN).await,
            Source::Blacklist | Source::Groups => poll(&hub, source, RARELY).await,
            Source::HotKeys => hot::poll(&hub, RARELY).await,
            Source::Events => events::follow(&hub).await,
        };
        let End::Failed(reason, heard) = end else {
            return;
        };
        failures = if heard { 1 } else { failures.saturating_add(1) };
        let pause = pause(failures, rand::random());
        let lost = Told::Lost {
            source,
            reason,
            attempt: failures,
            retry_in_ms: pause.as_millis() as u64,
        };
        if !hub.tell(lost).await {
            return;
        }
        hub.pause(pause).await;
    }
}

/// The pause after so many failures in a row; `jitter` in 0..1 spreads them.
fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (failures.max(1) - 1).min(10));
    doubled.min(LONGEST_PAUSE).mul_f64(0.75 + 0.25 * jitter)
}

async fn topology(hub: &Hub) -> End {
    let opened = async {
        let admin = hub.everybody().await?;
        Ok::<_, CliError>(admin.watch_topology().await?)
    };
    let mut changes = match opened.await {
        Ok(changes) => pin!(changes),
        Err(error) => return End::before(error),
    };
    while let Some(next) = changes.next().await {
        let answered = match next {
            Ok(answered) => answered,
            Err(error) => {
                hub.forget().await;
                return End::after(error);
            }
        };
        let shape = Shape::from(&answered.value);
        let lives = shape
            .nodes
            .iter()
            .filter(|node| node.state != NodeState::Down);
        let members = lives.map(|node| (node.name.clone(), node.address.clone()));
        let members = members.filter(|(_, address)| !address.is_empty()).collect();
        if let Err(error) = hub.learn(&answered.endpoint, members).await {
            return End::after(error);
        }
        if !heard(hub, answered.endpoint, Update::Topology(shape)).await {
            return End::Over;
        }
    }
    hub.forget().await;
    End::after("the stream has ended")
}

async fn operations(hub: &Hub) -> End {
    let mut sequence = 0;
    let mut first = true;
    loop {
        let admin = match hub.one().await {
            Ok(Some(admin)) => admin,
            Ok(None) => match hub.everybody().await {
                Ok(admin) => admin,
                Err(error) => return End::before(error),
            },
            Err(error) => return End::before(error),
        };
        match watch(hub, &admin, &mut sequence).await {
            // Another node goes on where this one ended.
            End::Failed(_, true) => first = false,
            End::Failed(reason, false) => return End::Failed(reason, !first),
            End::Over => return End::Over,
        }
    }
}

async fn watch(hub: &Hub, admin: &Admin, sequence: &mut u64) -> End {
    let mut changes = match admin.watch_operations(None, *sequence).await {
        Ok(changes) => pin!(changes),
        Err(error) => return End::before(error),
    };
    let mut any = false;
    while let Some(next) = changes.next().await {
        match next {
            Ok(answered) => {
                any = true;
                *sequence = (*sequence).max(answered.value.sequence);
                let update = Update::Operation(answered.value.operation);
                if !heard(hub, answered.endpoint, update).await {
                    return End::Over;
                }
            }
            Err(error) => return End::Failed(error.to_string(), any),
        }
    }
    End::Failed("the stream has ended".to_owned(), any)
}

/// Asks again and again: the node that told the topology, else whoever answers.
async fn poll(hub: &Hub, source: Source, every: Duration) -> End {
    let mut any = false;
    loop {
        let asked = async {
            if let Some(one) = hub.one().await?
                && let Ok(answer) = ask(&one, source).await
            {
                return Ok(answer);
            }
            let all = hub.everybody().await?;
            Ok::<_, CliError>(ask(&all, source).await?)
        };
        match asked.await {
            Ok((endpoint, update)) => {
                any = true;
                if !heard(hub, endpoint, update).await {
                    return End::Over;
                }
            }
            Err(error) => return End::Failed(error.to_string(), any),
        }
        hub.pause(every).await;
    }
}

async fn ask(admin: &Admin, source: Source) -> Result<(String, Update), ClientError> {
    Ok(match source {
        Source::Stats => {
            let answered = admin.stats(false).await?;
            (answered.endpoint, Update::Stats(answered.value))
        }
        Source::Blacklist => {
            let answered = admin.blacklist(false).await?;
            (answered.endpoint, Update::Blacklist(answered.value))
        }
        Source::Groups => {
            let answered = admin.groups().await?;
            (answered.endpoint, Update::Groups(answered.value))
        }
        _ => {
            let answered = admin.status().await?;
            (answered.endpoint, Update::Status(answered.value))
        }
    })
}

async fn heard(hub: &Hub, endpoint: String, update: Update) -> bool {
    let update = Box::new(update);
    hub.tell(Told::Heard { endpoint, update }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds() {
        let whole: Vec<u128> = (1..8).map(|it| pause(it, 1.0).as_millis()).collect();
        assert_eq!(whole, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(pause(u32::MAX, 0.0).as_millis(), 3750);
        assert_eq!(pause(0, 1.0).as_millis(), 250);
    }
}
