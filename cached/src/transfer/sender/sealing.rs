//! How a batch that is sent is sealed: nothing changes any more, and both ends are seen
//! to hold the same. Then the cluster's state decides.

use futures_util::StreamExt;
use std::time::Duration;

use super::super::messages::{Sums, compare};
use super::super::order::MoveNews;
use super::{Over, SEAL_MAX, Sender, failed};
use crate::faults::crash_point;
use crate::peers::MoveStream;

impl Sender {
    /// Seals every slot, and sees both ends hold the same.
    pub(super) async fn seal(&mut self, stream: &mut MoveStream) -> Result<(), Over> {
        crash_point("before-seal");
        self.show("sealed");
        self.may_be_kept = true;
        let clock = self.shared.parts.clock.clone();
        let (wall, until) = (clock.wall(), clock.now() + SEAL_MAX);
        self.sealed = Some(self.shared.parts.parking.entered());
        let mut own = Sums::new();
        for info in &self.slots {
            let sealed = self
                .shared
                .parts
                .store
                .seal(info.slot, info.container, wall);
            let Some((seq, sum)) = sealed else {
                return Err(failed(format!("slot {} is not served any more", info.slot)));
            };
            own.push((info.slot, seq, sum));
        }
        let theirs = loop {
            if clock.now() >= until {
                let why =
                    format!("the receiver did not hold everything {SEAL_MAX:?} after the seal");
                return Err(failed(why));
            }
            if let Some(theirs) = self.step(stream, Duration::ZERO).await? {
                break theirs;
            }
        };
        compare(&own, &theirs).map_err(failed)?;
        crash_point("after-seal");
        self.decided_elsewhere = true;
        self.show("committing");
        self.tell(MoveNews::Sealed(self.counts())).await;
        Ok(())
    }

    /// Waits for the outcome of the commit, whatever becomes of the stream.
    pub(super) async fn wait_for_the_end(&mut self, stream: &mut Option<MoveStream>) -> Over {
        loop {
            let heard = async {
                match stream.as_mut() {
                    Some(stream) => stream.receive.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                end = self.batch.ended() => return Over::Ended(end),
                () = self.stop.stopped() => return Over::Stopped,
                heard = heard => if !matches!(heard, Some(Ok(_))) {
                    // The receiver learns the outcome from the registry.
                    *stream = None;
                },
            }
        }
    }
}
