//! What the process does when it is signalled.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::Reloadable;
use crate::tasks::Stop;

/// SIGTERM and Ctrl-C, from now on: none in between is missed.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Listens; fails when the system does not let it.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one. Cancel-safe.
    pub async fn next(&mut self) {
        poll_fn(|context| {
            let terminate = self.terminate.poll_recv(context);
            let interrupt = self.interrupt.poll_recv(context);
            if terminate.is_ready() || interrupt.is_ready() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await
    }
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
