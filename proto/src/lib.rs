//! What every process of a cluster must agree on, byte for byte: messages, key
//! placement, slot table, registry records. Pure: no network, no clock, no chance.
//!
//! Reading order: [`types`] and [`limits`], then [`operation`], [`update`] and
//! [`failure`] (the data language), [`ring`], [`assignment`] and [`table`] (placement),
//! [`records`], [`operations`] and [`registry_keys`] (the registry), [`convert`] and [`pb`] (the
//! wire).

pub mod assignment;
pub mod convert;
pub mod failure;
pub mod limits;
pub mod operation;
pub mod operations;
pub mod records;
pub mod registry_keys;
pub mod ring;
pub mod table;
pub mod types;
pub mod update;

/// Generated messages and stubs.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));

    /// All `.proto` files compiled, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cached.bin"));
}
