//! Asks many members the same thing at once, each for a bounded time.

use std::future::Future;
use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use futures_util::stream::{self, StreamExt};

use crate::cluster::view::{ClusterView, MemberView};
use crate::peers::{Peer, PeerError};
use cached_proto::records::MemberState;

/// How long one member may take to answer a question for operators: far above a
/// healthy round trip, and short enough for a person to wait.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// Members asked at a time: 1,000 members that are all silent cost 4 s.
const ASKED_AT_ONCE: usize = 256;

/// What one member is to this process.
#[derive(Debug)]
pub(super) enum Whom {
    /// This process itself.
    Me(MemberView),
    /// Another member that can be asked.
    Living(MemberView, Peer),
    /// Rows name it, but it is no member now, or it has signed off.
    Away(MemberView),
}

impl Whom {
    /// The member.
    pub(super) fn member(&self) -> &MemberView {
        match self {
            Self::Me(member) | Self::Living(member, _) | Self::Away(member) => member,
        }
    }
}

/// All members of a view, in its order.
pub(super) fn everyone(view: &ClusterView) -> Vec<Whom> {
    let sort = |(index, member): (usize, &MemberView)| {
        let member = member.clone();
        if view.me.map(usize::from) == Some(index) {
            return Whom::Me(member);
        }
        match &member.record {
            Some(record) if record.state != MemberState::Gone => {
                let peer = Peer {
                    id: member.id.clone(),
                    address: record.address.clone(),
                };
                Whom::Living(member, peer)
            }
            Some(_) | None => Whom::Away(member),
        }
    };
    view.members.iter().enumerate().map(sort).collect()
}

/// Asks everyone, some at a time; answers in the same order. The asked futures
/// bound their own time.
pub(super) async fn ask_all<T, A, F>(everyone: Vec<Whom>, ask: A) -> Vec<T>
where
    A: FnMut(Whom) -> F,
    F: Future<Output = T>,
{
    stream::iter(everyone)
        .map(ask)
        .buffered(ASKED_AT_ONCE)
        .collect()
        .await
}

/// A call that failed as its caller is told.
pub(super) fn failure_of(error: PeerError) -> Failure {
    match error {
        PeerError::NotSent(why) => Failure::new(FailureCode::Unavailable, why),
        PeerError::Unknown(why) => Failure::new(FailureCode::Unavailable, why).maybe_applied(),
        PeerError::Refused(failure) => failure,
    }
}
