//! What the process does when it is signalled.

use tokio::signal::unix::{SignalKind, signal};

use super::reload::Reloadable;
use crate::tasks::Stop;

/// Waits for SIGTERM or Ctrl-C.
pub async fn wait_for_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// On every SIGHUP, reads settings, tokens and certificates again, until `stop`.
pub(super) async fn reload(mut reloadable: Reloadable, stop: Stop) {
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else {
        tracing::error!("SIGHUP cannot be listened for: tokens and certificates stay as they are");
        return;
    };
    loop {
        tokio::select! {
            biased;
            () = stop.stopped() => return,
            heard = hang_up.recv() => if heard.is_none() { return },
        }
        reloadable.reload().await;
    }
}
