//! How this process leaves: its slots are taken first, while somebody could.

use std::time::Duration;

use cached_proto::operations::Want;
use cached_proto::types::MemberId;

use super::draft::living;
use super::roster::{applies, planned, wanted};
use super::shared::Shared;
use super::state::event::Event;
use super::view::ClusterView;

impl Shared {
    pub(super) async fn leave(&self, deadline: Duration) -> u32 {
        let Some(me) = &self.id else { return 0 };
        let ready = |view: &ClusterView| owns_nothing(view, me) || !somebody_receives(view, me);
        if !ready(&self.view.load()) && self.events.send(Event::Leave).await.is_ok() {
            tokio::select! { biased;
                () = self.until(ready) => {}
                () = self.clock.sleep(deadline) => {}
            }
        }
        slots(&self.view.load(), me)
    }

    pub(super) async fn asked_to_leave(&self) {
        let Some(me) = &self.id else {
            return std::future::pending().await;
        };
        self.until(|view| {
            let intent = applies(view.intents.get(&me.name), me);
            let asked = intent
                .is_some_and(|intent| intent.want == Want::Leave && intent.by != me.name.as_str());
            asked && owns_nothing(view, me)
        })
        .await;
    }

    /// Waits until a view shows something.
    async fn until(&self, so: impl Fn(&ClusterView) -> bool) {
        let mut view = self.view.load_full();
        while !so(&view) {
            view = self.view.newer_than(view.number).await;
        }
    }
}

/// Rows that name a member.
fn slots(view: &ClusterView, id: &MemberId) -> u32 {
    let own = view.members.iter().find(|member| member.id == *id);
    own.map_or(0, |member| member.slots)
}

/// No row names the member, and the plan does not want one to.
fn owns_nothing(view: &ClusterView, id: &MemberId) -> bool {
    let counted = view.plan.as_ref().and_then(|plan| planned(plan, id));
    slots(view, id) == 0 && counted.is_none_or(|weight| weight == 0)
}

/// Whether anybody else may be given the slots of a member that leaves.
fn somebody_receives(view: &ClusterView, me: &MemberId) -> bool {
    let members = view.members.iter().filter(|member| member.id != *me);
    members.filter_map(living).any(|record| {
        wanted(
            record,
            applies(view.intents.get(&record.id.name), &record.id),
        ) > 0
    })
}
