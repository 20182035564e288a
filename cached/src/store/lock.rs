//! The lock of a shard. What the system takes long to take back is given to it only
//! after the lock is free: everybody else who wants the shard would wait for that.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

use super::arena::Released;
use super::shard::Shard;

/// A shard that one caller at a time works on. Held for microseconds, never across an
/// await.
pub(crate) struct ShardLock(Mutex<Shard>);

impl ShardLock {
    pub(crate) fn new(shard: Shard) -> Self {
        Self(Mutex::new(shard))
    }

    /// Looks at the shard, and changes nothing.
    #[inline]
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Shard) -> R) -> R {
        look(&self.0.lock())
    }

    pub(crate) fn lock(&self) -> Held<'_> {
        Held {
            shard: self.0.lock(),
            released: Released::default(),
        }
    }
}

/// The shard, until this is dropped.
pub(crate) struct Held<'a> {
    /// Dropped before what was released.
    shard: MutexGuard<'a, Shard>,
    released: Released,
}

impl Held<'_> {
    /// Lets somebody else who waits for the shard go first.
    pub(crate) fn bump(&mut self) {
        MutexGuard::bump(&mut self.shard);
    }
}

impl Deref for Held<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.released = self.shard.take_released();
    }
}
