//! Time of the store's operations: read, overwrite, insert that evicts, and a mix on one
//! and two threads.

use std::hint::black_box;
use std::time::Duration;

use cached::clock::WallMs;
use cached::store::{GroupId, GroupSettings, Store, StoreConfig};
use cached_proto::operation::{Condition, Operation};
use cached_proto::types::{Epoch, GroupName, Key, SLOTS, Slot};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 1_000_000;
const VALUE_BYTES: usize = 100;
/// Operations of a thread in one measurement of the mix.
const MIXED: usize = 200_000;

struct Bed {
    store: Store,
    group: GroupId,
    names: Vec<(Slot, Key)>,
}

impl Bed {
    /// With all the keys that fit.
    fn new(memory_bytes: u64) -> Self {
        let store = Store::new(StoreConfig {
            shards: 16,
            memory_bytes,
        });
        let name = GroupName::new("default").expect("a good name");
        let group = store.set_group(&name, GroupSettings::default());
        for number in 0..SLOTS {
            store.open_slot(Slot::new(number).expect("in range"), Epoch(1));
        }
        let name = |number: usize| {
            let spread = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
            let key = Key::new(format!("key:{number:07}")).expect("11 bytes");
            (Slot::new(spread as u16).expect("14 bits"), key)
        };
        let names = (0..KEYS).map(name).collect();
        let bed = Self {
            store,
            group,
            names,
        };
        (0..KEYS).for_each(|number| bed.set(number));
        bed
    }

    fn get(&self, number: usize) -> bool {
        let (slot, key) = &self.names[number];
        let read = self
            .store
            .read_with(*slot, self.group, key.as_bytes(), WallMs(1), |hit| {
                black_box(hit.value.len());
            });
        black_box(read.is_ok())
    }

    fn set(&self, number: usize) {
        let (slot, key) = &self.names[number];
        let operation = Operation::Set {
            key: key.clone(),
            value: bytes::Bytes::from_static(&[7; VALUE_BYTES]),
            ttl: None,
            condition: Condition::Always,
        };
        let _ = black_box(self.store.execute(*slot, self.group, &operation, WallMs(1)));
    }

    /// Threads that read and write by turns.
    fn mixed(&self, threads: usize, chosen: &[usize]) {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let start = thread * chosen.len() / threads;
                scope.spawn(move || {
                    for step in 0..MIXED {
                        let number = chosen[(start + step) % chosen.len()];
                        if step % 2 == 0 {
                            self.get(number);
                        } else {
                            self.set(number);
                        }
                    }
                });
            }
        });
    }
}

/// Numbers of keys, uniform or as in Zipf's law.
fn chosen(zipf: Option<f64>) -> Vec<usize> {
    let mut rng = StdRng::seed_from_u64(1);
    let Some(theta) = zipf else {
        return (0..KEYS).map(|_| rng.random_range(0..KEYS)).collect();
    };
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += (rank as f64).powf(-theta);
            sum
        })
        .collect();
    let rank = |rng: &mut StdRng| {
        let at = rng.random_range(0.0..sum);
        sums.partition_point(|sum| *sum < at).min(KEYS - 1)
    };
    // Hot keys lie anywhere.
    (0..KEYS)
        .map(|_| rank(&mut rng).wrapping_mul(2_654_435_769) % KEYS)
        .collect()
}

fn operations(criterion: &mut Criterion) {
    let roomy = Bed::new(4 << 30);
    let uniform = chosen(None);
    let mut numbers = uniform.iter().cycle().copied();
    criterion.bench_function("get hit", |bench| {
        bench.iter(|| roomy.get(numbers.next().unwrap_or(0)));
    });
    criterion.bench_function("set over the same size", |bench| {
        bench.iter(|| roomy.set(numbers.next().unwrap_or(0)));
    });
    for (name, chosen) in [("uniform", &uniform), ("zipf 0.99", &chosen(Some(0.99)))] {
        for threads in [1, 2] {
            let mut group = criterion.benchmark_group("mixed");
            group.throughput(Throughput::Elements((MIXED * threads) as u64));
            group.bench_function(format!("{name}, {threads} threads"), |bench| {
                bench.iter(|| roomy.mixed(threads, chosen));
            });
            group.finish();
        }
    }
    drop(roomy);
    let full = Bed::new(64 << 20);
    let mut numbers = (0..KEYS).cycle();
    criterion.bench_function("set that evicts", |bench| {
        bench.iter(|| full.set(numbers.next().unwrap_or(0)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = operations
}
criterion_main!(benches);
