//! The end of everything as one connection awaits it, after each of its answers.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::tasks::Stop;

/// Waits for [`Stop::stopped`], which is polled once for each waker: it takes a lock that
/// all tasks share, and whoever was told of there is woken.
pub(super) struct Ending<'a, F> {
    stop: &'a Stop,
    stopped: Pin<&'a mut F>,
    /// Who will be woken.
    told: Option<Waker>,
}

impl<'a, F: Future<Output = ()>> Ending<'a, F> {
    /// `stopped` is what `stop` resolves by.
    pub(super) fn new(stop: &'a Stop, stopped: Pin<&'a mut F>) -> Self {
        Self {
            stop,
            stopped,
            told: None,
        }
    }

    /// Resolves when the connection should end. Cancel-safe; the future is to be awaited
    /// anew until it resolves.
    pub(super) async fn come(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Whether the connection should end.
    pub(super) fn is_there(&self) -> bool {
        self.stop.is_stopped()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_there() {
            return Poll::Ready(());
        }
        let is_told = |told: &Waker| told.will_wake(cx.waker());
        if self.told.as_ref().is_some_and(is_told) {
            return Poll::Pending;
        }
        self.told = Some(cx.waker().clone());
        self.stopped.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use crate::tasks::Tasks;

    use super::*;

    #[tokio::test]
    async fn it_comes_however_often_it_was_awaited_before() {
        let tasks = Tasks::new();
        let task = tasks.spawn("awaits", |stop| async move {
            let stopped = pin!(stop.stopped());
            let mut ending = Ending::new(&stop, stopped);
            for _ in 0..3 {
                tokio::select! {
                    biased;
                    () = ending.come() => return false,
                    () = std::future::ready(()) => {}
                }
            }
            ending.come().await;
            ending.is_there()
        });
        tokio::task::yield_now().await;
        assert!(tasks.stop_within(Duration::from_secs(5)).await.is_empty());
        assert!(task.await.unwrap());
    }
}
