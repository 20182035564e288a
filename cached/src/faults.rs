//! Known faults that can be planted, places where a process can be made to crash or to
//! stand still, and a witness of what it answers: so that tests show that they would find
//! them. Nothing of it is in a build without the feature `faults`.

#[cfg(feature = "faults")]
use std::{cell::RefCell, sync::Arc};

use std::time::Duration;

use cached_proto::types::{MemberId, Slot};

/// A fault, named after the rule of docs/protocol.md that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A commit whose answer is late is given up after a while, and serving goes on.
    R1,
    /// One read that does not show a commit counts as proof that it never lands.
    R2,
    /// Reads are served between the seal and the outcome of the commit.
    R3,
    /// The source drops its copy before the commit is certain.
    R4,
    /// Staging begins with what an earlier attempt left.
    R5,
    /// An acknowledged keep-alive counts as a proof of life.
    R11,
    /// The fence is checked when an operation comes, and not when it was carried out.
    R14,
    /// Entries are sent after the changes that came later, stored although something newer
    /// is there, and the sums of both ends are not compared.
    R19,
    /// Evictions are not sent.
    R23,
    /// A fill is stored whatever came after its miss.
    R34,
    /// A new owner acknowledges deletes before it has the entries: it serves its
    /// staging before the seal.
    R37,
}

/// Whether a fault is planted: the one that `CACHED_FAULT` names, as in `R19`.
#[cfg(feature = "faults")]
pub fn planted(fault: Fault) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let name = PLANTED.get_or_init(|| std::env::var("CACHED_FAULT").ok());
    name.as_deref() == Some(format!("{fault:?}").as_str())
}

/// Never.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn planted(_: Fault) -> bool {
    false
}

/// How far off the wall clock of this process is, in milliseconds: what
/// `CACHED_WALL_OFFSET_MS` says.
#[cfg(feature = "faults")]
pub fn wall_offset_ms() -> i64 {
    let text = std::env::var("CACHED_WALL_OFFSET_MS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Not at all.
#[cfg(not(feature = "faults"))]
pub const fn wall_offset_ms() -> i64 {
    0
}

/// Ends the process as `kill -9` would, if `CACHED_CRASH_AT` names this point; with
/// `name:3` at the third time.
#[cfg(feature = "faults")]
pub fn crash_point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SEEN: AtomicU32 = AtomicU32::new(0);
    static POINT: std::sync::OnceLock<Option<(String, u32)>> = std::sync::OnceLock::new();
    let point = POINT.get_or_init(|| {
        let text = std::env::var("CACHED_CRASH_AT").ok()?;
        let (name, time) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), time.parse().unwrap_or(1)))
    });
    let Some((wanted, time)) = point else { return };
    if wanted == name && SEEN.fetch_add(1, Ordering::SeqCst) + 1 == *time {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn crash_point(_: &str) {}

/// How long a process stands still at each place where that matters. By default not at
/// all.
#[cfg(feature = "faults")]
#[derive(Clone, Default)]
pub struct Pauses(Option<Arc<dyn Fn() -> Duration + Send + Sync>>);

#[cfg(feature = "faults")]
impl Pauses {
    /// Every time as long as `next` says.
    pub fn new(next: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(next)))
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.0.is_some()
    }

    /// How long the next one lasts.
    pub fn next(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |next| next())
    }
}

#[cfg(feature = "faults")]
impl std::fmt::Debug for Pauses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pauses").field(&self.any()).finish()
    }
}

/// None.
#[cfg(not(feature = "faults"))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses(());

#[cfg(not(feature = "faults"))]
impl Pauses {
    /// None, whatever is said.
    pub fn new(_: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(())
    }

    /// Whether there are any.
    #[inline]
    pub const fn any(self) -> bool {
        false
    }

    /// How long the next one lasts.
    #[inline]
    pub const fn next(self) -> Duration {
        Duration::ZERO
    }
}

/// Hears which member answered for which slot.
#[cfg(feature = "faults")]
type Witness = Box<dyn Fn(&MemberId, Slot)>;

#[cfg(feature = "faults")]
thread_local! {
    static WITNESS: RefCell<Option<Witness>> = const { RefCell::new(None) };
}

/// From now on `witness` hears of every answer that this thread gives as the sure owner
/// of a slot.
#[cfg(feature = "faults")]
pub fn watch_answers(witness: impl Fn(&MemberId, Slot) + 'static) {
    WITNESS.with(|known| *known.borrow_mut() = Some(Box::new(witness)));
}

/// A member answers, sure that it owned the slot when it carried out what it was asked.
#[cfg(feature = "faults")]
pub fn answered(slot: Slot, member: impl FnOnce() -> Option<MemberId>) {
    WITNESS.with(|known| {
        if let Some(witness) = &*known.borrow()
            && let Some(member) = member()
        {
            witness(&member, slot);
        }
    });
}

/// It never hears anything.
#[cfg(not(feature = "faults"))]
pub fn watch_answers(_: impl Fn(&MemberId, Slot) + 'static) {}

/// Nobody hears it.
#[cfg(not(feature = "faults"))]
#[inline]
pub fn answered(_: Slot, _: impl FnOnce() -> Option<MemberId>) {}
