//! What must take any bytes: a function for each kind of input from outside.
//!
//! A target gets bytes and must neither panic nor break the rule that stands at it.
//! `make fuzz` feeds them to libFuzzer, whose findings become seeds; `tests/seeds.rs`
//! runs every seed with every `cargo test`.

mod peers;
mod registry;
mod resp;
mod rest;

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// Every target and its name, which is its folder's in `seeds/`.
pub const TARGETS: [(&str, Target); 6] = [
    ("rest_address", rest::address),
    ("rest_batch", rest::batch),
    ("resp_stream", resp::stream),
    ("resp_commands", resp::commands),
    ("peer_messages", peers::message),
    ("registry_records", registry::record),
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, target)| *target)
}
