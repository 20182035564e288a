//! Asks for a newer picture of the cluster, and waits for it a short while.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, Moment};
use crate::cluster::view::{ClusterView, ViewCell};

/// How long to wait for a newer view before asking again: many registry reads, and far
/// less than anybody's patience.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// How long one operation waits for a row that another node has shown: commits are told
/// to their receivers at once, and this is long enough for a busy machine.
const ROWS_WAIT_MAX: Duration = Duration::from_millis(500);

/// Pause between two requests for rows. Callers in between share the read that
/// is on its way.
const ROWS_EVERY: Duration = Duration::from_millis(100);

/// Pause between two requests for a group nobody knows: callers with a wrong name
/// must not become load on the registry.
const GROUPS_EVERY: Duration = Duration::from_secs(1);

/// Rate limits for refreshes of this process.
#[derive(Debug)]
pub(super) struct Refresher {
    view: Arc<ViewCell>,
    clock: Clock,
    /// When somebody last asked for rows, and for groups.
    asked: Mutex<(Option<Moment>, Option<Moment>)>,
}

impl Refresher {
    pub(super) fn new(view: Arc<ViewCell>, clock: Clock) -> Self {
        Self {
            view,
            clock,
            asked: Mutex::default(),
        }
    }

    /// Asks for newer rows, without waiting.
    pub(super) fn ask(&self) {
        let now = self.clock.now();
        if due(&mut self.asked.lock().0, now, ROWS_EVERY).is_ok() {
            self.view.ask_refresh();
        }
    }

    /// Asks for newer rows, again and again, and waits until a view makes `enough` hold,
    /// wherever it comes from; at most half a second and not beyond `deadline`: a row
    /// that was shown is there, and all that is missing is the word of it. Cancel-safe.
    pub(super) async fn rows(&self, deadline: Moment, enough: impl Fn(&ClusterView) -> bool) {
        let until = deadline.min(self.clock.now() + ROWS_WAIT_MAX);
        while self.clock.now() < until && !enough(&self.view.load()) {
            self.ask();
            self.wait(until, &enough).await;
        }
    }

    /// Asks for the groups once a second and waits as [`Refresher::rows`] does.
    /// In between nobody asks; the error is the time until somebody may, and says
    /// that the view at hand may be older than the group. Cancel-safe.
    pub(super) async fn groups(
        &self,
        deadline: Moment,
        enough: impl Fn(&ClusterView) -> bool,
    ) -> Result<(), Duration> {
        due(&mut self.asked.lock().1, self.clock.now(), GROUPS_EVERY)?;
        self.view.ask_refresh();
        self.wait(deadline, enough).await;
        Ok(())
    }

    async fn wait(&self, deadline: Moment, enough: impl Fn(&ClusterView) -> bool) {
        let wait = deadline.since(self.clock.now()).min(WAIT_MAX);
        let arrival = async {
            let mut view = self.view.load_full();
            while !enough(&view) {
                view = self.view.newer_than(view.number).await;
            }
        };
        tokio::select! {
            biased;
            () = arrival => {}
            () = self.clock.sleep(wait) => {}
        }
    }
}

/// Whether it is time to ask again, or how long it is until then; remembers that it
/// was asked now.
fn due(asked: &mut Option<Moment>, now: Moment, every: Duration) -> Result<(), Duration> {
    let waited = asked.map_or(every, |last| now.since(last));
    if waited < every {
        return Err(every - waited);
    }
    *asked = Some(now);
    Ok(())
}
