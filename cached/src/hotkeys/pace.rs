//! How many operations are looked at: all while there are few, ever fewer of more. Pure.

/// Operations that are looked at in a second, about: at well below a microsecond each
/// that is a thousandth of a processor, and a key with a hundredth of all operations is
/// known to some percent within a minute.
const LOOKS_MAX: u32 = 2_048;

/// Most operations for each that is looked at: at 2,048 looks a second, far beyond what
/// a machine answers.
const EVERY_MAX: u32 = 1 << 16;

/// Which part of the operations is looked at.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    second: u64,
    looks: u32,
    every: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            second: 0,
            looks: 0,
            every: 1,
        }
    }

    /// Time has come to this second.
    pub(super) fn advance(&mut self, second: u64) {
        let passed = second.saturating_sub(self.second);
        if passed == 0 {
            return;
        }
        // Seconds in which nobody asked were quiet ones.
        let quiet = passed - u64::from(self.looks > LOOKS_MAX / 4);
        self.every >>= quiet.min(16);
        self.every = self.every.max(1);
        self.second = second;
        self.looks = 0;
    }

    /// One was looked at.
    pub(super) fn look(&mut self) {
        self.looks += 1;
        if self.looks >= LOOKS_MAX && self.every < EVERY_MAX {
            self.every *= 2;
            self.looks = LOOKS_MAX / 2;
        }
    }

    /// Operations for each that is to be looked at, about.
    pub(super) fn every(&self) -> u32 {
        self.every
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of so many operations each; answers how many were looked at in the last.
    fn run(pace: &mut Pace, from: u64, seconds: u64, operations: u32) -> u32 {
        let mut looks = 0;
        for second in from..from + seconds {
            pace.advance(second);
            looks = 0;
            let mut left = operations;
            while left >= pace.every() {
                left -= pace.every();
                pace.look();
                looks += 1;
            }
        }
        looks
    }

    #[test]
    fn few_are_all_looked_at_and_many_are_thinned_out() {
        let mut pace = Pace::new();
        assert_eq!(run(&mut pace, 1, 5, 1_000), 1_000);
        for operations in [10_000, 1_000_000, 50_000_000] {
            let looks = run(&mut pace, 10, 20, operations);
            assert!(
                (200..=2 * LOOKS_MAX).contains(&looks),
                "{operations}: {looks}"
            );
            pace.advance(100);
            assert_eq!(pace.every(), 1, "a quiet minute");
            pace = Pace::new();
        }
    }
}
