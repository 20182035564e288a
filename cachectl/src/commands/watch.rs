//! Shows a report again and again, until Ctrl-C.

use std::time::Duration;

use super::Session;
use crate::error::CliError;
use crate::output::Report;

/// Looks once, or again and again with `every`. A look that fails is told, and the next
/// one comes all the same: what is watched may come back.
pub(super) async fn watch(
    session: &Session,
    every: Option<Duration>,
    mut look: impl AsyncFnMut() -> Result<Report, CliError>,
) -> Result<Report, CliError> {
    let Some(every) = every else {
        return look().await;
    };
    let taken = session.interrupt.take();
    let looking = async {
        loop {
            match look().await {
                Ok(report) => {
                    session.output.redraw(&report)?;
                }
                Err(error) => session.output.error(&error),
            }
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        biased;
        () = taken.pressed() => Ok(Report::nothing()),
        ended = looking => ended,
    }
}
