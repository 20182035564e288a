//! Which key comes next, and how long its value is. Pure.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use rand::Rng;
use rand_distr::{Distribution as _, Zipf};

/// Longest value in bytes that a load writes: all are cut from one buffer in memory.
pub const VALUE_BYTES_MAX: u64 = 64 << 20;

/// Largest exponent: beyond it nearly every draw is the first key.
const THETA_MAX: f64 = 10.0;

/// How requests spread over the keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Each key as often as any other.
    Uniform,
    /// The n-th key 1/n^θ as often as the first.
    Zipf(f64),
    /// One after another, and from the first again.
    Sequential,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(theta) => write!(f, "zipf:{theta}"),
            Self::Sequential => f.write_str("sequential"),
        }
    }
}

impl FromStr for Spread {
    type Err = String;

    /// Reads `uniform`, `zipf:0.99` or `sequential`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is none of uniform, zipf:0.99, sequential");
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            None if text == "sequential" => Ok(Self::Sequential),
            None if text == "zipf" => Ok(Self::Zipf(0.99)),
            Some(("zipf", theta)) => {
                let theta: f64 = theta.parse().map_err(|_| wrong())?;
                if theta > 0.0 && theta <= THETA_MAX {
                    return Ok(Self::Zipf(theta));
                }
                Err(format!(
                    "the exponent {theta} is not above 0 and at most {THETA_MAX}"
                ))
            }
            _ => Err(wrong()),
        }
    }
}

/// Draws numbers of keys.
#[derive(Clone, Debug)]
pub struct KeyChooser {
    keys: u64,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Uniform,
    Zipf(Zipf<f64>),
    Sequential(u64),
}

impl KeyChooser {
    /// Of so many keys, at least one; fails where the spread cannot be had for them.
    pub fn new(spread: Spread, keys: u64) -> Result<Self, String> {
        if keys == 0 {
            return Err("there must be at least one key".to_owned());
        }
        let way = match spread {
            Spread::Uniform => Way::Uniform,
            Spread::Sequential => Way::Sequential(0),
            Spread::Zipf(theta) => {
                Way::Zipf(Zipf::new(keys as f64, theta).map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { keys, way })
    }

    /// The number of the next key, below the number of keys.
    pub fn next(&mut self, random: &mut impl Rng) -> u64 {
        match &mut self.way {
            Way::Uniform => random.random_range(0..self.keys),
            // Drawn as 1..=keys; held to that also where rounding would leave it.
            Way::Zipf(zipf) => (zipf.sample(random) as u64).clamp(1, self.keys) - 1,
            Way::Sequential(next) => {
                let key = *next;
                *next = (key + 1) % self.keys;
                key
            }
        }
    }
}

/// Lengths of values in bytes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Shortest.
    pub min: u64,
    /// Longest.
    pub max: u64,
}

impl Sizes {
    /// The length that a draw, any number, stands for.
    pub fn choose(&self, draw: u64) -> usize {
        (self.min + draw % (self.max - self.min + 1)) as usize
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => write!(f, "{}", self.min),
            false => write!(f, "{}-{}", self.min, self.max),
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    /// Reads `100`, `4KiB` or `32-64KiB`.
    fn from_str(text: &str) -> Result<Self, String> {
        let read = |part: &str| {
            let size: Result<ByteSize, _> = part.trim().parse();
            size.map(|size| size.0)
                .map_err(|_| format!("{part:?} is no size: write 100, 4KiB or 32-64KiB"))
        };
        let (min, max) = match text.split_once('-') {
            Some((min, max)) => (read(min)?, read(max)?),
            None => (read(text)?, read(text)?),
        };
        if min > max {
            return Err(format!("{text:?} has its larger size first"));
        }
        if max > VALUE_BYTES_MAX {
            return Err(format!("{text:?} is over the limit of {VALUE_BYTES_MAX}"));
        }
        Ok(Self { min, max })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn counts(spread: &str, keys: u64, draws: usize) -> Vec<usize> {
        let mut chooser = KeyChooser::new(spread.parse().unwrap(), keys).unwrap();
        let mut random = StdRng::seed_from_u64(7);
        let mut counts = vec![0; keys as usize];
        for _ in 0..draws {
            counts[chooser.next(&mut random) as usize] += 1;
        }
        counts
    }

    #[test]
    fn spreads_are_as_they_are_called() {
        let uniform = counts("uniform", 10, 100_000);
        assert!(
            uniform.iter().all(|&it| (9_500..10_500).contains(&it)),
            "{uniform:?}"
        );
        assert_eq!(counts("sequential", 3, 7), [3, 2, 2]);
        // Of 1/n for n = 1..=4 the shares are 48, 24, 16 and 12 in 100.
        let zipf = counts("zipf:1", 4, 100_000);
        for (count, percent) in zipf.iter().zip([48.0, 24.0, 16.0, 12.0]) {
            assert!((*count as f64 / 1000.0 - percent).abs() < 1.0, "{zipf:?}");
        }
        // One key alone, and a steep spread over many, stay within bounds.
        assert_eq!(counts("zipf:0.99", 1, 100), [100]);
        counts("zipf:10", 1000, 1000);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("normal", "none of uniform"),
            ("zipf:", "none of uniform"),
            ("zipf:0", "not above 0"),
            ("zipf:NaN", "not above 0"),
            ("zipf:11", "at most 10"),
        ] {
            let problem = text.parse::<Spread>().unwrap_err();
            assert!(problem.contains(part), "{text:?}: {problem}");
        }
        for (text, part) in [
            ("", "no size"),
            ("a-b", "no size"),
            ("9-3", "larger size first"),
            ("1GiB", "over the limit"),
        ] {
            let problem = text.parse::<Sizes>().unwrap_err();
            assert!(problem.contains(part), "{text:?}: {problem}");
        }
        assert!(KeyChooser::new(Spread::Uniform, 0).is_err());
    }

    #[test]
    fn sizes_are_read_and_drawn() {
        let sizes: Sizes = "32-1KiB".parse().unwrap();
        assert_eq!((sizes.min, sizes.max), (32, 1024));
        assert_eq!(
            (sizes.choose(0), sizes.choose(992), sizes.choose(993)),
            (32, 1024, 32)
        );
        let one: Sizes = "100".parse().unwrap();
        assert_eq!(
            (one.choose(u64::MAX), one.to_string()),
            (100, "100".to_owned())
        );
    }
}
