//! The operator's tool for cached clusters.
//!
//! Reading order: [`args`] (what is typed), [`contexts`] and [`settings`] (how the
//! cluster is reached), [`commands`] (what is done), [`output`] (the only place that prints),
//! [`top`] (the screen), [`error`] (exit codes).

pub mod args;
pub mod commands;
pub mod complete;
pub mod contexts;
pub mod error;
pub mod interrupt;
pub mod output;
pub mod settings;
pub mod top;
pub mod units;
