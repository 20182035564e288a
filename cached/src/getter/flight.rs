//! Who shares a load: one flight for each key that is being loaded.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::Entry;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::FillToken;

/// Flights at a time, running or waiting for their turn: far more than any origin
/// bears, and a bound on what a flood of misses may hold.
const FLIGHTS_MAX: usize = 8192;

/// How a flight ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// With an entry.
    Value(Entry),
    /// The origin has no such key.
    NotThere,
    /// The load failed.
    Failed(Failure),
    /// Somebody touched the key meanwhile: what was loaded may be stale.
    Overtaken,
}

impl Landing {
    /// The answer for one caller.
    pub(super) fn answer(self, metadata_only: bool) -> Result<Option<Entry>, Failure> {
        match self {
            Self::Value(mut entry) => {
                if metadata_only {
                    entry.value = Bytes::new();
                }
                Ok(Some(entry))
            }
            Self::NotThere => Ok(None),
            Self::Failed(failure) => Err(failure),
            Self::Overtaken => Err(internal("an overtaken load was handed out")),
        }
    }
}

/// One load that any number of callers wait for.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Set when the load starts. Before that nothing has been read from the origin.
    token: OnceLock<FillToken>,
    landing: OnceLock<Landing>,
    landed: Notify,
}

impl Flight {
    /// The load starts under this token.
    pub(super) fn start(&self, token: FillToken) {
        // Started once, by the one task that flies it.
        let _ = self.token.set(token);
    }

    /// The token of a load that has started.
    pub(super) fn token(&self) -> Option<FillToken> {
        self.token.get().copied()
    }

    fn land(&self, landing: Landing) {
        // The first landing counts; the second is the guard's, when all went well.
        let _ = self.landing.set(landing);
        self.landed.notify_waiters();
    }

    /// Waits for the end. Every flight ends: it is bounded in time, and what flies
    /// it holds a [`Seat`]. Cancel-safe.
    pub(super) async fn landed(&self) -> Landing {
        loop {
            // Register before looking, or a landing between the two is lost.
            let landed = self.landed.notified();
            if let Some(landing) = self.landing.get() {
                return landing.clone();
            }
            landed.await;
        }
    }
}

/// The flights of this process.
#[derive(Debug)]
pub(super) struct Flights<K> {
    /// Shard locks may be taken under this lock, never the other way round; it is
    /// never held across an await.
    board: Arc<Mutex<Board<K>>>,
}

#[derive(Debug)]
struct Board<K> {
    /// Flights that may be joined.
    flying: BTreeMap<K, Arc<Flight>>,
    /// All flights, also those whose place a newer one took.
    seats: usize,
}

impl<K> Default for Flights<K> {
    fn default() -> Self {
        Self {
            board: Arc::new(Mutex::new(Board {
                flying: BTreeMap::new(),
                seats: 0,
            })),
        }
    }
}

/// A place on a flight.
#[derive(Debug)]
pub(super) enum Boarding<K: Ord> {
    /// Somebody else flies it.
    Joined(Arc<Flight>),
    /// The caller has to fly it.
    Started(Seat<K>),
}

impl<K: Ord + Clone> Flights<K> {
    /// Joins the key's flight if `may_join` says so, else starts a new one, which
    /// takes its place: nobody joins the old one any more, and it ends by itself.
    pub(super) fn board(
        &self,
        key: &K,
        may_join: impl FnOnce(&Flight) -> bool,
    ) -> Result<Boarding<K>, Failure> {
        let mut board = self.board.lock();
        if let Some(flight) = board.flying.get(key)
            && may_join(flight)
        {
            return Ok(Boarding::Joined(flight.clone()));
        }
        if board.seats >= FLIGHTS_MAX {
            let message = format!("{FLIGHTS_MAX} keys are being loaded already");
            return Err(Failure::new(FailureCode::Busy, message));
        }
        let flight = Arc::new(Flight::default());
        board.seats += 1;
        board.flying.insert(key.clone(), flight.clone());
        Ok(Boarding::Started(Seat {
            board: self.board.clone(),
            key: key.clone(),
            flight,
        }))
    }
}

/// The pilot's seat: when it is left, however that comes, the flight has ended and
/// all who wait are told.
#[derive(Debug)]
pub(super) struct Seat<K: Ord> {
    board: Arc<Mutex<Board<K>>>,
    key: K,
    flight: Arc<Flight>,
}

impl<K: Ord> Seat<K> {
    /// The flight.
    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Ends the flight.
    pub(super) fn land(self, landing: Landing) {
        // Who comes between the two joins a flight that lands at once: all it
        // shows was loaded under a token that lived until then.
        self.flight.land(landing);
    }
}

impl<K: Ord> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut board = self.board.lock();
        board.seats -= 1;
        if board
            .flying
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            board.flying.remove(&self.key);
        }
        drop(board);
        self.flight.land(Landing::Failed(internal(
            "the load ended without an answer",
        )));
    }
}

fn internal(message: &str) -> Failure {
    Failure::new(FailureCode::Internal, message)
}
