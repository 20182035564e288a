//! Runs the target that `FUZZ_TARGET` names under libFuzzer.

#![no_main]

use std::sync::OnceLock;

use cached_fuzz::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    cached_fuzz::target(&name).unwrap_or_else(|| {
        let known = cached_fuzz::TARGETS.map(|(name, _)| name).join(", ");
        panic!("FUZZ_TARGET {name:?} is none of {known}")
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET.get_or_init(target)(bytes));
