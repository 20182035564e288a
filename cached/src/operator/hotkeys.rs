//! Which keys are asked for most on this node, as a message.

use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::pb::cached::admin::v1::{HotKey, HotKeysResponse};
use cached_proto::types::{GroupName, Invalid};

use super::Operator;
use super::groups::unknown_group;
use crate::hotkeys::{By, Hottest, WINDOW_MAX};

/// What is asked for when nothing is said.
const WINDOW_DEFAULT: Duration = WINDOW_MAX;
const TOP_DEFAULT: usize = 20;

/// Most keys of one answer: as many as all groups' rankings hold, and far below a message.
const TOP_MAX: usize = 4_096;

impl Operator {
    /// The hottest keys of this node. A window of zero means five minutes, `top` zero
    /// means 20; `group`: only of this one. Rates are estimates: see
    /// [`HotKeys`](crate::hotkeys::HotKeys).
    pub fn hot_keys(
        &self,
        window: Duration,
        by: By,
        group: Option<&GroupName>,
        top: usize,
    ) -> Result<HotKeysResponse, Failure> {
        if window > WINDOW_MAX {
            let limit = WINDOW_MAX.as_secs();
            let problem = format!("is {} s; the limit is {limit} s", window.as_secs());
            return Err(Invalid::new("window_seconds", problem).into());
        }
        if top > TOP_MAX {
            return Err(Invalid::new("top", format!("is {top}; the limit is {TOP_MAX}")).into());
        }
        let store = &self.parts.store;
        let id = match group {
            Some(group) => Some(store.group(group).ok_or_else(|| unknown_group(group))?),
            None => None,
        };
        let window = if window.is_zero() {
            WINDOW_DEFAULT
        } else {
            window
        };
        let top = if top == 0 { TOP_DEFAULT } else { top };
        let hottest = self.parts.hot.hottest(window, by, id, top);
        Ok(self.tell_heat(by, hottest))
    }

    /// Share of the hottest key in all operations of the last minute or so here.
    pub fn hottest_share(&self) -> f64 {
        let window = Duration::from_secs(60);
        let hottest = self.parts.hot.hottest(window, By::Ops, None, 1);
        share(hottest.keys.first().map_or(0, |key| key.ops), hottest.ops)
    }

    fn tell_heat(&self, by: By, hottest: Hottest) -> HotKeysResponse {
        // Of less than a second no rate can be told.
        let seconds = hottest.window.as_secs_f64().max(1.0);
        let rate = |count: u64| count as f64 / seconds;
        let keys = hottest.keys.into_iter().map(|key| HotKey {
            group: self
                .parts
                .store
                .group_name(key.group)
                .map(|name| name.to_string())
                .unwrap_or_default(),
            key: key.key.into_vec().into(),
            cut: key.cut,
            ops_per_second: rate(key.ops),
            bytes_per_second: rate(key.bytes),
            share: match by {
                By::Ops => share(key.ops, hottest.ops),
                By::Bytes => share(key.bytes, hottest.bytes),
            },
            value_bytes: key.value_bytes,
        });
        HotKeysResponse {
            keys: keys.collect(),
            node: self.shown_name().to_owned(),
            window_ms: super::millis(hottest.window),
            ops_per_second: rate(hottest.ops),
            bytes_per_second: rate(hottest.bytes),
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}
