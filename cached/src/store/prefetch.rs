//! Tells the processor which memory will be looked at soon: the only unsafe code of the
//! store, a hint that changes nothing.
//!
//! Safe loads cannot stand in for it: the lock that follows waits for them, and most of
//! an operation's time is waiting for memory. `docs/benchmarks.md` has what it saves.

/// Length of a line of the processor's cache, in bytes.
const LINE: usize = 64;

/// Fetches the line in which this begins.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[expect(unsafe_code, reason = "the hint takes a raw pointer; measured")]
#[inline]
pub(crate) fn prefetch<T: ?Sized>(what: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 processor has the instruction (SSE). It loads into the cache
    // only: it neither reads nor writes for the program, and faults at no address. This
    // address is that of a reference, and so valid anyway.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(what).cast()) }
}

/// Where there is no hint, what is fetched late is fetched by whoever looks at it.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
pub(crate) fn prefetch<T: ?Sized>(_what: &T) {}

/// Fetches every line of these bytes.
#[inline]
pub(crate) fn prefetch_all(bytes: &[u8]) {
    bytes.chunks(LINE).for_each(prefetch);
    // They may end in a line in which no piece begins.
    bytes.last().into_iter().for_each(prefetch);
}
