//! Bytes of resident memory that an item takes beside key and value, and whether the
//! store keeps a process within its bound. Prints tables; asserts nothing.
//!
//! `cargo bench -p cached --bench memory` for items, with `-- churn` for the bound.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cached::clock::WallMs;
use cached::store::{GroupId, GroupSettings, Store, StoreConfig};
use cached_proto::operation::{Condition, Operation};
use cached_proto::types::{Epoch, GroupName, Key, SLOTS, Slot, Ttl};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: u64 = 2_000_000;
const CHURN_BYTES: u64 = 512 << 20;

fn store(memory_bytes: u64) -> (Store, GroupId) {
    let store = Store::new(StoreConfig {
        shards: 16,
        memory_bytes,
    });
    let name = GroupName::new("default").expect("a good name");
    let group = store.set_group(&name, GroupSettings::default());
    for number in 0..SLOTS {
        store.open_slot(Slot::new(number).expect("in range"), Epoch(1));
    }
    (store, group)
}

/// A slot as a hash would choose it.
fn slot(number: u64) -> Slot {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
    Slot::new(spread as u16).expect("14 bits")
}

fn set(number: u64, value: &[u8], ttl: Option<Ttl>) -> Operation {
    Operation::Set {
        key: Key::new(format!("key:{number:07}")).expect("11 bytes"),
        value: value.to_vec().into(),
        ttl,
        condition: Condition::Always,
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

/// What is stored: length of values, and time to live.
const KINDS: [(&str, usize, Option<u64>); 3] = [
    ("32", 32, None),
    ("200", 200, None),
    ("32-ttl", 32, Some(3_600_000)),
];

/// One line for each kind, each from a process of its own.
fn items() {
    print("kind    idle MiB  full MiB  bytes beside key and value\n");
    for (kind, ..) in KINDS {
        let own = std::env::current_exe().map(std::process::Command::new);
        let ended = own.and_then(|mut own| own.arg(kind).status());
        if !ended.is_ok_and(|status| status.success()) {
            print("it did not end well\n");
        }
    }
}

fn fill(kind: &str, value_bytes: usize, ttl_ms: Option<u64>) {
    let (store, group) = store(4 << 30);
    let idle = resident_bytes();
    let ttl = ttl_ms.and_then(|ms| Ttl::from_ms(ms).ok());
    let value = vec![7; value_bytes];
    for number in 0..ITEMS {
        let operation = set(number, &value, ttl);
        let _ = store.execute(slot(number), group, &operation, WallMs(number / 1_000));
    }
    let full = resident_bytes();
    let keys = store.group_counters()[0].2.keys;
    let beside = (full - idle) as f64 / keys as f64 - 11.0 - value_bytes as f64;
    let (idle, full) = (idle >> 20, full >> 20);
    print(&format!("{kind:<6}  {idle:>8}  {full:>8}  {beside:>8.1}\n"));
    print(&format!("{keys} keys: {:?}\n", store.memory()));
}

/// Fills three times over, with deletes and reads in between, and looks at the process
/// all the time.
fn churn() {
    let (store, group) = store(CHURN_BYTES);
    let (done, most, samples) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut keys = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (resident, memory) = (resident_bytes(), store.memory());
                most.fetch_max(resident, Ordering::Relaxed);
                let found = memory.overhead_of(resident);
                let told = memory.overhead;
                // As the daemon does it.
                store.set_overhead(if found > told {
                    told + (found - told).div_ceil(2)
                } else {
                    told - (told - found) / 8
                });
                if samples.fetch_add(1, Ordering::Relaxed) % 20 == 0 {
                    print(&format!("{} MiB {memory:?}\n", resident >> 20));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let mut rng = StdRng::seed_from_u64(1);
        let (mut written, mut number) = (0, 0_u64);
        while written < 3 * CHURN_BYTES {
            // Even over the magnitudes, as sizes are.
            let value_bytes = 2_f64.powf(rng.random_range(5.0..16.0)) as usize;
            number += 1;
            let at = if rng.random_bool(0.3) {
                rng.random_range(0..number)
            } else {
                number
            };
            let _ = store.execute(
                slot(at),
                group,
                &set(at, &vec![7; value_bytes], None),
                WallMs(number),
            );
            written += value_bytes as u64;
            let at = rng.random_range(0..number);
            let key = Key::new(format!("key:{at:07}")).expect("11 bytes");
            let operation = match rng.random_range(0..10) {
                0 => Operation::Delete {
                    key,
                    condition: Condition::Always,
                },
                _ => Operation::Get {
                    key,
                    no_load: true,
                    metadata_only: false,
                },
            };
            let _ = store.execute(slot(at), group, &operation, WallMs(number));
        }
        keys = store.group_counters()[0].2.keys;
        done.store(true, Ordering::Relaxed);
    });
    let most = most.load(Ordering::Relaxed);
    print(&format!(
        "bound {} MiB, most {} MiB: {:.3} of it; {keys} keys at the end\n",
        CHURN_BYTES >> 20,
        most >> 20,
        most as f64 / CHURN_BYTES as f64
    ));
}

fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    if is_named("churn") {
        churn();
    } else if let Some((kind, bytes, ttl_ms)) = KINDS.iter().find(|(kind, ..)| is_named(kind)) {
        fill(kind, *bytes, *ttl_ms);
    } else {
        items();
    }
}
