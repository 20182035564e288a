//! Transactions that change some pages of the table, and what becomes of the next one:
//! among the many of a cluster these are the ones that decide about keys.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::Request;
use cached_proto::registry_keys::{RegistryKey, RegistryKeys};
use cached_proto::table::PageIndex;
use etcd_client::proto::{PbTxnOpRequest, PbTxnRequest};
use prost::Message;

use super::scene::{Scene, now};
use crate::history::Micros;

/// Longest request that is looked into.
const REQUEST_MAX: usize = 4 << 20;

/// Bytes of a message's flags and length, which stand before it.
const PREFIX: usize = 5;

/// After a late one is done nobody is heard for so long: it is known by then.
const AFTER_LATE: Micros = 500_000;

/// What becomes of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jam {
    /// It is done so much later, and none that follows is heard before.
    Late(Duration),
    /// It is never done.
    Lost,
    /// It is done, and not answered.
    Unanswered,
}

/// What becomes of one transaction, none of which is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done after so long.
    DoneAfter(Duration),
    /// It is never done.
    Lost,
}

/// Which transactions are meant, and what was ordered.
#[derive(Debug)]
pub struct Jams {
    pages: BTreeSet<PageIndex>,
    keys: RegistryKeys,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Option<Jam>,
    /// Until when all of them are lost.
    deaf_until: Micros,
}

impl Jams {
    /// Of these pages; nothing is wrong yet.
    pub fn new(pages: BTreeSet<PageIndex>) -> Self {
        Self {
            pages,
            keys: RegistryKeys::new(&Scene::cluster()),
            state: Mutex::default(),
        }
    }

    /// This becomes of the next one; `None`: all are well again.
    pub fn set(&self, next: Option<Jam>) {
        let mut state = self.state.lock().unwrap();
        *state = State {
            next,
            deaf_until: 0,
        };
    }

    /// Whether anything is wrong at this time.
    pub fn is_set(&self, at: Micros) -> bool {
        let state = self.state.lock().unwrap();
        state.next.is_some() || at < state.deaf_until
    }

    /// Looks into a transaction, and hands it back with what becomes of it; `None`: it is
    /// none of those that are meant.
    pub async fn look(&self, request: Request<Body>) -> (Request<Body>, Option<Fate>) {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, REQUEST_MAX).await.unwrap_or_default();
        let fate = match self.is_meant(&bytes) {
            true => self.fate(),
            false => None,
        };
        (Request::from_parts(parts, Body::from(bytes)), fate)
    }

    fn is_meant(&self, bytes: &Bytes) -> bool {
        let message = bytes.get(PREFIX..).unwrap_or_default();
        let Ok(txn) = PbTxnRequest::decode(message) else {
            return false;
        };
        let puts = txn.success.iter().filter_map(|op| match &op.request {
            Some(PbTxnOpRequest::RequestPut(put)) => self.keys.parse(&put.key),
            _ => None,
        });
        let mut pages = puts.filter_map(|key| match key {
            RegistryKey::Page(page) => Some(page),
            _ => None,
        });
        pages.any(|page| self.pages.contains(&page))
    }

    fn fate(&self) -> Option<Fate> {
        let mut state = self.state.lock().unwrap();
        if now() < state.deaf_until {
            return Some(Fate::Lost);
        }
        Some(match state.next.take()? {
            Jam::Late(after) => {
                state.deaf_until = now() + after.as_micros() as Micros + AFTER_LATE;
                Fate::DoneAfter(after)
            }
            Jam::Lost => Fate::Lost,
            Jam::Unanswered => Fate::DoneAfter(Duration::ZERO),
        })
    }
}
