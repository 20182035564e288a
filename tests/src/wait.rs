//! Waiting for a condition that no event announces, with a deadline and a reason.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// Asks again and again until `check` answers `Ok`, and panics with its last word
/// when `deadline` has passed. Processes under test announce nothing to us, so
/// this is how their state is awaited.
pub async fn until<T, E, F>(what: &str, deadline: Duration, mut check: impl FnMut() -> F) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    loop {
        match check().await {
            Ok(value) => return value,
            Err(error) if start.elapsed() > deadline => {
                panic!("{what}: not within {deadline:?}; last: {error:?}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
