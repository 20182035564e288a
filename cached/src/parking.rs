//! Where requests wait while the slot of their key changes hands: bounded, and woken
//! by whoever opens or closes a slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Requests that may wait at a time, and bytes of their values: a seal lasts some
/// milliseconds, so more than these only pile up when the registry is slow (R56).
pub const PARKED_MAX: usize = 1024;
/// See [`PARKED_MAX`].
pub const PARKED_BYTES_MAX: u64 = 64 << 20;

/// The waiting room of one process.
#[derive(Debug, Default)]
pub struct Parking {
    changed: Notify,
    requests: AtomicUsize,
    entered: AtomicU64,
    bytes: AtomicU64,
}

/// A place in the waiting room, given back when dropped.
#[derive(Debug)]
pub struct Parked {
    parking: Arc<Parking>,
    bytes: u64,
}

impl Parking {
    /// Resolves at the next [`Parking::wake`] after this call. Enable it (see
    /// [`Notified::enable`]) or take it before looking at the slot, or a wake is lost.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// A slot was opened, closed, sealed no more, or has room for writers again.
    pub fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// A place for a request with so many bytes of value; `None`: the room is full.
    pub fn enter(self: &Arc<Self>, bytes: u64) -> Option<Parked> {
        let parked = Parked {
            parking: self.clone(),
            bytes,
        };
        self.entered.fetch_add(1, Ordering::Relaxed);
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // One value may always wait, however large it is.
        let fits = requests <= PARKED_MAX && (held <= PARKED_BYTES_MAX || requests == 1);
        fits.then_some(parked)
    }

    /// How many have had to wait so far.
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.parking.requests.fetch_sub(1, Ordering::Relaxed);
        self.parking.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_bounded_and_given_back() {
        let parking = Arc::new(Parking::default());
        let full: Vec<_> = (0..PARKED_MAX).map(|_| parking.enter(0).unwrap()).collect();
        assert!(parking.enter(0).is_none());
        drop(full);
        assert_eq!(parking.waiting(), 0);
        let large = parking.enter(PARKED_BYTES_MAX * 2).unwrap();
        assert!(parking.enter(1).is_none());
        drop(large);
        assert!(parking.enter(1).is_some());
    }
}
