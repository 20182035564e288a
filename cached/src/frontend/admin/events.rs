//! Keys, which of them are hot, and what happened, as messages: read, passed on, told.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::types::GroupName;

use super::Follow;
use crate::frontend::FrontendParts;
use crate::frontend::auth::{Pass, Role};
use crate::hotkeys::By;
use crate::operator::{EventWatch, KeysPlace, Operator};

/// The hottest keys of this node.
pub(super) fn hot_keys(
    operator: &Operator,
    request: pb::HotKeysRequest,
) -> Result<pb::HotKeysResponse, Failure> {
    let by = match request.order() {
        pb::HotKeysOrder::Bytes => By::Bytes,
        pb::HotKeysOrder::Operations | pb::HotKeysOrder::Unspecified => By::Ops,
    };
    let group = match request.group.as_str() {
        "" => None,
        name => Some(GroupName::new(name)?),
    };
    let window = Duration::from_secs(request.window_seconds.into());
    operator.hot_keys(window, by, group.as_ref(), request.top as usize)
}

/// Entries that are looked at for one answer, at most.
const KEYS_MAX: u32 = 10_000;

/// Some keys of a group.
pub(super) async fn list_keys(
    parts: &FrontendParts,
    request: pb::ListKeysRequest,
) -> Result<pb::ListKeysResponse, Failure> {
    let group = match request.group.as_str() {
        "" => parts.default_group.clone(),
        name => GroupName::new(name)?,
    };
    let from = KeysPlace::from_cursor(request.cursor);
    let count = request.count.clamp(1, KEYS_MAX) as usize;
    let page = parts.operator.keys(&group, from, count).await?;
    Ok(pb::ListKeysResponse {
        keys: page
            .keys
            .iter()
            .map(|key| key.as_bytes().to_vec().into())
            .collect(),
        cursor: page.next.map_or(0, KeysPlace::to_cursor),
    })
}

/// A caller that is told what happens.
pub(super) struct EventFollower {
    parts: Arc<FrontendParts>,
    pass: Pass,
    watch: EventWatch,
}

impl EventFollower {
    pub(super) fn new(parts: Arc<FrontendParts>, pass: Pass, request: &pb::EventsRequest) -> Self {
        let watch = EventWatch::new(&parts.operator, request);
        Self { parts, pass, watch }
    }
}

#[tonic::async_trait]
impl Follow for EventFollower {
    type Told = pb::EventsResponse;

    /// The next event; `None` when there is none, or the process ends. Who has lost the
    /// right to read is told so in its place.
    async fn next(&mut self) -> Option<Result<pb::EventsResponse, Failure>> {
        let told = self.parts.operator.next_event(&mut self.watch).await?;
        Some(self.pass.check(Role::Read).map(|()| told))
    }
}
