//! Random cells: what is in use stays as it was, and memory goes back.

use proptest::prelude::*;

use super::*;

/// An arena with cells that know their size and a number.
#[derive(Default)]
struct Bed {
    arena: Arena,
    cells: Vec<(u32, u32, u8)>,
}

impl Bed {
    fn add(&mut self, granules: u32, number: u8) {
        let granules = rounded(granules.max(6));
        let cell = self.arena.allocate(granules);
        let bytes = &mut self.arena.cell_mut(cell)[..granules as usize * GRANULE];
        bytes.fill(number);
        bytes[FLAGS_AT] = 0;
        bytes[GRANULES_AT..GRANULES_AT + 4].copy_from_slice(&granules.to_le_bytes());
        self.cells.push((cell, granules, number));
    }

    fn remove(&mut self, number: usize) {
        let (cell, granules, _) = self.cells.swap_remove(number);
        self.arena.free(cell, granules);
    }

    /// One step; answers whether there was something to do.
    fn drain(&mut self) -> bool {
        let granules = |arena: &Arena, cell| u32_at(arena.cell(cell), GRANULES_AT);
        match self.arena.drain(granules) {
            None => return false,
            Some(Drained::Used(from)) => {
                let granules = granules(&self.arena, from);
                let to = self.arena.allocate(granules);
                self.arena.copy(from, to, granules);
                self.arena.free(from, granules);
                let mut cells = self.cells.iter_mut();
                cells.find(|(cell, _, _)| *cell == from).unwrap().0 = to;
            }
            Some(Drained::Free | Drained::Done) => {}
        }
        true
    }

    /// Bytes of pages that were written.
    fn resident_bytes(&self) -> usize {
        let filled = self
            .arena
            .segments
            .iter()
            .map(|segment| segment.filled as usize);
        filled
            .map(|filled| (filled * GRANULE).next_multiple_of(PAGE_BYTES))
            .sum()
    }

    fn check(&self) {
        let mut used = 0;
        for (cell, granules, number) in &self.cells {
            let bytes = &self.arena.cell(*cell)[..*granules as usize * GRANULE];
            assert!(bytes[..FLAGS_AT].iter().all(|byte| byte == number));
            assert!(bytes[GRANULES_AT + 4..].iter().all(|byte| byte == number));
            used += u64::from(*granules);
        }
        assert_eq!(self.arena.used, used);
        let filled = |segment: &Segment| u64::from(segment.filled);
        let filled: u64 = self.arena.segments.iter().map(filled).sum();
        assert_eq!(self.arena.used + self.arena.free, filled);
    }
}

#[test]
fn a_freed_cell_is_used_for_the_next_of_its_size() {
    let mut bed = Bed::default();
    (0..3).for_each(|number| bed.add(20, number));
    let freed = bed.cells[1].0;
    bed.remove(1);
    bed.add(21, 3);
    assert_ne!(bed.cells[2].0, freed);
    bed.add(20, 4);
    assert_eq!(bed.cells[3].0, freed);
    assert_eq!(bed.arena.free_bytes(), 0);
    bed.check();
}

#[test]
fn segments_grow_with_the_arena_and_go_back() {
    let mut bed = Bed::default();
    assert_eq!(bed.resident_bytes(), 0);
    bed.add(20, 0);
    assert_eq!(bed.resident_bytes(), PAGE_BYTES);
    (0..100_000).for_each(|number| bed.add(20, number as u8));
    let sizes = |bed: &Bed| -> Vec<usize> {
        let segments = bed.arena.segments.iter();
        segments.map(|segment| segment.bytes().len()).collect()
    };
    assert_eq!(sizes(&bed)[0], SEGMENT_BYTES_MIN);
    assert_eq!(sizes(&bed).into_iter().max(), Some(32 << 10));
    while bed.cells.len() > 10 {
        bed.remove(bed.cells.len() / 2);
    }
    while bed.drain() {}
    bed.check();
    assert!(bed.arena.free_bytes() <= bed.arena.free_bytes_allowed());
    assert!(bed.resident_bytes() <= 64 << 10);
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, u8),
    Remove(usize),
    Drain(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let granules = prop_oneof![8 => 6..40_u32, 2 => 40..600_u32, 1 => 600..20_000_u32];
    prop_oneof![
        5 => (granules, any::<u8>()).prop_map(|(granules, number)| Step::Add(granules, number)),
        4 => any::<usize>().prop_map(Step::Remove),
        2 => (1..40_usize).prop_map(Step::Drain),
    ]
}

proptest! {
    #[test]
    fn what_is_in_use_stays_as_it_was(steps in prop::collection::vec(any_step(), 1..400)) {
        let mut bed = Bed::default();
        for step in steps {
            match step {
                Step::Add(granules, number) => bed.add(granules, number),
                Step::Remove(number) if !bed.cells.is_empty() => {
                    bed.remove(number % bed.cells.len());
                }
                Step::Remove(_) => {}
                Step::Drain(steps) => {
                    (0..steps).for_each(|_| { bed.drain(); });
                }
            }
        }
        bed.check();
        while bed.drain() {}
        bed.check();
        prop_assert!(bed.arena.free_bytes() <= bed.arena.free_bytes_allowed());
    }
}
