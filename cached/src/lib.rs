//! The daemon: a cache node with its REST and gRPC front, and its part in the cluster.
//!
//! Reading order: [`command`] (what is asked), [`store`] (where entries live),
//! [`router`] (who carries it out, and [`blacklist`]: whom not to attempt),
//! [`getter`] (what fills a miss), [`hotkeys`] (what is asked for most), [`cluster`] (who owns what) on top of
//! [`registry`] and [`peers`], [`transfer`] (how slots move, and [`parking`]: where
//! requests wait for them), [`frontend`] and [`operator`] (how it is spoken to), [`journal`] (what happened),
//! [`daemon`] (how all of it is joined), and [`clock`], [`tasks`], [`counters`],
//! [`requests`] with [`recent`], and [`faults`], which everything uses.

pub mod args;
pub mod blacklist;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod config;
pub mod counters;
pub mod daemon;
pub mod faults;
pub mod frontend;
pub mod getter;
pub mod hotkeys;
pub mod journal;
pub mod operator;
pub mod parking;
pub mod peers;
pub mod recent;
pub mod registry;
pub mod requests;
pub mod router;
pub mod store;
pub mod sweeper;
pub mod tasks;
pub mod telemetry;
pub mod transfer;
