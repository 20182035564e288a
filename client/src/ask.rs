//! Asks several nodes at the same time; the first good answer wins.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::types::Invalid;
use futures_util::stream::{self, StreamExt};
use tokio::time::timeout;

use crate::address::Address;
use crate::error::Error;
use crate::status::time_over;

/// How many addresses are asked at the same time: enough to get past dead ones,
/// few enough that a thousand clients do not fall upon every node at once.
const ASKED_AT_ONCE: usize = 8;

/// Asks until one address answers, each within `limit`; the other calls are then
/// abandoned. Fails with the first refusal by a node, else with what was wrong with
/// every address.
pub(crate) async fn first_answer<T, F>(
    addresses: Vec<String>,
    limit: Duration,
    ask: impl Fn(String) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let ask = |address: String| {
        let answer = ask(address.clone());
        async move {
            timeout(limit, answer)
                .await
                .unwrap_or_else(|_| Err(time_over(&address)))
        }
    };
    let mut answers = stream::iter(addresses.into_iter().map(ask)).buffer_unordered(ASKED_AT_ONCE);
    let mut refusal = None;
    let mut silent = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => return Ok(answer),
            // A word from a node is worth more than silence.
            Err(error @ (Error::Failed(_) | Error::Invalid(_))) => {
                refusal.get_or_insert(error);
            }
            Err(Error::Unreachable(text) | Error::Lost { message: text, .. }) => silent.push(text),
        }
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    // In the order of their addresses: which one failed first is chance.
    silent.sort();
    let none = "no address is known".to_owned();
    Err(Error::Unreachable(if silent.is_empty() {
        none
    } else {
        silent.join("; ")
    }))
}

/// Seeds that can be asked: none at all, or one that is no address, is an error
/// before anything is sent.
pub(crate) fn check_seeds(seeds: &[String]) -> Result<Arc<[String]>, Error> {
    if seeds.is_empty() {
        return Err(Invalid::new("seeds", "are empty; name at least one node").into());
    }
    for seed in seeds {
        Address::parse(seed)?;
    }
    Ok(seeds.into())
}

#[cfg(test)]
mod tests {
    use cached_proto::failure::{Failure, FailureCode};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    async fn answer(address: String) -> Result<String, Error> {
        match address.as_str() {
            "slow" => std::future::pending().await,
            "dead" => Err(Error::Unreachable("dead: refused".to_owned())),
            "no" => Err(Failure::new(FailureCode::Unauthenticated, "no").into()),
            _ => Ok(address),
        }
    }

    fn addresses(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_good_answer_wins() {
        for asked in [
            "a",
            "dead a",
            "slow no dead a",
            "slow slow slow slow slow slow slow slow a",
        ] {
            let answer = first_answer(addresses(asked), LIMIT, answer).await;
            assert_eq!(answer.unwrap(), "a", "{asked}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failing_says_why() {
        for (asked, problem) in [
            ("", "cannot reach the cluster: no address is known"),
            (
                "slow dead",
                "cannot reach the cluster: dead: refused; slow: did not answer in time",
            ),
            ("dead no", "no"),
        ] {
            let answer = first_answer(addresses(asked), LIMIT, answer).await;
            assert_eq!(answer.unwrap_err().to_string(), problem, "{asked}");
        }
    }

    #[test]
    fn seeds_are_checked() {
        assert!(check_seeds(&[]).is_err());
        assert!(check_seeds(&addresses("a:1 b")).is_err());
        assert!(check_seeds(&addresses("a:1 b:2")).is_ok());
    }
}
