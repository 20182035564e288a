//! One source of chance for the whole process: whatever asks the system for random
//! bytes (hash maps, generators' seeds, incarnations) gets them from the seed.

use std::cell::RefCell;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

thread_local! {
    static CHANCE: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// From now on this thread's chance comes from `seed`. Call it before anything random
/// is made, and once in a process.
pub fn fix(seed: u64) {
    CHANCE.with(|chance| *chance.borrow_mut() = Some(StdRng::seed_from_u64(seed)));
}

/// Whether random bytes really come from here: a maker of random bytes is asked.
pub fn is_fixed() -> bool {
    fix(1);
    let first: u64 = StdRng::from_os_rng().next_u64();
    fix(1);
    first == StdRng::from_os_rng().next_u64()
}

/// Stands in the way of the C library's function of this name.
#[expect(
    unsafe_code,
    reason = "the system's random bytes are asked for through the C library, and only a \
              function of the same name can stand in its way"
)]
mod system {
    use std::ffi::{c_uint, c_void};
    use std::fs::File;
    use std::io::Read;

    use rand::RngCore;

    #[unsafe(no_mangle)]
    extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
        // SAFETY: the caller hands in a buffer of this length, as the C library's
        // function demands.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
        let fixed = super::CHANCE.try_with(|chance| match &mut *chance.borrow_mut() {
            Some(chance) => {
                chance.fill_bytes(bytes);
                true
            }
            None => false,
        });
        if fixed != Ok(true) {
            let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes));
            if read.is_err() {
                return -1;
            }
        }
        length as isize
    }
}
