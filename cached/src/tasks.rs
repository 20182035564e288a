//! Owns every task of the process: each has a name, an end and a last word.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells a task to end. A task selects on [`Stop::stopped`] wherever it waits.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
    /// As the token says, without the lock that it takes to ask it.
    stopped: Arc<AtomicBool>,
}

impl Stop {
    /// Resolves when the task should end, and at once from then on.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// Whether the task should end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.token.cancel();
    }
}

/// Spawns, names and stops tasks. Clones share the same tasks.
#[derive(Clone, Debug)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tracker: TaskTracker,
    stop: Stop,
    /// Names of the tasks that run, with how many run under each.
    running: Mutex<std::collections::BTreeMap<&'static str, usize>>,
}

/// Takes a task's name off the list when it ends, however it ends.
struct Running {
    inner: Arc<Inner>,
    name: &'static str,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.inner.running.lock();
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
        drop(running);
        if std::thread::panicking() {
            tracing::error!(task = self.name, "task panicked");
        }
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        let inner = Inner {
            tracker: TaskTracker::new(),
            stop: Stop::default(),
            running: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The token that all tasks get.
    pub fn stop_token(&self) -> Stop {
        self.inner.stop.clone()
    }

    /// Starts a task. It must end soon after its [`Stop`] says so.
    pub fn spawn<F, T>(&self, name: &'static str, task: F) -> tokio::task::JoinHandle<T::Output>
    where
        F: FnOnce(Stop) -> T,
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        *self.inner.running.lock().entry(name).or_insert(0) += 1;
        let running = Running {
            inner: self.inner.clone(),
            name,
        };
        let future = task(self.stop_token());
        self.inner.tracker.spawn(async move {
            let _running = running;
            future.await
        })
    }

    /// Names of the running tasks, each with how many run under it.
    pub fn running(&self) -> Vec<(&'static str, usize)> {
        self.inner
            .running
            .lock()
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect()
    }

    /// Tells every task to end and waits for them; answers who did not in time.
    pub async fn stop_within(&self, deadline: Duration) -> Vec<(&'static str, usize)> {
        self.inner.stop.stop();
        self.inner.tracker.close();
        match tokio::time::timeout(deadline, self.inner.tracker.wait()).await {
            Ok(()) => Vec::new(),
            Err(_) => self.running(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_are_named_and_end() {
        let tasks = Tasks::new();
        tasks.spawn("polite", |stop| async move { stop.stopped().await });
        tasks.spawn("rude", |_| std::future::pending::<()>());
        assert_eq!(tasks.running(), [("polite", 1), ("rude", 1)]);
        let left = tasks.stop_within(Duration::from_millis(50)).await;
        assert_eq!(left, [("rude", 1)]);
    }
}
